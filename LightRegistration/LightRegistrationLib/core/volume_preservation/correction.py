"""Structures that keep their volume: the deformation is made incompressible inside them, unchanged beyond a margin.

The kept field is x -> phi(psi(x)), phi the free one. Inside a kept structure psi takes back what phi does to volume and
nothing else: its steps are gradients (no rotation), so that place, shape and outline stay as near to the free ones as
the volume lets them. Around the structure psi fades to the identity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from scipy.fft import next_fast_len
from torch import Tensor

from ..deformation.folding import repair_folding
from ..deformation.jacobian import compute_corner_determinants
from ..deformation.settings import DEFAULT_SETTINGS as DEFORMATION
from ..geometry.geometry import FloatArray, Geometry
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segmentation
from ..network.flows import compose, exponential, warp
from ..result.result import PreservedVolume
from .measures import (
    Volumes,
    compute_diameters_mm,
    compute_log_determinants,
    compute_thickness_mm,
    estimate_counting_tolerance,
    make_soft_masks,
    measured,
)
from .regions import Box, CellRanges, groups, refined, refinement

STILL = 0.002
"""A structure whose log determinants are smaller than this (root mean square) moves rigidly and is left alone."""
EVEN_STEPS, MOST_STEPS = 5, 15
LONGEST_STEP = 0.6
"""The most that one step changes a volume, as a logarithm."""
VOLUME_TOLERANCE = 0.002
MARGIN_PER_SHIFT = 5.0
LEAST_MARGIN_MM = 8.0
LEAST_MARGIN_NODES = 4.0
_CRUMB = 0.25


def preserve_volumes(
    field: DisplacementField, keep: Segmentation, geometry: Geometry
) -> tuple[DisplacementField, tuple[PreservedVolume, ...]]:
    """Change a displacement field so that chosen structures have the volume that they have in the moving image.

    field: fixed -> moving, RAS mm, the affine part included, on a grid that covers the fixed volume. keep: structures
    of the moving volume, on its grid; each of its segments is kept. geometry: the fixed volume's.

    Returns the field, on a finer grid where a structure is smaller than three cells of it (the very field that came
    where nothing has to change), and for each segment how its volume changes, without and with keeping it, counted in
    voxels of `geometry`. What of a structure the fixed volume does not show is not counted; a structure that it does
    not show at all changes by -100 %. Raises InputError for a segment without voxels.
    """
    ranges = CellRanges.of(field, keep.geometry)
    reached = [(group, ranges.box(group)) for group in groups(keep)]
    sites = [_looked_at(group, box, field) for group, box in reached if box is not None]
    free = [site.volumes(field, geometry) for site in sites]
    moved = [site for site, volumes in zip(sites, free, strict=True) if not site.still and volumes.moving.any()]
    if not moved:
        return field, _summary(keep, sites, free, free)
    factors = refinement(field.geometry, _least_thickness_mm(keep, moved), float(geometry.spacing_mm.min()))
    result = refined(field, factors)
    for site in moved:
        result = _kept(site.refined(factors), result, geometry)
    kept = [site.refined(factors).volumes(result, geometry) for site in sites]
    return result, _summary(keep, sites, free, kept)


@dataclass(frozen=True, eq=False)
class _Site:
    """A group of structures and the nodes of the field's grid whose cells may reach them.

    still: the field leaves all their volumes alone. shift_mm: else, how far their outlines will have to go.
    """

    group: Segmentation
    box: Box
    still: bool
    shift_mm: float

    def refined(self, factors: tuple[int, ...]) -> _Site:
        """The site on a refined grid."""
        return replace(self, box=self.box.refined(factors))

    def inner_mm(self, grid: Geometry) -> float:
        """How far from the structures psi may act fully."""
        return 1.5 * self.shift_mm + float(grid.spacing_mm.max())

    def margin_mm(self, grid: Geometry) -> float:
        """Over how many mm more it fades to the identity."""
        nodes = LEAST_MARGIN_NODES * float(grid.spacing_mm.max())
        return max(MARGIN_PER_SHIFT * self.shift_mm, LEAST_MARGIN_MM, nodes)

    def near(self, grid: Geometry) -> Box:
        """The nodes among which the structures still lie when they are kept."""
        return self.box.grown(self.inner_mm(grid) / grid.spacing_mm[::-1], grid.shape)

    def volumes(self, field: DisplacementField, view: Geometry) -> Volumes:
        """The structures' volumes where the field takes the voxels of the fixed volume's geometry `view`."""
        return measured(self.near(field.geometry).cut(field), self.group, view)


def _looked_at(group: Segmentation, box: Box, field: DisplacementField) -> _Site:
    """How much a field changes the volumes of a group of structures."""
    part = box.cut(field)
    logs = compute_log_determinants(part, group)
    weights = make_soft_masks(group, part)[0] + 1e-6
    weights /= weights.sum((1, 2, 3), keepdim=True)
    spread = torch.sqrt((weights * logs**2).sum((1, 2, 3))).numpy()
    radii = compute_diameters_mm(group) / 2
    shifts = radii * (np.exp(np.minimum(spread, 2) / 3) - 1)
    return _Site(group, box, bool(spread.max() < STILL), float(shifts.max()))


def _least_thickness_mm(keep: Segmentation, sites: list[_Site]) -> float:
    """The smallest structure's, but for crumbs of a segment that is elsewhere many times as large."""
    found = [
        (s.name, d)
        for site in sites
        for s, d in zip(site.group.segments, compute_thickness_mm(site.group), strict=True)
    ]
    largest = {s.name: max((d for name, d in found if name == s.name), default=0.0) for s in keep.segments}
    return min(d for name, d in found if d > _CRUMB * largest[name])


