"""The volumes of a group of structures under a displacement field, counted in voxels and below the size of a voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from ..geometry.geometry import FloatArray, Geometry, homogeneous
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segmentation
from ..network.flows import sample
from ..sampling.warping import compute_moving_coordinates, warp_segmentation
from .grid_refinement import resample_grid
from .grouping import CellRanges, split_structures
from .node_box import NodeBox, find_spanned_voxels
from .settings import VOLUME_PRESERVATION

_MAX_LOG = VOLUME_PRESERVATION.max_log_determinant


@dataclass(frozen=True)
class StructureVolumes:
    """Volumes of a group's segments, mm³.

    moving: in the moving volume, as far as the fixed volume shows them (0: not at all). counted: after warping, in
    whole voxels of the fixed volume. warped: the same below the size of a voxel. voxel: of one voxel of the fixed
    volume.
    """

    moving: FloatArray
    counted: FloatArray
    warped: FloatArray
    voxel: float

    def compute_error(self, tolerance: FloatArray) -> FloatArray:
        """Compute the logarithm of the change to correct.

        It is that of the counted volume, limited to the tolerance around that of the warped volume.
        """
        warped, counted = _log_ratio(self.warped, self.moving), _log_ratio(self.counted, self.moving)
        return np.asarray(warped + np.clip(counted - warped, -tolerance, tolerance))

    @property
    def count_resolution(self) -> FloatArray:
        """One voxel of the fixed volume over each volume, at most 1: no smaller change can be counted."""
        return np.asarray(self.voxel / np.maximum(self.moving, self.voxel))


def _log_ratio(volumes: FloatArray, reference: FloatArray) -> FloatArray:
    """Compute the limited logarithm of volumes over reference volumes; 0 for a reference of 0."""
    is_shown = reference > 0
    ratio = np.where(is_shown, volumes, 1) / np.where(is_shown, reference, 1)
    return np.asarray(np.log(ratio.clip(np.exp(-_MAX_LOG), np.exp(_MAX_LOG))))


def measure_volumes(
    field: DisplacementField, group: Segmentation, view: Geometry, *, exact: bool = True
) -> StructureVolumes:
    """Measure the volumes of a group's structures under the field, for the fixed volume's geometry `view`.

    field: cropped to the nodes among which the structures lie. Of a structure that reaches the edge of the view, only
    the part inside is compared. exact: count the voxels even if they are so many that it makes no difference.
    """
    if len(group.layers) == 1:
        found = [_measure_structure(field, group, view, exact)]
    else:
        ranges = CellRanges.from_field(field, group.geometry)
        boxes = [(structure, ranges.find_box(structure)) for structure in split_structures(group)]
        found = [
            (0.0, 0.0, 0.0) if box is None else _measure_structure(box.crop_field(field), structure, view, exact)
            for structure, box in boxes
        ]
    moving, counted, warped = np.array(found).T
    return StructureVolumes(moving, counted, warped, view.voxel_volume_mm3)


def _measure_structure(
    field: DisplacementField, structure: Segmentation, view: Geometry, exact: bool
) -> tuple[float, float, float]:
    """Measure the volumes of one structure, mm³: in the moving volume, counted, and below the size of a voxel."""
    box = find_spanned_voxels(field.geometry, view)
    if box is None:
        return 0.0, 0.0, 0.0
    cropped = box.crop_geometry(view)
    voxels = int(np.prod(cropped.shape))
    limits = VOLUME_PRESERVATION.min_samples, VOLUME_PRESERVATION.max_samples
    samples = resample_grid(cropped, int(np.clip(2 * voxels, *limits)))
    coordinates = compute_moving_coordinates(samples, structure.geometry, field)
    mask = torch.from_numpy(np.array(structure.layers[0]))[None, None].float()
    inside = sample(mask, coordinates, mode="nearest", padding="zeros")[0, 0]
    warped = samples.voxel_volume_mm3 * float(inside.sum(dtype=torch.float64))
    if warped == 0:
        return 0.0, 0.0, 0.0
    moving_voxels = float(np.count_nonzero(structure.layers[0]))
    if _reaches_edge(inside, box, view):
        moving_voxels = float((inside * _compute_determinants(coordinates[0]).abs()).sum(dtype=torch.float64))
    moving = moving_voxels * structure.geometry.voxel_volume_mm3
    if not exact and voxels > VOLUME_PRESERVATION.max_samples:
        return moving, warped, warped
    counted = np.count_nonzero(warp_segmentation(structure, field, cropped).layers[0])
    return moving, view.voxel_volume_mm3 * float(counted), warped


def _reaches_edge(inside: Tensor, box: NodeBox, view: Geometry) -> bool:
    """Tell whether a structure (d, h, w) in a box of the fixed volume reaches an edge of that volume."""
    for axis, (first, stop, length) in enumerate(zip(box.first, box.stop, view.shape, strict=True)):
        for is_edge, index in ((first == 0, 0), (stop == length, -1)):
            if is_edge and bool(inside.select(axis, index).any()):
                return True
    return False


def estimate_counting_tolerance(field: DisplacementField, group: Segmentation, view: Geometry) -> FloatArray:
    """Estimate how far the exact volume may be off so that the number of voxels, which the user sees, is right.

    Two standard deviations of the count over shifts of the grid by parts of a voxel, relative and within limits: a
    structure cut off along a slice gains or loses all of the slice at once.
    """
    counts = []
    shifts = VOLUME_PRESERVATION.grid_shifts
    for step in range(shifts):
        parts = np.array([step, 3 * step % shifts, 5 * step % shifts]) / shifts
        shifted = Geometry(view.shape, view.affine @ homogeneous(np.eye(3), parts))
        counts.append(measure_volumes(field, group, shifted, exact=False).counted)
    deviations = 2 * np.std(counts, axis=0) / np.maximum(np.mean(counts, axis=0), 1)
    limits = VOLUME_PRESERVATION.min_tolerance_of_count, VOLUME_PRESERVATION.max_tolerance_of_count
    return np.asarray(deviations.clip(*limits))


def compute_log_determinants(field: DisplacementField, group: Segmentation) -> Tensor:
    """Compute the log Jacobian determinants (D, H, W) at a field's nodes by central differences, within limits."""
    here, there = field.geometry, group.geometry
    determinants = _compute_determinants(compute_moving_coordinates(here, there, field)[0])
    unit = float(np.linalg.det(there.affine[:3, :3]) / np.linalg.det(here.affine[:3, :3]))
    return (determinants * unit).clamp(np.exp(-_MAX_LOG), np.exp(_MAX_LOG)).log()


