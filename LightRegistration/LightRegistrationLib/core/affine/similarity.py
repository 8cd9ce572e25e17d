"""How well the fixed intensities predict the moving intensities under affine candidates, with the equations of a step.

The prediction is a line (correlation coefficient) or, for multimodal pairs, a curve (correlation ratio, Roche et al.,
MICCAI 1998). The share of the moving variance that the prediction misses is a sum of squares, so that a least-squares
step reduces it. The best line or curve for a step is projected out (variable projection); this needs only one matrix of
inner products for each candidate. Only points inside both fields of view count. Candidates are ranked by merit: the
correlation times the square root of the overlap fraction, since a small overlap correlates easily.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .level import Level, sample_rows
from .settings import AFFINE

NO_OVERLAP = -1.0
"""The correlation and the merit of a candidate whose overlap is too small."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Matrices fixed -> moving (b, 4, 4), RAS mm, with correlation, merit and the equations of the next step.

    correlation: (b), -1 to 1, the root of the weighted mean of the squares over the channels; negative if the line of
    the first channel falls. merit: (b). normal, slope: (b, p, p) and (b, p), the normal equations. center: (b, 3), RAS
    mm, the point about which a step rotates.
    """

    matrices: Tensor
    correlation: Tensor
    merit: Tensor
    normal: Tensor
    slope: Tensor
    center: Tensor

    def __getitem__(self, chosen: Tensor) -> Candidates:
        return Candidates(*(getattr(self, f.name)[chosen] for f in fields(self)))

    def replace_at(self, indices: Tensor, other: Candidates) -> Candidates:
        """Return these candidates with those at the indices replaced by the others."""
        return Candidates(*(getattr(self, f.name).index_copy(0, indices, getattr(other, f.name)) for f in fields(self)))


class AffineSimilarity:
    """The similarity at one level: multimodal pairs are compared by a curve, others by a rising line."""

    def __init__(self, level: Level, is_multimodal: bool) -> None:
        self.level, self.is_multimodal = level, is_multimodal
        self.bases = [_make_curve_basis(v) if is_multimodal else _make_line_basis(v) for v in level.values]
        self.to_voxels = torch.from_numpy(level.geometry.inverse_affine)
        self.weights = level.values[0] / level.values[0].sum().clamp(min=1e-6) / level.max_overlap

    def evaluate(self, matrices: Tensor, parameters: int = 12) -> Candidates:
        """Compute merit and the equations of a step with 6 (rigid) or 12 (affine) parameters for matrices (b, 4, 4)."""
        count, points = len(matrices), self.level.points
        positions = _transform(matrices, points)
        coordinates = _transform(self.to_voxels @ matrices, points)
        flat, within = sample_rows(self.level.moving, self.level.geometry.shape, coordinates.flatten(0, 1))
        sampled = flat.view(count, len(points), -1)
        channels = len(self.bases)
        known = (within.view(count, -1, 1) & (sampled[..., 4 * channels :] > 0.999)) * self.level.known.T
        inside = known[..., 0]
        number = inside.sum(1).clamp(min=1)
        center = (positions * inside[..., None]).sum(1) / number[:, None]
        lever = (positions - center[:, None]) / AFFINE.lever_mm
        parts = [
            _compare(basis, sampled[..., 4 * c : 4 * c + 4], lever, known[..., c], parameters)
            for c, basis in enumerate(self.bases)
        ]
        weights = torch.tensor(AFFINE.channel_weights[:channels]) * (known.sum(1) >= AFFINE.min_points)
        missed, _, normal, slope = (_average(part, weights.double()) for part in zip(*parts, strict=True))
        correlation = (1 - missed).clamp(min=0).sqrt()
        if not self.is_multimodal:
            correlation = torch.where(parts[0][1] > 0, -correlation, correlation)
        overlap = (inside @ self.weights).double()
        enough = (overlap >= AFFINE.min_overlap_fraction) & (number >= AFFINE.min_points)
        merit = correlation * overlap.clamp(max=1).sqrt()
        correlation, merit = (torch.where(enough, value, NO_OVERLAP) for value in (correlation, merit))
        return Candidates(matrices, correlation, merit, normal, slope, center.double())


def _average(parts: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Average a number, vector or matrix of each candidate over the channels; weights (b, c)."""
    stacked = torch.stack(list(parts), dim=1)
    normalized = weights / weights.sum(1, keepdim=True).clamp(min=1e-9)
    return (stacked * normalized.view(*normalized.shape, *[1] * (stacked.dim() - 2))).sum(1)


def _make_line_basis(values: Tensor) -> Tensor:
    """Return the basis (n, 2) of a line: 1 and the values."""
    return torch.stack([torch.ones_like(values), values], dim=1)


def _make_curve_basis(values: Tensor) -> Tensor:
    """Return hat functions (n, k) between quantiles of the values, so that each has as many points as the others."""
    knots = torch.quantile(values, torch.linspace(0, 1, AFFINE.curve_knots))
    is_apart = knots.diff() > AFFINE.min_knot_distance * (knots[-1] - knots[0])
    knots = knots[torch.cat([torch.ones(1, dtype=torch.bool), is_apart])]
    if len(knots) < 3:
        return _make_line_basis(values)
    upper = torch.searchsorted(knots, values.contiguous()).clamp(1, len(knots) - 1)
    part = ((values - knots[upper - 1]) / (knots[upper] - knots[upper - 1])).clamp(0, 1)[:, None]
    basis = torch.zeros(len(values), len(knots))
    return basis.scatter(1, upper[:, None], part).scatter(1, upper[:, None] - 1, 1 - part)


def _transform(matrices: Tensor, points: Tensor) -> Tensor:
    """Map points (n, 3) by each matrix (b, 4, 4): (b, n, 3)."""
    return points @ matrices[:, :3, :3].float().mT + matrices[:, None, :3, 3].float()


def _compare(
    basis: Tensor, sampled: Tensor, lever: Tensor, inside: Tensor, parameters: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the share of the variance that the basis misses (b), whether its line falls (b), and a step's equations.

    With Phi the basis, m the moving values, J their derivatives, P the projection onto Phi: missed = |m - P m|² /
    |m - mean|²; its square root's derivative is ((1 - P) J - (m - P m) uᵀ / |m|²) / |m| with u = Jᵀ m.
    """
    count, terms = len(sampled), basis.shape[1]
    mean = (sampled[..., 0] * inside).sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp(min=1)
    derivatives = _differentiate(lever, sampled, parameters)
    columns = [basis.expand(count, -1, -1), (sampled[..., :1] - mean[..., None]), derivatives]
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
    normal = left[:, 1:, 1:] / total[:, None, None] - mixed - mixed.mT + missed[:, None, None] * _multiply_outer(u)
    return missed, (solved[:, 1, 0] < 0).double(), normal, missed[:, None] * u - a


def _multiply_outer(vectors: Tensor) -> Tensor:
    """Return the outer product of each vector (b, p) with itself: (b, p, p)."""
    return vectors[:, :, None] * vectors[:, None, :]


def _differentiate(lever: Tensor, sampled: Tensor, parameters: int) -> Tensor:
    """Return the derivatives (b, n, p) of the moving values with respect to the parameters of a step."""
    gradient = sampled[..., 1:]
    if parameters in (6, 7):
        scale = [(lever * gradient).sum(2, keepdim=True)] if parameters == 7 else []
        return torch.cat([torch.linalg.cross(lever, gradient), *scale, gradient], dim=2)
    return torch.cat([(gradient[..., :, None] * lever[..., None, :]).flatten(2), gradient], dim=2)
