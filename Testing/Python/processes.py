"""What tests ask of processes: whether they live, and whether they end in time."""

from __future__ import annotations

import time
from pathlib import Path


def alive(process_id: int) -> bool:
    """Whether the process exists and is not merely waiting to be reaped."""
    stat = Path(f"/proc/{process_id}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def gone_within(process_id: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(process_id) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(process_id)
