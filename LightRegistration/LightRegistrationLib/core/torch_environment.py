"""Environment variables for PyTorch, set before it is imported; importable without it."""

from __future__ import annotations

TORCH_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "THP_MEM_ALLOC_ENABLE": "1",
}
"""OMP_WAIT_POLICY: waiting threads do not spin and take cores from Slicer and other programs, as they do by default.

THP_MEM_ALLOC_ENABLE: PyTorch asks Linux for large memory pages for large arrays, which takes the kernel less time than
many small ones. Measured with `Testing/Benchmarks/cpu_time.py` (ours-none and ours-fast).
"""
