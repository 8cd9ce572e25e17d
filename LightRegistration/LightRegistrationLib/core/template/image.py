"""The mean image of a group: intensities of the scans, their sum, and the sharpness of what results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry.geometry import Geometry
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segmentation, Volume
from ..network.intensity import IntensityNormalization
from ..sampling.warping import warp_segmentation, warp_volume
from .settings import TEMPLATE, TemplateSettings


@dataclass(frozen=True)
class IntensityMap:
    """A linear map of intensities, value -> (value - offset) * gain."""

    offset: float = 0.0
    gain: float = 1.0


def find_intensity_map(array: NDArray, settings: TemplateSettings = TEMPLATE) -> IntensityMap:
    """Find the map by which scans without a unit agree: 0 becomes their background, and typical tissue one value."""
    low, typical = IntensityNormalization(high=settings.typical_percentile).find_levels(array)
    return IntensityMap(low, settings.typical_value / (typical - low))


def find_foreground(array: NDArray) -> NDArray[np.bool_]:
    """Find the voxels of the body: those above the mean."""
    values = np.where(np.isfinite(array), array, np.nan)
    return np.asarray(values > np.nanmean(values, dtype=np.float64))


def warp_scan(scan: Volume, field: DisplacementField, grid: Geometry, intensities: IntensityMap) -> NDArray[np.float32]:
    """Bring a scan to the template's grid, in common intensities (k, j, i); NaN where the scan shows nothing."""
    is_known = np.isfinite(scan.array)
    values = np.where(is_known, scan.array, scan.array[is_known].min()).astype(np.float32)
    warped = warp_volume(Volume(values, scan.affine, scan.name), field, grid).array
    shown = warp_segmentation(Segmentation((is_known.astype(np.uint8),), scan.affine, ()), field, grid).layers[0]
    result = (warped - np.float32(intensities.offset)) * np.float32(intensities.gain)
    result[shown == 0] = np.nan
    return np.asarray(result, np.float32)


class ImageMean:
    """Sums up warped scans, one at a time."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._total = np.zeros(shape)
        self._known = np.zeros(shape, np.uint16)
        self._count = 0

    def add(self, warped: NDArray[np.float32]) -> None:
        """Add a scan (k, j, i); NaN where it shows nothing."""
        is_known = np.isfinite(warped)
        self._total[is_known] += warped[is_known]
        self._known += is_known
        self._count += 1

    def compute(self, settings: TemplateSettings = TEMPLATE) -> NDArray[np.float32]:
        """Compute the mean of the scans that show a voxel; where few show it, the smallest value of all means."""
        is_known = self._known >= max(1, settings.min_known_share * self._count)
        result = np.zeros(self._total.shape, np.float32)
        result[is_known] = (self._total[is_known] / self._known[is_known]).astype(np.float32)
        result[~is_known] = result[is_known].min(initial=np.inf) if is_known.any() else 0
        return result


def measure_gradient_energy(array: NDArray[np.float32], foreground: NDArray[np.bool_], spacing_mm: float) -> float:
    """Measure the mean squared gradient of an image (k, j, i) over its foreground, (intensity / mm)²."""
    total = np.zeros(int(foreground.sum()))
    for axis in range(3):
        total += np.square(np.gradient(array, spacing_mm, axis=axis)[foreground], dtype=np.float64)
    return float(total.mean())


def measure_change_percent(
    before: NDArray[np.float32], after: NDArray[np.float32], foreground: NDArray[np.bool_]
) -> float:
    """Measure how much two images (k, j, i) differ over a foreground: RMS, in percent of the second's deviation."""
    difference = (after - before)[foreground].astype(np.float64)
    return float(100 * np.sqrt(np.square(difference).mean()) / after[foreground].std(dtype=np.float64))
