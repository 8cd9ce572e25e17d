"""Edge images: where intensities change, whatever they change from and to; two contrasts of one anatomy share them."""

from __future__ import annotations

from torch import Tensor

from .filters import gradient
from .settings import SAMPLING


def compute_edges(image: Tensor) -> Tensor:
    """Compute the edge strength of an image (1, 1, D, H, W) in [0, 1]: 0 without a gradient, near 1 at strong edges.

    The gradient's length g per voxel becomes g / sqrt(g² + c²), so that an edge counts for its place and hardly for its
    contrast (Haber and Modersitzki, MICCAI 2006: normalized gradient fields).
    """
    squared = gradient(image).square().sum(1, keepdim=True)
    return (squared / (squared + SAMPLING.edge_contrast**2)).sqrt()
