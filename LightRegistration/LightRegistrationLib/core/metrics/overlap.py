"""How well two segmentations agree before and after registration: Dice, Jaccard, HD95, volume change."""

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
from .surface_distance import Surfaces, hausdorff_95

__all__ = ["compare_segmentations", "hausdorff_95"]

_Pair = tuple[Segment, Segment]


def compare_segmentations(
    fixed: Segmentation, moving: Segmentation, warped: Segmentation, geometry: Geometry, *, surfaces: bool = True
) -> tuple[StructureScore, ...]:
    """Score every structure that the fixed and the moving segmentation share, on the fixed volume's grid.

    fixed, moving: on their own grids. warped: the moving segmentation already pulled onto `geometry`.
    `before` compares the moving segmentation as loaded (world coordinates, no registration). surfaces: whether the
    surface distances are wanted, which take most of the time; NaN if not.
    """
    on_fixed = fixed if fixed.geometry.matches(geometry) else warp_segmentation(fixed, None, geometry)
    before = warp_segmentation(moving, None, geometry)
    pairs = match_segments(fixed, moving)
    found: dict[_Pair, StructureScore] = {}
    for group in _by_layers(pairs):
        found |= _scores(_Group(group, on_fixed, moving, (before, warped), geometry), surfaces)
    return tuple(found[pair] for pair in pairs)


@dataclass(frozen=True, eq=False)
class _Group:
    """Structures that lie in one layer of the fixed and one of the moving segmentation (others: before and after)."""

    pairs: list[_Pair]
    fixed: Segmentation
    moving: Segmentation
    others: tuple[Segmentation, Segmentation]
    geometry: Geometry

    @property
    def layers(self) -> list[NDArray]:
        """The fixed labels, the moving ones before and after registration, on the fixed grid."""
        ours, theirs = self.pairs[0]
        return [self.fixed.layers[ours.layer], *(other.layers[theirs.layer] for other in self.others)]

    @property
    def numberings(self) -> list[LabelLookup]:
        """Label value -> structure, for each of the layers."""
        ours, theirs = (LabelLookup([segment.value for segment in side]) for side in zip(*self.pairs, strict=True))
        return [ours, theirs, theirs]

    @property
    def own_mm3(self) -> NDArray[np.float64]:
        """The volumes of the moving structures on their own grid."""
        layer = self.moving.layers[self.pairs[0][1].layer]
        voxels, _ = count_voxels([layer], self.numberings[1:2])
        return np.asarray(voxels[0] * self.moving.geometry.voxel_volume_mm3)


def _by_layers(pairs: list[_Pair]) -> list[list[_Pair]]:
    groups = defaultdict(list)
    for ours, theirs in pairs:
        groups[ours.layer, theirs.layer].append((ours, theirs))
    return list(groups.values())


def _scores(group: _Group, surfaces: bool) -> dict[_Pair, StructureScore]:
    voxels, common = count_voxels(group.layers, group.numberings)
    distances = _surface_distances(group) if surfaces else np.full((2, len(group.pairs)), np.nan)
    own_mm3 = group.own_mm3
    found = {}
    for number, pair in enumerate(group.pairs):
        fixed_voxels = int(voxels[0, number])
        before, after = (
            overlap(
                fixed_voxels,
                int(voxels[1 + other, number]),
                int(common[1 + other, number]),
                float(distances[other, number]),
                group.geometry.voxel_volume_mm3,
                float(own_mm3[number]),
            )
            for other in (0, 1)
        )
        unmoved = replace(before, volume_change_percent=0.0)
        found[pair] = StructureScore(pair[0].name, pair[0].value, fixed_voxels, unmoved, after)
    return found


def _surface_distances(group: _Group) -> NDArray[np.float64]:
    """HD95 of each structure before and after registration: (2, structures), mm."""
    box = find_labeled_box(group.layers)
    here, *there = (
        Surfaces(layer, box, find, group.geometry) for layer, find in zip(group.layers, group.numberings, strict=True)
    )
    result = np.empty((2, len(group.pairs)))
    threads = min(torch.get_num_threads(), len(group.pairs))

    def work(number: int) -> None:
        for structure in range(number, len(group.pairs), threads):
            for other, surfaces in enumerate(there):
                result[other, structure] = here.hausdorff_95(surfaces, structure)

    run_in_threads(work, threads)
    return result


def overlap(
    fixed_voxels: int, moving_voxels: int, common: int, hd95_mm: float, voxel_mm3: float, moving_volume_mm3: float
) -> Overlap:
    """The agreement of two structures from their voxel counts; the volume change is against the moving one's own."""
    union = fixed_voxels + moving_voxels - common
    change = 100 * (moving_voxels * voxel_mm3 / moving_volume_mm3 - 1) if moving_volume_mm3 > 0 else float("nan")
    return Overlap(
        dice=2 * common / (fixed_voxels + moving_voxels) if union else float("nan"),
        jaccard=common / union if union else float("nan"),
        hd95_mm=hd95_mm,
        volume_change_percent=change,
    )
