"""A group of structures with the nodes of the field around it, and where the correction acts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..geometry.geometry import Geometry
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segmentation
from .measures import (
    StructureVolumes,
    compute_diameters_mm,
    compute_log_determinants,
    make_soft_masks,
    measure_volumes,
)
from .node_box import NodeBox
from .settings import VOLUME_PRESERVATION


@dataclass(frozen=True, eq=False)
class Region:
    """A group of structures and the nodes of the field's grid whose cells may reach them.

    is_rigid: the field changes none of their volumes. shift_mm: how far the correction has to move their surfaces.
    """

    group: Segmentation
    box: NodeBox
    is_rigid: bool
    shift_mm: float

    def refine(self, factors: tuple[int, ...]) -> Region:
        """Return the region on a refined grid."""
        return replace(self, box=self.box.refine(factors))

    def compute_inner_mm(self, grid: Geometry) -> float:
        """Compute the distance from the structures up to which the correction acts fully, mm."""
        return VOLUME_PRESERVATION.inner_per_shift * self.shift_mm + float(grid.spacing_mm.max())

    def compute_margin_mm(self, grid: Geometry) -> float:
        """Compute the width over which the correction fades to zero, mm."""
        settings = VOLUME_PRESERVATION
        nodes_mm = settings.min_margin_nodes * float(grid.spacing_mm.max())
        return max(settings.margin_per_shift * self.shift_mm, settings.min_margin_mm, nodes_mm)

    def find_inner_box(self, grid: Geometry) -> NodeBox:
        """Find the nodes among which the structures lie, also after the correction."""
        return self.box.grow(self.compute_inner_mm(grid) / grid.spacing_mm[::-1], grid.shape)

    def measure_volumes(self, field: DisplacementField, view: Geometry) -> StructureVolumes:
        """Measure the structures' volumes under the field, for the fixed volume's geometry `view`."""
        return measure_volumes(self.find_inner_box(field.geometry).crop_field(field), self.group, view)


def make_region(group: Segmentation, box: NodeBox, field: DisplacementField) -> Region:
    """Make the region of a group: measure how much the field changes the volumes of its structures."""
    cropped = box.crop_field(field)
    logs = compute_log_determinants(cropped, group)
    weights = make_soft_masks(group, cropped)[0] + 1e-6
    weights /= weights.sum((1, 2, 3), keepdim=True)
    deviations = torch.sqrt((weights * logs**2).sum((1, 2, 3))).numpy()
    radii = compute_diameters_mm(group) / 2
    shifts = radii * (np.exp(np.minimum(deviations, VOLUME_PRESERVATION.max_log_determinant) / 3) - 1)
    is_rigid = bool(deviations.max() < VOLUME_PRESERVATION.max_rigid_log_determinant)
    return Region(group, box, is_rigid, float(shifts.max()))
