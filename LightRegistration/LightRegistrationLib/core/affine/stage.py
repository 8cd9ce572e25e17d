"""The affine stage: an affine transform fixed -> moving for two volumes whose headers may be wrong.

From coarse to fine: at about 16 mm every translation and half turn is tried, and the best ones are optimized as rigid
motions; then 12 parameters are optimized at 8 and 4 mm (finer for small fields of view). Multimodal pairs are detected
and compared by a curve instead of a line, at last by their edges. Errors of the headers are reported (`header_checks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..geometry.geometry import FloatArray, Geometry, homogeneous
from ..geometry.transforms import AffineTransform
from ..geometry.volume import Segmentation, Volume
from ..network.grid import ShrunkImage
from ..network.intensity import IntensityNormalization
from .edge_alignment import align_edges
from .header_checks import check_headers
from .level import NO_COMMON_CONTENT, Level, make_level
from .optimizer import optimize
from .pyramid import PyramidImage, bring_to_grid, build_pyramid, compute_fine_spacing_mm
from .search import HALF_TURNS, Start, find_starts, list_quarter_turns, make_header_starts, mean_distance_mm
from .settings import AFFINE
from .similarity import NO_OVERLAP, AffineSimilarity, Candidates
from .stiffness import AFFINE_PARAMETERS, RIGID_PARAMETERS, find_nearest_rigid, measure_strain, prefer_stiffer


@dataclass(frozen=True)
class Alignment:
    """An affine transform fixed -> moving, RAS mm, and warnings for the user about wrong headers.

    strain: by how much the scales of the stiffest transform that matches well differ from 1 at most; about 0 for two
    scans of one person. None if no transform was searched.
    """

    transform: AffineTransform
    warnings: tuple[str, ...] = ()
    strain: float | None = None


def align_centers(fixed: Geometry, moving: Geometry) -> AffineTransform:
    """Return the translation that maps the center of the fixed grid to the center of the moving one."""
    return AffineTransform(homogeneous(np.eye(3), moving.center_mm - fixed.center_mm))


def align_affine(
    fixed: Volume,
    moving: Volume,
    normalization: IntensityNormalization,
    *,
    fixed_mask: Segmentation | None = None,
    moving_mask: Segmentation | None = None,
    shrunk: tuple[ShrunkImage, ShrunkImage] | None = None,
    is_rigid: bool = False,
) -> Alignment:
    """Find the affine transform fixed -> moving, RAS mm, for any offset and any half or quarter turn of the headers.

    Only what lies in both fields of view (and masks: the union of their segments) is compared. A turned alignment is
    chosen only if it is clearly better than the best unturned one. A mirrored one is reported, but never chosen.
    shrunk: the fixed and the moving volume averaged to blocks of at most 4 mm, if available. is_rigid: end with the
    best rigid motion, as for two scans of one person. Deterministic. Raises InputError if no start gives the two
    volumes enough overlap.
    """
    spacing = compute_fine_spacing_mm(fixed.geometry, moving.geometry)
    small = shrunk or (None, None)
    images = list(
        zip(
            build_pyramid(fixed, spacing, normalization, fixed_mask, small[0]),
            build_pyramid(moving, spacing, normalization, moving_mask, small[1]),
            strict=True,
        )
    )
    search = _Search(*images[2])
    middle = make_level(*images[1], AFFINE.level_points[1], with_local_contrast=True)
    candidates, similarity = _find_candidates(search, middle)
    fine_level = make_level(*images[0], AFFINE.level_points[0], with_local_contrast=True)
    fine = AffineSimilarity(fine_level, similarity.is_multimodal)
    refined = optimize(fine, candidates.matrices, AFFINE_PARAMETERS, AFFINE.fine_steps)
    chosen = torch.tensor([_choose_turn(refined)])
    best = candidates[chosen]
    result = best if float(refined.merit[chosen]) == NO_OVERLAP else refined[chosen]
    if similarity.is_multimodal:
        finer = spacing / AFFINE.edge_refinement
        fixed_image = bring_to_grid(fixed, finer, normalization, fixed_mask, small[0])
        moving_image = bring_to_grid(moving, finer, normalization, moving_mask, small[1])
        matrix = align_edges(fixed_image, moving_image, result)
    else:
        matrix = prefer_stiffer(fine, result).matrices[0]
    strain = measure_strain(matrix)
    if is_rigid and strain > AFFINE.max_rounding_strain:
        rigid = find_nearest_rigid(matrix, result.center[0])
        optimized = optimize(fine, rigid[None], RIGID_PARAMETERS, AFFINE.fine_steps)
        matrix = rigid if similarity.is_multimodal else optimized.matrices[0]
    warnings = check_headers(images[2], search.level, similarity, best, matrix.numpy())
    return Alignment(AffineTransform(matrix.numpy()), warnings, strain)


def _choose_turn(refined: Candidates) -> int:
    """Choose the turned candidate (1) if there is one and it is clearly better than the unturned one (0)."""
    if len(refined.merit) == 1:
        return 0
    unturned, turned = refined.merit.tolist()
    is_better = turned > unturned + AFFINE.min_turn_gain
    return int(is_better or 1 - turned < AFFINE.max_turn_remainder * (1 - unturned))


class _Search:
    """The search level: starts are found once for each set of turns, and optimized by a line or a curve."""

    def __init__(self, fixed: PyramidImage, moving: PyramidImage) -> None:
        self.fixed, self.moving = fixed, moving
        self.level = make_level(fixed, moving, AFFINE.level_points[2], with_local_contrast=False)
        found = find_starts(fixed, moving, HALF_TURNS)
        unturned = [s for s in found if s.turn == 0]
        translation = unturned[0].matrix if unturned else align_centers(fixed.geometry, moving.geometry).matrix
        self.starts = found + make_header_starts(fixed, moving, translation)

    def find_finalists(
        self, is_multimodal: bool, with_quarter_turns: bool
    ) -> tuple[list[FloatArray], list[FloatArray]]:
        """Find the best rigid motions without a turn, and those with a turn that are nearly as good."""
        starts = self.starts
        if with_quarter_turns:
            starts = starts + find_starts(self.fixed, self.moving, (np.eye(3), *list_quarter_turns()))
        similarity = AffineSimilarity(self.level, is_multimodal)
        rigid = optimize(similarity, _stack_matrices(starts), RIGID_PARAMETERS, AFFINE.search_steps)
        is_turned = torch.tensor([s.turn > 0 for s in starts])
        unturned = self._select_distinct(rigid[(~is_turned).nonzero()[:, 0]], NO_OVERLAP)
        min_merit = float(rigid.merit[~is_turned].max()) - AFFINE.max_turn_deficit
        return unturned, self._select_distinct(rigid[is_turned.nonzero()[:, 0]], min_merit)

    def _select_distinct(self, candidates: Candidates, min_merit: float) -> list[FloatArray]:
        """Select the best candidates that differ from each other."""
        points = self.level.points[::50].double().numpy()
        min_distance = AFFINE.min_candidate_distance_voxels * float(self.level.geometry.spacing_mm[0])
        chosen: list[FloatArray] = []
        for n in candidates.merit.argsort(descending=True).tolist():
            matrix = candidates.matrices[n].numpy()
            if len(chosen) == AFFINE.finalists or float(candidates.merit[n]) <= min_merit:
                break
            if all(mean_distance_mm(matrix, other, points) > min_distance for other in chosen):
                chosen.append(matrix)
        return chosen


def _stack_matrices(starts: Sequence[Start]) -> Tensor:
    return torch.from_numpy(np.stack([s.matrix for s in starts]))


def _find_candidates(search: _Search, middle: Level) -> tuple[Candidates, AffineSimilarity]:
    """Find the candidates for the fine level, and the similarity that they were found with: by a line or a curve."""
    line, curve = (AffineSimilarity(middle, is_multimodal) for is_multimodal in (False, True))
    gain = AFFINE.min_multimodal_gain
    found = _optimize_finalists(search, line)
    # For a multimodal pair a line may lead to a wrong, turned alignment, where the gain of a curve says nothing.
    if found is None or len(found.merit) > 1 or _explain(curve.evaluate(found.matrices)) > _explain(found) + gain:
        other = _optimize_finalists(search, curve)
        if other is not None and (found is None or _explain(other) > _explain(found) + gain):
            return other, curve
    if found is None:
        raise InputError(NO_COMMON_CONTENT)
    return found, line


def _optimize_finalists(search: _Search, similarity: AffineSimilarity) -> Candidates | None:
    """Return the best unturned alignment and, after it, the best turned one if that is better; None without either."""
    found = None
    for with_quarter_turns in (False, True):
        unturned, turned = search.find_finalists(similarity.is_multimodal, with_quarter_turns)
        if unturned or turned:
            matrices = torch.from_numpy(np.stack(unturned + turned))
            found = _select_best(optimize(similarity, matrices, AFFINE_PARAMETERS, AFFINE.middle_steps), len(unturned))
        if found is not None and float(found.merit.max()) >= AFFINE.good_merit:
            break
    return found


def _select_best(candidates: Candidates, unturned: int) -> Candidates | None:
    """Select the best of the first `unturned` candidates, and the best of all if it is another one."""
    order = candidates.merit.argsort(descending=True).tolist()
    chosen = [n for n in order if n < unturned][:1] + [n for n in order[:1] if n >= unturned]
    chosen = [n for n in chosen if float(candidates.merit[n]) > NO_OVERLAP]
    return candidates[torch.tensor(chosen)] if chosen else None


def _explain(found: Candidates) -> float:
    """Compute the share of the moving variance that the best candidate's prediction explains; 0 for a falling line."""
    return max(0.0, float(found.correlation[found.merit.argmax()])) ** 2
