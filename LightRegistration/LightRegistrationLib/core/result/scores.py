"""Agreement of the structures of two segmentations, and of landmarks, before and after registration; torch-free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


@dataclass(frozen=True)
class Overlap:
    """Agreement of one structure with the fixed one.

    dice, jaccard: 0 to 1. mean_distance_mm, hd95_mm: mean (distance to agreement) and 95th percentile of the surface
    distances, both directions pooled, mm; NaN if either is empty. volume_change_percent: relative to the moving
    structure's own volume (0 before registration).
    """

    dice: float
    jaccard: float
    mean_distance_mm: float
    hd95_mm: float
    volume_change_percent: float


@dataclass(frozen=True)
class StructureScore:
    """One structure that both segmentations have: before (as loaded) and after registration."""

    name: str
    value: int
    fixed_voxels: int
    before: Overlap
    after: Overlap


@dataclass(frozen=True)
class LandmarkErrors:
    """The distances of corresponding landmarks (target registration error), mm."""

    mean_mm: float
    max_mm: float


def mean_overlap(overlaps: list[Overlap]) -> Overlap:
    """The mean over structures; distances over those where they are defined. Raises InputError for an empty list."""
    if not overlaps:
        raise InputError("The two segmentations have no structure in common: check their names or label values.")
    columns: list[NDArray[np.float64]] = [
        np.array([getattr(o, name) for o in overlaps], dtype=np.float64)
        for name in ("dice", "jaccard", "mean_distance_mm", "hd95_mm", "volume_change_percent")
    ]
    means = [float(c[np.isfinite(c)].mean()) if np.isfinite(c).any() else float("nan") for c in columns]
    return Overlap(*means)
