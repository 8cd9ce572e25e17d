"""Intensity normalization: a linear map to [0, 1] between two levels that are found per volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .settings import NETWORK


@dataclass(frozen=True)
class IntensityNormalization:
    """How a model maps intensities to [0, 1]; a model's card sets it under `intensity`.

    kind `percentile`: from `low` to `high`, percentiles of the foreground (voxels above the volume's mean); for MRI,
    whose units mean nothing. `low` 0 stands for a percentile of all voxels (`NetworkSettings.zero_percentile`).
    kind `window`: from `low` to `high` in the volume's own unit (CT: Hounsfield units).
    """

    kind: str = "percentile"
    low: float = 0.0
    high: float = 99.5

    def __post_init__(self) -> None:
        if self.kind not in ("percentile", "window") or not self.low < self.high:
            raise ModelError(f"Unknown intensity normalization {self.kind!r} ({self.low} to {self.high}).")

    def find_levels(self, array: NDArray) -> tuple[float, float]:
        """Find the intensities (in the array's unit) that become 0 and 1."""
        if self.kind == "window":
            return self.low, self.high
        values = array[np.isfinite(array)]
        base = float(np.percentile(values, NETWORK.zero_percentile))
        foreground = values[values > values.mean()]
        if foreground.size == 0:
            return base, base + 1.0
        low = base if self.low == 0 else float(np.percentile(foreground, self.low))
        high = float(np.percentile(foreground, self.high))
        return low, high if high > low else low + 1.0

    def apply(self, array: NDArray, levels: tuple[float, float]) -> NDArray[np.float32]:
        """Map intensities linearly so that the levels become 0 and 1, clip, and turn NaN into 0."""
        low, high = levels
        scaled = array.astype(np.float32)
        scaled -= np.float32(low)
        scaled *= np.float32(1 / (high - low))
        np.nan_to_num(scaled, copy=False, nan=0.0)
        return np.asarray(np.clip(scaled, 0, 1, out=scaled))
