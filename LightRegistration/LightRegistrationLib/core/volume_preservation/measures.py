"""What a displacement field does to the volumes of a group of structures, on and between the voxels."""

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
from .regions import Box, CellRanges, crop_to_view, pieces, resampled

_LEEWAY = (0.01, 0.1)
_SHIFTS = 8
_SAMPLES = (150_000, 400_000)
_LARGEST_LOG = 2.0
_LARGE_MM = 60.0


@dataclass(frozen=True)
class Volumes:
    """Volumes of a group's segments, mm³.

    moving: in the moving volume, as far as the fixed one shows them (0: not at all). counted: after warping, in whole
    voxels of the fixed volume. warped: the same below the size of a voxel. voxel: of one voxel of the fixed volume.
    """

    moving: FloatArray
    counted: FloatArray
    warped: FloatArray
    voxel: float

    def error(self, leeway: FloatArray) -> FloatArray:
        """The logarithm of the change to take back: of the counted volume, at most the leeway from that in between."""
        proper, counted = _log_ratio(self.warped, self.moving), _log_ratio(self.counted, self.moving)
        return np.asarray(proper + np.clip(counted - proper, -leeway, leeway))

    @property
    def grain(self) -> FloatArray:
        """One voxel of the fixed volume over each volume, at most 1: no smaller change can be counted."""
        return np.asarray(self.voxel / np.maximum(self.moving, self.voxel))


def _log_ratio(volumes: FloatArray, to: FloatArray) -> FloatArray:
    seen = to > 0
    ratio = np.where(seen, volumes, 1) / np.where(seen, to, 1)
    return np.asarray(np.log(ratio.clip(np.exp(-_LARGEST_LOG), np.exp(_LARGEST_LOG))))


def measured(field: DisplacementField, group: Segmentation, view: Geometry, *, exact: bool = True) -> Volumes:
    """Volumes of the structures of a group where the field takes the voxels of the fixed volume's geometry `view`.

    field: cut to the nodes among which the structures lie. A structure that reaches the edge of the view is compared
    with what of it lies inside. exact: count the voxels even where they are so many that it makes no difference.
    """
    if len(group.layers) == 1:
        found = [_measured(field, group, view, exact)]
    else:
        ranges = CellRanges.of(field, group.geometry)
        boxes = [(piece, ranges.box(piece)) for piece in pieces(group)]
        found = [(0.0, 0.0, 0.0) if b is None else _measured(b.cut(field), p, view, exact) for p, b in boxes]
    moving, counted, warped = np.array(found).T
    return Volumes(moving, counted, warped, view.voxel_volume_mm3)


def _measured(field: DisplacementField, piece: Segmentation, view: Geometry, exact: bool) -> tuple[float, float, float]:
    """Volumes of one structure, mm³: in the moving volume, counted and between the voxels of the fixed one."""
    crop = crop_to_view(field.geometry, view)
    if crop is None:
        return 0.0, 0.0, 0.0
    seen = crop.part(view)
    voxels = int(np.prod(seen.shape))
    fine = resampled(seen, int(np.clip(2 * voxels, *_SAMPLES)))
    coordinates = compute_moving_coordinates(fine, piece.geometry, field)
    mask = torch.from_numpy(np.array(piece.layers[0]))[None, None].float()
    inside = sample(mask, coordinates, mode="nearest", padding="zeros")[0, 0]
    warped = fine.voxel_volume_mm3 * float(inside.sum(dtype=torch.float64))
    if warped == 0:
        return 0.0, 0.0, 0.0
    amount = float(np.count_nonzero(piece.layers[0]))
    if _cut_off(inside, crop, view):
        amount = float((inside * _jacobian(coordinates[0]).abs()).sum(dtype=torch.float64))
    moving = amount * piece.geometry.voxel_volume_mm3
    if not exact and voxels > _SAMPLES[1]:
        return moving, warped, warped
    counted = np.count_nonzero(warp_segmentation(piece, field, seen).layers[0])
    return moving, view.voxel_volume_mm3 * float(counted), warped


def _cut_off(inside: Tensor, crop: Box, view: Geometry) -> bool:
    """Whether a structure (d, h, w) in a crop of the fixed volume reaches an edge of that volume."""
    for axis, (first, stop, length) in enumerate(zip(crop.first, crop.stop, view.shape, strict=True)):
        for at_edge, index in ((first == 0, 0), (stop == length, -1)):
            if at_edge and bool(inside.select(axis, index).any()):
                return True
    return False


