"""Warnings of a result for the user: folding, structures whose volume was not preserved, a poor match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .result.result import JacobianSummary, PreservedVolume

MULTIMODAL_WARNING = "The volumes are a multimodal pair (two contrasts): a refinement matches them more closely."


@dataclass(frozen=True)
class WarningSettings:
    """When a result comes with a warning.

    min_correlation: a lower correlation after registration is a poor match. Chosen, not measured; noise in place of a
    volume is below it, a volume with itself above it (`Testing/Python/core/test_registration.py`).
    max_volume_change_percent: larger changes of a structure whose volume is preserved. Chosen, not measured.
    """

    min_correlation: float = 0.6
    max_volume_change_percent: float = 3.0


DEFAULT_SETTINGS = WarningSettings()


def warn_of_poor_match(correlation: float) -> Iterator[str]:
    """Yield a warning if the correlation after registration is low."""
    if correlation < DEFAULT_SETTINGS.min_correlation:
        yield (
            f"The volumes hardly match after registration (correlation {correlation:.2f}); check that both show the "
            "same part of the body in the same contrast."
        )


def warn_of_field(jacobian: JacobianSummary, preserved: tuple[PreservedVolume, ...]) -> Iterator[str]:
    """Yield warnings about folding, and about structures whose volume changes although it should be preserved."""
    if jacobian.percent_nonpositive > 0:
        yield f"The deformation folds in {jacobian.percent_nonpositive:.3f} % of the volume; look at the grid."
    for structure in preserved:
        if abs(structure.change_percent) > DEFAULT_SETTINGS.max_volume_change_percent:
            change = f"{structure.change_percent:+.1f} %"
            yield f"The volume of {structure.name} could not be preserved: it changes by {change}."
