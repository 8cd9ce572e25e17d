"""Where the cursor is in Slicer's views, by its crosshair node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.util import VTKObservationMixin

from ...scene.nodes.probe import Point


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
