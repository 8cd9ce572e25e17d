"""How much of the body in one volume the field of view of the other one shows, after the initial alignment."""

from __future__ import annotations

import numpy as np

from ..geometry.geometry import FloatArray, Geometry, apply_affine
from .grid import ShrunkImage
from .settings import NETWORK


def measure_shown_share(image: ShrunkImage, other: Geometry, matrix: FloatArray) -> float:
    """Measure the share of the body in an image that lies in the field of view of another volume.

    matrix: 4x4, RAS mm of the image -> RAS mm of the other volume. 1 if the image shows no body.
    """
    step = max(1, round((image.tensor.numel() / NETWORK.extent_points) ** (1 / 3)))
    part = image.tensor[0, 0, ::step, ::step, ::step].numpy()
    indices = np.argwhere(part > NETWORK.min_body_intensity)[:, ::-1] * float(step)
    if not len(indices):
        return 1.0
    return float(other.contains(apply_affine(matrix @ image.geometry.affine, indices)).mean())