def estimate_counting_tolerance(field: DisplacementField, group: Segmentation, view: Geometry) -> FloatArray:
    """How far a volume proper may be off so that the number of voxels, which is what is seen, comes out right.

    One percent, or two standard deviations of the count as the voxels are shifted by parts of their size: a structure
    cut off along a slice gains or loses all of it at once.
    """
    counts = []
    for step in range(_SHIFTS):
        parts = np.array([step, 3 * step % _SHIFTS, 5 * step % _SHIFTS]) / _SHIFTS
        shifted = Geometry(view.shape, view.affine @ homogeneous(np.eye(3), parts))
        counts.append(measured(field, group, shifted, exact=False).counted)
    return np.asarray((2 * np.std(counts, axis=0) / np.maximum(np.mean(counts, axis=0), 1)).clip(*_LEEWAY))


def compute_log_determinants(field: DisplacementField, group: Segmentation) -> Tensor:
    """Logarithm of the Jacobian determinant (D, H, W) at the nodes of a field, between its neighbors, at most 2."""
    here, there = field.geometry, group.geometry
    determinants = _jacobian(compute_moving_coordinates(here, there, field)[0])
    unit = float(np.linalg.det(there.affine[:3, :3]) / np.linalg.det(here.affine[:3, :3]))
    return (determinants * unit).clamp(np.exp(-_LARGEST_LOG), np.exp(_LARGEST_LOG)).log()


def _jacobian(coordinates: Tensor) -> Tensor:
    """Determinants (D, H, W) of a map given by its coordinates (3, D, H, W), components i, j, k, in voxels."""
    along_k, along_j, along_i = torch.gradient(coordinates, dim=(1, 2, 3))
    return (along_i * torch.linalg.cross(along_j, along_k, dim=0)).sum(0)


def make_soft_masks(group: Segmentation, field: DisplacementField) -> Tensor:
    """Where the structures lie among the nodes of a field (1, S, D, H, W): 1 up to their edge, 0 a node beyond."""
    node_mm = float(field.geometry.spacing_mm.max())
    blurred, geometry = _blurred(group, node_mm)
    masks = sample(blurred, compute_moving_coordinates(field.geometry, geometry, field), padding="zeros")
    return (2 * masks / blurred.amax((2, 3, 4), keepdim=True)).clamp(max=1)


def _blurred(group: Segmentation, node_mm: float) -> tuple[Tensor, Geometry]:
    """The structures (1, S, D, H, W) as the nodes can see them, on voxels of about half their distance."""
    spacing = group.geometry.spacing_mm[::-1]
    factors = np.maximum(1, (0.5 * node_mm / spacing).astype(int))
    more = np.ceil(2 * node_mm / (factors * spacing)).astype(int) * factors
    padding = [(int(m), int(m + -n % f)) for m, n, f in zip(more, group.layers[0].shape, factors, strict=True)]
    layers = torch.from_numpy(np.stack([np.pad(layer, padding) for layer in group.layers])[None]).float()
    means = F.avg_pool3d(layers, tuple(map(int, factors)))
    sigmas = 0.6 * node_mm / (factors * spacing)
    blurred = np.stack([ndimage.gaussian_filter(mean, sigmas, truncate=3) for mean in means[0].numpy()])
    steps = factors[::-1].astype(np.float64)
    shift = (steps - 1) / 2 - more[::-1]
    affine = group.affine @ homogeneous(np.diag(steps), shift)
    return torch.from_numpy(blurred)[None], Geometry(blurred.shape[1:], affine)


def compute_diameters_mm(group: Segmentation) -> FloatArray:
    """The diameters of balls that have the volumes of the structures."""
    voxels = np.array([float(np.count_nonzero(layer)) for layer in group.layers])
    return np.asarray(2 * np.cbrt(0.75 / np.pi * voxels * group.geometry.voxel_volume_mm3))


def compute_thickness_mm(group: Segmentation) -> list[float]:
    """The diameter of the largest ball inside each structure; of large structures that of a ball of their volume."""
    spacing = group.geometry.spacing_mm[::-1]
    found = []
    for layer, diameter in zip(group.layers, compute_diameters_mm(group), strict=True):
        if diameter < _LARGE_MM:
            depth = ndimage.distance_transform_edt(np.pad(layer, 1), sampling=spacing).max()
            # The depth ends at the first voxel outside, half a voxel beyond the surface.
            diameter = min(diameter, 2 * depth - spacing.min())
        found.append(float(diameter))
    return found
