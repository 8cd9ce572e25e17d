"""What is under the cursor, in the panel: follows Slicer's crosshair node and reads the result there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.util import VTKObservationMixin

from ..scene.nodes.probe import Point, Probe, probe_registration
from ..scene.nodes.results import RegistrationNodes
from .translation import translate

_UNKNOWN = "–"


class CursorFollower(VTKObservationMixin):
    """Calls `on_move` whenever the cursor moves in a view, while it is switched on."""

    def __init__(self, scene: Any, on_move: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._scene = scene
        self._on_move = on_move

    def switch(self, on: bool) -> None:
        """Follow the cursor, or stop that."""
        self.removeObservers()
        crosshair = self._find_crosshair()
        if on and crosshair is not None:
            self.addObserver(crosshair, slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, self._tell)

    def find_position_mm(self) -> Point | None:
        """Return where the cursor is in the world, RAS mm; None outside of the views."""
        crosshair, position = self._find_crosshair(), [0.0, 0.0, 0.0]
        if crosshair is None or not crosshair.GetCursorPositionRAS(position):
            return None
        return position[0], position[1], position[2]

    def find_place_in_view(self) -> tuple[Any, tuple[float, float] | None]:
        """Return the node of the slice view that the cursor is in, and where, pixels from its lower left corner."""
        crosshair, place = self._find_crosshair(), [0.0, 0.0, 0.0]
        node = None if crosshair is None else crosshair.GetCursorPositionXYZ(place)
        return node, None if node is None else (place[0], place[1])

    def _find_crosshair(self) -> Any:
        return self._scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")

    def _tell(self, _caller: Any, _event: Any) -> None:
        self._on_move()


def show_cursor(ui: Any, nodes: RegistrationNodes | None, position_mm: Point | None) -> None:
    """Show the result at a position in the widgets of the tab; dashes without a position or a result."""
    texts = dict.fromkeys(_LABELS, _UNKNOWN)
    if nodes is not None and position_mm is not None:
        texts = _describe(probe_registration(nodes, position_mm))
    for name, text in texts.items():
        getattr(ui, name).setText(text)


_LABELS = (
    "cursorPositionLabel",
    "cursorDisplacementLabel",
    "cursorJacobianLabel",
    "cursorFixedLabel",
    "cursorMovingLabel",
    "cursorWarpedLabel",
)


def _describe(probe: Probe) -> dict[str, str]:
    vector = translate("LightRegistration", "R {right}, A {anterior}, S {superior} mm")
    length = translate("LightRegistration", "{length} mm: {vector}")
    folded = translate("LightRegistration", "{jacobian} (folded)")
    jacobian = f"{probe.jacobian:.2f}"
    displacement = _format_vector(vector, probe.displacement_mm, "+.1f")
    return {
        "cursorPositionLabel": _format_vector(vector, probe.position_mm, ".1f"),
        "cursorDisplacementLabel": length.format(length=f"{probe.distance_mm:.1f}", vector=displacement),
        "cursorJacobianLabel": folded.format(jacobian=jacobian) if probe.jacobian <= 0 else jacobian,
        "cursorFixedLabel": _format_value(probe.fixed, probe.fixed_structures),
        "cursorMovingLabel": _format_value(probe.moving, probe.moving_structures),
        "cursorWarpedLabel": _format_value(probe.warped, ()),
    }


def _format_vector(line: str, vector: Point, form: str) -> str:
    right, anterior, superior = (format(value, form) for value in vector)
    return line.format(right=right, anterior=anterior, superior=superior)


def _format_value(value: float | None, structures: tuple[str, ...]) -> str:
    text = _UNKNOWN if value is None else f"{value:.6g}"
    return f"{text} ({', '.join(structures)})" if structures else text
