"""What a volume looks like, in a few numbers measured on some ten thousand of its voxels; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ..geometry.geometry import FloatArray, Geometry
from ..geometry.volume import Volume

SAMPLES_PER_AXIS = 48
"""Along the longest axis: 5 mm in a head, fine enough for white matter and airways, and read in milliseconds."""
DEEP_MM = 30.0
"""This far from its surface in every direction a head shows brain: scalp, skull and the outermost gyri are thinner."""
LEAST_DEEP_SAMPLES = 200
FAT_HU = -100.0

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ImageStatistics:
    """What a volume looks like.

    name: the volume's. modality: `CT` if its values are Hounsfield units; `unclear` if they seem to be CT in another
    unit; else `MRI`, or rather everything whose unit means nothing. facts: those of `core.models.coverage.STATISTICS` that can be
    measured. doubt: a line about the intensities for the user, or empty.
    """

    name: str
    modality: str
    facts: Mapping[str, float] = field(default_factory=dict)
    doubt: str = ""


@dataclass(frozen=True, eq=False)
class _Samples:
    """Every n-th voxel: values (s, a, b), s nearest to the body's long axis; their distances in mm."""

    values: NDArray[np.float32]
    spacing_mm: FloatArray


def measure_image_statistics(volume: Volume) -> ImageStatistics:
    """Measure a volume; takes some milliseconds, whatever its size."""
    samples = _samples(volume)
    if in_hounsfield_units(samples.values):
        return ImageStatistics(volume.name, "CT", _ct_facts(samples))
    if _is_ct_with_an_offset(samples.values):
        return ImageStatistics(
            volume.name,
            "unclear",
            _other_facts(samples),
            f"{volume.name} looks like CT without its offset of -1024: bring it into Hounsfield units (air at -1000, "
            "water at 0), so that a model for CT can be used.",
        )
    return ImageStatistics(volume.name, "MRI", _other_facts(samples))


def in_hounsfield_units(values: NDArray) -> bool:
    """Whether intensities are Hounsfield units: some air or at least fat's dark side, and mostly soft tissue else.

    Scanners give no other image with a good share of values below -150 (CT windowed at -200 still has them), and MRI
    that was shifted there, or phase, does not gather in the few hundred units of fat, water and organs.
    """
    dark = values <= -150
    tissue = values[values > _tissue_level(values)]
    if np.count_nonzero(dark) < 0.01 * values.size or tissue.size == 0:
        return False
    return bool(np.count_nonzero((tissue > -150) & (tissue < 250)) > 0.5 * tissue.size)


def _is_ct_with_an_offset(values: NDArray) -> bool:
    """Whether there is air near 0, nothing below, soft tissue in a narrow peak near 1024, and bone above."""
    tissue = values[values > 600]
    if values.min() < -50 or values.max() < 1500 or tissue.size < 0.02 * values.size:
        return False
    has_air = np.count_nonzero(values < 200) > 0.02 * values.size
    return bool(has_air and np.count_nonzero((tissue > 874) & (tissue < 1174)) > 0.75 * tissue.size)


def _samples(volume: Volume) -> _Samples:
    geometry = volume.geometry
    long_axis = int(np.argmax(np.abs(volume.affine[2, :3]) / geometry.spacing_mm))
    array = np.moveaxis(volume.array, 2 - long_axis, 0)
    spacing = np.array([geometry.spacing_mm[long_axis], *np.delete(geometry.spacing_mm, long_axis)[::-1]])
    steps = np.maximum(1, (_wanted_spacing(geometry) / spacing + 0.01).astype(int))
    values = array[tuple(slice(None, None, int(step)) for step in steps)].astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        values[~finite] = values[finite].min() if finite.any() else 0
    return _Samples(values, spacing * steps)


def _wanted_spacing(geometry: Geometry) -> float:
    return float((geometry.size_ijk * geometry.spacing_mm).max()) / SAMPLES_PER_AXIS


def _tissue_level(values: NDArray) -> float:
    """What separates air and lung from tissue, HU: halfway between the darkest value (air, or a window) and fat."""
    return max(-400.0, (float(values.min()) + FAT_HU) / 2)


