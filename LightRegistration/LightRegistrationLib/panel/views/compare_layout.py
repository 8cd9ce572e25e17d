"""The button Compare: a layout with fixed volume, result, difference and surfaces, and back to the user's own one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import qt
import slicer.util
import vtk
from slicer.util import VTKObservationMixin

from ...core.errors import InputError
from ...scene.display.compare_layout import CompareLayout
from ...scene.display.compare_views import CompareViews, Surfaces
from ...scene.nodes.results import RegistrationNodes
from ..translation import translate
from .view_content import Picture

_SURFACES = {
    Picture.FIXED: Surfaces.FIXED,
    Picture.BEFORE: Surfaces.MOVING,
    Picture.AFTER: Surfaces.WARPED,
}


class CompareView(VTKObservationMixin):
    """Fills the layout with a result while it is on; the surfaces come structure by structure from Qt's event loop.

    refresh: shows the state of the panel anew. show: shows the result in the views as the switches say.
    """

    def __init__(self, ui: Any, application_logic: Any, refresh: Callable[[], None], show: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._refresh, self._show = ui, refresh, show
        self._layout = CompareLayout(application_logic.GetMRMLScene())
        self._views = CompareViews(application_logic)
        self._volumes_key: Any = None
        self._surfaces_key: Any = None
        self._steps: Iterator[None] = iter(())
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._step)
        ui.compareButton.connect("clicked()", self._on_clicked)

    def follow(self, nodes: RegistrationNodes | None, picture: Picture, is_running: bool) -> None:
        """Fill the views with a result, or empty them: for None, during a registration, and in another layout."""
        self._observe_layout()
        self._ui.compareButton.setChecked(self._layout.is_on)
        self._ui.compareButton.setEnabled(self._layout.is_on or (nodes is not None and not is_running))
        if nodes is None or is_running or not self._layout.is_on:
            self._empty()
            if not self._layout.is_on:
                self._layout.forget()
            return
        if not self._views.are_open:  # the panel is refreshed again when they are
            return
        self._layout.exclude_views_from_saving()
        volumes_key = (nodes.transform, nodes.warped.GetImageData().GetMTime())
        if volumes_key != self._volumes_key:
            self._volumes_key = volumes_key
            self._report_errors(lambda: self._views.show_volumes(nodes))
        if (volumes_key, picture) != self._surfaces_key:
            self._surfaces_key = (volumes_key, picture)
            title = translate("LightRegistration", "Distance, mm")
            self._steps = self._views.show_surfaces(nodes, _SURFACES[picture], title)
            self._timer.start(0)

    def switch_off(self) -> None:
        """Empty the views and show the user's own layout."""
        self._empty()
        self._layout.switch_off()

    def close(self) -> None:
        """Switch off and stop observing."""
        self.switch_off()
        self.removeObservers()

    def _on_clicked(self) -> None:
        if self._layout.is_on:
            self.switch_off()
        else:
            self._layout.switch_on()
            self._show()
        self._refresh()

    def _empty(self) -> None:
        self._timer.stop()
        self._steps = iter(())
        if self._volumes_key is not None:
            self._views.clear()
        self._volumes_key = self._surfaces_key = None

    def _step(self) -> None:
        """Draw the surface of one more structure."""
        try:
            next(self._steps)
        except StopIteration:
            self._timer.stop()
        except InputError as error:
            self._timer.stop()
            slicer.util.showStatusMessage(str(error), 5000)

    def _report_errors(self, action: Callable[[], None]) -> None:
        try:
            action()
        except InputError as error:
            slicer.util.showStatusMessage(str(error), 5000)

    def _observe_layout(self) -> None:
        """The user can choose another layout at any time."""
        node = self._layout.node
        if node is not None and not self.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_layout):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_layout)

    def _on_layout(self, _caller: Any, _event: Any) -> None:
        self._refresh()
