"""Combo boxes whose items have a value and a readable name, and lists of names with check boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt

from ..core.models.cards import list_cards
from ..core.report.definition import InitialChoice
from ..core.result.settings import AUTO_MODEL, InitialAlignment, RefinementPreset
from ..scene.display.deformation_grid import GridKind
from .translation import translate


class ChoiceBox:
    """A QComboBox for one value; `on_chosen` is called with the value when the user chooses."""

    def __init__(self, box: Any, items: list[tuple[str, str]], on_chosen: Callable[[str], None]) -> None:
        """Fill the box. items: (value, name) pairs."""
        self._box = box
        self._values: list[str] = []
        self._on_chosen = on_chosen
        self.set_items(items)
        box.connect("currentIndexChanged(int)", self._on_index)

    def set_items(self, items: list[tuple[str, str]]) -> None:
        """Replace the items without choosing one; call `show` afterwards."""
        blocked = self._box.blockSignals(True)
        self._box.clear()
        self._values = [value for value, _name in items]
        for _value, name in items:
            self._box.addItem(name)
        self._box.blockSignals(blocked)

    def show(self, value: str) -> None:
        """Select a value; an unknown one (from a scene made with other models) is added under its own name."""
        if value not in self._values:
            self._values.append(value)
            self._box.addItem(value)
        self._box.setCurrentIndex(self._values.index(value))

    def _on_index(self, index: int) -> None:
        self._on_chosen(self._values[index])


def list_model_items() -> list[tuple[str, str]]:
    """Return `auto`, the bundled models by title, and the user's models by title and name; reads cards, without torch.

    Damaged models come last and are marked; registering with one ends with an error message that says what is wrong.
    """
    cards = list_cards()
    items = [(AUTO_MODEL, translate("LightRegistration", "Automatic"))]
    for name, card in cards.items():
        items.append((name, card.title if card.is_bundled else f"{card.title} ({name})"))
    damaged = translate("LightRegistration", "{name} (damaged)")
    return items + [(name, damaged.format(name=name)) for name in cards.damaged]


def list_initial_items() -> list[tuple[str, str]]:
    """Return the methods of initial alignment."""
    return [
        (InitialAlignment.AFFINE, translate("LightRegistration", "Automatic (recommended)")),
        (InitialAlignment.RIGID, translate("LightRegistration", "Rigid (shift and rotation)")),
        (InitialAlignment.CENTERS, translate("LightRegistration", "Centers only")),
        (InitialAlignment.NONE, translate("LightRegistration", "None (already aligned)")),
        (InitialChoice.TRANSFORM, translate("LightRegistration", "A transform of the scene")),
    ]


def list_refinement_items(seconds: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the refinement presets with the time that they take. seconds: what they took on this machine, if known."""
    names = [
        (
            RefinementPreset.NONE,
            translate("LightRegistration", "None ({time})"),
            translate("LightRegistration", "one to two seconds"),
        ),
        (
            RefinementPreset.FAST,
            translate("LightRegistration", "Fast ({time})"),
            translate("LightRegistration", "a few seconds"),
        ),
        (
            RefinementPreset.BEST,
            translate("LightRegistration", "Best ({time})"),
            translate("LightRegistration", "tens of seconds"),
        ),
    ]
    return [(preset, name.format(time=_describe_time(seconds.get(preset), time))) for preset, name, time in names]


def _describe_time(seconds: float | None, expected: str) -> str:
    if seconds is None:
        return expected
    return translate("LightRegistration", "{seconds} s last time").format(seconds=f"{seconds:.1f}")


def list_grid_items() -> list[tuple[str, str]]:
    """Return the ways in which the deformation is drawn."""
    return [
        (GridKind.GRID, translate("LightRegistration", "Grid")),
        (GridKind.ARROWS, translate("LightRegistration", "Arrows")),
        (GridKind.CONTOURS, translate("LightRegistration", "Contours")),
    ]


class NumberBox:
    """A QSpinBox for a number from 0, which stands for the default; `on_chosen` is called when the user changes it."""

    def __init__(self, box: Any, most: int, on_chosen: Callable[[int], None]) -> None:
        """Allow numbers up to `most`."""
        self._box = box
        box.setMaximum(most)
        box.connect("valueChanged(int)", on_chosen)

    def show(self, number: int) -> None:
        """Show a number; one that is too large, as from another machine, as the largest one."""
        blocked = self._box.blockSignals(True)
        self._box.setValue(number)
        self._box.blockSignals(blocked)


class CheckList:
    """A QListWidget of names with check boxes.

    `on_chosen` is called with the checked names when the user changes them.
    """

    def __init__(self, box: Any, on_chosen: Callable[[list[str]], None]) -> None:
        """Start with an empty list."""
        self._box = box
        self._names: list[str] = []
        self._on_chosen = on_chosen
        box.connect("itemChanged(QListWidgetItem*)", self._on_changed)

    def show(self, names: Sequence[str], checked: Sequence[str]) -> None:
        """Show the names, some of them checked."""
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
