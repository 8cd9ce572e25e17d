"""Votes of atlases for labels: where they disagree, which label wins, and how probable each label is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

_CHUNK_VOTES = 1 << 21
"""So many pairs of votes are compared at once. Chosen; changes no result."""


def find_disputed_voxels(labels: Sequence[NDArray], search_radius: int = 0) -> NDArray[np.int64]:
    """Find the voxels where not all atlases have one label, as ascending flat indices.

    labels: an array (k, j, i) for each atlas. search_radius: the voxels around are looked at too. One atlas is read at
    a time.
    """
    lowest, highest = labels[0].copy(), labels[0].copy()
    for atlas in labels[1:]:
        np.minimum(lowest, atlas, out=lowest)
        np.maximum(highest, atlas, out=highest)
    if search_radius:
        size = 2 * search_radius + 1
        lowest, highest = minimum_filter(lowest, size, mode="nearest"), maximum_filter(highest, size, mode="nearest")
    return np.flatnonzero(lowest != highest)


def elect(votes: NDArray, weights: NDArray) -> NDArray:
    """Return for each voxel the label with the greatest sum of weights; of equal ones the smallest label.

    votes: labels (n, m) of n atlases at m voxels. weights: (n, m), or (n, 1) for the same at all voxels.
    """
    winners = np.empty(votes.shape[1], votes.dtype)
    step = max(1, _CHUNK_VOTES // len(votes) ** 2)
    for start in range(0, votes.shape[1], step):
        own = votes[:, start : start + step]
        order = np.argsort(own, axis=0, kind="stable")
        ordered = np.take_along_axis(own, order, 0)
        amounts = np.broadcast_to(weights[:, start : start + step] if weights.shape[1] > 1 else weights, own.shape)
        amounts = np.take_along_axis(amounts, order, 0)
        support = np.einsum("abm,bm->am", ordered[:, None] == ordered[None], amounts, dtype=np.float64)
        # Sums of the same weights in another order differ by rounding only.
        first = np.argmax(support >= support.max(0) * (1 - 1e-6), axis=0)
        winners[start : start + step] = np.take_along_axis(ordered, first[None], 0)[0]
    return winners


def compute_support(votes: NDArray, weights: NDArray, label: int) -> NDArray[np.float32]:
    """Compute the share (m,) of the weights that vote for a label, 0 to 1; votes and weights as in `elect`."""
    amounts = np.broadcast_to(weights, votes.shape)
    share = np.einsum("nm,nm->m", votes == label, amounts) / amounts.sum(0)
    return np.asarray(share.clip(0, 1), np.float32)
