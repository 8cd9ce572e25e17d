"""Finer grids for small structures."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ..geometry.geometry import Geometry, homogeneous
from ..geometry.transforms import DisplacementField
from .settings import VOLUME_PRESERVATION


def choose_refinement(grid: Geometry, diameter_mm: float, finest_mm: float) -> tuple[int, ...]:
    """Choose the factors (k, j, i) that refine a grid so that enough cells fit into the diameter.

    The cells do not become smaller than `finest_mm`, and the number of nodes stays below the limit.
    """
    spacing = grid.spacing_mm[::-1]
    limits = np.maximum(1, (spacing / finest_mm + 1e-3).astype(int))
    cell_mm = diameter_mm / VOLUME_PRESERVATION.min_cells_across
    while True:
        factors = np.minimum(limits, np.ceil(spacing / cell_mm - 1e-3).astype(int)).clip(1)
        nodes = np.prod((np.array(grid.shape) - 1.0) * factors + 1)
        if factors.max() == 1 or nodes <= VOLUME_PRESERVATION.max_nodes:
            return tuple(map(int, factors))
        cell_mm *= VOLUME_PRESERVATION.cell_growth


def refine_field(field: DisplacementField, factors: tuple[int, ...]) -> DisplacementField:
    """Return the same trilinear field on a grid with more nodes between the given ones."""
    if max(factors) == 1:
        return field
    shape = tuple((n - 1) * f + 1 for n, f in zip(field.array.shape[:3], factors, strict=True))
    nodes = torch.from_numpy(np.array(field.array)).movedim(-1, 0)[None]
    array = F.interpolate(nodes, size=shape, mode="trilinear", align_corners=True)[0].movedim(0, -1)
    scale = np.diag(1 / np.array(factors[::-1], dtype=np.float64))
    return DisplacementField(array.numpy(), field.affine @ homogeneous(scale, np.zeros(3)))


def resample_grid(geometry: Geometry, samples: int) -> Geometry:
    """Return a grid with the same outer edges and about so many voxels, as nearly cubic as possible."""
    extent = geometry.size_ijk * geometry.spacing_mm
    edge = (np.prod(extent) / samples) ** (1 / 3)
    size = np.maximum(1, np.rint(extent / edge)).astype(int)
    scale = geometry.size_ijk / size
    shape = (int(size[2]), int(size[1]), int(size[0]))
    return Geometry(shape, geometry.affine @ homogeneous(np.diag(scale), (scale - 1) / 2))
