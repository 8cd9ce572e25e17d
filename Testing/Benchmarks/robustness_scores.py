"""Scores of a varied pair over the part that both of its volumes still show, beside those of the unvaried pair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from robustness_variations import Variation

from LightRegistrationLib.core.geometry.geometry import FloatArray, apply_affine
from LightRegistrationLib.core.geometry.volume import Segmentation
from LightRegistrationLib.training.evaluation.cases import Case

Map = Callable[[FloatArray], FloatArray]
"""Points (n, 3) of the fixed volume -> points of the moving volume as it was before any change, RAS mm."""

DICE, TRE = "Dice", "mm"
TOLERANCE = {DICE: 0.001, TRE: 0.01}
"""Smaller differences of a measure are no loss."""
MIN_VOXELS, MIN_LANDMARKS = 15, 3
_MAX_VOXELS = 500_000


class Scorer:
    """Measures maps of one pair: mean Dice over the structures, or the mean landmark error if there are landmarks."""

    def __init__(self, case: Case) -> None:
        self.measure = TRE if case.landmarks is not None else DICE
        if case.landmarks is not None:
            self.points, self._targets = case.landmarks[:, 0], case.landmarks[:, 1]
            return
        assert case.fixed_labels is not None
        assert case.moving_labels is not None
        fixed, self._moving_labels = _number_structures(case.fixed_labels), _number_structures(case.moving_labels)
        step = 2 if fixed.size > _MAX_VOXELS else 1
        indices = np.argwhere(fixed[::step, ::step, ::step] >= 0) * step
        self._fixed_labels = fixed[tuple(indices.T)]
        self.points = apply_affine(case.fixed_labels.geometry.affine, indices[:, ::-1].astype(float))
        self._to_indices = case.moving_labels.geometry.inverse_affine

    def score(self, found: Map, variation: Variation, reference: Map) -> float | None:
        """Measure a map over what the varied volumes show; None if that is too little.

        reference: the map of the unvaried pair, which says where a fixed point lies in the moving volume.
        """
        is_shown = variation.shows(self.points, reference(self.points) if self.measure == DICE else self._targets)
        if self.measure == DICE:
            return self._compute_dice(found, is_shown)
        if is_shown.sum() < MIN_LANDMARKS:
            return None
        return float(np.linalg.norm(found(self.points[is_shown]) - self._targets[is_shown], axis=1).mean())

    def _compute_dice(self, found: Map, is_shown: FloatArray) -> float | None:
        indices = np.rint(apply_affine(self._to_indices, found(self.points[is_shown]))).astype(int)[:, ::-1]
        is_inside = ((indices >= 0) & (indices < self._moving_labels.shape)).all(1)
        warped = np.zeros(len(indices), np.int64)
        warped[is_inside] = self._moving_labels[tuple(indices[is_inside].T)]
        fixed = self._fixed_labels[is_shown]
        count = int(max(self._fixed_labels.max(), self._moving_labels.max())) + 1
        sizes = [np.bincount(labels, minlength=count)[1:] for labels in (fixed, warped, fixed[fixed == warped])]
        is_compared = sizes[0] >= MIN_VOXELS
        if not is_compared.any():
            return None
        return float((2 * sizes[2] / np.maximum(1, sizes[0] + sizes[1]))[is_compared].mean())


def _number_structures(segmentation: Segmentation) -> FloatArray:
    """Number the structures from 1, in their order, which is the same in both segmentations of a case."""
    labels = np.zeros(segmentation.geometry.shape, np.int64)
    for number, segment in enumerate(segmentation.segments, start=1):
        labels[segmentation.mask(segment)] = number
    return labels
