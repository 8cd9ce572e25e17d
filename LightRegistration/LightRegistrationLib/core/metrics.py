"""How well two segmentations agree before and after registration: Dice, Jaccard, HD95, volume change."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import torch

from .geometry import Geometry
from .result import Overlap, StructureScore
from .surface_distance import hausdorff_95
from .tallies import Tally, tally
from .threads import in_threads
from .volume import Segment, Segmentation, matching_segments
from .warping import warp_segmentation

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
    pairs = matching_segments(fixed, moving)
    jobs: list[_Comparison] = []
    for group in _by_layers(pairs):
        jobs += _comparisons(group, on_fixed, moving, (before, warped))
    _measure_surfaces(jobs if surfaces else [], geometry)
    found = {job.pair: job for job in jobs}
    return tuple(found[pair].score(geometry) for pair in pairs)


@dataclass(eq=False)
class _Comparison:
    """One structure: the fixed one beside the moving one before (0) and after (1) registration."""

    pair: _Pair
    fixed: Segmentation
    others: tuple[Segmentation, Segmentation]
    tallies: list[Tally]
    number: int
    common: tuple[int, int]
    moving_mm3: float
    hd95_mm: tuple[float, float] = (float("nan"), float("nan"))

    def score(self, geometry: Geometry) -> StructureScore:
        """What is known of the structure."""
        fixed_voxels, *others = (int(found.voxels[self.number]) for found in self.tallies)
        overlaps = [
            overlap(fixed_voxels, other, common, hd95, geometry.voxel_volume_mm3, self.moving_mm3)
            for other, common, hd95 in zip(others, self.common, self.hd95_mm, strict=True)
        ]
        unmoved = replace(overlaps[0], volume_change_percent=0.0)
        return StructureScore(self.pair[0].name, self.pair[0].value, fixed_voxels, unmoved, overlaps[1])

    def measure_surfaces(self, geometry: Geometry) -> None:
        """Fill in the surface distances."""
        ours, theirs = self.pair
        distances = []
        for other, found in zip(self.others, self.tallies[1:], strict=True):
            box = self.tallies[0].box(self.number, found)
            masks = self.fixed.layers[ours.layer][box] == ours.value, other.layers[theirs.layer][box] == theirs.value
            distances.append(hausdorff_95(*masks, geometry))
        self.hd95_mm = distances[0], distances[1]


def _by_layers(pairs: list[_Pair]) -> list[list[_Pair]]:
    groups = defaultdict(list)
    for ours, theirs in pairs:
        groups[ours.layer, theirs.layer].append((ours, theirs))
    return list(groups.values())


def _comparisons(
    group: list[_Pair], fixed: Segmentation, moving: Segmentation, others: tuple[Segmentation, Segmentation]
) -> list[_Comparison]:
    """Count the structures of one layer of the fixed and one of the moving segmentation."""
    ours, theirs = ([segment.value for segment in segments] for segments in zip(*group, strict=True))
    here, there = group[0][0].layer, group[0][1].layer
    layers = [fixed.layers[here], *(other.layers[there] for other in others)]
    tallies, common = tally(layers, [ours, theirs, theirs])
    own, _ = tally([moving.layers[there]], [theirs])
    return [
        _Comparison(
            pair,
            fixed,
            others,
            tallies,
            number,
            (int(common[0, number]), int(common[1, number])),
            float(own[0].voxels[number]) * moving.geometry.voxel_volume_mm3,
        )
        for number, pair in enumerate(group)
    ]


def _measure_surfaces(jobs: list[_Comparison], geometry: Geometry) -> None:
    threads = max(1, min(torch.get_num_threads(), len(jobs)))
    by_size = sorted(jobs, key=lambda job: -int(job.tallies[0].voxels[job.number]))

    def work(number: int) -> None:
        for job in by_size[number::threads]:
            job.measure_surfaces(geometry)

    in_threads(work, threads)


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
