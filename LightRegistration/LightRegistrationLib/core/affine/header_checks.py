"""What an alignment says about the headers of the two volumes, in lines for the user."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..geometry.geometry import FloatArray, apply_affine
from .optimizer import AffineSimilarity, Candidates
from .pyramid import Level
from .search import about, nearest_turn

FAR_MM = 200.0
"""Headers of two people or scanners differ by centimeters without being wrong."""
MIRROR_MARGIN = 0.04
"""By how much a mirror image has to fit better to be said; where it fits as well, left and right cannot be told."""
MIRRORED_HEADER = (
    "The moving volume looks like a mirror image of the fixed one: an axis of its header runs the wrong way, or left "
    "and right are swapped. It was not mirrored; check its header."
)
_OR_MIRRORED = " A mirrored axis would explain it as well: left and right may be swapped."
_STEPS = 8, 10
_HOPELESS = 0.15
"""A reflection whose merit is so much lower as a rigid motion is not made better by scales and shears."""


def check_headers(search: Level, comparison: AffineSimilarity, best: Candidates) -> tuple[str, ...]:
    """Lines about headers that disagree by decimeters, about turned axes and about mirrored ones.

    best: the one alignment that was chosen, at the middle level that `comparison` stands for.
    """
    matrix = best.matrices[0].numpy()
    gain = _mirror_merit(search, comparison, best) - float(best.merit)
    offset = list(_offset(matrix, comparison.level))
    if gain > MIRROR_MARGIN:
        return (*offset, MIRRORED_HEADER)
    return (*offset, *_turn(matrix, gain > -MIRROR_MARGIN))


def _offset(matrix: FloatArray, level: Level) -> Iterator[str]:
    center = _body_center(level)
    distance = float(np.linalg.norm(apply_affine(matrix, center) - center))
    if distance >= FAR_MM:
        yield f"The headers disagree by {distance / 10:.0f} cm; the volumes were aligned by their content."


def _turn(matrix: FloatArray, may_be_mirrored: bool) -> Iterator[str]:
    vector = Rotation.from_matrix(nearest_turn(matrix)).as_rotvec(degrees=True)
    angle = float(np.linalg.norm(vector))
    if angle < 45:
        return
    along = np.abs(vector) / angle
    axis = f"the {'RAS'[int(along.argmax())]} axis" if along.max() > 0.9 else "an oblique axis"
    line = f"The moving volume lies turned by {angle:.0f}° about {axis} relative to the fixed one; check its header."
    yield line + (_OR_MIRRORED if may_be_mirrored else "")


def _mirror_merit(search: Level, comparison: AffineSimilarity, best: Candidates) -> float:
    """The merit of the best reflection of the fixed body; what was found is a proper motion, never a reflection."""
    center = _body_center(search)
    mirrors = [np.diag([-1.0 if a == axis else 1.0 for a in range(3)]) for axis in range(3)]
    starts = torch.from_numpy(np.stack([best.matrices[0].numpy() @ about(center, mirror) for mirror in mirrors]))
    coarse = AffineSimilarity(search, comparison.curved)
    rigid = coarse.climb(starts, 6, _STEPS[0])
    likeliest = rigid[rigid.merit.argmax()[None]]
    if float(likeliest.merit) < float(coarse.evaluate(best.matrices).merit) - _HOPELESS:
        return float(likeliest.merit)
    return float(comparison.climb(likeliest.matrices, 12, _STEPS[1]).merit)


def _body_center(level: Level) -> FloatArray:
    weights = level.values[0].clamp(min=0).double()
    center = (level.points.double() * weights[:, None]).sum(0) / weights.sum().clamp(min=1e-6)
    return np.asarray(center.numpy())
