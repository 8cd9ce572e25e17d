"""Header checks: whether the alignment shows that an offset, an orientation or a handedness in a header is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..geometry.geometry import FloatArray, apply_affine, find_nearest_orthonormal
from .level import Level
from .optimizer import optimize
from .pyramid import PyramidImage
from .search import find_nearest_turn, find_starts, make_matrix_about
from .settings import AFFINE
from .similarity import AffineSimilarity, Candidates

MIRRORED_HEADER = (
    "The moving volume looks like a mirror image of the fixed one: an axis of its header runs the wrong way, or left "
    "and right are swapped. It was not mirrored; check its header."
)
MAYBE_TURNED_HEADER = (
    "The moving volume may lie turned relative to the fixed one, but no turn matches clearly better; check its header "
    "and the alignment."
)
MIRRORS = tuple(np.diag([-1.0 if a == axis else 1.0 for a in range(3)]) for axis in range(3))
_OR_MIRRORED = " A mirrored axis would explain it as well: left and right may be swapped."


def check_headers(
    images: tuple[PyramidImage, PyramidImage],
    search: Level,
    similarity: AffineSimilarity,
    best: Candidates,
    matrix: FloatArray,
) -> tuple[str, ...]:
    """Return warnings about headers with a large offset, turned or tilted axes, or mirrored axes.

    images: the fixed and the moving image of the search level. search: that level. similarity: that of the middle
    level. best: the chosen candidate alone, evaluated there. matrix: fixed -> moving (4, 4), RAS mm, that the alignment
    ended with.
    """
    merit = max(float(best.merit), float(similarity.evaluate(torch.from_numpy(matrix)[None]).merit))
    is_odd = merit < AFFINE.good_merit or _measure_angle(find_nearest_turn(matrix)) > 0
    starts = _list_mirrors(_compute_body_center(search), matrix)
    if is_odd:
        starts += [start.matrix for start in find_starts(*images, MIRRORS)]
    gain = _compute_mirror_merit(search, similarity, matrix, starts) - merit
    offset = list(_check_offset(matrix, similarity.level))
    if gain > AFFINE.min_mirror_gain:
        return (*offset, MIRRORED_HEADER)
    may_be_mirrored = gain > -AFFINE.min_mirror_gain
    return (*offset, *_check_turn(matrix, best.matrices[0].numpy(), may_be_mirrored))


def _check_offset(matrix: FloatArray, level: Level) -> Iterator[str]:
    center = _compute_body_center(level)
    distance = float(np.linalg.norm(apply_affine(matrix, center) - center))
    if distance >= AFFINE.min_offset_mm:
        yield f"The headers disagree by {distance / 10:.0f} cm; the volumes were aligned by their content."


def _check_turn(matrix: FloatArray, searched: FloatArray, may_be_mirrored: bool) -> Iterator[str]:
    """Yield a warning about a turn. searched: what the search chose, before an alignment as stiff as possible."""
    turn = find_nearest_turn(matrix)
    rotation = turn if _measure_angle(turn) > 0 else find_nearest_orthonormal(matrix[:3, :3])
    vector = Rotation.from_matrix(rotation).as_rotvec(degrees=True)
    angle = float(np.linalg.norm(vector))
    if angle < AFFINE.min_tilt_degrees:
        if _measure_angle(find_nearest_turn(searched)) > 0:
            yield MAYBE_TURNED_HEADER + (_OR_MIRRORED if may_be_mirrored else "")
        return
    cosines = np.abs(vector) / angle
    is_named = cosines.max() > AFFINE.min_axis_cosine
    axis = f"the {'RAS'[int(cosines.argmax())]} axis" if is_named else "an oblique axis"
    line = f"The moving volume lies turned by {angle:.0f}° about {axis} relative to the fixed one; check its header."
    yield line + (_OR_MIRRORED if may_be_mirrored else "")


def _measure_angle(rotation: FloatArray) -> float:
    return float(Rotation.from_matrix(rotation).magnitude())


def _list_mirrors(center: FloatArray, matrix: FloatArray) -> list[FloatArray]:
    """List the alignment after a mirror image of the fixed body, along each of the three axes."""
    return [matrix @ make_matrix_about(center, mirror) for mirror in MIRRORS]


def _compute_mirror_merit(
    search: Level, similarity: AffineSimilarity, matrix: FloatArray, starts: Sequence[FloatArray]
) -> float:
    """Compute the merit of the best alignment with a mirror image of the fixed body, from the starts."""
    coarse = AffineSimilarity(search, similarity.is_multimodal)
    rigid = optimize(coarse, torch.from_numpy(np.stack(starts)), 6, AFFINE.mirror_search_steps)
    likeliest = rigid[rigid.merit.argmax()[None]]
    unmirrored = coarse.evaluate(torch.from_numpy(matrix)[None])
    if float(likeliest.merit) < float(unmirrored.merit) - AFFINE.max_mirror_deficit:
        return float(likeliest.merit)
    return float(optimize(similarity, likeliest.matrices, 12, AFFINE.mirror_middle_steps).merit)


def _compute_body_center(level: Level) -> FloatArray:
    """Compute the center of mass of the fixed body, RAS mm."""
    weights = level.values[0].clamp(min=0).double()
    center = (level.points.double() * weights[:, None]).sum(0) / weights.sum().clamp(min=1e-6)
    return np.asarray(center.numpy())
