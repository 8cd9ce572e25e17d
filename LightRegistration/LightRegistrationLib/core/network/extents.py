"""How much of the body in one volume the field of view of the other one shows, after the initial alignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry.geometry import FloatArray, Geometry, apply_affine
from .grid import ShrunkImage
from .settings import NETWORK

_AXES = "RAS"


@dataclass(frozen=True)
class Shown:
    """How much of a body is shown: the share of its voxels, and the least share of its length along R, A and S.

    A half of a neck with the shoulders holds most of the voxels, but half of the length.
    """

    share: float
    length: float
    axis: str


def measure_shown(image: ShrunkImage, other: Geometry, matrix: FloatArray) -> Shown:
    """Measure how much of the body in an image lies in the field of view of another volume.

    matrix: 4x4, RAS mm of the image -> RAS mm of the other volume. A slice of the body counts for its length if at
    least half of it is shown. All is shown of an image without a body.
    """
    step = max(1, round((image.tensor.numel() / NETWORK.extent_points) ** (1 / 3)))
    part = image.tensor[0, 0, ::step, ::step, ::step].numpy()
    indices = np.argwhere(part > NETWORK.min_body_intensity)[:, ::-1]
    if not len(indices):
        return Shown(1.0, 1.0, _AXES[0])
    is_shown = other.contains(apply_affine(matrix @ image.geometry.affine, indices * float(step)))
    lengths = [_measure_length(indices[:, axis], is_shown) for axis in range(3)]
    least = int(np.argmin(lengths))
    return Shown(float(is_shown.mean()), lengths[least], _AXES[least])


def _measure_length(positions: NDArray[np.int64], is_shown: NDArray[np.bool_]) -> float:
    """Measure the share of the slices of a body that are shown; positions: of its voxels along one axis."""
    sizes, shown = np.bincount(positions), np.bincount(positions, weights=is_shown)
    is_body = sizes > NETWORK.min_slice_share * sizes.max()
    return float((shown[is_body] >= sizes[is_body] / 2).mean())
