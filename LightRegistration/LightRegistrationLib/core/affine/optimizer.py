"""Climbing from many starts at once: damped Gauss-Newton on how well the fixed intensities predict the moving ones.

The moving intensities are predicted from the fixed ones by a line (their correlation coefficient) or, between two
contrasts, by a curve (the correlation ratio, Roche et al., MICCAI 1998). The share of the moving variance that the
prediction misses is a sum of squares, so that a least-squares step lowers it; the best line or curve for a proposed
step is projected out (variable projection), which needs nothing but one matrix of inner products for each start.
Only points inside both fields of view count. Candidates are ranked by merit: the correlation times the root of the
share of the fixed body that the moving volume shows, since a small overlap correlates easily.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .pyramid import Level, sample_rows

MIN_OVERLAP_FRACTION = 0.25
NO_OVERLAP = -1.0
"""The correlation and the merit of a candidate whose overlap is too small."""
_LEAST_POINTS = 50
_RADIUS_MM = 80.0
_CURVE_KNOTS = 8
_CHANNEL_WEIGHTS = (1.0, 0.5)
"""Of intensities and local contrast: equal weights gain more in the neck, none gains more in lungs that breathe."""
_LEAST_SCALE, _LARGEST_SCALE = 0.6, 1.7
_LEAST_GAIN = 1e-4


@dataclass(frozen=True, eq=False)
class Candidates:
    """Matrices fixed -> moving (b, 4, 4), RAS mm, and for each: correlation, merit, and the next step's equations.

    correlation: -1 to 1, the root of the weighted mean of the squares over the channels; negative where the line of
    the first channel falls. normal, slope: (b, p, p) and (b, p). center: (b, 3), what a step turns about, RAS mm.
    """

    matrices: Tensor
    correlation: Tensor
    merit: Tensor
    normal: Tensor
    slope: Tensor
    center: Tensor

    def __getitem__(self, chosen: Tensor) -> Candidates:
        return Candidates(*(getattr(self, f.name)[chosen] for f in fields(self)))

    def updated(self, where: Tensor, other: Candidates) -> Candidates:
        """These candidates, those at the indices `where` replaced by the others."""
        return Candidates(*(getattr(self, f.name).index_copy(0, where, getattr(other, f.name)) for f in fields(self)))


class AffineSimilarity:
    """One level with its way of predicting: `curved` for two contrasts, else by a rising line."""

    def __init__(self, level: Level, curved: bool) -> None:
        self.level, self.curved = level, curved
        self.bases = [_curve_basis(v) if curved else _line_basis(v) for v in level.values]
        self.to_voxels = torch.from_numpy(level.geometry.inverse_affine)
        self.weights = level.values[0] / level.values[0].sum().clamp(min=1e-6) / level.capacity

    def evaluate(self, matrices: Tensor, parameters: int = 12) -> Candidates:
        """Judge matrices (b, 4, 4) and set up a step of 6 (rigid) or 12 (affine) parameters from each."""
        count, points = len(matrices), self.level.points
        positions = _moved(matrices, points)
        coordinates = _moved(self.to_voxels @ matrices, points)
        flat, within = sample_rows(self.level.moving, self.level.geometry.shape, coordinates.flatten(0, 1))
        sampled = flat.view(count, len(points), -1)
        channels = len(self.bases)
        known = (within.view(count, -1, 1) & (sampled[..., 4 * channels :] > 0.999)) * self.level.known.T
        inside = known[..., 0]
        number = inside.sum(1).clamp(min=1)
        center = (positions * inside[..., None]).sum(1) / number[:, None]
        lever = (positions - center[:, None]) / _RADIUS_MM
        parts = [
            _explain(basis, sampled[..., 4 * c : 4 * c + 4], lever, known[..., c], parameters)
            for c, basis in enumerate(self.bases)
        ]
        weights = torch.tensor(_CHANNEL_WEIGHTS[:channels]) * (known.sum(1) >= _LEAST_POINTS)
        missed, _, normal, slope = (_weighted(part, weights.double()) for part in zip(*parts, strict=True))
        correlation = (1 - missed).clamp(min=0).sqrt()
        if not self.curved:
            correlation = torch.where(parts[0][1] > 0, -correlation, correlation)
        overlap = (inside @ self.weights).double()
        ok = (overlap >= MIN_OVERLAP_FRACTION) & (number >= _LEAST_POINTS)
        merit = correlation * overlap.clamp(max=1).sqrt()
        correlation, merit = (torch.where(ok, value, NO_OVERLAP) for value in (correlation, merit))
        return Candidates(matrices, correlation, merit, normal, slope, center.double())

    def climb(self, matrices: Tensor, parameters: int, iterations: int) -> Candidates:
        """Take damped Gauss-Newton steps from each of the matrices (b, 4, 4), until they gain nothing more."""
        state = self.evaluate(matrices, parameters)
        damping = torch.full((len(matrices),), 1e-2, dtype=torch.float64)
        going = (state.merit > NO_OVERLAP).nonzero()[:, 0]
        for _ in range(iterations):
            if not len(going):
                break
            now = state[going]
            proposals = _motion(_step(now, damping[going]), now.center) @ now.matrices
            new = self.evaluate(proposals, parameters)
            better = (new.correlation > now.correlation) & _is_plausible(proposals)
            state = state.updated(going[better], new[better])
            damping[going] *= torch.where(better, 0.25, 8.0)
            damping.clamp_(min=1e-4)
            done = torch.where(better, new.correlation - now.correlation < _LEAST_GAIN, damping[going] > 1e4)
            going = going[~done]
        return state


def _weighted(parts: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The mean of a number, vector or matrix of each candidate over the channels; weights (b, c)."""
    stacked = torch.stack(list(parts), dim=1)
    shares = weights / weights.sum(1, keepdim=True).clamp(min=1e-9)
    return (stacked * shares.view(*shares.shape, *[1] * (stacked.dim() - 2))).sum(1)


