"""Check a place: the user clicks it in the fixed volume and then in the result; the distance is the error there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import qt
import slicer
from slicer.util import VTKObservationMixin

from ...scene.nodes.checked_places import (
    CheckedPlace,
    add_place_node,
    keep_place,
    list_checked_places,
    list_place_nodes,
)
from ..translation import translate


class PlaceStep(StrEnum):
    """What the user has to click next; IDLE: no place is being checked."""

    IDLE = "idle"
    IN_FIXED = "in fixed"
    IN_RESULT = "in result"


class PlaceCheck(VTKObservationMixin):
    """Has the user place a line in the slice views: from a place in the fixed volume to the same place in the result.

    Slicer's place mode does the placing; ending it, as with a right click, cancels. A complete line is kept with the
    result's transform. on_step: called with each new step.
    """

    def __init__(self, scene: Any, application_logic: Any, on_step: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._scene = scene
        self._logic = application_logic
        self._on_step = on_step
        self._step = PlaceStep.IDLE
        self._node: Any = None
        self._transform: Any = None
        self._placed_before: tuple[str | None, str | None] = (None, None)
        self._discarded: list[Any] = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._remove_discarded)

    @property
    def step(self) -> PlaceStep:
        """What the user has to click next."""
        return self._step

    def is_possible(self, transform: Any) -> bool:
        """Whether the place that is being checked belongs to this result and is still in the scene; True if idle."""
        is_idle = self._step == PlaceStep.IDLE
        return is_idle or (self._transform is transform and self._scene.IsNodePresent(self._node))

    def start(self, transform: Any) -> None:
        """Start with the place in the fixed volume."""
        self.cancel()
        self._transform = transform
        selection, interaction = self._logic.GetSelectionNode(), self._logic.GetInteractionNode()
        # Before the line is added: Slicer would make it the node to place in.
        self._placed_before = (selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID())
        name = translate("LightRegistration", "Place {number}").format(number=len(list_place_nodes(transform)) + 1)
        self._node = add_place_node(self._scene, name)
        self.addObserver(self._node, slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, self._on_point)
        selection.SetReferenceActivePlaceNodeClassName(self._node.GetClassName())
        selection.SetActivePlaceNodeID(self._node.GetID())
        interaction.SwitchToSinglePlaceMode()
        self.addObserver(interaction, interaction.InteractionModeChangedEvent, self._on_mode)
        self._go_to(PlaceStep.IN_FIXED)

    def cancel(self) -> None:
        """Stop placing; an incomplete line is removed."""
        if self._step == PlaceStep.IDLE:
            return
        # Removed a moment later: the views may be handling the event that ended the placing.
        self._discarded.append(self._node)
        self._timer.start(0)
        self._end()
        interaction = self._logic.GetInteractionNode()
        if interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SwitchToViewTransformMode()

    def close(self) -> None:
        """Stop placing and observing."""
        self.cancel()
        self._timer.stop()
        self._remove_discarded()
        self.removeObservers()

    def _on_point(self, _caller: Any, _event: Any) -> None:
        placed = self._node.GetNumberOfDefinedControlPoints()
        if placed == 1:
            self._go_to(PlaceStep.IN_RESULT)
        elif placed == 2:
            keep_place(self._transform, self._node)
            self._end()

    def _on_mode(self, interaction: Any, _event: Any) -> None:
        if interaction.GetCurrentInteractionMode() == interaction.Place:
            return
        self.removeObserver(interaction, interaction.InteractionModeChangedEvent, self._on_mode)
        selection = self._logic.GetSelectionNode()
        class_name, node_id = self._placed_before
        selection.SetReferenceActivePlaceNodeClassName(class_name)
        selection.SetActivePlaceNodeID(node_id)
        self.cancel()

    def _end(self) -> None:
        self.removeObserver(self._node, slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, self._on_point)
        self._node = self._transform = None
        self._go_to(PlaceStep.IDLE)

    def _go_to(self, step: PlaceStep) -> None:
        self._step = step
        self._on_step()

    def _remove_discarded(self) -> None:
        discarded, self._discarded = self._discarded, []
        for node in discarded:
            if self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)


PlaceRow = tuple[str, ...]
"""Name, distance, and its components R, A and S, mm."""


def describe_places(transform: Any) -> tuple[PlaceRow, ...]:
    """Return a row of texts for each place that was checked in a result."""
    return tuple(_describe_place(place) for place in list_checked_places(transform))


def _describe_place(place: CheckedPlace) -> PlaceRow:
    return place.node.GetName(), f"{place.distance_mm:.1f}", *(f"{value:+.1f}" for value in place.error_mm)


def fill_places_table(table: Any, rows: Sequence[PlaceRow]) -> None:
    """Fill the table of the checked places."""
    table.setRowCount(len(rows))
    table.setColumnCount(5)
    table.setHorizontalHeaderLabels(
        [
            translate("LightRegistration", "Place"),
            translate("LightRegistration", "Error\nmm"),
            translate("LightRegistration", "R"),
            translate("LightRegistration", "A"),
            translate("LightRegistration", "S"),
        ]
    )
    table.verticalHeader().setVisible(False)
    header = table.horizontalHeader()
    header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
    for column in range(1, 5):
        header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
    for index, row in enumerate(rows):
        for column, text in enumerate(row):
            item = qt.QTableWidgetItem(text)
            if column:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            table.setItem(index, column, item)


def make_step_texts() -> dict[PlaceStep, str]:
    """Return what the user reads at each step."""
    return {
        PlaceStep.IDLE: translate(
            "LightRegistration",
            "Click a place in the fixed volume, then the same place in the result: how far they lie apart is the "
            "error there.",
        ),
        PlaceStep.IN_FIXED: translate(
            "LightRegistration", "1. Fixed volume: click a place that you will recognize in the result."
        ),
        PlaceStep.IN_RESULT: translate(
            "LightRegistration", "2. Result: click the same place. Scroll through the slices if needed."
        ),
    }