def _kept(site: _Site, field: DisplacementField, view: Geometry) -> DisplacementField:
    """The field with the volumes of one group of structures kept."""
    grid = field.geometry
    reach = (site.inner_mm(grid) + site.margin_mm(grid)) / grid.spacing_mm[::-1] + 1
    box = site.box.grown(reach, grid.shape)
    near = site.near(grid).within(box)
    patch = _Patch(site, box.cut(field))
    leeway = estimate_counting_tolerance(near.cut(patch.field()), site.group, view)
    best, least = patch.psi, np.inf
    gains: FloatArray = np.ones(len(site.group.layers))
    before: FloatArray = np.zeros(len(site.group.layers))
    for step in range(MOST_STEPS + 1):
        current = patch.field()
        volumes = measured(near.cut(current), site.group, view, exact=False)
        error = volumes.error(leeway)
        worst = float((np.abs(error) - volumes.grain).max())
        if step >= EVEN_STEPS and worst < least:
            best, least = patch.psi, worst
        if step == MOST_STEPS or least < VOLUME_TOLERANCE:
            break
        gains, before = _adapted(gains, before, error), error
        patch.advance(current, gains * error, even=step < EVEN_STEPS)
    patch.psi = best
    array = np.array(field.array)
    array[box.slices] = _unfolded(patch.field()).array
    return DisplacementField(array, field.affine)


def _adapted(gains: FloatArray, before: FloatArray, now: FloatArray) -> FloatArray:
    """Longer steps for structures that answer weakly, as thin ones do, shorter ones for those that overshoot."""
    ratio = np.where(before == 0, 0.3, now / np.where(before == 0, 1, before))
    return np.asarray((gains * np.where(ratio > 0.4, 1.4, np.where(ratio < -0.2, 0.6, 1.0))).clip(0.5, 4))


def _unfolded(field: DisplacementField) -> DisplacementField:
    folded = compute_corner_determinants(field).min() < DEFORMATION.min_determinant
    return repair_folding(field)[0] if folded else field


