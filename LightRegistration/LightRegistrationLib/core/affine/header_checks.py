"""Header checks: whether the alignment shows that an offset, an orientation or a handedness in a header is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..geometry.geometry import FloatArray, apply_affine
from .level import Level
from .optimizer import optimize
from .search import find_nearest_turn, make_matrix_about
from .settings import AFFINE
from .similarity import AffineSimilarity, Candidates

MIRRORED_HEADER = (
    "The moving volume looks like a mirror image of the fixed one: an axis of its header runs the wrong way, or left "
    "and right are swapped. It was not mirrored; check its header."
)
_OR_MIRRORED = " A mirrored axis would explain it as well: left and right may be swapped."


def check_headers(search: Level, similarity: AffineSimilarity, best: Candidates) -> tuple[str, ...]:
    """Return warnings about headers with a large offset, turned axes or mirrored axes.

    search: the search level. similarity: that of the middle level. best: the chosen alignment alone, evaluated there.
    """
    matrix = best.matrices[0].numpy()
    gain = _compute_mirror_merit(search, similarity, best) - float(best.merit)
    offset = list(_check_offset(matrix, similarity.level))
    if gain > AFFINE.min_mirror_gain:
        return (*offset, MIRRORED_HEADER)
    return (*offset, *_check_turn(matrix, gain > -AFFINE.min_mirror_gain))


def _check_offset(matrix: FloatArray, level: Level) -> Iterator[str]:
    center = _compute_body_center(level)
    distance = float(np.linalg.norm(apply_affine(matrix, center) - center))
    if distance >= AFFINE.min_offset_mm:
        yield f"The headers disagree by {distance / 10:.0f} cm; the volumes were aligned by their content."


def _check_turn(matrix: FloatArray, may_be_mirrored: bool) -> Iterator[str]:
    vector = Rotation.from_matrix(find_nearest_turn(matrix)).as_rotvec(degrees=True)
    angle = float(np.linalg.norm(vector))
    if angle < 45:
        return
    cosines = np.abs(vector) / angle
    is_named = cosines.max() > AFFINE.min_axis_cosine
    axis = f"the {'RAS'[int(cosines.argmax())]} axis" if is_named else "an oblique axis"
    line = f"The moving volume lies turned by {angle:.0f}° about {axis} relative to the fixed one; check its header."
    yield line + (_OR_MIRRORED if may_be_mirrored else "")


def _compute_mirror_merit(search: Level, similarity: AffineSimilarity, best: Candidates) -> float:
    """Compute the merit of the best alignment with a mirror image of the fixed body."""
    center = _compute_body_center(search)
    mirrors = [np.diag([-1.0 if a == axis else 1.0 for a in range(3)]) for axis in range(3)]
    matrix = best.matrices[0].numpy()
    starts = torch.from_numpy(np.stack([matrix @ make_matrix_about(center, mirror) for mirror in mirrors]))
    coarse = AffineSimilarity(search, similarity.is_multimodal)
    rigid = optimize(coarse, starts, 6, AFFINE.mirror_search_steps)
    likeliest = rigid[rigid.merit.argmax()[None]]
    if float(likeliest.merit) < float(coarse.evaluate(best.matrices).merit) - AFFINE.max_mirror_deficit:
        return float(likeliest.merit)
    return float(optimize(similarity, likeliest.matrices, 12, AFFINE.mirror_middle_steps).merit)


def _compute_body_center(level: Level) -> FloatArray:
    """Compute the center of mass of the fixed body, RAS mm."""
    weights = level.values[0].clamp(min=0).double()
    center = (level.points.double() * weights[:, None]).sum(0) / weights.sum().clamp(min=1e-6)
    return np.asarray(center.numpy())
