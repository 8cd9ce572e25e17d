"""Flows and the geometry of their grids: node positions, change of grid, conversion to displacement fields in mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..geometry.geometry import FloatArray, Geometry, homogeneous
from ..geometry.transforms import AffineTransform, DisplacementField
from ..result.result import RefinementSummary
from .flows import sample
from .grid import compute_affine_coordinates


@dataclass(frozen=True, eq=False)
class Deformation:
    """A deformation fixed -> moving, applied after the initial alignment.

    flow: (1, 3, D, H, W), voxels of the grid `geometry` on which it lies. summary: of the refinement, None if there was
    none.
    """

    flow: Tensor
    geometry: Geometry
    summary: RefinementSummary | None = None


def compute_flow_geometry(grid: Geometry, flow_shape: tuple[int, ...]) -> Geometry:
    """The geometry of a flow's grid: the network grid itself, or the half grid, which shares its outer edges."""
    shape: tuple[int, int, int] = tuple(flow_shape)  # type: ignore[assignment]
    ratio = np.array(grid.shape[::-1]) / np.array(shape[::-1])
    return Geometry(shape, grid.affine @ homogeneous(np.diag(ratio), (ratio - 1) / 2))


def convert_flow_to_field(flow: Tensor, geometry: Geometry, initial: AffineTransform) -> DisplacementField:
    """Convert a flow (1, 3, D, H, W) and the initial alignment to the total displacement field.

    Returns x -> initial(x + flow(x)) - x in RAS mm, on the flow's own grid.
    """
    to_mm: FloatArray = geometry.affine[:3, :3]
    deformation_mm = flow[0].movedim(0, -1).double().numpy() @ to_mm.T
    return DisplacementField(initial.displace(geometry, deformation_mm), geometry.affine)


def resample_flow(flow: Tensor, geometry: Geometry, target: Geometry) -> Tensor:
    """Resample a flow to another grid with parallel axes, in voxels of that grid; outside, its edge is repeated."""
    if geometry.matches(target):
        return flow
    ratio = geometry.spacing_mm / target.spacing_mm
    resampled = sample(flow, compute_affine_coordinates(target, geometry, np.eye(4)))
    return resampled * torch.from_numpy(ratio.astype(np.float32)).view(1, 3, 1, 1, 1)
