"""Tuning constants of the image statistics from which a model is chosen; without torch.

They were chosen while looking at the volumes of `LIGHTREG_DATA` and at phantoms. What they lead to is measured by
`LIGHTREG_DATA=<data> pytest Testing/Python/core/models/test_selection.py -m data` (each real pair gets the model of its
anatomy), and on phantoms by `pytest Testing/Python/core/models/test_image_statistics.py`. "Chosen": no comparison with
other values is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplingSettings:
    """Which voxels of a volume are read.

    samples_per_axis: along the longest axis; 5 mm in a head, fine enough for white matter and airways. Chosen on the
    data; `Testing/Benchmarks/timings.py` measures the time that it takes.
    """

    samples_per_axis: int = 48


@dataclass(frozen=True)
class HounsfieldSettings:
    """When intensities are taken for Hounsfield units, or for CT with an offset of 1024. All chosen on the data.

    max_dark_hu, min_dark_fraction: at least this fraction of the voxels is at most this dark (air, or the dark side of
    fat; CT windowed at -200 still has them).
    min_tissue_hu, max_tissue_hu, min_tissue_fraction: more than this fraction of the tissue lies in this range.
    fat_hu, min_tissue_level_hu: tissue is brighter than the middle of the darkest value and fat, and than the second.
    offset_min, offset_max, offset_tissue_min, offset_min_tissue_fraction: CT with an offset has no value below the
    first, some above the second, and at least this fraction above the third.
    offset_max_air, offset_min_air_fraction: it has more than this fraction of air below this value.
    offset_min_soft, offset_max_soft, offset_min_soft_fraction: more than this fraction of its tissue is in this range.
    """

    max_dark_hu: float = -150
    min_dark_fraction: float = 0.01
    min_tissue_hu: float = -150
    max_tissue_hu: float = 250
    min_tissue_fraction: float = 0.5
    fat_hu: float = -100.0
    min_tissue_level_hu: float = -400.0
    offset_min: float = -50
    offset_max: float = 1500
    offset_tissue_min: float = 600
    offset_min_tissue_fraction: float = 0.02
    offset_max_air: float = 200
    offset_min_air_fraction: float = 0.02
    offset_min_soft: float = 874
    offset_max_soft: float = 1174
    offset_min_soft_fraction: float = 0.75


@dataclass(frozen=True)
class BodySettings:
    """How the body and its size are measured. All chosen on the data.

    min_slice_fraction: slices with less than this fraction of the largest slice's area are left out (specks of noise).
    narrow_percentile, wide_percentile: of the diameters of all axial slices, where a CT is narrow and where it is wide.
    min_percentile, max_percentile: intensities of other modalities are clipped to these percentiles.
    histogram_bins, otsu_factor: tissue is brighter than this factor of Otsu's level, found with that many bins.
    min_directions: a voxel belongs to the body if there is tissue in this many of the six directions along the axes.
    """

    min_slice_fraction: float = 0.02
    narrow_percentile: float = 25
    wide_percentile: float = 90
    min_percentile: float = 0.5
    max_percentile: float = 99.5
    histogram_bins: int = 128
    otsu_factor: float = 0.5
    min_directions: int = 5


@dataclass(frozen=True)
class HomogeneousTissueSettings:
    """How the most homogeneous tissue deep inside a body is found. All chosen on the data.

    depth_mm: this far from its surface in every direction a head shows brain: scalp, skull and the outermost gyri are
    thinner.
    min_deep_samples: with fewer deep samples, nothing is measured.
    window_samples: edge of the window in which the variation around a sample is measured.
    quantile: fraction of the deep samples that counts as most homogeneous.
    """

    depth_mm: float = 30.0
    min_deep_samples: int = 200
    window_samples: int = 3
    quantile: float = 0.15


@dataclass(frozen=True)
class ImageStatisticsSettings:
    """All tuning constants of the image statistics; they cannot depend on a card, since they come before its choice."""

    sampling: SamplingSettings = SamplingSettings()
    hounsfield: HounsfieldSettings = HounsfieldSettings()
    body: BodySettings = BodySettings()
    homogeneous: HomogeneousTissueSettings = HomogeneousTissueSettings()


IMAGE_STATISTICS = ImageStatisticsSettings()
