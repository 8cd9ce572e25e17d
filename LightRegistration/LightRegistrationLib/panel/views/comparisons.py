"""The comparison of both volumes in Slicer's slice views: flicker by a timer, the spy-glass by the cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import qt
import slicer

from ...scene.display.compare_layout import DIFFERENCE_VIEW, FIXED_VIEW
from ...scene.display.comparison import GLASSES, ComparedView, Comparison
from ..translation import translate
from .cursor_follower import CursorFollower

FLICKER_MILLISECONDS = 500
"""How long each volume is shown. Chosen, not measured."""


@dataclass(frozen=True, eq=False)
class _View:
    node: Any
    compared: ComparedView
    draw: Callable[[], None]


class Comparisons:
    """Shows one comparison in all slice views of the layout manager, but those that have a fixed content."""

    def __init__(self, scene: Any) -> None:
        self._kind = Comparison.FADE
        self._shows_foreground = True
        self._views: list[_View] = []
        self._cursor = CursorFollower(scene, self._move_glass)
        self._timer = qt.QTimer()
        self._timer.setInterval(FLICKER_MILLISECONDS)
        self._timer.connect("timeout()", self._flicker)

    def show(self, kind: Comparison) -> None:
        """Show a comparison of what the views show now, also in views that were opened since; FADE for none."""
        self.hide()
        if kind == Comparison.FADE:
            return
        self._kind = kind
        self._views = list(_iterate_views())
        self._cursor.switch(kind in GLASSES)
        for view in self._views:
            view.compared.show(kind)
        if kind == Comparison.FLICKER:
            self._timer.start()
        self._draw()

    def follow_views(self) -> None:
        """Compare what the views show now, if that is something else than before."""
        if not all(view.compared.is_current for view in self._views):
            self.show(self._kind)

    def hide(self) -> None:
        """Show the views' own pictures."""
        self._timer.stop()
        self._cursor.switch(False)
        for view in self._views:
            view.compared.hide()
        self._draw()
        self._views, self._kind = [], Comparison.FADE

    def _draw(self) -> None:
        for view in self._views:
            view.draw()

    def _flicker(self) -> None:
        self._shows_foreground = not self._shows_foreground
        for view in self._views:
            view.compared.alternate(self._kind, self._shows_foreground)
        self._draw()

    def _move_glass(self) -> None:
        under_cursor, place = self._cursor.find_place_in_view()
        for view in self._views:
            is_there = view.node is under_cursor
            if view.compared.move_glass(place if is_there else None):
                view.draw()


def _iterate_views() -> Iterator[_View]:
    manager = slicer.app.layoutManager()
    for name in manager.sliceViewNames():
        if name in (FIXED_VIEW, DIFFERENCE_VIEW):
            continue
        widget = manager.sliceWidget(name)
        view, logic = widget.sliceView(), widget.sliceLogic()
        compared = ComparedView(logic, _find_picture_renderer(view.renderWindow()))
        yield _View(logic.GetSliceNode(), compared, view.scheduleRender)


def _find_picture_renderer(window: Any) -> Any:
    """Return the vtkRenderer that draws the picture of a slice view; those of other layers draw over it."""
    renderers = window.GetRenderers()
    found = (renderers.GetItemAsObject(number) for number in range(renderers.GetNumberOfItems()))
    return next(renderer for renderer in found if renderer.GetLayer() == 0)


def list_comparison_items() -> list[tuple[str, str]]:
    """Return the comparisons and their names."""
    return [
        (Comparison.FADE, translate("LightRegistration", "Fade")),
        (Comparison.COLORS, translate("LightRegistration", "Two colors")),
        (Comparison.CHECKERBOARD, translate("LightRegistration", "Checkerboard")),
        (Comparison.DIFFERENCE, translate("LightRegistration", "Difference")),
        (Comparison.FLICKER, translate("LightRegistration", "Flicker")),
        (Comparison.GLASS, translate("LightRegistration", "Spy-glass")),
        (Comparison.GLASS_REVERSED, translate("LightRegistration", "Spy-glass, reversed")),
    ]
