"""The tabs in which the user checks a result: its structures, what is under the cursor, landmarks, and others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import slicer.util

from ...core.errors import InputError
from ...core.review.worst_place import find_worst_place
from ...scene.display.error_lines import ErrorLines
from ...scene.nodes.checked_places import list_checked_places, list_place_nodes
from ...scene.nodes.probe import Point
from ...scene.nodes.results import RegistrationNodes, find_registration_nodes
from ...scene.nodes.review import ReviewField, read_review, store_review
from ...scene.nodes.segmentations import segmentation_from_node
from ...scene.nodes.structure_center import find_structure_center
from ..translation import translate
from ..views.compare_layout import CompareView
from ..views.cursor_follower import CursorFollower
from ..views.view_content import Picture, parse_report, read_switches
from .carrying import CarryForm
from .cursor import show_cursor
from .gates import GateTable
from .landmarks import MarkupsFollower, find_error_lines
from .place_check import PlaceCheck, PlaceStep
from .result_table import StructureTable
from .verdict import VerdictForm

_TABS = ("numbers", "cursor", "landmarks", "places", "carry", "verdict")
"""In the order of LightRegistration.ui. The buttons of a tab bar would not fit into the panel on a small screen."""
_PICTURES = {PlaceStep.IN_FIXED: Picture.FIXED, PlaceStep.IN_RESULT: Picture.AFTER}
"""What the views show while the user looks for a place."""


class ResultChecks:
    """Connects the widgets of the tabs with the result of a parameter node.

    ui: the widgets of LightRegistration.ui. structures: the table of numbers. refresh: shows the state of the panel
    anew. show: shows the result in the views as the switches say. show_opaque: called with whether the result covers
    the fixed volume.
    """

    def __init__(
        self,
        ui: Any,
        structures: StructureTable,
        application_logic: Any,
        refresh: Callable[[], None],
        show: Callable[[], None],
        show_opaque: Callable[[bool], None],
    ) -> None:
        scene = application_logic.GetMRMLScene()
        self._ui, self._scene, self._structures = ui, scene, structures
        self._refresh, self._show, self._show_opaque = refresh, show, show_opaque
        self._parameters: Any = None
        self._picture_before = Picture.AFTER.value
        self._clicked: tuple[str, int] | None = None
        self._markups = MarkupsFollower(refresh)
        self._error_lines = ErrorLines(scene)
        self._cursor = CursorFollower(scene, self._on_cursor)
        self._place_check = PlaceCheck(scene, application_logic, self._on_place_step)
        self._compare = CompareView(ui, application_logic, refresh, show)
        self._carry_form = CarryForm(ui, refresh)
        self._verdict_form = VerdictForm(ui, self._on_verdict)
        self._gates = GateTable(ui)
        ui.resultTable.connect("cellClicked(int,int)", self._on_structure_clicked)
        ui.checkTabs.connect("currentChanged(int)", self._on_tab)
        for name in _TABS:
            button, tab = getattr(ui, f"{name}Button"), getattr(ui, f"{name}Tab")
            button.connect("clicked()", lambda page=tab: ui.checkTabs.setCurrentWidget(page))
        ui.checkPlaceButton.connect("clicked()", self._on_check_place)
        ui.removePlaceButton.connect("clicked()", self._on_remove_place)
        ui.placesTable.connect("cellClicked(int,int)", self._on_place_clicked)

    @property
    def place_step(self) -> PlaceStep:
        """What the user has to click next to check a place."""
        return self._place_check.step

    def set_parameters(self, parameters: Any) -> None:
        """Connect the tabs with a parameter node; disconnect them for None."""
        if parameters is None:
            self._place_check.cancel()
        self._parameters = parameters
        self._cursor.switch(parameters is not None)

    def switch_to_own_layout(self) -> None:
        """Leave the compare layout."""
        self._compare.switch_off()

    def follow(self, is_running: bool) -> None:
        """Follow the chosen points, the result, its verdict, and what can be carried along with it.

        A registration, or another result, ends the check of a place.
        """
        parameters = self._parameters
        places = [] if parameters.result is None else list_place_nodes(parameters.result)
        self._markups.follow([parameters.fixedLandmarks, parameters.movingLandmarks, *places])
        lines = find_error_lines(parameters)
        if lines is None:
            self._error_lines.hide()
        else:
            self._error_lines.show(*lines)
        nodes = None if parameters.result is None else find_registration_nodes(parameters.result)
        self._carry_form.show(nodes)
        self._compare.follow(nodes, read_switches(parameters).picture, is_running)
        if parameters.result is not None:
            self._verdict_form.show(read_review(parameters.result))
            if parameters.report:
                self._gates.show(parameters)
        if is_running or not self._place_check.is_possible(parameters.result):
            self._place_check.cancel()

    def close(self) -> None:
        """Stop observing."""
        self._compare.close()
        self._markups.follow([])
        self._error_lines.hide()
        self._cursor.switch(False)
        self._place_check.close()

    def _on_structure_clicked(self, row: int, _column: int) -> None:
        """Show the structure of a row in the slice views, at the next click its worst place, and so on in turn."""
        nodes = find_registration_nodes(self._parameters.result)
        number = self._structures.find_structure(row)
        if number is None or nodes is None or nodes.fixed_segmentation is None:
            return
        structure = parse_report(self._parameters.report)["structures"][number]
        clicked = (self._parameters.report, number)
        is_second = clicked == self._clicked and nodes.warped_segmentation is not None
        self._clicked = None if is_second else clicked
        try:
            place = _find_worst_place(nodes, structure) if is_second else _find_center(nodes, structure)
        except InputError as error:
            slicer.util.showStatusMessage(str(error), 5000)
            return
        if place is not None:
            slicer.vtkMRMLSliceNode.JumpAllSlices(self._scene, *place)

    def _on_verdict(self, field: ReviewField, text: str) -> None:
        if self._parameters is not None and self._parameters.result is not None:
            store_review(self._parameters.result, field, text)

    def _on_tab(self, index: int) -> None:
        getattr(self._ui, f"{_TABS[index]}Button").setChecked(True)
        self._on_cursor()

    def _on_cursor(self) -> None:
        if self._parameters is None or not self._ui.cursorTab.visible:
            return
        result = self._parameters.result
        nodes = None if result is None else find_registration_nodes(result)
        show_cursor(self._ui, nodes, self._cursor.find_position_mm())

    def _on_check_place(self) -> None:
        if self._place_check.step != PlaceStep.IDLE:
            self._place_check.cancel()
            return
        self._picture_before = self._parameters.picture
        self._place_check.start(self._parameters.result)

    def _on_place_step(self) -> None:
        if self._parameters is None:
            return
        step = self._place_check.step
        self._show_opaque(False)
        self._parameters.picture = _PICTURES[step].value if step in _PICTURES else self._picture_before
        if step != PlaceStep.IDLE:
            self._show()
        self._show_opaque(step == PlaceStep.IN_RESULT)
        self._refresh()

    def _on_place_clicked(self, row: int, _column: int) -> None:
        slicer.vtkMRMLSliceNode.JumpAllSlices(self._scene, *list_checked_places(self._parameters.result)[row].fixed_mm)

    def _on_remove_place(self) -> None:
        row = self._ui.placesTable.currentRow()
        self._scene.RemoveNode(list_checked_places(self._parameters.result)[row].node)


def _find_center(nodes: RegistrationNodes, structure: dict[str, Any]) -> Point | None:
    center = find_structure_center(nodes.fixed_segmentation, structure["name"], structure["value"])
    if center is not None and nodes.warped_segmentation is not None:
        line = translate("LightRegistration", "{name}: its center. Click again to see where its outlines differ most.")
        slicer.util.showStatusMessage(line.format(name=structure["name"]), 5000)
    return center


def _find_worst_place(nodes: RegistrationNodes, structure: dict[str, Any]) -> Point | None:
    """Find where the outlines of a structure are farthest apart, and say in the status bar by how much."""
    segmentations = (segmentation_from_node(node) for node in (nodes.fixed_segmentation, nodes.warped_segmentation))
    worst = find_worst_place(*segmentations, structure["name"], structure["value"])
    if worst is None:
        return None
    line = translate("LightRegistration", "{name}: the outlines are farthest apart here, {distance} mm.")
    text = line.format(name=structure["name"], distance=f"{worst.distance_mm:.1f}")
    slicer.util.showStatusMessage(text, 10000)
    return worst.position_mm
