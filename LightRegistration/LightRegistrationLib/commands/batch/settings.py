"""Constants of the `batch` command."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchSettings:
    """Constants; none of them changes a result."""

    worker_gb: float = 3.0
    """Memory that one process is planned with. Chosen: twice what a registration of brains uses; larger volumes need
    --workers or --memory."""
    free_share: float = 0.8
    """Share of the free memory that the processes may use. Chosen."""
    max_pictures: int = 1000
    """So many pairs, the worst ones, have a picture on the page. Chosen: 20 kB each, which a browser still shows."""


BATCH = BatchSettings()
