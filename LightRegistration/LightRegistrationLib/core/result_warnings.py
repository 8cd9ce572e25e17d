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
    min_edge_correlation: the same for the edges of a multimodal pair. Between 0.56, the lowest of brains with remapped
    contrasts (T1, T2 and FLAIR of one visit: 0.65 and more), and -0.15, a hippocampus with a liver.
    min_shown_share: a volume that shows less of the other one's body has another extent. Chosen: pairs of one body part
    are cut at somewhat different places; false and missed alarms: `Testing/Benchmarks/robustness.py`.
    max_volume_change_percent: larger changes of a structure whose volume is preserved. Chosen, not measured.
    """

    min_correlation: float = 0.6
    min_edge_correlation: float = 0.3
    min_shown_share: float = 0.7
    max_volume_change_percent: float = 3.0


DEFAULT_SETTINGS = WarningSettings()


def warn_of_poor_match(correlation: float) -> Iterator[str]:
    """Yield a warning if the correlation after registration is low."""
    if correlation < DEFAULT_SETTINGS.min_correlation:
        yield (
            f"The volumes hardly match after registration (correlation {correlation:.2f}); check that both show the "
            "same part of the body in the same contrast."
        )


def warn_of_multimodal_match(edge_correlation: float, is_refined: bool) -> Iterator[str]:
    """Yield a warning if the edges of a multimodal pair do not match; else, without refinement, that it would help."""
    if edge_correlation < DEFAULT_SETTINGS.min_edge_correlation:
        yield (
            f"The volumes hardly match after registration (correlation of edges {edge_correlation:.2f}); check that "
            "both show the same part of the body."
        )
    elif not is_refined:
        yield MULTIMODAL_WARNING


def warn_of_extents(fixed_share: float, moving_share: float) -> Iterator[str]:
    """Yield a warning for each volume that does not show a large part of the body in the other one.

    fixed_share, moving_share: the share of the body in the fixed and in the moving volume that the other one shows.
    """
    for share, whole, part in ((fixed_share, "fixed", "moving"), (moving_share, "moving", "fixed")):
        if share < DEFAULT_SETTINGS.min_shown_share:
            yield (
                f"The volumes show different extents: the {part} volume shows only {100 * share:.0f} % of the body in "
                f"the {whole} one; check the alignment, and look only where both show it."
            )


def warn_of_field(jacobian: JacobianSummary, preserved: tuple[PreservedVolume, ...]) -> Iterator[str]:
    """Yield warnings about folding, and about structures whose volume changes although it should be preserved."""
    if jacobian.percent_nonpositive > 0:
        yield f"The deformation folds in {jacobian.percent_nonpositive:.3f} % of the volume; look at the grid."
    for structure in preserved:
        if abs(structure.change_percent) > DEFAULT_SETTINGS.max_volume_change_percent:
            change = f"{structure.change_percent:+.1f} %"
            yield f"The volume of {structure.name} could not be preserved: it changes by {change}."
