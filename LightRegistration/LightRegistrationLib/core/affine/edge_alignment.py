"""The last step of the affine stage for a multimodal pair: its edges place it, and the stiffest of equals is taken.

A curve of intensities at 4 mm places T1, T2 and FLAIR of one visit wrongly by 1 to 2 mm, since fat and bone differ in
more than their brightness. The edge strengths at 2 mm are optimized like the intensities of one contrast; then as
loaded, rigid, similarity and affine compete by the directions of their gradients (normalized gradient fields, Haber
and Modersitzki, MICCAI 2006), which were not optimized.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..geometry.geometry import apply_affine
from ..sampling.edges import compute_edges
from ..sampling.filters import gradient
from .level import make_level, sample_rows
from .optimizer import optimize
from .pyramid import PyramidImage, find_body
from .settings import AFFINE
from .similarity import AffineSimilarity, Candidates
from .stiffness import AFFINE_PARAMETERS, is_nearly_rigid, list_less_turned, list_stiffer


def align_edges(fixed: PyramidImage, moving: PyramidImage, found: Candidates) -> Tensor:
    """Improve the alignment of a multimodal pair: returns a matrix fixed -> moving (4, 4), RAS mm.

    fixed, moving: on fine grids. found: the best candidate alone, by a curve of intensities.
    """
    edges = [replace(image, tensor=compute_edges(image.tensor)) for image in (fixed, moving)]
    similarity = AffineSimilarity(make_level(edges[0], edges[1], AFFINE.edge_points, with_local_contrast=False), False)
    affine = optimize(similarity, found.matrices, AFFINE_PARAMETERS, AFFINE.fine_steps)
    agreement = GradientAgreement(fixed, moving)
    for other in list_less_turned(similarity, affine):
        values = [agreement.measure(candidate.matrices[0]) for candidate in (other, affine)]
        if other.merit >= affine.merit and values[0] >= values[1]:
            affine = other
    stiffer = list_stiffer(similarity, affine) if is_nearly_rigid(affine.matrices[0]) else []
    matrices = [torch.eye(4, dtype=torch.float64), *(s.matrices[0] for s in stiffer), affine.matrices[0]]
    values = [agreement.measure(matrix) for matrix in (*matrices, found.matrices[0])]
    least = (1 - AFFINE.max_agreement_loss) * max(values)
    return next(m for m, value in zip((*matrices, found.matrices[0]), values, strict=True) if value >= least)


class GradientAgreement:
    """How well the gradients of two images run along the same lines, in either direction: 0 to 1."""

    def __init__(self, fixed: PyramidImage, moving: PyramidImage) -> None:
        indices = find_body(fixed).nonzero()
        step = max(1, len(indices) // AFFINE.edge_points)
        k, j, i = indices[::step].T
        points = apply_affine(fixed.geometry.affine, torch.stack([i, j, k], 1).double().numpy())
        self._points = torch.from_numpy(points)
        self._fixed = _differentiate(fixed)[0, :, k, j, i].T
        self._moving = moving
        self._rows = torch.cat([_differentiate(moving)[0], moving.valid[0]]).flatten(1).T.contiguous()

    def measure(self, matrix: Tensor) -> float:
        """Measure the agreement under a matrix fixed -> moving (4, 4), RAS mm; points that one does not show count 0.

        It is the mean of cos² of the angle between the gradients, each weighted by its strength.
        """
        to_voxels = torch.from_numpy(self._moving.geometry.inverse_affine) @ matrix
        coordinates = (self._points @ to_voxels[:3, :3].T + to_voxels[:3, 3]).float()
        sampled, within = sample_rows(self._rows, self._moving.geometry.shape, coordinates)
        turned = sampled[:, :3] @ matrix[:3, :3].float()
        noise = AFFINE.gradient_noise**2
        strengths = [vectors.square().sum(1) + noise for vectors in (self._fixed, turned)]
        cosines = (self._fixed * turned).sum(1).square() / (strengths[0] * strengths[1])
        return float((cosines * (within & (sampled[:, 3] > 0.999))).mean())


def _differentiate(image: PyramidImage) -> Tensor:
    """Differentiate an image along R, A and S, per voxel: (1, 3, D, H, W)."""
    axes = torch.from_numpy(image.geometry.affine[:3, :3] / image.geometry.spacing_mm).float()
    return torch.einsum("ra,nadhw->nrdhw", axes, gradient(image.tensor))
