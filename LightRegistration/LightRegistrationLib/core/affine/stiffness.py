"""Stiffer transforms in place of an affine one: rigid, and rigid with one scale."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..geometry.geometry import find_nearest_orthonormal
from .optimizer import optimize
from .settings import AFFINE
from .similarity import AffineSimilarity, Candidates

RIGID_PARAMETERS, SIMILARITY_PARAMETERS, AFFINE_PARAMETERS = 6, 7, 12


def prefer_stiffer(similarity: AffineSimilarity, found: Candidates) -> Candidates:
    """Take the stiffest transform that matches as well: as loaded, rigid, similarity, or the affine one found.

    Noise and interpolation let an affine transform follow what is no difference between two scans of one person.
    """
    unmoved = similarity.evaluate(torch.eye(4, dtype=torch.float64)[None])
    if _matches_as_well(unmoved, found):
        return unmoved
    if not is_nearly_rigid(found.matrices[0]):
        return found
    start = find_nearest_rigid(found.matrices[0], found.center[0])[None]
    for parameters in (RIGID_PARAMETERS, SIMILARITY_PARAMETERS):
        stiffer = optimize(similarity, start, parameters, AFFINE.fine_steps)
        if _matches_as_well(stiffer, found):
            return stiffer
    return found


def _matches_as_well(stiffer: Candidates, found: Candidates) -> bool:
    """Whether merit and correlation are hardly lower.

    The merit alone favors the larger overlap: of half a scan, that is often the place where the header puts it.
    """
    merit = stiffer.merit[0] - found.merit[0]
    correlation = stiffer.correlation[0] - found.correlation[0]
    return bool(min(merit, correlation) >= -AFFINE.max_stiffness_deficit)


def list_stiffer(similarity: AffineSimilarity, found: Candidates) -> list[Candidates]:
    """List the best rigid transform and the best one with one scale, from the rigid one nearest to the one found."""
    start = find_nearest_rigid(found.matrices[0], found.center[0])[None]
    return [optimize(similarity, start, n, AFFINE.fine_steps) for n in (RIGID_PARAMETERS, SIMILARITY_PARAMETERS)]


def list_less_turned(similarity: AffineSimilarity, found: Candidates) -> list[Candidates]:
    """List the best affine transform from the one found without its rotation, if it ends with less rotation."""
    matrix = found.matrices[0]
    rotation = find_nearest_rigid(matrix, found.center[0])
    if measure_rotation_degrees(matrix) < AFFINE.min_free_rotation_degrees:
        return []
    unturned = rotation[:3, :3].T @ matrix[:3, :3]
    start = torch.eye(4, dtype=torch.float64)
    start[:3, :3] = unturned
    start[:3, 3] = found.center[0] - unturned @ torch.linalg.solve(matrix, _extend(found.center[0]))[:3]
    other = optimize(similarity, start[None], AFFINE_PARAMETERS, AFFINE.fine_steps)
    return [other] if measure_rotation_degrees(other.matrices[0]) < measure_rotation_degrees(matrix) else []


def measure_rotation_degrees(matrix: Tensor) -> float:
    """Measure the angle of the rotation that is nearest to a 4x4 matrix."""
    rotation = find_nearest_orthonormal(matrix[:3, :3].numpy())
    return math.degrees(math.acos(min(max((float(np.trace(rotation)) - 1) / 2, -1.0), 1.0)))


def is_nearly_rigid(matrix: Tensor) -> bool:
    """Whether all scales of a 4x4 matrix are so near to 1 that a stiffer transform may match as well."""
    return measure_strain(matrix) <= AFFINE.max_rigid_strain


def measure_strain(matrix: Tensor) -> float:
    """Measure by how much the scales of a 4x4 matrix differ from 1 at most."""
    return float((torch.linalg.svdvals(matrix[:3, :3]) - 1).abs().max())


def find_nearest_rigid(matrix: Tensor, center: Tensor) -> Tensor:
    """Return the rigid motion (4, 4) of the nearest rotation; it maps to `center` (3) what the matrix maps there."""
    rotation = torch.from_numpy(find_nearest_orthonormal(matrix[:3, :3].numpy()))
    rigid = torch.eye(4, dtype=torch.float64)
    rigid[:3, :3] = rotation
    rigid[:3, 3] = center - rotation @ torch.linalg.solve(matrix, _extend(center))[:3]
    return rigid


def _extend(point: Tensor) -> Tensor:
    return torch.cat([point, torch.ones(1, dtype=torch.float64)])
