"""Flows and the grids that they lie on: where their nodes are, how they change grids, what they are in RAS mm."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..geometry.geometry import FloatArray, Geometry, homogeneous
from ..geometry.transforms import AffineTransform, DisplacementField
from .flows import sample
from .grid import compute_affine_coordinates


def compute_flow_geometry(grid: Geometry, flow_shape: tuple[int, ...]) -> Geometry:
    """Where the nodes of a flow lie: the network grid itself, or the half grid that shares its outer edges."""
    shape: tuple[int, int, int] = tuple(flow_shape)  # type: ignore[assignment]
    ratio = np.array(grid.shape[::-1]) / np.array(shape[::-1])
    return Geometry(shape, grid.affine @ homogeneous(np.diag(ratio), (ratio - 1) / 2))


def convert_flow_to_field(flow: Tensor, geometry: Geometry, initial: AffineTransform) -> DisplacementField:
    """The total displacement x -> initial(x + flow(x)) - x in RAS mm, on the flow's own grid; flow (1, 3, D, H, W)."""
    to_mm: FloatArray = geometry.affine[:3, :3]
    deformation_mm = flow[0].movedim(0, -1).double().numpy() @ to_mm.T
    points = geometry.points_mm
    return DisplacementField(initial(points + deformation_mm) - points, geometry.affine)


def resample_flow(flow: Tensor, geometry: Geometry, target: Geometry) -> Tensor:
    """A flow on another grid with parallel axes, in that grid's voxels; beyond its edges the outermost goes on."""
    if geometry.matches(target):
        return flow
    ratio = geometry.spacing_mm / target.spacing_mm
    moved = sample(flow, compute_affine_coordinates(target, geometry, np.eye(4)))
    return moved * torch.from_numpy(ratio.astype(np.float32)).view(1, 3, 1, 1, 1)
