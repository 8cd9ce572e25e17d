"""The limits of the machine: rate of matrix products, multiply-adds of the network, memory that was used."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

_MATRIX_SIZE, _SMALL_MATRIX_SIZE = 1536, 256
_MEASURING_SECONDS = 0.4
_STATUS = Path("/proc/self/status")


def measure_matrix_product_gflops(precision: str) -> float:
    """Measure the fastest of several products of square matrices (torch.mm), 10^9 operations per second.

    precision: `float32` or `bfloat16`. Runs on torch's threads. A multiply-add counts as two operations.
    """
    import torch

    from ...core.network.inference import has_fast_bfloat16

    # Where the CPU only imitates bfloat16, the product of large matrices takes many seconds.
    size = _MATRIX_SIZE if precision == "float32" or has_fast_bfloat16() else _SMALL_MATRIX_SIZE
    with torch.inference_mode():
        a, b = (torch.rand(size, size).to(getattr(torch, precision)) for _ in range(2))
        torch.mm(a, b)
        best, until = float("inf"), time.perf_counter() + _MEASURING_SECONDS
        while time.perf_counter() < until:
            started = time.perf_counter()
            torch.mm(a, b)
            best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


def count_multiply_adds(work: Callable[[], object]) -> int:
    """Call `work` and count the multiply-adds of the convolutions that it computes in this thread."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_flop_counts()["Global"].get(torch.ops.aten.convolution, 0)) // 2


def reset_peak_memory() -> None:
    """Reset the peak to the current memory, if the system supports it (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def read_peak_memory_mb() -> float | None:
    """Return the peak memory of this process, 10^6 bytes; None if the system does not report it."""
    if _STATUS.exists():
        (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
