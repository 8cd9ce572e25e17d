"""A deformation is kept only as far as it improves the match, by measures that were not optimized alone.

A network moves even what matches already, and a refinement follows noise. Two measures must rise: the correlation over
the whole image, which noise and uniform regions do not raise, and the mean local correlation, which a change of overall
brightness does not raise. For a multimodal pair the edges are compared instead of the intensities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry.geometry import Geometry
from ..network.flow_conversion import Deformation, compute_flow_geometry, resample_flow
from ..network.flows import warp
from ..network.grid import GridImage
from ..sampling.edges import compute_edges
from ..sampling.filters import box_max
from .local_correlation import LocalCorrelation
from .settings import REFINEMENT, AcceptanceSettings


@dataclass(frozen=True)
class Match:
    """How well two images match where both are known: correlation, -1 to 1, and mean squared local correlation."""

    correlation: float
    local_correlation: float


class MatchMeasure:
    """Measures how deformations match one pair of images, on a grid coarser than theirs."""

    def __init__(
        self, fixed: GridImage, moving: GridImage, settings: AcceptanceSettings = REFINEMENT.acceptance
    ) -> None:
        self._settings = settings
        self._fixed, self._fixed_known = _pool(fixed, settings.pooling_voxels)
        moving_tensor, moving_known = _pool(moving, settings.pooling_voxels)
        self._moving = torch.cat([moving_tensor, moving_known], dim=1)
        self._geometry: Geometry = compute_flow_geometry(fixed.geometry, tuple(self._fixed.shape[2:]))
        self._local = LocalCorrelation(self._fixed, settings.window_voxels)

    def measure(self, deformation: Deformation) -> Match:
        """Measure the match of the fixed image and the moving image under a deformation."""
        flow = resample_flow(deformation.flow, deformation.geometry, self._geometry)
        warped = warp(self._moving, flow)
        known = self._fixed_known * (warped[:, 1:] > self._settings.min_known_fraction)
        is_shown = (known > 0) & (self._fixed > self._settings.min_intensity)
        pair = torch.stack([self._fixed[is_shown], warped[:, :1][is_shown]])
        correlation = float(torch.nan_to_num(torch.corrcoef(pair)[0, 1])) if pair.shape[1] > 1 else 0.0
        return Match(correlation, self._local.evaluate(warped[:, :1], known).value)

    def measure_unmoved(self, deformation: Deformation) -> Match:
        """Measure the match without a deformation, on the grid of one."""
        return self.measure(_scale(deformation, 0.0))

    def is_better(self, match: Match, other: Match) -> bool:
        """Whether a match is better than another one in both measures."""
        gain = self._settings.min_gain
        return match.correlation > other.correlation + gain and match.local_correlation > other.local_correlation + gain

    def is_worth_moving(self, match: Match, unmoved: Match) -> bool:
        """Whether a deformation matches so much better than none that it is more than interpolation and noise."""
        gain = match.correlation - unmoved.correlation
        local_gain = match.local_correlation - unmoved.local_correlation
        settings = self._settings
        is_clear = gain > settings.min_network_gain and local_gain > settings.min_local_network_gain
        return is_clear and self.is_better(match, unmoved)


def show_edges(image: GridImage) -> GridImage:
    """Replace the intensities of an image by its edges, which two contrasts of one anatomy share."""
    is_inner = box_max((~image.known).float(), 1) == 0
    return GridImage(compute_edges(image.tensor), image.geometry, is_inner)


def accept_deformation(measure: MatchMeasure, deformation: Deformation) -> tuple[Deformation, float]:
    """Keep the largest fraction of a deformation (1, a half, 0) that matches clearly better than none of it.

    Returns what is kept, and the fraction.
    """
    unmoved = measure.measure_unmoved(deformation)
    for fraction in (1.0, 0.5):
        scaled = _scale(deformation, fraction)
        if measure.is_worth_moving(measure.measure(scaled), unmoved):
            return scaled, fraction
    return _scale(deformation, 0.0), 0.0


def _scale(deformation: Deformation, fraction: float) -> Deformation:
    return deformation if fraction == 1 else replace(deformation, flow=deformation.flow * fraction)


def _pool(image: GridImage, voxels: int) -> tuple[Tensor, Tensor]:
    """Average an image over blocks; a block is known if all of it is."""
    known = F.avg_pool3d(image.known.float(), voxels)
    return F.avg_pool3d(image.tensor, voxels), (known > 0.999).float()