def _ct_facts(samples: _Samples) -> dict[str, float]:
    tissue = samples.values > _tissue_level(samples.values)
    body = tissue | (_hits(tissue, axes=(1, 2)) == 4)
    if not body.any():
        return {}
    areas_mm2 = np.count_nonzero(body, axis=(1, 2)) * samples.spacing_mm[1] * samples.spacing_mm[2]
    shown = areas_mm2[areas_mm2 > 0.02 * areas_mm2.max()]
    narrow, wide = np.percentile(np.sqrt(4 * shown / np.pi), (25, 90))
    return {
        **_extent(body, samples.spacing_mm),
        "air_percent": 100 * np.count_nonzero(body & ~tissue) / np.count_nonzero(body),
        "narrow_mm": float(narrow),
        "narrowing_percent": float(100 * (1 - narrow / wide)),
    }


def _other_facts(samples: _Samples) -> dict[str, float]:
    values = np.clip(samples.values, *np.percentile(samples.values, (0.5, 99.5)))
    values -= values.min()
    tissue = values > _otsu_level(values) / 2
    body = _hits(tissue, axes=(0, 1, 2)) >= 5
    if not body.any():
        return {}
    facts = _extent(body, samples.spacing_mm)
    deep = _eroded(body, np.round(DEEP_MM / samples.spacing_mm).astype(int))
    if np.count_nonzero(deep) >= LEAST_DEEP_SAMPLES:
        facts["calm_rank_percent"] = _calm_rank(values, deep)
    return facts


def _extent(body: Mask, spacing_mm: FloatArray) -> dict[str, float]:
    sides = []
    for axis in range(3):
        profile = np.count_nonzero(body, axis=tuple(a for a in range(3) if a != axis))
        shown = np.flatnonzero(profile > 0.02 * profile.max())  # without specks of noise
        sides.append((shown[-1] - shown[0] + 1) * spacing_mm[axis])
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


def _hits(tissue: Mask, axes: tuple[int, ...]) -> NDArray[np.uint8]:
    """In how many of the directions along the axes (both ways) there is tissue; a voxel of tissue hits itself."""
    hits = np.zeros(tissue.shape, np.uint8)
    for axis in axes:
        hits += np.maximum.accumulate(tissue, axis)
        hits += np.flip(np.maximum.accumulate(np.flip(tissue, axis), axis), axis)
    return hits


def _eroded(mask: Mask, steps: NDArray[np.int64]) -> Mask:
    """Where the mask is set here and so many samples away, both ways along each axis."""
    result = mask.copy()
    for axis, step in enumerate(steps):
        if step >= mask.shape[axis]:
            return np.zeros_like(mask)
        moved = np.moveaxis(mask, axis, 0)
        kept = np.moveaxis(result, axis, 0)
        kept[step:] &= moved[: len(moved) - step]
        kept[:step] = False
        kept[: len(kept) - step] &= moved[step:]
        kept[len(kept) - step :] = False
    return result


def _otsu_level(values: NDArray[np.float32]) -> float:
    """The value that splits the histogram into two classes of least variance (Otsu, IEEE Trans SMC 1979)."""
    counts, edges = np.histogram(values, 128)
    centers = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * centers)
    above = below[-1] - below
    between = (sums[-1] * below - sums * below[-1]) ** 2 / np.maximum(below * above, 1)
    return float(centers[np.argmax(between)])


def _calm_rank(values: NDArray[np.float32], deep: Mask) -> float:
    """Mean brightness rank, in percent, of the seventh of the tissue that varies least around each sample."""
    means = uniform_filter(values, 3)
    squares = uniform_filter(values * values, 3)[deep]
    means = means[deep]
    # Divided by the mean, thin bright tissue would seem calm; undivided, dark tissue would: between the two.
    unrest = np.maximum(squares - means * means, 0) / np.maximum(means, 1e-6)
    calm = unrest <= np.quantile(unrest, 0.15)
    ranks = np.searchsorted(np.sort(means), means[calm])
    return float(100 * ranks.mean() / len(means))
