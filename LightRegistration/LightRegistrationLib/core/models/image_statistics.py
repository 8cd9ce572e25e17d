"""Image statistics: a few numbers that describe a volume, measured on some ten thousand voxels; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ..geometry.geometry import FloatArray, Geometry
from ..geometry.volume import Volume
from .settings import IMAGE_STATISTICS

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ImageStatistics:
    """The statistics of one volume.

    name: the volume's. modality: `CT` if its values are Hounsfield units; `unclear` if they seem to be CT in another
    unit; else `MRI`, which stands for all images whose unit means nothing. values: those of
    `core.models.coverage.STATISTICS` that can be measured. intensity_warning: a line for the user, or empty.
    """

    name: str
    modality: str
    values: Mapping[str, float] = field(default_factory=dict)
    intensity_warning: str = ""


@dataclass(frozen=True, eq=False)
class _Samples:
    """Every n-th voxel: values (s, a, b), s along the axis nearest to superior; their distances in mm."""

    values: NDArray[np.float32]
    spacing_mm: FloatArray


def measure_image_statistics(volume: Volume) -> ImageStatistics:
    """Measure the image statistics of a volume; takes some milliseconds, whatever its size."""
    samples = _read_samples(volume)
    if is_in_hounsfield_units(samples.values):
        return ImageStatistics(volume.name, "CT", _measure_ct(samples))
    if _is_ct_with_an_offset(samples.values):
        return ImageStatistics(
            volume.name,
            "unclear",
            _measure_other(samples),
            f"{volume.name} looks like CT without its offset of -1024: bring it into Hounsfield units (air at -1000, "
            "water at 0), so that a model for CT can be used.",
        )
    return ImageStatistics(volume.name, "MRI", _measure_other(samples))


def is_in_hounsfield_units(values: NDArray) -> bool:
    """Whether intensities are Hounsfield units: some air or dark fat, and the rest mostly soft tissue.

    No other image of a scanner has many values below -150 (CT windowed at -200 still has them). Shifted MRI or phase
    images have them, but their other values do not lie in the few hundred units of fat, water and organs.
    """
    limits = IMAGE_STATISTICS.hounsfield
    dark = values <= limits.max_dark_hu
    tissue = values[values > _find_tissue_level(values)]
    if np.count_nonzero(dark) < limits.min_dark_fraction * values.size or tissue.size == 0:
        return False
    is_soft = (tissue > limits.min_tissue_hu) & (tissue < limits.max_tissue_hu)
    return bool(np.count_nonzero(is_soft) > limits.min_tissue_fraction * tissue.size)


def _is_ct_with_an_offset(values: NDArray) -> bool:
    """Whether there is air near 0, nothing below, soft tissue in a narrow peak near 1024, and bone above."""
    limits = IMAGE_STATISTICS.hounsfield
    tissue = values[values > limits.offset_tissue_min]
    if values.min() < limits.offset_min or values.max() < limits.offset_max:
        return False
    if tissue.size < limits.offset_min_tissue_fraction * values.size:
        return False
    has_air = np.count_nonzero(values < limits.offset_max_air) > limits.offset_min_air_fraction * values.size
    is_soft = (tissue > limits.offset_min_soft) & (tissue < limits.offset_max_soft)
    return bool(has_air and np.count_nonzero(is_soft) > limits.offset_min_soft_fraction * tissue.size)


def _read_samples(volume: Volume) -> _Samples:
    geometry = volume.geometry
    long_axis = int(np.argmax(np.abs(volume.affine[2, :3]) / geometry.spacing_mm))
    array = np.moveaxis(volume.array, 2 - long_axis, 0)
    spacing = np.array([geometry.spacing_mm[long_axis], *np.delete(geometry.spacing_mm, long_axis)[::-1]])
    steps = np.maximum(1, (_compute_sample_spacing(geometry) / spacing + 0.01).astype(int))
    return _Samples(_average_neighbors(array, steps), spacing * steps)


def _average_neighbors(array: NDArray, steps: NDArray[np.int64]) -> NDArray[np.float32]:
    """Take every n-th voxel, averaged with its next neighbor along each axis where voxels are left out.

    Single voxels of a noisy MRI volume reach below 0 and look like the air of a CT. Values that are not finite count as
    the lowest finite one.
    """
    shape = [-(-n // int(step)) for n, step in zip(array.shape, steps, strict=True)]
    offsets = list(product(*(range(2 if step > 1 else 1) for step in steps)))
    total = np.zeros(shape, np.float32)
    for offset in offsets:
        window = zip(offset, array.shape, steps, strict=True)
        values = array[tuple(slice(o if n > o else 0, None, int(step)) for o, n, step in window)].astype(np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            values[~finite] = values[finite].min() if finite.any() else 0
        missing = [(0, n - m) for n, m in zip(shape, values.shape, strict=True)]
        total += np.pad(values, missing, mode="edge") if any(after for _, after in missing) else values
    return total / np.float32(len(offsets))


def _compute_sample_spacing(geometry: Geometry) -> float:
    return float((geometry.size_ijk * geometry.spacing_mm).max()) / IMAGE_STATISTICS.sampling.samples_per_axis


def _find_tissue_level(values: NDArray) -> float:
    """The level that separates air and lung from tissue, HU: halfway between the darkest value and fat."""
    limits = IMAGE_STATISTICS.hounsfield
    return max(limits.min_tissue_level_hu, (float(values.min()) + limits.fat_hu) / 2)


def _measure_ct(samples: _Samples) -> dict[str, float]:
    tissue = samples.values > _find_tissue_level(samples.values)
    body = tissue | (_count_directions(tissue, axes=(1, 2)) == 4)
    if not body.any():
        return {}
    settings = IMAGE_STATISTICS.body
    counts, air_counts = (np.count_nonzero(mask, axis=(1, 2)) for mask in (body, body & ~tissue))
    is_measured = counts > settings.min_slice_fraction * counts.max()
    areas_mm2 = counts[is_measured] * samples.spacing_mm[1] * samples.spacing_mm[2]
    narrow, wide = np.percentile(np.sqrt(4 * areas_mm2 / np.pi), (settings.narrow_percentile, settings.wide_percentile))
    return {
        **_measure_extent(body, samples.spacing_mm),
        "air_percent": 100 * air_counts.sum() / counts.sum(),
        "median_air_percent": float(100 * np.median(air_counts[is_measured] / counts[is_measured])),
        "narrow_mm": float(narrow),
        "narrowing_percent": float(100 * (1 - narrow / wide)),
    }


def _measure_other(samples: _Samples) -> dict[str, float]:
    settings = IMAGE_STATISTICS.body
    limits = np.percentile(samples.values, (settings.min_percentile, settings.max_percentile))
    values = np.clip(samples.values, *limits)
    values -= values.min()
    tissue = values > _find_otsu_level(values) * settings.otsu_factor
    body = _count_directions(tissue, axes=(0, 1, 2)) >= settings.min_directions
    if not body.any():
        return {}
    statistics = _measure_extent(body, samples.spacing_mm)
    deep_settings = IMAGE_STATISTICS.homogeneous
    deep = _erode(body, np.round(deep_settings.depth_mm / samples.spacing_mm).astype(int))
    if np.count_nonzero(deep) >= deep_settings.min_deep_samples:
        statistics["calm_rank_percent"] = _measure_homogeneous_rank(values, deep)
    return statistics


def _measure_extent(body: Mask, spacing_mm: FloatArray) -> dict[str, float]:
    sides = []
    for axis in range(3):
        profile = np.count_nonzero(body, axis=tuple(a for a in range(3) if a != axis))
        slices = np.flatnonzero(profile > IMAGE_STATISTICS.body.min_slice_fraction * profile.max())
        sides.append((slices[-1] - slices[0] + 1) * spacing_mm[axis])
    return {"longest_mm": float(max(sides)), "cut_percent": _cut_percent(body, spacing_mm)}


def _cut_percent(body: Mask, spacing_mm: FloatArray) -> float:
    cut, whole = 0.0, 0.0
    for axis in range(3):
        area = float(np.prod(np.delete(spacing_mm, axis)))
        for end in (0, -1):
            face = np.take(body, end, axis=axis)
            cut += area * float(np.count_nonzero(face))
            whole += area * face.size
    return 100 * cut / whole


def _count_directions(tissue: Mask, axes: tuple[int, ...]) -> NDArray[np.uint8]:
    """In how many directions along the axes (both ways) there is tissue; a voxel of tissue counts in each."""
    count = np.zeros(tissue.shape, np.uint8)
    for axis in axes:
        count += np.maximum.accumulate(tissue, axis)
        count += np.flip(np.maximum.accumulate(np.flip(tissue, axis), axis), axis)
    return count


def _erode(mask: Mask, steps: NDArray[np.int64]) -> Mask:
    """The samples of a mask from which it is also set `steps` samples away, both ways along each axis."""
    result = mask.copy()
    for axis, step in enumerate(steps):
        if step >= mask.shape[axis]:
            return np.zeros_like(mask)
        source = np.moveaxis(mask, axis, 0)
        target = np.moveaxis(result, axis, 0)
        target[step:] &= source[: len(source) - step]
        target[:step] = False
        target[: len(target) - step] &= source[step:]
        target[len(target) - step :] = False
    return result


def _find_otsu_level(values: NDArray[np.float32]) -> float:
    """The value that splits the histogram into two classes with the least variance (Otsu, IEEE Trans SMC 1979)."""
    counts, edges = np.histogram(values, IMAGE_STATISTICS.body.histogram_bins)
    centers = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * centers)
    above = below[-1] - below
    between = (sums[-1] * below - sums * below[-1]) ** 2 / np.maximum(below * above, 1)
    return float(centers[np.argmax(between)])


def _measure_homogeneous_rank(values: NDArray[np.float32], deep: Mask) -> float:
    """Mean intensity rank, in percent, of the tissue that varies least around each sample."""
    settings = IMAGE_STATISTICS.homogeneous
    means = uniform_filter(values, settings.window_samples)
    squares = uniform_filter(values * values, settings.window_samples)[deep]
    means = means[deep]
    # Variance over squared mean would favor thin bright tissue, the variance alone dark tissue; this lies in between.
    variation = np.maximum(squares - means * means, 0) / np.maximum(means, 1e-6)
    is_homogeneous = variation <= np.quantile(variation, settings.quantile)
    ranks = np.searchsorted(np.sort(means), means[is_homogeneous])
    return float(100 * ranks.mean() / len(means))
