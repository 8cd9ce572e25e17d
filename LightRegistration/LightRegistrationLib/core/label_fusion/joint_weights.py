"""Weights of joint label fusion.

Wang, Suh, Das, Pluta, Craige, Yushkevich: Multi-Atlas Segmentation with Joint Label Fusion, IEEE TPAMI 35(3), 2013.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .patches import find_voxels, list_offsets, standardize
from .settings import FusionSettings

_MIN_GAIN = 1e-5
"""Share of the greatest correlation by which a voxel further away has to match better: rounding decides nothing."""


def compute_joint_weights(
    target: Tensor, images: Sequence[Tensor], centers: Tensor, settings: FusionSettings
) -> tuple[Tensor, Tensor]:
    """Compute the weights of n atlases at m voxels.

    target, images: (k, j, i) of float32, on one grid. centers: (m, 3), k, j, i. Returns the weights (n, m), 0 or more
    with the sum 1 at each voxel, and for each atlas the flat index (n, m) of the voxel whose patch is most similar to
    the target's patch within the search radius; without a search it is the voxel itself.
    """
    shape, center = tuple(target.shape), torch.zeros(1, 3, dtype=torch.int64)
    offsets = list_offsets(settings.patch_radius)
    at_centers = find_voxels(centers, offsets, shape)
    own = standardize(torch.take(target, at_centers))
    errors = torch.empty(len(centers), len(images), len(offsets))
    matched = find_voxels(centers, center, shape)[:, 0].repeat(len(images), 1)
    for number, image in enumerate(images):
        found = at_centers
        if settings.search_radius:
            places = _search(own, image, centers, settings)
            found, matched[number] = find_voxels(places, offsets, shape), find_voxels(places, center, shape)[:, 0]
        errors[:, number] = standardize(torch.take(image, found)).sub_(own).abs_()
    return _solve(errors, settings).T.contiguous(), matched


def _search(own: Tensor, image: Tensor, centers: Tensor, settings: FusionSettings) -> Tensor:
    """Find for each voxel the voxel of the image, (m, 3), whose patch correlates best with the target's patch."""
    offsets = list_offsets(settings.patch_radius)
    best = torch.full((len(centers),), -torch.inf)
    places = centers.clone()
    limits = torch.tensor(image.shape) - 1
    for step in list_offsets(settings.search_radius):
        candidates = torch.minimum((centers + step).clamp_min_(0), limits)
        patches = standardize(torch.take(image, find_voxels(candidates, offsets, tuple(image.shape))))
        correlation = (own * patches).sum(-1)
        is_better = correlation > best + _MIN_GAIN * len(offsets)
        best[is_better] = correlation[is_better]
        places[is_better] = candidates[is_better]
    return places


def _solve(errors: Tensor, settings: FusionSettings) -> Tensor:
    """Return the weights (m, n) with the least expected error; errors: absolute differences (m, n, patch).

    The pairwise error matrix M holds the mean products of the differences of two atlases over the patch, to the power
    beta, with alpha added on its diagonal; the weights are M^-1 1, divided by their sum. Negative ones become 0, as in
    the authors' program.
    """
    matrices = torch.bmm(errors, errors.transpose(1, 2)).div_(errors.shape[2] - 1).double().pow_(settings.exponent)
    matrices.diagonal(dim1=1, dim2=2).add_(settings.ridge)
    ones = torch.ones(*matrices.shape[:2], 1, dtype=torch.float64)
    weights = torch.linalg.solve(matrices, ones)[..., 0].clamp_min_(0)
    return (weights / weights.sum(1, keepdim=True)).float()
