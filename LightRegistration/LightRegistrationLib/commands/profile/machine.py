"""What the machine could do at best: its matrix products, the network's multiply-adds, the memory that was used."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

_SIZE = 1536
_SECONDS = 0.4
_STATUS = Path("/proc/self/status")


def matrix_product_gflops(precision: str) -> float:
    """The fastest of some products of square matrices (torch.mm), 10^9 operations a second, on torch's threads.

    precision: `float32` or `bfloat16`. A multiply-add counts as two operations.
    """
    import torch

    with torch.inference_mode():
        a, b = (torch.rand(_SIZE, _SIZE).to(getattr(torch, precision)) for _ in range(2))
        torch.mm(a, b)
        best, until = float("inf"), time.perf_counter() + _SECONDS
        while time.perf_counter() < until:
            started = time.perf_counter()
            torch.mm(a, b)
            best = min(best, time.perf_counter() - started)
    return 2 * _SIZE**3 / best / 1e9


def network_multiply_adds(shape: Sequence[int]) -> int:
    """Multiply-adds of one pass of the student's network over images (N, 1, D, H, W)."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ...core.network.light_network import LightNetwork

    # Without values: only the shapes matter.
    with torch.device("meta"), torch.no_grad():
        image = torch.empty(tuple(shape))
        network = LightNetwork()
        with FlopCounterMode(display=False) as counter:
            network(image, image)
    return int(counter.get_total_flops()) // 2


def forget_peak_memory() -> None:
    """Let the peak begin anew, where the system can do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_mb() -> float | None:
    """The most memory that this process has held at once, 10^6 bytes; None where the system does not say."""
    if _STATUS.exists():
        (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
