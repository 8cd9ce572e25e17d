"""What a result says to the user besides its numbers: folds, structures that could not be kept, a poor match."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from .network.flow_conversion import compute_flow_geometry, resample_flow
from .network.flows import warp
from .network.grid import GridImage
from .refinement.optimizer import Deformation
from .result.result import JacobianSummary, PreservedVolume

LOW_CORRELATION = 0.6
KEPT_PERCENT = 3.0
MULTIMODAL_WARNING = "The volumes show two contrasts: a refinement matches them closer."


def measure_final_correlation(fixed: GridImage, moving: GridImage, found: Deformation) -> float:
    """Correlation of the fixed and the warped moving image, -1 to 1.

    At half the network grid's resolution, over the voxels where the fixed image shows something: empty space matches
    always.
    """
    target, source = (F.avg_pool3d(image.tensor, 2) for image in (fixed, moving))
    flow = resample_flow(found.flow, found.geometry, compute_flow_geometry(fixed.geometry, target.shape[2:]))
    shown = target > 0.05
    pair = torch.stack([target[shown], warp(source, flow)[shown]])
    return float(torch.nan_to_num(torch.corrcoef(pair)[0, 1]))


def warn_of_poor_match(correlation: float) -> Iterator[str]:
    """A line for volumes that hardly match, by their correlation after registration."""
    if correlation < LOW_CORRELATION:
        yield (
            f"The volumes hardly match after registration (correlation {correlation:.2f}); check that both show the "
            "same part of the body in the same contrast."
        )


def warn_of_field(jacobian: JacobianSummary, kept: tuple[PreservedVolume, ...]) -> Iterator[str]:
    """Lines about folds, and about structures whose volume could not be kept."""
    if jacobian.percent_nonpositive > 0:
        yield f"The deformation folds in {jacobian.percent_nonpositive:.3f} % of the volume; look at its grid."
    for structure in kept:
        if abs(structure.change_percent) > KEPT_PERCENT:
            yield f"The volume of {structure.name} could be kept only to {structure.change_percent:+.1f} %."
