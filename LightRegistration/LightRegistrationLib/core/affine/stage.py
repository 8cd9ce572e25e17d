"""The affine stage: from two volumes whose headers may be wrong to an affine map fixed -> moving, and what was found.

Coarse to fine: at about 16 mm every shift and half turn is tried and the best are climbed as rigid motions, then 12
parameters at 8 and 4 mm (finer for small fields of view). Two contrasts are noticed and compared by a curve instead of
a line. What the headers have wrong (offsets, turns, mirrored axes) is said, in `affine_findings`.
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
from .header_checks import check_headers
from .optimizer import NO_OVERLAP, AffineSimilarity, Candidates
from .pyramid import LEVEL_POINTS, NO_COMMON_CONTENT, Level, PyramidImage, build_pyramid, fine_spacing_mm, level
from .search import HALF_TURNS, Start, find_starts, make_header_starts, mean_distance_mm, quarter_turns

TURN_MARGIN = 0.06
"""By how much the merit of a turned alignment has to exceed that of the best one that is not turned."""
_TURN_HOPE = 0.03
_GAIN = 0.025
"""Two contrasts: a curve explains so much more of the moving variance than a line does."""
_POOR_MATCH = 0.55
_RIGID, _AFFINE = 6, 12
_STEPS = 8, 10, 12
_FINALISTS = 2
_DISTINCT_VOXELS = 1.0


@dataclass(frozen=True)
class Alignment:
    """An affine map fixed -> moving, RAS mm, and lines for the user about what is wrong with the headers."""

    transform: AffineTransform
    notes: tuple[str, ...] = ()


def align_centers(fixed: Geometry, moving: Geometry) -> AffineTransform:
    """The shift that brings the middle of the fixed grid to the middle of the moving one."""
    return AffineTransform(homogeneous(np.eye(3), moving.center_mm - fixed.center_mm))


def align_affine(
    fixed: Volume,
    moving: Volume,
    rule: IntensityNormalization,
    *,
    fixed_mask: Segmentation | None = None,
    moving_mask: Segmentation | None = None,
    shrunk: tuple[ShrunkImage, ShrunkImage] | None = None,
) -> Alignment:
    """Find the affine map fixed -> moving, RAS mm, whatever the headers' offsets and half or quarter turns.

    Only what lies in both fields of view (and masks: the union of their segments) is compared. A turned alignment is
    taken only where it is clearly better than any other; a mirrored one is said, never taken. shrunk: both volumes
    averaged to blocks of at most 4 mm, in this order, if that is at hand. Deterministic.
    Raises InputError where no start gives the two volumes anything in common.
    """
    spacing = fine_spacing_mm(fixed.geometry, moving.geometry)
    small = shrunk or (None, None)
    images = list(
        zip(
            build_pyramid(fixed, spacing, rule, fixed_mask, small[0]),
            build_pyramid(moving, spacing, rule, moving_mask, small[1]),
            strict=True,
        )
    )
    search, middle = _Search(*images[2]), level(*images[1], LEVEL_POINTS[1], with_contrast=True)
    contenders, comparison = _contenders(search, middle)
    fine = AffineSimilarity(level(*images[0], LEVEL_POINTS[0], with_contrast=True), comparison.curved)
    refined = fine.climb(contenders.matrices, _AFFINE, _STEPS[2])
    chosen = torch.tensor([1 if len(refined.merit) > 1 and refined.merit[1] > refined.merit[0] + TURN_MARGIN else 0])
    best = contenders[chosen]
    notes = check_headers(search.level, comparison, best)
    result = best if float(refined.merit[chosen]) == NO_OVERLAP else refined[chosen]
    return Alignment(AffineTransform(result.matrices[0].numpy()), notes)


class _Search:
    """The search level: starts are found once for each set of turns, and climbed by a line or a curve."""

    def __init__(self, fixed: PyramidImage, moving: PyramidImage) -> None:
        self.fixed, self.moving = fixed, moving
        self.level = level(fixed, moving, LEVEL_POINTS[2], with_contrast=False)
        found = find_starts(fixed, moving, HALF_TURNS)
        unturned = [s for s in found if s.turn == 0]
        shift = unturned[0].matrix if unturned else align_centers(fixed.geometry, moving.geometry).matrix
        self.straight = found + make_header_starts(fixed, moving, shift)

    def finalists(self, curved: bool, quarters: bool) -> tuple[list[FloatArray], list[FloatArray]]:
        """Rigid motions worth a closer look: not turned, and turned (those by quarters too where it is asked for)."""
        starts = self.straight
        if quarters:
            starts = starts + find_starts(self.fixed, self.moving, (np.eye(3), *quarter_turns()))
        climbed = AffineSimilarity(self.level, curved).climb(_stacked(starts), _RIGID, _STEPS[0])
        turned = torch.tensor([s.turn > 0 for s in starts])
        straight = self._distinct(climbed[(~turned).nonzero()[:, 0]], NO_OVERLAP)
        least = float(climbed.merit[~turned].max()) - _TURN_HOPE
        return straight, self._distinct(climbed[turned.nonzero()[:, 0]], least)

    def _distinct(self, candidates: Candidates, least: float) -> list[FloatArray]:
        points = self.level.points[::50].double().numpy()
        apart = _DISTINCT_VOXELS * float(self.level.geometry.spacing_mm[0])
        chosen: list[FloatArray] = []
        for n in candidates.merit.argsort(descending=True).tolist():
            matrix = candidates.matrices[n].numpy()
            if len(chosen) == _FINALISTS or float(candidates.merit[n]) <= least:
                break
            if all(mean_distance_mm(matrix, other, points) > apart for other in chosen):
                chosen.append(matrix)
        return chosen


def _stacked(starts: Sequence[Start]) -> Tensor:
    return torch.from_numpy(np.stack([s.matrix for s in starts]))


def _contenders(search: _Search, middle: Level) -> tuple[Candidates, AffineSimilarity]:
    """What the fine level decides between, and how it was compared: by a line, or for two contrasts by a curve."""
    line, curve = (AffineSimilarity(middle, curved) for curved in (False, True))
    found = _climbed_by(search, line)
    # A line between two contrasts may lead anywhere: what it found is then no judge of whether a curve is needed.
    if found is None or len(found.merit) > 1 or _explained(curve.evaluate(found.matrices)) > _explained(found) + _GAIN:
        other = _climbed_by(search, curve)
        if other is not None and (found is None or _explained(other) > _explained(found) + _GAIN):
            return other, curve
    if found is None:
        raise InputError(NO_COMMON_CONTENT)
    return found, line


def _climbed_by(search: _Search, comparison: AffineSimilarity) -> Candidates | None:
    """The best straight alignment and, behind it, the best turned one if that matches better; None without either."""
    found = None
    for quarters in (False, True):
        straight, turned = search.finalists(comparison.curved, quarters)
        if straight or turned:
            climbed = comparison.climb(torch.from_numpy(np.stack(straight + turned)), _AFFINE, _STEPS[1])
            found = _best_of_both(climbed, len(straight))
        if found is not None and float(found.merit.max()) >= _POOR_MATCH:
            break
    return found


def _best_of_both(climbed: Candidates, straight: int) -> Candidates | None:
    order = climbed.merit.argsort(descending=True).tolist()
    chosen = [n for n in order if n < straight][:1] + [n for n in order[:1] if n >= straight]
    chosen = [n for n in chosen if float(climbed.merit[n]) > NO_OVERLAP]
    return climbed[torch.tensor(chosen)] if chosen else None


def _explained(found: Candidates) -> float:
    """The share of the moving variance that the best candidate's prediction explains; 0 for a line that falls."""
    return max(0.0, float(found.correlation[found.merit.argmax()])) ** 2
