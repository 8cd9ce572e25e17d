"""Images and segmentations pulled onto the fixed grid by a displacement field, slab by slab on all cores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .field import DisplacementField
from .flows import sample
from .geometry import FloatArray, Geometry, homogeneous
from .network_grid import affine_coordinates
from .volume import Segmentation, Volume

_SLAB_VOXELS = 2_000_000


def warp_volume(moving: Volume, field: DisplacementField | None, geometry: Geometry) -> Volume:
    """Sample the moving volume (trilinear) on `geometry` where the field (None: identity) takes its voxels.

    The result has the moving volume's type; outside the moving field of view it has the moving volume's least value.
    """
    array = moving.array
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    background = float(finite.min())
    image = torch.from_numpy(np.array(array, dtype=np.float32))[None, None]
    result = np.empty(geometry.shape, dtype=array.dtype)
    for slab, coordinates in _slabs(geometry, moving.geometry, field):
        values = sample(image, coordinates)[0, 0]
        values[~_inside(coordinates, array.shape)] = background
        result[slab] = _as_type(values, array.dtype)
    return Volume(result, geometry.affine, moving.name)


def warp_segmentation(segmentation: Segmentation, field: DisplacementField | None, geometry: Geometry) -> Segmentation:
    """Sample the label layers (nearest neighbor) on `geometry` where the field (None: identity) takes its voxels."""
    results = [np.zeros(geometry.shape, dtype=layer.dtype) for layer in segmentation.layers]
    shape = segmentation.layers[0].shape
    for slab, coordinates in _slabs(geometry, segmentation.geometry, field):
        inside = _inside(coordinates, shape).numpy()
        nearest = torch.floor(coordinates[0] + 0.5).long().numpy()
        i, j, k = (np.clip(nearest[axis], 0, shape[2 - axis] - 1) for axis in range(3))
        for layer, result in zip(segmentation.layers, results, strict=True):
            result[slab] = np.where(inside, layer[k, j, i], 0)
    return Segmentation(tuple(results), geometry.affine, segmentation.segments, segmentation.name)


def moving_coordinates(geometry: Geometry, moving: Geometry, field: DisplacementField | None) -> Tensor:
    """Voxel coordinates (1, 3, D, H, W), components i, j, k, in the moving grid of each voxel of `geometry`."""
    coordinates = affine_coordinates(geometry, moving, np.eye(4))
    if field is None:
        return coordinates
    to_voxels = moving.inverse_affine[:3, :3]
    return coordinates + _rotated(displacements_on(field, geometry), to_voxels)


def displacements_on(field: DisplacementField, geometry: Geometry) -> Tensor:
    """The displacements at the voxels of a grid: (1, 3, D, H, W), R, A, S in mm."""
    image = torch.from_numpy(np.array(field.array)).movedim(-1, 0)[None]
    return sample(image, affine_coordinates(geometry, field.geometry, np.eye(4)))


def _rotated(vectors: Tensor, matrix: FloatArray) -> Tensor:
    return torch.einsum("ab,nbdhw->nadhw", torch.from_numpy(matrix.astype(np.float32)), vectors)


def _slabs(geometry: Geometry, moving: Geometry, field: DisplacementField | None) -> Iterator[tuple[slice, Tensor]]:
    depth, rows, columns = geometry.shape
    step = max(1, min(depth, _SLAB_VOXELS // (rows * columns)))
    for first in range(0, depth, step):
        last = min(first + step, depth)
        shifted = geometry.affine @ homogeneous(np.eye(3), (0, 0, first))
        part = Geometry((last - first, rows, columns), shifted)
        yield slice(first, last), moving_coordinates(part, moving, field)


def _inside(coordinates: Tensor, shape: tuple[int, ...]) -> Tensor:
    limits = torch.tensor(shape[::-1], dtype=torch.float32).view(3, 1, 1, 1) - 0.5
    return ((coordinates[0] >= -0.5) & (coordinates[0] <= limits)).all(0)


def _as_type(values: Tensor, dtype: np.dtype) -> NDArray:
    array = values.numpy()
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        array = np.clip(np.rint(array), limits.min, limits.max)
    elif dtype.kind == "b":
        array = array >= 0.5
    return np.asarray(array.astype(dtype))
