"""How well two segmentations agree before and after registration: Dice, Jaccard, HD95, volume change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from .geometry import Geometry
from .result import Overlap, StructureScore
from .volume import Segment, Segmentation, matching_segments
from .warping import warp_segmentation

Mask = NDArray[np.bool_]
Box = tuple[slice, ...]
_NOWHERE: Box = (slice(0, 0), slice(0, 0), slice(0, 0))


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
    boxes = [_boxes(s) for s in (on_fixed, before, warped)]
    own_boxes = _boxes(moving)
    scores = []
    for ours, theirs in matching_segments(fixed, moving):
        volume_mm3 = _voxel_count(moving, theirs, own_boxes) * moving.geometry.voxel_volume_mm3
        overlaps = []
        for other, found in ((before, boxes[1]), (warped, boxes[2])):
            box = _union(boxes[0].get(ours), found.get(theirs))
            masks = (
                on_fixed.layers[ours.layer][box] == ours.value,
                other.layers[theirs.layer][box] == theirs.value,
            )
            overlaps.append(overlap(*masks, geometry, volume_mm3, surfaces=surfaces))
        unmoved = replace(overlaps[0], volume_change_percent=0.0)
        voxels = _voxel_count(on_fixed, ours, boxes[0])
        scores.append(StructureScore(ours.name, ours.value, voxels, unmoved, overlaps[1]))
    return tuple(scores)


def _boxes(segmentation: Segmentation) -> dict[Segment, Box]:
    """The bounding box of every segment that is not empty."""
    found = {}
    for number, layer in enumerate(segmentation.layers):
        segments = [s for s in segmentation.segments if s.layer == number]
        values = np.array([0, *(s.value for s in segments)])
        order = np.argsort(values)
        place = np.clip(np.searchsorted(values[order], layer), 0, len(values) - 1)
        ranks = np.where(values[order][place] == layer, order[place], 0)
        for segment, box in zip(segments, ndimage.find_objects(ranks, len(segments)), strict=True):
            if box is not None:
                found[segment] = box
    return found


def _union(first: Box | None, second: Box | None) -> Box:
    boxes = [b for b in (first, second) if b is not None]
    if not boxes:
        return _NOWHERE
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True))


def _voxel_count(segmentation: Segmentation, segment: Segment, boxes: dict[Segment, Box]) -> int:
    box = boxes.get(segment, _NOWHERE)
    return int(np.count_nonzero(segmentation.layers[segment.layer][box] == segment.value))


def overlap(
    fixed: Mask, moving: Mask, geometry: Geometry, moving_volume_mm3: float, *, surfaces: bool = True
) -> Overlap:
    """Compare two masks (k, j, i) on one grid; the volume change is against the moving structure's own volume."""
    common = float(np.count_nonzero(fixed & moving))
    fixed_count, moving_count = float(np.count_nonzero(fixed)), float(np.count_nonzero(moving))
    union = fixed_count + moving_count - common
    volume = moving_count * geometry.voxel_volume_mm3
    change = 100 * (volume / moving_volume_mm3 - 1) if moving_volume_mm3 > 0 else float("nan")
    return Overlap(
        dice=2 * common / (fixed_count + moving_count) if union else float("nan"),
        jaccard=common / union if union else float("nan"),
        hd95_mm=hausdorff_95(fixed, moving, geometry) if surfaces else float("nan"),
        volume_change_percent=change,
    )


def hausdorff_95(first: Mask, second: Mask, geometry: Geometry) -> float:
    """95th percentile of the distances between surface voxels, both directions pooled, mm; NaN if one is empty."""
    if not (first.any() and second.any()):
        return float("nan")
    surfaces = [_surface_points(m, geometry) for m in (first, second)]
    trees = [cKDTree(points) for points in surfaces]
    there, _ = trees[1].query(surfaces[0])
    back, _ = trees[0].query(surfaces[1])
    return float(np.percentile(np.concatenate([there, back]), 95))


def _surface_points(mask: Mask, geometry: Geometry) -> NDArray[np.float64]:
    padded = np.pad(mask, 1)
    surface = padded & ~ndimage.binary_erosion(padded)
    return np.asarray(np.argwhere(surface)[:, ::-1] @ geometry.affine[:3, :3].T)
