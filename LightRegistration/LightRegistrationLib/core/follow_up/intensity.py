"""Intensities with room above bright tissue, so that a lesion brighter than all tissue still differs from it."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import NDArray

from ..network.intensity import IntensityNormalization


@dataclass(frozen=True)
class WideNormalization(IntensityNormalization):
    """A model's intensity normalization whose range, from its lower level on, is wider by the factor `headroom`."""

    headroom: float = 1.0

    def find_levels(self, array: NDArray) -> tuple[float, float]:
        """Find the intensities (in the array's unit) that become 0 and 1."""
        low, high = super().find_levels(array)
        return low, low + self.headroom * (high - low)
