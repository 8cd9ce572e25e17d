"""Combo boxes whose items have a value and a readable name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from ..core.cards import list_cards


class ChoiceBox:
    """A QComboBox as a choice of one value; `on_chosen` is called with the value when the user chooses."""

    def __init__(self, box: Any, items: list[tuple[str, str]], on_chosen: Callable[[str], None]) -> None:
        """Fill the box. items: (value, name) pairs."""
        self._box = box
        self._values = [value for value, _name in items]
        self._on_chosen = on_chosen
        for _value, name in items:
            box.addItem(name)
        box.connect("currentIndexChanged(int)", self._on_index)

    def show(self, value: str) -> None:
        """Select a value; one that is not offered is shown as it is (a scene made with another set of models)."""
        if value not in self._values:
            self._values.append(value)
            self._box.addItem(value)
        self._box.setCurrentIndex(self._values.index(value))

    def _on_index(self, index: int) -> None:
        self._on_chosen(self._values[index])


def model_items() -> list[tuple[str, str]]:
    """The bundled models behind `auto`; from their cards, without torch. Raises ModelError for a broken card."""
    return [("auto", _("Automatic"))] + [(name, card.title) for name, card in list_cards().items()]


def initial_items() -> list[tuple[str, str]]:
    """The ways to bring the volumes together before the deformation is found."""
    return [
        ("affine", _("Automatic (recommended)")),
        ("centers", _("Centers only")),
        ("none", _("None (already aligned)")),
    ]


def stage_name(stage: str) -> str:
    """What the user reads while the worker is in a stage."""
    names = {
        "start": _("Starting"),
        "load model": _("Loading the model"),
        "initial alignment": _("Initial alignment"),
        "resample": _("Resampling"),
        "network": _("Finding the deformation"),
        "field": _("Composing the deformation"),
        "warping the volume": _("Warping the volume"),
        "warping the segmentation": _("Warping the segmentation"),
        "comparing the segmentations": _("Comparing the segmentations"),
        "done": _("Showing the result"),
    }
    return names.get(stage, stage)
