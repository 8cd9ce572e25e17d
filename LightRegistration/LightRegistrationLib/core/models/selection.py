"""The choice of a model for two volumes, by the coverage in the cards and the image statistics of the volumes.

No model is named here: `covers` in a card makes a model eligible, also a user's own model. Without torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelError
from .cards import Cards, ModelCard
from .coverage import STATISTICS, Coverage
from .image_statistics import ImageStatistics

PairStatistics = tuple[ImageStatistics, ImageStatistics]
"""Image statistics of the fixed and of the moving volume."""

WRONG_MODALITY_DISTANCE = 1000.0
"""More than any distance of statistics: a model for the modality is always nearer than one for another. Chosen."""


@dataclass(frozen=True)
class ModelChoice:
    """The chosen model, the reason (one line, without its name), and warnings for the user.

    rivals: other special models that cover both volumes too, or, where the chosen model is for any image, the special
    models for their modality that cover one of them; the statistics alone do not decide between them.
    """

    card: ModelCard
    reason: str
    warnings: tuple[str, ...] = ()
    rivals: tuple[ModelCard, ...] = ()


def choose_model(cards: Mapping[str, ModelCard], pair: PairStatistics) -> ModelChoice:
    """Choose the model that covers both volumes; a model for any image only if no other covers both.

    Of several, the one in whose ranges both volumes lie nearest to the middle, and a user's own before a bundled one.
    If none covers both, the nearest one, with warnings. Raises ModelError if no card has `covers`.
    """
    eligible = [card for card in cards.values() if card.covers]
    if not eligible:
        raise ModelError("No installed model has `covers` in its card: choose one by its name.")
    fitting = [card for card in eligible if all(_find_entry(card, statistics) for statistics in pair)]
    card = min(
        fitting or eligible, key=lambda card: (_is_general(card, pair), _measure_distance(card, pair), card.is_bundled)
    )
    warnings = [*_warn_of_damaged(cards), *_warn_of_misfits(card, pair)]
    if not fitting:
        return ModelChoice(card, "the nearest of the installed models; none is for volumes like these", tuple(warnings))
    if _is_general(card, pair):
        return ModelChoice(card, _explain_general(pair), tuple(warnings), _find_half_covering(eligible, pair))
    rivals = tuple(other for other in fitting if other is not card and not _is_general(other, pair))
    return ModelChoice(card, _explain(card, pair), tuple(warnings), rivals)


def _find_half_covering(eligible: Sequence[ModelCard], pair: PairStatistics) -> tuple[ModelCard, ...]:
    """Find the special models for the modality of both volumes that cover one of them: the other may be a part only.

    Models that cover neither are not tried: on whole livers the brain's matches better and ends 1 mm further away.
    """
    return tuple(
        card
        for card in eligible
        if any(_covers_specially(card, statistics) for statistics in pair)
        and all(any(entry.modality == statistics.modality for entry in card.covers) for statistics in pair)
    )


def _covers_specially(card: ModelCard, statistics: ImageStatistics) -> bool:
    entry = _find_entry(card, statistics)
    return entry is not None and entry.modality != "any"


def prefer_rival(choice: ModelChoice, rival: ModelCard, correlation: float, other: float) -> ModelChoice:
    """Replace the chosen model by a rival whose result matches better (correlations of both, -1 to 1)."""
    reason = (
        f"'{choice.card.name}' was tried too, but this model matches the volumes better "
        f"(correlation {correlation:.4f}, not {other:.4f})"
    )
    return ModelChoice(rival, reason, choice.warnings)


def check_model(card: ModelCard, pair: PairStatistics) -> ModelChoice:
    """Take the model that the user asked for, with warnings if it does not cover the volumes."""
    return ModelChoice(card, "chosen by name", tuple(_warn_of_misfits(card, pair)))


def _find_entry(card: ModelCard, statistics: ImageStatistics) -> Coverage | None:
    """Find the entry of the card's `covers` in whose ranges the volume lies, None if there is none."""
    entries = [
        entry
        for entry in card.covers
        if entry.is_for(statistics.modality) and not entry.find_outside(statistics.values)
    ]
    return min(
        entries, key=lambda entry: (entry.modality == "any", entry.measure_distance(statistics.values)), default=None
    )


