"""Which model suits a pair of volumes, and why: what cards say models are for, held against what volumes look like.

No model is named here: a card's `covers` makes a model eligible, the user's own models too. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..errors import ModelError
from .cards import Cards, ModelCard
from .coverage import STATISTICS, Coverage
from .image_statistics import ImageStatistics

Looks = tuple[ImageStatistics, ImageStatistics]
"""Of the fixed and of the moving volume."""

WRONG_MODALITY = 1000.0
"""Farther than any number can be off: a model for the modality is always nearer than one for another."""


@dataclass(frozen=True)
class ModelChoice:
    """A model, why it is used (one line, without its name), and what the user should know about that."""

    card: ModelCard
    reason: str
    warnings: tuple[str, ...] = ()


def choose_model(cards: Mapping[str, ModelCard], looks: Looks) -> ModelChoice:
    """The model whose images are most like both volumes; one for any image only where no other is for both.

    Of several, the one whose ranges hold the two volumes nearest to their middle, and the user's own before a bundled
    one. If none is for such volumes, the nearest one, with warnings. Raises ModelError if there is none to choose.
    """
    eligible = [card for card in cards.values() if card.covers]
    if not eligible:
        raise ModelError("No installed model says what it is for (`covers` in its card): choose one by its name.")
    fitting = [card for card in eligible if all(_entry_for(card, look) for look in looks)]
    card = min(
        fitting or eligible, key=lambda card: (_is_general(card, looks), _distance(card, looks), card.is_bundled)
    )
    warnings = [*_damage(cards), *_misfits(card, looks)]
    if not fitting:
        return ModelChoice(card, "the nearest of the installed models; none is for volumes like these", tuple(warnings))
    reason = _why_general(looks) if _is_general(card, looks) else _why(card, looks)
    return ModelChoice(card, reason, tuple(warnings))


def check_model(card: ModelCard, looks: Looks) -> ModelChoice:
    """The model that the user asked for, with warnings where the volumes are not what it is for."""
    return ModelChoice(card, "chosen by name", tuple(_misfits(card, looks)))


def _entry_for(card: ModelCard, look: ImageStatistics) -> Coverage | None:
    """The entry of the card's `covers` that holds what the volume looks like, None if there is none."""
    entries = [entry for entry in card.covers if entry.is_for(look.modality) and not entry.outside(look.facts)]
    return min(entries, key=lambda entry: (entry.modality == "any", entry.distance(look.facts)), default=None)


def _is_general(card: ModelCard, looks: Looks) -> bool:
    """Whether the card is for these volumes only because it is for images of any modality."""
    return any(entry is not None and entry.modality == "any" for entry in (_entry_for(card, look) for look in looks))


def _distance(card: ModelCard, looks: Looks) -> float:
    return max(min(_entry_distance(entry, look) for entry in card.covers) for look in looks)


def _entry_distance(entry: Coverage, look: ImageStatistics) -> float:
    return entry.distance(look.facts) + (0 if entry.is_for(look.modality) else WRONG_MODALITY)


def _why(card: ModelCard, looks: Looks) -> str:
    fixed, moving = (_entry_for(card, look) for look in looks)
    assert fixed is not None
    assert moving is not None
    if fixed is moving:
        words = "CT (Hounsfield units)" if fixed.modality == "CT" else fixed.modality
        return f"both volumes look like {words}, {fixed.anatomy} ({_facts(looks, fixed.ranges)})"
    return (
        f"the fixed volume looks like {fixed.modality}, {fixed.anatomy} ({_facts(looks[:1], fixed.ranges)}), "
        f"the moving one like {moving.modality}, {moving.anatomy} ({_facts(looks[1:], moving.ranges)})"
    )


def _why_general(looks: Looks) -> str:
    if looks[0].modality != looks[1].modality:
        return "one of the volumes looks like CT (Hounsfield units), the other does not"
    words = "CT (Hounsfield units)" if looks[0].modality == "CT" else "MRI (or CT that is not in Hounsfield units)"
    return f"both volumes look like {words}, but not like what a special model is for ({_facts(looks, STATISTICS)})"


def _facts(looks: tuple[ImageStatistics, ...], names: Mapping[str, object]) -> str:
    """The measured numbers in words, with both volumes' values where they differ."""
    parts = []
    for name in names:
        values = dict.fromkeys(f"{look.facts[name]:.0f}" for look in looks if name in look.facts)
        if values:
            parts.append(STATISTICS[name].format(" and ".join(values)))
    return "; ".join(parts)


def _damage(cards: Mapping[str, ModelCard]) -> Iterator[str]:
    if isinstance(cards, Cards) and cards.damaged:
        names = ", ".join(cards.damaged)
        yield f"Not considered, because damaged: {names}; `light-registration models` says what is wrong."


def _misfits(card: ModelCard, looks: Looks) -> Iterator[str]:
    """What speaks against the model, a line for each volume, and what is doubtful about the volumes themselves."""
    for look in looks:
        if look.doubt:
            yield look.doubt
        problem = _misfit(card, look)
        if problem:
            yield f"{look.name} {problem}; check the result with care."


def _misfit(card: ModelCard, look: ImageStatistics) -> str:
    modalities = {entry.modality for entry in card.covers} or {card.modality}
    if look.modality not in modalities and "any" not in modalities:
        words = "does not look like CT (no Hounsfield units)" if look.modality == "MRI" else "looks like CT"
        unit = " in Hounsfield units" if look.modality == "unclear" and "CT" in modalities else ""
        return f"{words}, but the model '{card.name}' was trained on {' and '.join(sorted(modalities))}{unit}"
    if not card.covers or _entry_for(card, look):
        return ""
    nearest = min(card.covers, key=lambda entry: _entry_distance(entry, look))
    limits = [
        f"{STATISTICS[name].format(f'{look.facts[name]:.0f}')} (not {low:.0f} to {high:.0f})"
        for name, (low, high) in nearest.outside(look.facts).items()
        if name in look.facts
    ]
    why = "; ".join(limits) or "too little is shown to tell"
    return f"is not like what the model '{card.name}' was trained on, {nearest.anatomy}: {why}"
