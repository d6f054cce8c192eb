"""On what a benchmark ran: figures of another machine, revision or hour are other figures."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUSY: Final = 0.5
"""Load average, in cores, from which on times are not worth much."""

_ROOT: Final = Path(__file__).resolve().parents[2]
_PROCESSOR: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine and a program at the start of a measurement.

    :ivar cores: that this process may use.
    :ivar load: processes that ran or waited, averaged over the last minute.
    :ivar revision: of git; a plus sign says that files differ from it.
    """

    processor: str
    cores: int
    load: float
    revision: str
    python: str

    @property
    def is_busy(self) -> bool:
        """Whether others use the machine."""
        return self.load > BUSY


def look() -> Hardware:
    """Where this process runs."""
    return Hardware(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        load=round(os.getloadavg()[0], 2),
        revision=_revision(),
        python=platform.python_version(),
    )


def _processor() -> str:
    for line in _PROCESSOR.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _revision() -> str:
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()
