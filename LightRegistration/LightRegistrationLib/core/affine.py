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

from .affine_climb import NOTHING, Candidates, Comparison
from .affine_findings import findings
from .affine_images import LEVEL_POINTS, Level, LevelImage, fine_spacing_mm, level, level_images
from .affine_search import HALF_TURNS, Start, find_starts, points_apart_mm, quarter_turns, simple_starts
from .errors import InputError
from .field import AffineTransform
from .geometry import FloatArray, Geometry, homogeneous
from .intensity import IntensityRule
from .network_grid import Shrunk
from .volume import Segmentation, Volume

TURN_MARGIN = 0.06
"""By how much the merit of a turned alignment has to exceed that of the best one that is not turned."""
_TURN_HOPE = 0.03
_CONTRAST_GAIN = 0.05
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


def center_transform(fixed: Geometry, moving: Geometry) -> AffineTransform:
    """The shift that brings the middle of the fixed grid to the middle of the moving one."""
    return AffineTransform(homogeneous(np.eye(3), moving.center_mm - fixed.center_mm))


def align_affine(
    fixed: Volume,
    moving: Volume,
    rule: IntensityRule,
    *,
    fixed_mask: Segmentation | None = None,
    moving_mask: Segmentation | None = None,
    shrunk: tuple[Shrunk, Shrunk] | None = None,
) -> Alignment:
    """Find the affine map fixed -> moving, RAS mm, whatever the headers' offsets and half or quarter turns.

    Only what lies in both fields of view (and masks: the union of their segments) is compared. A turned alignment is
    taken where it is clearly better than any other; a mirrored one is said, never taken. shrunk: both volumes averaged
    to blocks of at most 4 mm, in this order, if that is at hand. Deterministic.
    Raises InputError where no start gives the two volumes anything in common.
    """
    spacing = fine_spacing_mm(fixed.geometry, moving.geometry)
    small = shrunk or (None, None)
    images = list(
        zip(
            level_images(fixed, spacing, rule, fixed_mask, small[0]),
            level_images(moving, spacing, rule, moving_mask, small[1]),
            strict=True,
        )
    )
    search, middle = _Search(*images[2]), level(*images[1], LEVEL_POINTS[1], with_contrast=True)
    best, comparison = _best(search, middle)
    notes = findings(search.level, comparison, best)
    fine = Comparison(level(*images[0], LEVEL_POINTS[0], with_contrast=True), comparison.curved)
    refined = fine.climb(best.matrices, _AFFINE, _STEPS[2])
    result = best if float(refined.merit) == NOTHING else refined
    return Alignment(AffineTransform(result.matrices[0].numpy()), notes)


class _Search:
    """The search level: starts are found once for each set of turns, and climbed by a line or a curve."""

    def __init__(self, fixed: LevelImage, moving: LevelImage) -> None:
        self.fixed, self.moving = fixed, moving
        self.level = level(fixed, moving, LEVEL_POINTS[2], with_contrast=False)
        found = find_starts(fixed, moving, HALF_TURNS)
        unturned = [s for s in found if s.turn == 0]
        shift = unturned[0].matrix if unturned else homogeneous(np.eye(3), moving.geometry.center_mm)
        self.straight = found + simple_starts(fixed, moving, shift)

    def finalists(self, curved: bool, quarters: bool) -> tuple[list[FloatArray], list[FloatArray]]:
        """Rigid motions worth a closer look: not turned, and turned (those by quarters too where it is asked for)."""
        starts = self.straight
        if quarters:
            starts = starts + find_starts(self.fixed, self.moving, (np.eye(3), *quarter_turns()))
        climbed = Comparison(self.level, curved).climb(_stacked(starts), _RIGID, _STEPS[0])
        turned = torch.tensor([s.turn > 0 for s in starts])
        straight = self._distinct(climbed[(~turned).nonzero()[:, 0]], NOTHING)
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
            if all(points_apart_mm(matrix, other, points) > apart for other in chosen):
                chosen.append(matrix)
        return chosen


def _stacked(starts: Sequence[Start]) -> Tensor:
    return torch.from_numpy(np.stack([s.matrix for s in starts]))


def _best(search: _Search, middle: Level) -> tuple[Candidates, Comparison]:
    """The best alignment at the middle level, and how it was compared: by a line, or for two contrasts by a curve."""
    line, curve = (Comparison(middle, curved) for curved in (False, True))
    best = _best_by(search, line)
    if best is None or _is_two_contrasts(best, curve):
        other = _best_by(search, curve)
        if other is not None:
            return other, curve
    if best is None:
        raise InputError(
            "The two volumes have nothing in common that an alignment could start from: check that both show the same "
            "part of the body."
        )
    return best, line


def _best_by(search: _Search, comparison: Comparison) -> Candidates | None:
    best = None
    for quarters in (False, True):
        straight, turned = search.finalists(comparison.curved, quarters)
        if straight or turned:
            climbed = comparison.climb(torch.from_numpy(np.stack(straight + turned)), _AFFINE, _STEPS[1])
            best = _choice(climbed, len(straight))
        if best is not None and float(best.merit) >= _POOR_MATCH:
            break
    return best


def _choice(climbed: Candidates, straight: int) -> Candidates | None:
    """The candidate to believe, the first ones being straight: a turned one only where it is clearly better."""
    merit = climbed.merit.clone()
    if straight and float(merit[:straight].max()) > NOTHING:
        merit[straight:] -= TURN_MARGIN
    best = int(merit.argmax())
    return climbed[torch.tensor([best])] if float(climbed.merit[best]) > NOTHING else None


def _is_two_contrasts(best: Candidates, curve: Comparison) -> bool:
    explained = float(curve.evaluate(best.matrices).correlation) ** 2
    return explained - max(0.0, float(best.correlation)) ** 2 > _CONTRAST_GAIN