def _is_general(card: ModelCard, pair: PairStatistics) -> bool:
    """Whether the card covers these volumes only because it is for images of any modality."""
    return any(
        entry is not None and entry.modality == "any"
        for entry in (_find_entry(card, statistics) for statistics in pair)
    )


def _measure_distance(card: ModelCard, pair: PairStatistics) -> float:
    return max(min(_measure_entry_distance(entry, statistics) for entry in card.covers) for statistics in pair)


def _measure_entry_distance(entry: Coverage, statistics: ImageStatistics) -> float:
    return entry.measure_distance(statistics.values) + (
        0 if entry.is_for(statistics.modality) else WRONG_MODALITY_DISTANCE
    )


def _explain(card: ModelCard, pair: PairStatistics) -> str:
    fixed, moving = (_find_entry(card, statistics) for statistics in pair)
    assert fixed is not None
    assert moving is not None
    if fixed is moving:
        modality = "CT (Hounsfield units)" if fixed.modality == "CT" else fixed.modality
        return f"both volumes look like {modality}, {fixed.anatomy} ({_describe_statistics(pair, fixed.ranges)})"
    fixed_text, moving_text = (
        f"{entry.modality}, {entry.anatomy} ({_describe_statistics((statistics,), entry.ranges)})"
        for entry, statistics in zip((fixed, moving), pair, strict=True)
    )
    return f"the fixed volume looks like {fixed_text}, the moving one like {moving_text}"


def _explain_general(pair: PairStatistics) -> str:
    if pair[0].modality != pair[1].modality:
        return "one of the volumes looks like CT (Hounsfield units), the other does not"
    modality = "CT (Hounsfield units)" if pair[0].modality == "CT" else "MRI (or CT that is not in Hounsfield units)"
    numbers = _describe_statistics(pair, STATISTICS)
    return f"both volumes look like {modality}, but no special model covers them ({numbers})"


def _describe_statistics(pair: tuple[ImageStatistics, ...], names: Mapping[str, object]) -> str:
    """The statistics in words, with the values of both volumes where they differ."""
    parts = []
    for name in names:
        values = dict.fromkeys(f"{statistics.values[name]:.0f}" for statistics in pair if name in statistics.values)
        if values:
            parts.append(STATISTICS[name].format(" and ".join(values)))
    return "; ".join(parts)


def _warn_of_damaged(cards: Mapping[str, ModelCard]) -> Iterator[str]:
    if isinstance(cards, Cards) and cards.damaged:
        names = ", ".join(cards.damaged)
        yield f"Not considered, because damaged: {names}; `light-registration models` says what is wrong."


def _warn_of_misfits(card: ModelCard, pair: PairStatistics) -> Iterator[str]:
    """Yield warnings about the intensities of each volume, and about volumes that the model does not cover."""
    for statistics in pair:
        if statistics.intensity_warning:
            yield statistics.intensity_warning
        problem = _describe_misfit(card, statistics)
        if problem:
            yield f"{statistics.name} {problem}; check the result with care."


def _describe_misfit(card: ModelCard, statistics: ImageStatistics) -> str:
    modalities = {entry.modality for entry in card.covers} or {card.modality}
    if statistics.modality not in modalities and "any" not in modalities:
        words = "does not look like CT (no Hounsfield units)" if statistics.modality == "MRI" else "looks like CT"
        unit = " in Hounsfield units" if statistics.modality == "unclear" and "CT" in modalities else ""
        return f"{words}, but the model '{card.name}' was trained on {' and '.join(sorted(modalities))}{unit}"
    if not card.covers or _find_entry(card, statistics):
        return ""
    nearest = min(card.covers, key=lambda entry: _measure_entry_distance(entry, statistics))
    limits = [
        f"{STATISTICS[name].format(f'{statistics.values[name]:.0f}')} (not {low:.0f} to {high:.0f})"
        for name, (low, high) in nearest.find_outside(statistics.values).items()
        if name in statistics.values
    ]
    why = "; ".join(limits) or "too little is shown to tell"
    return f"is not like what the model '{card.name}' was trained on, {nearest.anatomy}: {why}"