def _line_basis(values: Tensor) -> Tensor:
    return torch.stack([torch.ones_like(values), values], dim=1)


def _curve_basis(values: Tensor) -> Tensor:
    """Hat functions (n, k) between the quantiles of the values, so that each has as many points as the others."""
    knots = torch.quantile(values, torch.linspace(0, 1, _CURVE_KNOTS))
    apart = knots.diff() > 0.02 * (knots[-1] - knots[0])
    knots = knots[torch.cat([torch.ones(1, dtype=torch.bool), apart])]
    if len(knots) < 3:
        return _line_basis(values)
    upper = torch.searchsorted(knots, values.contiguous()).clamp(1, len(knots) - 1)
    part = ((values - knots[upper - 1]) / (knots[upper] - knots[upper - 1])).clamp(0, 1)[:, None]
    basis = torch.zeros(len(values), len(knots))
    return basis.scatter(1, upper[:, None], part).scatter(1, upper[:, None] - 1, 1 - part)


def _moved(matrices: Tensor, points: Tensor) -> Tensor:
    return points @ matrices[:, :3, :3].float().mT + matrices[:, None, :3, 3].float()


def _explain(
    basis: Tensor, sampled: Tensor, lever: Tensor, inside: Tensor, parameters: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The share of the variance that the basis misses (b), whether its line falls (b), and a step's equations.

    With Phi the basis, m the moving values, J their derivatives, P the projection onto Phi: missed = |m - P m|² /
    |m - mean|²; its square root's derivative is ((1 - P) J - (m - P m) uᵀ / |m|²) / |m| with u = Jᵀ m.
    """
    count, terms = len(sampled), basis.shape[1]
    mean = (sampled[..., 0] * inside).sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp(min=1)
    columns = [basis.expand(count, -1, -1), (sampled[..., :1] - mean[..., None]), _columns(lever, sampled, parameters)]
    matrix = torch.cat(columns, dim=2)
    products = ((matrix * inside[..., None]).mT @ matrix).double()
    within, across = products[:, :terms, :terms], products[:, :terms, terms:]
    ridge = 1e-6 * within.diagonal(dim1=1, dim2=2).mean(1) + 1e-12
    solved = torch.linalg.solve(within + torch.diag_embed(ridge[:, None].expand(-1, terms)), across)
    left = products[:, terms:, terms:] - across.mT @ solved
    total = products[:, terms, terms].clamp(min=1e-9)
    missed = (left[:, 0, 0] / total).clamp(1e-9, 1)
    u = products[:, terms, terms + 1 :] / total[:, None]
    a = left[:, 0, 1:] / total[:, None]
    mixed = a[:, :, None] * u[:, None, :]
    normal = left[:, 1:, 1:] / total[:, None, None] - mixed - mixed.mT + missed[:, None, None] * _outer(u)
    return missed, (solved[:, 1, 0] < 0).double(), normal, missed[:, None] * u - a


def _outer(vectors: Tensor) -> Tensor:
    return vectors[:, :, None] * vectors[:, None, :]


def _columns(lever: Tensor, sampled: Tensor, parameters: int) -> Tensor:
    gradient = sampled[..., 1:]
    if parameters == 6:
        return torch.cat([torch.linalg.cross(lever, gradient), gradient], dim=2)
    return torch.cat([(gradient[..., :, None] * lever[..., None, :]).flatten(2), gradient], dim=2)


def _step(state: Candidates, damping: Tensor) -> Tensor:
    diagonal = state.normal.diagonal(dim1=1, dim2=2)
    floor = 1e-9 * diagonal.amax(1, keepdim=True) + 1e-12
    damped = state.normal + torch.diag_embed(damping[:, None] * diagonal.clamp(min=0) + floor)
    return torch.linalg.solve(damped, state.slope)


def _motion(step: Tensor, center: Tensor) -> Tensor:
    """The motions (b, 4, 4) about the centers of 6 numbers (rotation vector, shift) or 12 (3x3 matrix, shift).

    All numbers are in mm: the linear ones say how far a point at _RADIUS_MM from the center moves.
    """
    generator = torch.zeros(len(step), 4, 4, dtype=torch.float64)
    if step.shape[1] == 6:
        x, y, z, zero = *step[:, :3].T, torch.zeros(len(step), dtype=torch.float64)
        rows = [torch.stack(row, dim=1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
        generator[:, :3, :3] = torch.stack(rows, dim=1)
    else:
        generator[:, :3, :3] = step[:, :9].reshape(-1, 3, 3)
    generator[:, :3, :3] /= _RADIUS_MM
    generator[:, :3, 3] = step[:, -3:]
    forth = torch.eye(4, dtype=torch.float64).repeat(len(step), 1, 1)
    back = forth.clone()
    forth[:, :3, 3], back[:, :3, 3] = center, -center
    return forth @ torch.linalg.matrix_exp(generator) @ back


def _is_plausible(matrices: Tensor) -> Tensor:
    scales = torch.linalg.svdvals(matrices[:, :3, :3])
    return (scales.amin(1) > _LEAST_SCALE) & (scales.amax(1) < _LARGEST_SCALE)