def _compute_determinants(coordinates: Tensor) -> Tensor:
    """Compute the determinants (D, H, W) of a map given by its coordinates (3, D, H, W), components i, j, k, voxels."""
    along_k, along_j, along_i = torch.gradient(coordinates, dim=(1, 2, 3))
    return (along_i * torch.linalg.cross(along_j, along_k, dim=0)).sum(0)


def make_soft_masks(group: Segmentation, field: DisplacementField) -> Tensor:
    """Return soft masks (1, S, D, H, W) of the structures at a field's nodes: 1 up to the edge, 0 one node beyond."""
    node_mm = float(field.geometry.spacing_mm.max())
    blurred, geometry = _blur_structures(group, node_mm)
    masks = sample(blurred, compute_moving_coordinates(field.geometry, geometry, field), padding="zeros")
    return (2 * masks / blurred.amax((2, 3, 4), keepdim=True)).clamp(max=1)


def _blur_structures(group: Segmentation, node_mm: float) -> tuple[Tensor, Geometry]:
    """Blur the structures (1, S, D, H, W) to the resolution of the nodes, on voxels of about half their distance."""
    spacing = group.geometry.spacing_mm[::-1]
    factors = np.maximum(1, (0.5 * node_mm / spacing).astype(int))
    more = np.ceil(2 * node_mm / (factors * spacing)).astype(int) * factors
    padding = [(int(m), int(m + -n % f)) for m, n, f in zip(more, group.layers[0].shape, factors, strict=True)]
    layers = torch.from_numpy(np.stack([np.pad(layer, padding) for layer in group.layers])[None]).float()
    means = F.avg_pool3d(layers, tuple(map(int, factors)))
    sigmas = VOLUME_PRESERVATION.mask_blur_nodes * node_mm / (factors * spacing)
    blurred = np.stack([ndimage.gaussian_filter(mean, sigmas, truncate=3) for mean in means[0].numpy()])
    steps = factors[::-1].astype(np.float64)
    offset = (steps - 1) / 2 - more[::-1]
    affine = group.affine @ homogeneous(np.diag(steps), offset)
    return torch.from_numpy(blurred)[None], Geometry(blurred.shape[1:], affine)


def compute_diameters_mm(group: Segmentation) -> FloatArray:
    """Compute the diameters of balls that have the volumes of the structures, mm."""
    voxels = np.array([float(np.count_nonzero(layer)) for layer in group.layers])
    return np.asarray(2 * np.cbrt(0.75 / np.pi * voxels * group.geometry.voxel_volume_mm3))


def compute_thickness_mm(group: Segmentation) -> list[float]:
    """Compute the diameter of the largest ball inside each structure, mm; of large ones that of a ball as large."""
    spacing = group.geometry.spacing_mm[::-1]
    found = []
    for layer, diameter in zip(group.layers, compute_diameters_mm(group), strict=True):
        if diameter < VOLUME_PRESERVATION.max_exact_diameter_mm:
            depth = ndimage.distance_transform_edt(np.pad(layer, 1), sampling=spacing).max()
            # The depth ends at the first voxel outside, half a voxel beyond the surface.
            diameter = min(diameter, 2 * depth - spacing.min())
        found.append(float(diameter))
    return found
