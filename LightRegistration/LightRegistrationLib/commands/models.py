"""The `models` command: which models there are, and what their cards say."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..core.cards import ModelCard, list_cards


def models_table() -> str:
    """One line per model: name, modality, what it is for."""
    cards = list_cards().values()
    width = max((len(card.name) for card in cards), default=0)
    return "\n".join(f"{card.name:<{width}}  {card.modality:<4}  {card.summary}" for card in cards)


def card_text(card: ModelCard) -> str:
    """A card in full, for reading."""
    head = {"name": card.name, "title": card.title, "modality": card.modality, "summary": card.summary}
    built = {"network": card.network, "grid": card.grid, "intensity": card.intensity}
    lines = _lines({**head, **card.details, **built, "weights_sha256": card.sha256})
    return "\n".join(lines)


def _lines(values: Mapping[str, object]) -> list[str]:
    lines = []
    for key, value in values.items():
        title = key.replace("_", " ")
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            lines += [f"{title}:", *(f"  - {item}" for item in value)]
        elif isinstance(value, Mapping):
            lines += [f"{title}:", *("  " + line for line in _lines(value))]
        else:
            lines.append(f"{title}: {value if isinstance(value, str) else json.dumps(value)}")
    return lines
