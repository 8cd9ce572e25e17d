"""The affine stage: from centers to a robust affine map, fixed -> moving, by damped Gauss-Newton on correlation.

The correlation coefficient of two images is one minus half the squared distance of their standardized intensities, so
that a least-squares step (Levenberg-Marquardt) climbs it; the derivative of the standardization is projected out.
Coarse to fine: several starts (centers, rotations) as rigid motions at 8 mm, then 12 parameters at 8 and 4 mm (finer
for small fields of view). Candidates are ranked by correlation times the root of the share of the fixed body that the
moving volume shows, since a small overlap correlates easily.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import expm
from torch import Tensor

from .errors import InputError
from .field import AffineTransform
from .flows import sample
from .geometry import FloatArray, Geometry, apply_affine, homogeneous
from .intensity import IntensityRule
from .network_grid import GridImage, GridRule, in_view, network_geometry, on_grid, shrink
from .volume import Volume

COARSE_MM, FINE_MM = 8.0, 4.0
COARSE_VOXELS = 14
"""The least number of coarse voxels along the shortest axis; smaller fields of view are searched at a finer grid."""
MAXIMUM_POINTS = 40_000
START_ANGLES_DEGREES = (-25.0, 25.0)
MINIMUM_OVERLAP = 0.25
_RADIUS_MM = 80.0


@dataclass(frozen=True)
class _Level:
    """Both images at one resolution: fixed values at points (n, 3) RAS mm; moving: image, derivatives per mm, view.

    capacity: the share of the fixed body that the moving field of view could hold at most.
    """

    points: Tensor
    values: Tensor
    moving: Tensor
    geometry: Geometry
    capacity: float


@dataclass(frozen=True)
class _State:
    """A candidate: matrix fixed -> moving, its correlation, its merit among others, and what a step needs."""

    matrix: FloatArray
    correlation: float
    merit: float
    residual: Tensor
    gradient: Tensor
    positions: Tensor


def center_transform(fixed: Geometry, moving: Geometry) -> AffineTransform:
    """The shift that brings the middle of the fixed grid to the middle of the moving one."""
    return AffineTransform(homogeneous(np.eye(3), moving.center_mm - fixed.center_mm))


def align_affine(fixed: Volume, moving: Volume, rule: IntensityRule) -> AffineTransform:
    """Find the affine map fixed -> moving, RAS mm, robust for offsets of centimeters and rotations of 20 degrees.

    Raises InputError where no start gives the two volumes anything in common.
    """
    shortest_mm = min(float((v.geometry.size_ijk * v.geometry.spacing_mm).min()) for v in (fixed, moving))
    scale = min(1.0, shortest_mm / (COARSE_VOXELS * COARSE_MM))
    coarse, fine = (_level(fixed, moving, spacing * scale, rule) for spacing in (COARSE_MM, FINE_MM))
    rigid = [_climb(coarse, start, 6, 8) for start in _starts(fixed, moving, coarse)]
    found = sorted((s for s in rigid if s is not None), key=lambda s: -s.merit)
    if not found:
        raise InputError(
            "The two volumes have nothing in common that an alignment could start from: check that both show the same "
            "part of the body."
        )
    affine = [_climb(coarse, s.matrix, 12, 12) or s for s in found[:3]]
    best = max(affine, key=lambda s: s.merit)
    refined = _climb(fine, best.matrix, 12, 12)
    return AffineTransform(best.matrix if refined is None else refined.matrix)


def _level(fixed: Volume, moving: Volume, spacing_mm: float, rule: IntensityRule) -> _Level:
    grid_rule = GridRule(spacing_mm, min_voxels=1, multiple=1, margin_voxels=1)
    fixed_shrunk, moving_shrunk = (shrink(volume, spacing_mm, rule) for volume in (fixed, moving))
    target = on_grid(fixed_shrunk, network_geometry(fixed.geometry, grid_rule), np.eye(4))
    source = on_grid(moving_shrunk, network_geometry(moving.geometry, grid_rule), np.eye(4))
    view, moving_view = (in_view(*pair) for pair in ((fixed_shrunk, target.geometry), (moving_shrunk, source.geometry)))
    near_body = (F.max_pool3d((target.tensor > 0.05).float(), 5, stride=1, padding=2) * view)[0, 0] > 0
    indices = near_body.nonzero().flip(1).double().numpy()
    points = apply_affine(target.geometry.affine, indices)
    step = 1 + len(points) // MAXIMUM_POINTS
    return _Level(
        torch.from_numpy(points[::step].astype(np.float32)),
        target.tensor[0, 0][near_body][::step],
        torch.cat([_with_derivatives(source), moving_view], dim=1),
        source.geometry,
        min(1.0, float(moving_view.sum()) / max(1, len(points))),
    )


def _with_derivatives(image: GridImage) -> Tensor:
    """The image and its derivatives along R, A, S per mm: (1, 4, D, H, W)."""
    k, j, i = torch.gradient(image.tensor[0, 0])
    per_mm = torch.from_numpy(image.geometry.inverse_affine[:3, :3].astype(np.float32))
    derivatives = torch.tensordot(per_mm.T, torch.stack([i, j, k]), dims=1)
    return torch.cat([image.tensor[0], derivatives])[None]


def _starts(fixed: Volume, moving: Volume, level: _Level) -> list[FloatArray]:
    weights = level.values
    fixed_center = np.asarray(((level.points * weights[:, None]).sum(0) / weights.sum().clamp(min=1e-6)).double())
    image = level.moving[0, 0]
    index = (image.nonzero().float() * image[image != 0][:, None]).sum(0) / image.sum().clamp(min=1e-6)
    moving_center = apply_affine(level.geometry.affine, index.flip(0).double().numpy())
    shifts = (
        moving_center - fixed_center,
        moving.geometry.center_mm - fixed.geometry.center_mm,
        np.zeros(3),
    )
    rotations = [np.zeros(3)] + [np.deg2rad(angle) * axis for axis in np.eye(3) for angle in START_ANGLES_DEGREES]
    starts: list[FloatArray] = []
    for shift in shifts:
        for rotation in rotations if shift is shifts[0] else rotations[:1]:
            turn = _motion(np.r_[rotation * _RADIUS_MM, np.zeros(3)], fixed_center + shift)
            starts.append(turn @ homogeneous(np.eye(3), shift))
    return starts


def _evaluate(level: _Level, matrix: FloatArray) -> _State | None:
    to_voxels = level.geometry.inverse_affine @ matrix
    rotation = torch.from_numpy(to_voxels[:3, :3].astype(np.float32))
    offset = torch.from_numpy(to_voxels[:3, 3].astype(np.float32))
    coordinates = level.points @ rotation.T + offset
    sampled = sample(level.moving, coordinates.T.reshape(1, 3, 1, 1, -1), padding="zeros")[0, :, 0, 0]
    inside = sampled[4] > 0.999
    overlap = float(level.values[inside].sum() / level.values.sum().clamp(min=1e-6)) / level.capacity
    if overlap < MINIMUM_OVERLAP or inside.sum() < 50:
        return None
    sampled, target = sampled[:4, inside], level.values[inside]
    target = (target - target.mean()) / target.std().clamp(min=1e-6)
    value = sampled[0]
    deviation = value.std().clamp(min=1e-6)
    value = (value - value.mean()) / deviation
    positions = torch.from_numpy(apply_affine(matrix, level.points[inside].double().numpy()).astype(np.float32))
    gradient = sampled[1:].T / deviation
    correlation = float((target * value).mean())
    return _State(matrix, correlation, correlation * min(1.0, overlap) ** 0.5, target - value, gradient, positions)


def _climb(level: _Level, matrix: FloatArray, parameters: int, iterations: int) -> _State | None:
    """Levenberg-Marquardt steps with 6 (rigid) or 12 (affine) parameters; None where the overlap is too small."""
    state = _evaluate(level, matrix)
    damping = 1e-2
    for _ in range(iterations):
        if state is None:
            return None
        center = np.asarray(state.positions.mean(0).double())
        hessian, slope = _normal_equations(state, center, parameters)
        step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian) + 1e-9), slope)
        proposal = _motion(step, center) @ state.matrix
        candidate = _evaluate(level, proposal) if _is_plausible(proposal) else None
        if candidate is None or candidate.correlation <= state.correlation:
            damping *= 8
            if damping > 1e4:
                break
            continue
        gain = candidate.correlation - state.correlation
        state, damping = candidate, max(damping / 4, 1e-4)
        if gain < 1e-5:
            break
    return state


def _normal_equations(state: _State, center: FloatArray, parameters: int) -> tuple[FloatArray, FloatArray]:
    lever = (state.positions - torch.from_numpy(center.astype(np.float32))) / _RADIUS_MM
    gradient = state.gradient
    if parameters == 6:
        columns = torch.cat([torch.linalg.cross(lever, gradient), gradient], dim=1)
    else:
        columns = torch.cat([(gradient[:, :, None] * lever[:, None, :]).flatten(1), gradient], dim=1)
    columns = columns - columns.mean(0)
    hessian = (columns.T @ columns).double().numpy()
    slope = (columns.T @ state.residual).double().numpy()
    return hessian, slope


def _motion(step: FloatArray, center: FloatArray) -> FloatArray:
    """The motion about `center` of 6 numbers (rotation vector, shift) or 12 (3x3 matrix, shift).

    All numbers are in mm: the linear ones say how far a point at _RADIUS_MM from the center moves.
    """
    generator = np.zeros((4, 4))
    if len(step) == 6:
        x, y, z = step[:3]
        generator[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    else:
        generator[:3, :3] = step[:9].reshape(3, 3)
    generator[:3, :3] /= _RADIUS_MM
    generator[:3, 3] = step[-3:]
    to_center = homogeneous(np.eye(3), -center)
    return np.asarray(np.linalg.inv(to_center) @ expm(generator) @ to_center)


def _is_plausible(matrix: FloatArray) -> bool:
    scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    return bool(scales.min() > 0.6 and scales.max() < 1.7)
