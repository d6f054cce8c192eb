"""What stands above a node's file: defaults, file, environment, command line, in this order."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.configuration import ConfigurationError, NodeConfiguration
from scripts.overrides import load_overridden, overrides_of


def read(
    tmp_path: Path, text: str, environment: dict[str, str], *settings: str
) -> NodeConfiguration:
    path = tmp_path / "node.toml"
    path.write_text(f'name = "a"\ngenesis = "g"\n{text}')
    return load_overridden(path, overrides_of(environment, settings))


@pytest.mark.parametrize(
    ("text", "environment", "settings", "port"),
    [
        ("", {}, (), 0),
        ("listen_port = 1", {}, (), 1),
        ("listen_port = 1", {"PROVNET_LISTEN_PORT": "2"}, (), 2),
        ("listen_port = 1", {"PROVNET_LISTEN_PORT": "2"}, ("listen_port=3",), 3),
        ("listen_port = 1", {}, ("listen_port=3", "listen_port=4"), 4),
    ],
)
def test_the_stronger_wins(
    tmp_path: Path, text: str, environment: dict[str, str], settings: tuple[str, ...], port: int
) -> None:
    assert read(tmp_path, text, environment, *settings).listen_port == port


def test_every_kind_of_entry_can_be_set(tmp_path: Path) -> None:
    environment = {
        "PROVNET_BOOTSTRAP": "/ip4/127.0.0.1/tcp/1, b,",
        "PROVNET_PROVER__CORES": "7",
        "PROVNET_BACKUP": "true",
        "PROVNET_SEQUENCER__LEAF_COUNT": "8",
        "PROVNET_PASSPHRASE": "a secret is no entry",
        "HOME": "elsewhere",
    }
    found = read(tmp_path, "[prover]\nworkers = 3\n", environment, "name=b")
    assert found.bootstrap == ("/ip4/127.0.0.1/tcp/1", "b")
    assert found.prover is not None
    assert (found.prover.cores, found.prover.workers) == (7, 3)
    assert found.sequencer is not None
    assert found.sequencer.leaf_count == 8
    assert (found.backup, found.name) == (True, "b")


@pytest.mark.parametrize(
    ("environment", "setting", "words"),
    [
        ({"PROVNET_LISTN_PORT": "1"}, None, "PROVNET_LISTN_PORT: a node has no entry listn_port"),
        ({"PROVNET_PROVER__COLOUR": "1"}, None, "no entry prover.colour"),
        ({"PROVNET_NAME__COLOUR": "1"}, None, "no entry name.colour"),
        ({"PROVNET_LISTEN_PORT": "x"}, None, "a whole number, not 'x'"),
        ({"PROVNET_LISTEN_PORT": "-1"}, None, "a whole number"),
        ({"PROVNET_BACKUP": "yes"}, None, "true or false"),
        ({"PROVNET_PROVER": "1"}, None, "entry by entry"),
        ({}, "listen_port", "not of the form"),
        ({}, "backup=true", "prover of the same node"),
    ],
)
def test_what_is_wrong_is_named_by_what_set_it(
    tmp_path: Path, environment: dict[str, str], setting: str | None, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        read(tmp_path, "", environment, *([] if setting is None else [setting]))
    assert caught.value.hint
