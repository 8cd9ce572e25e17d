"""Agreement of two segmentations before and after registration: Dice, Jaccard, surface distances, volume change."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..geometry.geometry import Geometry
from ..geometry.volume import Segment, Segmentation, match_segments
from ..result.scores import Overlap, StructureScore
from ..sampling.label_box import find_labeled_box
from ..sampling.warping import warp_segmentation
from ..threads import run_in_threads
from .label_counts import LabelLookup, count_voxels
from .surface_distance import UNDEFINED_DISTANCES, LabelSurfaces, SurfaceDistances, measure_surface_distances

__all__ = ["compare_segmentations", "measure_surface_distances"]

_Pair = tuple[Segment, Segment]


def compare_segmentations(
    fixed: Segmentation, moving: Segmentation, warped: Segmentation, geometry: Geometry, *, surfaces: bool = True
) -> tuple[StructureScore, ...]:
    """Score every structure that the fixed and the moving segmentation share, on the fixed volume's grid.

    fixed, moving: on their own grids. warped: the moving segmentation already warped to `geometry`.
    `before` compares the moving segmentation as loaded (world coordinates, no registration). surfaces: whether to
    compute the surface distances, which take most of the time; NaN if not.
    """
    on_fixed = fixed if fixed.geometry.matches(geometry) else warp_segmentation(fixed, None, geometry)
    before = warp_segmentation(moving, None, geometry)
    pairs = match_segments(fixed, moving)
    scores: dict[_Pair, StructureScore] = {}
    for group in _group_by_layers(pairs):
        scores |= _score_group(_Group(group, on_fixed, moving, (before, warped), geometry), surfaces)
    return tuple(scores[pair] for pair in pairs)


@dataclass(frozen=True, eq=False)
class _Group:
    """Structures in one layer of the fixed and one layer of the moving segmentation.

    moving: on its own grid. resampled: the moving segmentation on the fixed grid, before and after registration.
    """

    pairs: list[_Pair]
    fixed: Segmentation
    moving: Segmentation
    resampled: tuple[Segmentation, Segmentation]
    geometry: Geometry

    @property
    def layers(self) -> list[NDArray]:
        """The fixed labels, and the moving labels before and after registration, on the fixed grid."""
        fixed, moving = self.pairs[0]
        return [self.fixed.layers[fixed.layer], *(other.layers[moving.layer] for other in self.resampled)]

    @property
    def lookups(self) -> list[LabelLookup]:
        """From label value to structure, for each of the layers."""
        fixed, moving = (LabelLookup([segment.value for segment in side]) for side in zip(*self.pairs, strict=True))
        return [fixed, moving, moving]

    @property
    def moving_mm3(self) -> NDArray[np.float64]:
        """The volumes of the moving structures on their own grid, mm³."""
        layer = self.moving.layers[self.pairs[0][1].layer]
        voxels, _ = count_voxels([layer], self.lookups[1:2])
        return np.asarray(voxels[0] * self.moving.geometry.voxel_volume_mm3)


def _group_by_layers(pairs: list[_Pair]) -> list[list[_Pair]]:
    groups = defaultdict(list)
    for fixed, moving in pairs:
        groups[fixed.layer, moving.layer].append((fixed, moving))
    return list(groups.values())


def _score_group(group: _Group, surfaces: bool) -> dict[_Pair, StructureScore]:
    voxels, common = count_voxels(group.layers, group.lookups)
    distances = _compute_surface_distances(group) if surfaces else [[UNDEFINED_DISTANCES] * len(group.pairs)] * 2
    moving_mm3 = group.moving_mm3
    found = {}
    for number, pair in enumerate(group.pairs):
        fixed_voxels = int(voxels[0, number])
        before, after = (
            compute_overlap(
                fixed_voxels,
                int(voxels[1 + other, number]),
                int(common[1 + other, number]),
                distances[other][number],
                group.geometry.voxel_volume_mm3,
                float(moving_mm3[number]),
            )
            for other in (0, 1)
        )
        unmoved = replace(before, volume_change_percent=0.0)
        found[pair] = StructureScore(pair[0].name, pair[0].value, fixed_voxels, unmoved, after)
    return found


def _compute_surface_distances(group: _Group) -> list[list[SurfaceDistances]]:
    """Measure the surfaces of each structure before and after registration: two lists."""
    box = find_labeled_box(group.layers)
    fixed, *moving = (
        LabelSurfaces(layer, box, lookup, group.geometry)
        for layer, lookup in zip(group.layers, group.lookups, strict=True)
    )
    result = [[UNDEFINED_DISTANCES] * len(group.pairs) for _ in moving]
    threads = min(torch.get_num_threads(), len(group.pairs))

    def work(number: int) -> None:
        for structure in range(number, len(group.pairs), threads):
            for other, surfaces in enumerate(moving):
                result[other][structure] = fixed.measure_distances(surfaces, structure)

    run_in_threads(work, threads)
    return result


def compute_overlap(
    fixed_voxels: int,
    moving_voxels: int,
    common: int,
    distances: SurfaceDistances,
    voxel_mm3: float,
    moving_volume_mm3: float,
) -> Overlap:
    """Compute the agreement of two structures from voxel counts; the volume change refers to `moving_volume_mm3`."""
    union = fixed_voxels + moving_voxels - common
    change = 100 * (moving_voxels * voxel_mm3 / moving_volume_mm3 - 1) if moving_volume_mm3 > 0 else float("nan")
    return Overlap(
        dice=2 * common / (fixed_voxels + moving_voxels) if union else float("nan"),
        jaccard=common / union if union else float("nan"),
        mean_distance_mm=distances.mean_mm,
        hd95_mm=distances.hd95_mm,
        volume_change_percent=change,
    )
