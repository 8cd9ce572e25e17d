"""The grids of a template: of its image, and of the maps from it to the scans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry.geometry import FloatArray, Geometry, homogeneous
from ..network.grid import compute_anatomical_axes
from .settings import TEMPLATE, TemplateSettings


def choose_spacing_mm(geometries: Sequence[Geometry]) -> float:
    """Choose the voxel size of a template: the edge of a cube of the scans' median voxel volume, mm."""
    return float(np.median([g.voxel_volume_mm3 for g in geometries]) ** (1 / 3))


def choose_template_grid(
    corners_mm: Sequence[FloatArray], axes: FloatArray, spacing_mm: float, settings: TemplateSettings = TEMPLATE
) -> Geometry:
    """Choose an isotropic grid for the mean image.

    corners_mm: of each scan's field of view, in the mean shape, (8, 3), RAS mm. axes: affine of the scan whose axes the
    grid gets, in the order R, A, S. On each side it ends at the median of the fields of view, plus a margin.
    """
    directions = compute_anatomical_axes(axes[:3, :3])
    along = np.array([corners @ directions for corners in corners_mm])
    low, high = np.median(along.min(1), axis=0), np.median(along.max(1), axis=0)
    margin = settings.margin_percent / 100 * (high - low)
    size = np.ceil((high - low + 2 * margin) / spacing_mm).astype(int)
    start = (low + high - (size - 1) * spacing_mm) / 2
    i, j, k = (int(n) for n in size)
    return Geometry((k, j, i), homogeneous(directions * spacing_mm, directions @ start))


def choose_field_grid(image: Geometry, settings: TemplateSettings = TEMPLATE) -> Geometry:
    """Choose the grid of the maps: its nodes are voxels of the image, and it ends beyond the image on each side."""
    step = max(1, round(settings.field_spacing_mm / float(image.spacing_mm[0])))
    margin = settings.field_margin_nodes
    size = [-(-(n - 1) // step) + 1 + 2 * margin for n in image.shape]
    affine = image.affine @ homogeneous(np.eye(3) * step, np.full(3, -margin * step))
    return Geometry(tuple(size), affine)
