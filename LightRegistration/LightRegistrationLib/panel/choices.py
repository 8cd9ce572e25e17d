"""Combo boxes whose items have a value and a readable name, and lists of names to check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from ..core.models.cards import list_cards
from ..core.result.settings import AUTO_MODEL, InitialAlignment, RefinementPreset


class ChoiceBox:
    """A QComboBox as a choice of one value; `on_chosen` is called with the value when the user chooses."""

    def __init__(self, box: Any, items: list[tuple[str, str]], on_chosen: Callable[[str], None]) -> None:
        """Fill the box. items: (value, name) pairs."""
        self._box = box
        self._values: list[str] = []
        self._on_chosen = on_chosen
        self.offer(items)
        box.connect("currentIndexChanged(int)", self._on_index)

    def offer(self, items: list[tuple[str, str]]) -> None:
        """Replace what can be chosen, without choosing; `show` comes next."""
        blocked = self._box.blockSignals(True)
        self._box.clear()
        self._values = [value for value, _name in items]
        for _value, name in items:
            self._box.addItem(name)
        self._box.blockSignals(blocked)

    def show(self, value: str) -> None:
        """Select a value; one that is not offered is shown as it is (a scene made with another set of models)."""
        if value not in self._values:
            self._values.append(value)
            self._box.addItem(value)
        self._box.setCurrentIndex(self._values.index(value))

    def _on_index(self, index: int) -> None:
        self._on_chosen(self._values[index])


def model_items() -> list[tuple[str, str]]:
    """The models behind `auto`, the user's own with their names; from their cards, without torch.

    Damaged ones come last and as such: to choose one is answered with what is wrong with it.
    """
    cards = list_cards()
    items = [(AUTO_MODEL, _("Automatic"))]
    for name, card in cards.items():
        items.append((name, card.title if card.is_bundled else f"{card.title} ({name})"))
    return items + [(name, _("{name} (damaged)").format(name=name)) for name in cards.damaged]


def initial_items() -> list[tuple[str, str]]:
    """The ways to bring the volumes together before the deformation is found."""
    return [
        (InitialAlignment.AFFINE, _("Automatic (recommended)")),
        (InitialAlignment.CENTERS, _("Centers only")),
        (InitialAlignment.NONE, _("None (already aligned)")),
    ]


def refinement_items() -> list[tuple[str, str]]:
    """How long the deformation is optimized for the pair at hand."""
    return [
        (RefinementPreset.NONE, _("None (about a second)")),
        (RefinementPreset.FAST, _("Fast (a few seconds)")),
        (RefinementPreset.BEST, _("Best (some ten seconds)")),
    ]


class CheckList:
    """A QListWidget of names to check; `on_chosen` is called with the checked ones when the user changes them."""

    def __init__(self, box: Any, on_chosen: Callable[[list[str]], None]) -> None:
        """Begin with an empty list."""
        self._box = box
        self._names: list[str] = []
        self._on_chosen = on_chosen
        box.connect("itemChanged(QListWidgetItem*)", self._on_changed)

    def show(self, names: Sequence[str], checked: Sequence[str]) -> None:
        """Offer these names, some of them checked."""
        blocked = self._box.blockSignals(True)
        if list(names) != self._names:
            self._box.clear()
            for name in names:
                self._box.addItem(name)
            self._names = list(names)
        for row, name in enumerate(names):
            self._box.item(row).setCheckState(qt.Qt.Checked if name in checked else qt.Qt.Unchecked)
        self._box.blockSignals(blocked)

    def _on_changed(self, _item: Any) -> None:
        rows = enumerate(self._names)
        self._on_chosen([name for row, name in rows if self._box.item(row).checkState() == qt.Qt.Checked])
