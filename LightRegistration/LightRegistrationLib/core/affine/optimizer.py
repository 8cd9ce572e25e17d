"""Damped Gauss-Newton steps (Levenberg-Marquardt) on the affine similarity, from many starts at once."""

from __future__ import annotations

import torch
from torch import Tensor

from .settings import AFFINE
from .similarity import NO_OVERLAP, AffineSimilarity, Candidates


def optimize(similarity: AffineSimilarity, matrices: Tensor, parameters: int, max_steps: int) -> Candidates:
    """Improve each of the matrices (b, 4, 4) until a step gains hardly anything.

    parameters: 6 for rigid steps, 7 with one scale, 12 for affine ones.
    """
    state = similarity.evaluate(matrices, parameters)
    damping = torch.full((len(matrices),), AFFINE.initial_damping, dtype=torch.float64)
    active = (state.merit > NO_OVERLAP).nonzero()[:, 0]
    for _ in range(max_steps):
        if not len(active):
            break
        current = state[active]
        step = _compute_step(current, damping[active])
        proposals = _convert_to_matrices(step, current.center) @ current.matrices
        new = similarity.evaluate(proposals, parameters)
        is_better = (new.correlation > current.correlation) & _are_plausible(proposals)
        state = state.replace_at(active[is_better], new[is_better])
        damping[active] *= torch.where(is_better, AFFINE.damping_decrease, AFFINE.damping_increase)
        damping.clamp_(min=AFFINE.min_damping)
        gains_little = new.correlation - current.correlation < AFFINE.min_correlation_gain
        is_finished = torch.where(is_better, gains_little, damping[active] > AFFINE.max_damping)
        active = active[~is_finished]
    return state


def _compute_step(state: Candidates, damping: Tensor) -> Tensor:
    """Solve the damped normal equations: steps (b, p)."""
    diagonal = state.normal.diagonal(dim1=1, dim2=2)
    floor = 1e-9 * diagonal.amax(1, keepdim=True) + 1e-12
    damped = state.normal + torch.diag_embed(damping[:, None] * diagonal.clamp(min=0) + floor)
    return torch.linalg.solve(damped, state.slope)


def _convert_to_matrices(step: Tensor, center: Tensor) -> Tensor:
    """Convert steps about the centers (b, 3) to matrices (b, 4, 4).

    step: 6 numbers (rotation vector, translation), 7 (rotation vector, scale, translation) or 12 (3x3 matrix,
    translation), all in mm: the linear ones say how far a point at the lever's distance from the center moves.
    """
    generator = torch.zeros(len(step), 4, 4, dtype=torch.float64)
    if step.shape[1] < 12:
        x, y, z, zero = *step[:, :3].T, torch.zeros(len(step), dtype=torch.float64)
        rows = [torch.stack(row, dim=1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
        generator[:, :3, :3] = torch.stack(rows, dim=1)
        if step.shape[1] == 7:
            generator[:, :3, :3] += step[:, 3, None, None] * torch.eye(3, dtype=torch.float64)
    else:
        generator[:, :3, :3] = step[:, :9].reshape(-1, 3, 3)
    generator[:, :3, :3] /= AFFINE.lever_mm
    generator[:, :3, 3] = step[:, -3:]
    from_center = torch.eye(4, dtype=torch.float64).repeat(len(step), 1, 1)
    to_center = from_center.clone()
    from_center[:, :3, 3], to_center[:, :3, 3] = center, -center
    return from_center @ torch.linalg.matrix_exp(generator) @ to_center


def _are_plausible(matrices: Tensor) -> Tensor:
    """Find the matrices (b) whose scales lie in the plausible range."""
    scales = torch.linalg.svdvals(matrices[:, :3, :3])
    return (scales.amin(1) > AFFINE.min_scale) & (scales.amax(1) < AFFINE.max_scale)
