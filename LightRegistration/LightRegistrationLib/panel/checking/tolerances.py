"""The tolerances of the review page that a site has set, kept in the application's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from ...core.errors import InputError
from ...core.review.tolerances import DEFAULTS, Tolerances
from ..translation import translate

_DICE = "LightRegistration/MinimumDice"
_DISTANCE = "LightRegistration/MaximumDistanceMm"
_SOURCE = "LightRegistration/ToleranceSource"


def read_tolerances() -> Tolerances:
    """Return the tolerances of this site. Raises InputError for settings that are no numbers or impossible."""
    return Tolerances(
        min_dice=_read_number(_DICE, DEFAULTS.min_dice),
        max_distance_mm=_read_number(_DISTANCE, DEFAULTS.max_distance_mm),
        source=str(_read(_SOURCE) or ""),
    )


def store_tolerances(tolerances: Tolerances) -> None:
    """Keep tolerances for this user's Slicer; what is as by default is not stored."""
    for key, value, default in (
        (_DICE, tolerances.min_dice, DEFAULTS.min_dice),
        (_DISTANCE, tolerances.max_distance_mm, DEFAULTS.max_distance_mm),
        (_SOURCE, tolerances.source, DEFAULTS.source),
    ):
        if value == default:
            slicer.app.userSettings().remove(key)
        else:
            slicer.app.userSettings().setValue(key, value)


def _read(key: str) -> Any:
    return slicer.app.userSettings().value(key)


def _read_number(key: str, default: float) -> float:
    value = _read(key)
    if value is None:
        return default
    try:
        return float(value)
    except ValueError as error:
        line = translate("LightRegistration", "{value} in the settings is no tolerance: press Defaults under Advanced.")
        raise InputError(line.format(value=value)) from error


class ToleranceForm:
    """The widgets of the tolerances; they show what is stored when the module is opened.

    on_change: called when the user has changed a tolerance.
    """

    def __init__(self, ui: Any, on_change: Callable[[], None]) -> None:
        self._ui = ui
        self._on_change = on_change
        ui.diceToleranceBox.connect("valueChanged(double)", lambda _value: self._store())
        ui.distanceToleranceBox.connect("valueChanged(double)", lambda _value: self._store())
        ui.toleranceSourceEdit.connect("textEdited(QString)", lambda _text: self._store())
        ui.defaultTolerancesButton.connect("clicked()", self._on_defaults)

    def show_stored(self) -> None:
        """Show the stored tolerances; the defaults in place of damaged settings, which are told when they are used."""
        try:
            self._show(read_tolerances())
        except InputError:
            self._show(DEFAULTS)

    def _show(self, tolerances: Tolerances) -> None:
        boxes = (self._ui.diceToleranceBox, self._ui.distanceToleranceBox)
        for box, value in zip(boxes, (tolerances.min_dice, tolerances.max_distance_mm), strict=True):
            blocked = box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(blocked)
        self._ui.toleranceSourceEdit.setText(tolerances.source)

    def _store(self) -> None:
        ui = self._ui
        dice, distance = round(ui.diceToleranceBox.value, 4), round(ui.distanceToleranceBox.value, 4)
        store_tolerances(Tolerances(dice, distance, ui.toleranceSourceEdit.text))
        self._on_change()

    def _on_defaults(self) -> None:
        store_tolerances(DEFAULTS)
        self._show(DEFAULTS)
        self._on_change()
