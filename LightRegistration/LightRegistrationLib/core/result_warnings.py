"""Warnings of a result for the user: folding, volumes not preserved, a poor match, two scans of one person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .network.extents import Shown
from .result.result import JacobianSummary, PreservedVolume
from .result.settings import AUTO_MODEL, RegistrationSettings

MULTIMODAL_WARNING = "The volumes are a multimodal pair (two contrasts): a refinement matches them more closely."

MULTIMODAL_FOLLOW_UP_WARNING = (
    "The volumes are a multimodal pair (two contrasts), but follow-up compares one contrast: they were aligned "
    "rigidly only, and no changes are listed."
)
FOLLOW_UP_PROPOSAL = (
    "The volumes look like two scans of one person: what only one of them shows may have been squeezed or stretched. "
    "To keep and list what changed, register them as follow-up of one person (--follow-up)."
)
NOT_ONE_PERSON_WARNING = (
    "The volumes do not look like two scans of one person, as follow-up expects; register them without it unless you "
    "know better."
)


@dataclass(frozen=True)
class WarningSettings:
    """When a result comes with a warning.

    min_correlation: a lower correlation after registration is a poor match. Chosen, not measured; noise in place of a
    volume is below it, a volume with itself above it (`Testing/Python/core/test_registration.py`).
    min_edge_correlation: the same for the edges of a multimodal pair. Between 0.56, the lowest of brains with remapped
    contrasts (T1, T2 and FLAIR of one visit: 0.65 and more), and -0.15, a hippocampus with a liver.
    min_shown_share: a volume that shows less of the other one's body has another extent. Chosen: pairs of one body part
    are cut at somewhat different places; false and missed alarms: `Testing/Benchmarks/robustness.py`.
    min_shown_length: the same of the length of the body along R, A or S. Chosen between halves (0.42 to 0.54) and the
    crops of hippocampi (0.67 and more), as read once; false and missed alarms: the same command.
    max_volume_change_percent: larger changes of a structure whose volume is preserved. Chosen, not measured.
    max_person_strain: largest strain of the initial alignment between two scans of one person, whom scanners show in
    one size. min_person_correlation: least mean local correlation after that alignment alone. Both chosen between the
    pairs that `Testing/Benchmarks/follow_up.py` measured: four of one person (strain 0.000, correlation 0.50 to 0.65)
    and six of two people (strain 0.05 to 0.20, correlation 0.22 to 0.51).
    """

    min_correlation: float = 0.6
    min_edge_correlation: float = 0.3
    min_shown_share: float = 0.7
    min_shown_length: float = 0.6
    max_volume_change_percent: float = 3.0
    max_person_strain: float = 0.01
    min_person_correlation: float = 0.3


WARNINGS = WarningSettings()


@dataclass(frozen=True)
class PersonMatch:
    """How well a pair matches after the initial alignment alone, as scans of one person do.

    strain: of the alignment (`core.affine.stage.Alignment`); None if it was not searched. correlation: mean local
    correlation, 0 to 1.
    """

    strain: float | None
    correlation: float

    @property
    def is_one_person(self) -> bool | None:
        """Whether both are scans of one person; None if that cannot be told: alike, but of sizes not compared."""
        if self.correlation < WARNINGS.min_person_correlation:
            return False
        return None if self.strain is None else self.strain <= WARNINGS.max_person_strain


def warn_of_poor_match(correlation: float) -> Iterator[str]:
    """Yield a warning if the correlation after registration is low."""
    if correlation < WARNINGS.min_correlation:
        yield (
            f"The volumes hardly match after registration (correlation {correlation:.2f}); check that both show the "
            "same part of the body in the same contrast."
        )


def warn_of_multimodal_match(edge_correlation: float, is_refined: bool) -> Iterator[str]:
    """Yield a warning if the edges of a multimodal pair do not match; else, without refinement, that it would help."""
    if edge_correlation < WARNINGS.min_edge_correlation:
        yield (
            f"The volumes hardly match after registration (correlation of edges {edge_correlation:.2f}); check that "
            "both show the same part of the body."
        )
    elif not is_refined:
        yield MULTIMODAL_WARNING


def warn_of_extents(fixed: Shown, moving: Shown) -> Iterator[str]:
    """Yield a warning for each volume that does not show a large part of the body in the other one.

    fixed, moving: how much of the body in the fixed and in the moving volume the other one shows.
    """
    for shown, whole, part in ((fixed, "fixed", "moving"), (moving, "moving", "fixed")):
        if shown.share < WARNINGS.min_shown_share:
            what = f"{100 * shown.share:.0f} % of the body"
        elif shown.length < WARNINGS.min_shown_length:
            what = f"{100 * shown.length:.0f} % of the length, along {shown.axis}, of the body"
        else:
            continue
        yield (
            f"The volumes show different extents: the {part} volume shows only {what} in the {whole} one; check the "
            "alignment, and look only where both show it."
        )


def warn_of_person(match: PersonMatch, settings: RegistrationSettings) -> Iterator[str]:
    """Yield a proposal of follow-up for two scans of one person, and a warning for a follow-up of two people.

    match: of single-contrast volumes. Follow-up is proposed only where the model is chosen automatically.
    """
    if settings.follow_up and match.is_one_person is False:
        yield NOT_ONE_PERSON_WARNING
    if match.is_one_person and settings.model == AUTO_MODEL and not settings.follow_up:
        yield FOLLOW_UP_PROPOSAL


def warn_of_field(jacobian: JacobianSummary, preserved: tuple[PreservedVolume, ...]) -> Iterator[str]:
    """Yield warnings about folding, and about structures whose volume changes although it should be preserved."""
    if jacobian.percent_nonpositive > 0:
        yield f"The deformation folds in {jacobian.percent_nonpositive:.3f} % of the volume; look at the grid."
    for structure in preserved:
        if abs(structure.change_percent) > WARNINGS.max_volume_change_percent:
            change = f"{structure.change_percent:+.1f} %"
            yield f"The volume of {structure.name} could not be preserved: it changes by {change}."


def warn_of_margin(is_folded: bool) -> Iterator[str]:
    """Yield a warning if the field folds beyond the fixed volume, where it falls to the initial alignment."""
    if is_folded:
        yield "Just beyond the fixed volume the transform folds; apply it to nothing that reaches out of the volume."
