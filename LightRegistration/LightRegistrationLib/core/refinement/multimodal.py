"""Whether two roughly aligned images show their tissues in one contrast, or in two that need another comparison."""

from __future__ import annotations

import torch
from torch import Tensor

from ..sampling.filters import box_max

CORRELATION, MIND = "correlation", "MIND"
CONTRAST_GAIN = 0.07
"""After the affine stage a curve explains at most this much more than a line if there is one contrast: up to 0.044 in
T1, CT and abdominal MRI of two people, two visits or breathing, 0.28 or more in T1 with FLAIR (Testing/Benchmarks)."""
_SHOWN = 0.03
_EDGE_VOXELS = 2
_LEAST_VOXELS = 200
_BINS = 24


def choose_metric(fixed: Tensor, moving: Tensor) -> str:
    """What a refinement should climb: `correlation` (local) for one contrast, `MIND` for two.

    fixed, moving: (1, 1, D, H, W) in [0, 1] on the network grid, aligned by an affine map, 0 where they are not known.
    Too little to tell is one contrast.
    """
    return MIND if measure_multimodality(fixed, moving) > CONTRAST_GAIN else CORRELATION


def measure_multimodality(fixed: Tensor, moving: Tensor) -> float:
    """How much more of one image a curve of the other explains than a rising line does, shares of the variance, 0 to 1.

    The curve is the mean of one image where the other has a certain intensity, its explained share the correlation
    ratio (Roche et al., MICCAI 1998); of the two directions the one where it gains more. Measured inside what both
    images show, away from its edge: air is dark in every contrast. 0 where too little is shown.
    """
    known = (fixed > _SHOWN) & (moving > _SHOWN)
    inside = box_max((~known).float(), _EDGE_VOXELS) == 0
    if int(inside.sum()) < _LEAST_VOXELS:
        return 0.0
    a, b = fixed[inside], moving[inside]
    line = float(torch.nan_to_num(torch.corrcoef(torch.stack([a, b]))[0, 1]))
    return max(_explained(a, b), _explained(b, a)) - max(0.0, line) ** 2


def _explained(values: Tensor, other: Tensor) -> float:
    """The share of the variance of `other` (n,) that its means over bins of `values` (n,) explain."""
    bins = (values * _BINS).long().clamp(0, _BINS - 1)
    counts = torch.bincount(bins, minlength=_BINS).clamp(min=1)
    means = torch.bincount(bins, weights=other, minlength=_BINS) / counts
    rest = (other - means[bins]).square().mean() / other.var(correction=0).clamp(min=1e-12)
    return 1 - float(rest)
