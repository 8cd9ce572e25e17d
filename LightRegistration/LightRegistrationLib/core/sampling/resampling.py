"""Resampling of volumes and segmentations through any map of points, by an interpolation that the user chooses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..geometry.geometry import Geometry
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segmentation, Volume
from .coordinates import PointMap
from .fillers import make_label_filler, make_smooth_label_filler, make_volume_filler
from .settings import Interpolation
from .warping import fill_in_threads

_LABEL_FILLERS = {Interpolation.NEAREST: make_label_filler, Interpolation.LABEL_SMOOTH: make_smooth_label_filler}


def resample_volume(
    moving: Volume, point_map: DisplacementField | PointMap, geometry: Geometry, interpolation: Interpolation
) -> Volume:
    """Sample a volume at the voxels of `geometry`, mapped to points of the moving volume, RAS mm.

    The result has the moving volume's type. Outside its field of view it has its smallest value with LINEAR, and 0 with
    the others. LABEL_SMOOTH: raises InputError if the volume is not a label map.
    """
    if interpolation == Interpolation.LINEAR:
        result = np.empty(geometry.shape, dtype=moving.array.dtype)
        fill_in_threads([make_volume_filler(moving.array, result)], geometry, moving.geometry, point_map)
        return Volume(result, geometry.affine, moving.name)
    if interpolation == Interpolation.LABEL_SMOOTH:
        moving = replace(moving, array=Segmentation.from_labels(moving.array, moving.affine, moving.name).layers[0])
    result = np.zeros(geometry.shape, dtype=moving.array.dtype)
    filler = _LABEL_FILLERS[interpolation]([moving.array], [result])
    fill_in_threads([filler], geometry, moving.geometry, point_map)
    return Volume(result, geometry.affine, moving.name)


def resample_segmentation(
    segmentation: Segmentation,
    point_map: DisplacementField | PointMap,
    geometry: Geometry,
    interpolation: Interpolation = Interpolation.NEAREST,
) -> Segmentation:
    """Sample label layers at the voxels of `geometry`, mapped to points of the segmentation, RAS mm.

    Label values and names are kept. Raises ValueError for LINEAR, which would mix labels.
    """
    if interpolation == Interpolation.LINEAR:
        raise ValueError("labels cannot be interpolated linearly")
    results = [np.zeros(geometry.shape, dtype=layer.dtype) for layer in segmentation.layers]
    filler = _LABEL_FILLERS[interpolation](segmentation.layers, results)
    fill_in_threads([filler], geometry, segmentation.geometry, point_map)
    return Segmentation(tuple(results), geometry.affine, segmentation.segments, segmentation.name)
