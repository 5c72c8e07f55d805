"""What a process has used so far, as Linux counts it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """cpu: seconds of the process itself, user and system. resident, peak: bytes of memory, now and at the most."""

    cpu: float
    resident: int
    peak: int


def usage(pid: int) -> Usage:
    """Raises OSError where it has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    if "VmRSS:" not in status:
        raise ProcessLookupError(f"process {pid} has ended")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, _bytes(status, "VmRSS:"), _bytes(status, "VmHWM:"))


def _bytes(status: str, key: str) -> int:
    return int(status.partition(key)[2].split()[0]) * 1024
