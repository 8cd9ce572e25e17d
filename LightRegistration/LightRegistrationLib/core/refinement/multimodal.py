"""Whether two roughly aligned images are a multimodal pair or show their tissues in the same contrast."""

from __future__ import annotations

import torch
from torch import Tensor

from ..result.result import Metric
from ..sampling.filters import box_max
from .settings import REFINEMENT, MultimodalSettings


def choose_metric(fixed: Tensor, moving: Tensor, settings: MultimodalSettings = REFINEMENT.multimodal) -> Metric:
    """Choose the similarity for a pair: local correlation for a single contrast, MIND for a multimodal pair.

    fixed, moving: (1, 1, D, H, W) in [0, 1] on the network grid, aligned by an affine map, 0 outside their field of
    view. A pair with too few voxels to decide counts as single contrast.
    """
    is_multimodal = measure_multimodality(fixed, moving, settings) > settings.max_single_contrast_gain
    return Metric.MIND if is_multimodal else Metric.CORRELATION


def measure_multimodality(fixed: Tensor, moving: Tensor, settings: MultimodalSettings = REFINEMENT.multimodal) -> float:
    """Measure how much better a curve predicts one image from the other than a rising line (fraction of the variance).

    The curve is the mean of one image at each intensity of the other. The fraction that it explains is the correlation
    ratio (Roche et al., MICCAI 1998). The larger gain of the two directions is returned, about 0 to 1. Only voxels
    inside both bodies and away from their surface count, since air is dark in every contrast. Returns 0 if they are too
    few.
    """
    known = (fixed > settings.min_intensity) & (moving > settings.min_intensity)
    inside = box_max((~known).float(), settings.edge_voxels) == 0
    if int(inside.sum()) < settings.min_voxels:
        return 0.0
    a, b = fixed[inside], moving[inside]
    line = float(torch.nan_to_num(torch.corrcoef(torch.stack([a, b]))[0, 1]))
    curve = max(_compute_correlation_ratio(a, b, settings.bins), _compute_correlation_ratio(b, a, settings.bins))
    return curve - max(0.0, line) ** 2


def _compute_correlation_ratio(values: Tensor, other: Tensor, count: int) -> float:
    """Fraction of the variance of `other` (n,) that its means over `count` bins of `values` (n,) explain."""
    bins = (values * count).long().clamp(0, count - 1)
    counts = torch.bincount(bins, minlength=count).clamp(min=1)
    means = torch.bincount(bins, weights=other, minlength=count) / counts
    rest = (other - means[bins]).square().mean() / other.var(correction=0).clamp(min=1e-12)
    return 1 - float(rest)