class _Patch:
    """The part of a field around a group of structures, and psi on its nodes (1, 3, D, H, W), in voxels of its grid."""

    def __init__(self, site: _Site, free: DisplacementField) -> None:
        self.group = site.group
        self.free = free
        self.displacements = torch.from_numpy(np.array(free.array)).movedim(-1, 0)[None]
        self.psi = torch.zeros_like(self.displacements)
        inner, margin = site.inner_mm(free.geometry), site.margin_mm(free.geometry)
        self.window = _window(make_soft_masks(site.group, free), free.geometry, inner, margin)
        self.padded = [next_fast_len(n + int(np.ceil(margin / s))) for n, s in zip(*_sizes(free), strict=True)]

    def field(self) -> DisplacementField:
        """The free field after psi; exactly the free one where psi may not act."""
        linear = torch.from_numpy(self.free.affine[:3, :3].astype(np.float32))
        moved = warp(self.displacements, self.psi) + torch.einsum("ab,nbdhw->nadhw", linear, self.psi)
        array = torch.where(self.window > 0, moved, self.displacements)[0].movedim(0, -1)
        return DisplacementField(array.numpy(), self.free.affine)

    def advance(self, current: DisplacementField, errors: FloatArray, *, even: bool) -> None:
        """One step of psi: take back the error of each structure's volume.

        current: the field with psi as it is. errors: the logarithm of each structure's volume over what it should be.
        even: also even out the determinant inside the structures. (At their edge it never is quite even, so that
        doing this to the last would work against the volume.)
        """
        masks = make_soft_masks(self.group, current)[0]
        wanted = torch.from_numpy(errors.astype(np.float32)).view(-1, 1, 1, 1)
        if even:
            logs = compute_log_determinants(current, self.group)
            means = (masks * logs).sum((1, 2, 3)) / masks.sum((1, 2, 3)).clamp(min=1e-6)
            wanted = wanted + means.view(-1, 1, 1, 1) - logs
        total = masks.sum(0)
        growth = (masks * wanted).sum(0) / total.clamp(min=1)
        step = _gradient_flow(growth.clamp(-LONGEST_STEP, LONGEST_STEP), self.free.geometry, self.padded)
        self.psi = compose(self.psi, exponential(step * self.window, 4))


def _sizes(field: DisplacementField) -> tuple[tuple[int, ...], FloatArray]:
    return field.array.shape[:3], field.geometry.spacing_mm[::-1]


def _window(masks: Tensor, grid: Geometry, inner_mm: float, margin_mm: float) -> Tensor:
    """Where psi may act (1, 1, D, H, W): 1 in and near the structures, falling smoothly to 0 over the margin."""
    outside = (masks.amax((0, 1)) < 0.5).numpy()
    distance = torch.from_numpy(ndimage.distance_transform_edt(outside, sampling=grid.spacing_mm[::-1])).float()
    fall = ((distance - inner_mm) / margin_mm).clamp(0, 1)
    return (0.5 + 0.5 * torch.cos(torch.pi * fall)).where(fall < 1, 0.0)[None, None]


def _gradient_flow(growth: Tensor, grid: Geometry, padded: list[int]) -> Tensor:
    """The velocity (1, 3, D, H, W), in voxels, that is a gradient and has the divergence `growth` (D, H, W).

    Solved by Fourier transform, the divergence blurred by one node so that the grid can show what comes out.
    """
    spectrum = torch.fft.rfftn(growth, s=padded)
    k, j, i = (2 * torch.pi * torch.fft.fftfreq(n) for n in padded)
    waves = [wave.view(shape) for wave, shape in zip((i[: spectrum.shape[2]].abs(), j, k), _SHAPES, strict=True)]
    spacing = [float(s) for s in grid.spacing_mm]
    square = sum(((wave / s) ** 2 for wave, s in zip(waves, spacing, strict=True)), start=torch.zeros(()))
    blur = torch.exp(-0.5 * sum((wave**2 for wave in waves), start=torch.zeros(())))
    square[0, 0, 0] = 1
    potential = -spectrum * blur / square
    potential[0, 0, 0] = 0
    depth, rows, columns = growth.shape
    flow = [
        torch.fft.irfftn(1j * wave / s**2 * potential, s=padded)[:depth, :rows, :columns]
        for wave, s in zip(waves, spacing, strict=True)
    ]
    return torch.stack(flow)[None]


_SHAPES = ((1, 1, -1), (1, -1, 1), (-1, 1, 1))


def _summary(
    keep: Segmentation, sites: list[_Site], free: list[Volumes], kept: list[Volumes]
) -> tuple[PreservedVolume, ...]:
    before, after = _changes(sites, free), _changes(sites, kept)
    return tuple(PreservedVolume(s.name, before.get(s.name, -100.0), after.get(s.name, -100.0)) for s in keep.segments)


def _changes(sites: list[_Site], volumes: list[Volumes]) -> dict[str, float]:
    """Percent change of each segment's counted volume, over all groups that hold a piece of it."""
    sums: dict[str, FloatArray] = {}
    for site, volume in zip(sites, volumes, strict=True):
        for segment, *pair in zip(site.group.segments, volume.counted, volume.moving, strict=True):
            sums[segment.name] = sums.get(segment.name, np.zeros(2)) + pair
    return {name: float(100 * (counted / moving - 1)) for name, (counted, moving) in sums.items() if moving > 0}
