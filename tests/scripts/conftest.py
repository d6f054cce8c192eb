from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.params import MODELLED
from protocol.types import Milliseconds
from prover.modelled import ModelledBackend
from scripts.export import ExportReport, export_run
from tests.scripts.network import PROVERS, SmallNetwork, Wish


@dataclass
class Played:
    """A run that was exported."""

    run: Path
    network: SmallNetwork
    report: ExportReport

    def copy(self, target: Path) -> Path:
        """A copy to tamper with, without the nodes."""
        return Path(shutil.copytree(self.run, target, ignore=lambda *_: ["nodes"]))


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Three modelled blocks of four leaves: quiet, with a dead prover, with one survivor."""
    run = tmp_path_factory.mktemp("run")
    backend = ModelledBackend(leaf_ms=Milliseconds(0), merge_ms=Milliseconds(0))
    wish = Wish(backend, MODELLED, 4, 3, {1: PROVERS[:1], 2: PROVERS[:3]})
    network = SmallNetwork(wish, run)
    network.play()
    return Played(run, network, export_run(run, network.node))
