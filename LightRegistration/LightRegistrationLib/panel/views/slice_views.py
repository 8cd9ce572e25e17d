"""What the slice views show: the result as selected in the panel, or the preview of a running registration."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from ...core.geometry.geometry import FloatArray
from ...core.geometry.transforms import DisplacementField
from ...core.parts import Parts
from ...scene.display.comparison import Comparison
from ...scene.display.hidden_segmentations import HiddenSegmentations, restore_hidden_segmentations
from ...scene.display.preview import add_preview, remove_preview
from ...scene.display.result_display import ResultDisplay
from ...scene.nodes.results import RegistrationNodes, find_registration_nodes
from ...scene.nodes.transforms import set_field
from ..inputs.selected_nodes import SelectedNodes
from .comparisons import Comparisons
from .drawing import draw_overlay, draw_picture, make_grid_title
from .turns import Turns
from .view_content import Overlay, ViewContent

_NOTHING = ViewContent(overlay=Overlay.NONE)
"""What a display that was just made, or that replaced a preview, draws on the picture."""


class ResultViews(VTKObservationMixin):
    """Shows one result or preview at a time in all slice views, and restores the views afterwards.

    What takes long with many structures or voxels is done in several turns of Qt's event loop. on_change: called when
    the views show something else, also when the user has chosen it. on_error: called with one line for the user when
    something cannot be shown and `show` has returned already.
    """

    def __init__(
        self,
        scene: Any,
        application_logic: Any,
        on_change: Callable[[], None] = lambda: None,
        on_error: Callable[[str], None] = lambda line: None,
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._on_change = on_change
        self._changes = 0
        self._scene = scene
        self._logic = application_logic
        self._display: ResultDisplay | None = None
        self._shown = _NOTHING
        self._turns = Turns(on_error)
        self._is_complete = True
        self._preview: RegistrationNodes | None = None
        self._replaced: tuple[Any, ViewContent] | None = None
        self._wanted: RegistrationNodes | None = None
        self._wanted_content = _NOTHING
        self._comparisons = Comparisons(scene)
        self._hidden = HiddenSegmentations(scene)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._show_in_new_views)
        self.addObserver(scene, slicer.vtkMRMLScene.NodeAddedEvent, self._on_node_added)
        self.addObserver(scene, slicer.vtkMRMLScene.StartCloseEvent, self._on_scene_close)
        self.addObserver(scene, slicer.vtkMRMLScene.EndImportEvent, self._on_scene_loaded)
        self.addObserver(scene, slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._on_node_removed)
        restore_hidden_segmentations(scene)

    def is_showing(self, transform: Any, content: ViewContent) -> bool:
        """Whether all slice views show exactly this of the result that belongs to a transform."""
        return (
            self._display is not None
            and self._preview is None
            and self._is_complete
            and self._display.nodes.transform is transform
            and self._shown == content
            and self._display.is_in_views
        )

    def show(self, transform: Any, content: ViewContent) -> None:
        """Show the result that belongs to a transform; restore the views for None or a transform without a result.

        With many structures or voxels the rest is shown in further turns of the event loop. Raises InputError if the
        segmentations have no structure in common.
        """
        self._turns.stop()
        if self._preview is None:
            self._replaced = None
        self._wanted, self._wanted_content = None if transform is None else find_registration_nodes(transform), content
        if self._display is not None or self._wanted is not None:
            self._turns.start(self._draw_and_tell(self._wanted, content))

    def finish(self) -> None:
        """Show at once what is left for later turns. Raises InputError for what cannot be shown."""
        self._turns.finish()

    def _draw_and_tell(self, nodes: RegistrationNodes | None, content: ViewContent) -> Parts[None]:
        with self._change():
            everything = not self._is_complete
            self._is_complete = False
            if self._display is not None and (nodes is None or self._display.nodes.transform is not nodes.transform):
                yield from self._display.hide_overlays()
                self._restore()
            if nodes is None:
                return
            if self._display is None:
                self._display, self._shown, everything = ResultDisplay(self._logic, nodes), _NOTHING, True
            everything = everything or not self._display.is_in_views
            try:
                with self._display.keep_hidden():
                    yield from self._draw(self._display, content, everything)
                self._is_complete = True
            finally:
                self._observe_views()

    def _draw(self, display: ResultDisplay, content: ViewContent, everything: bool) -> Parts[None]:
        """Draw what changed, or everything, in parts. What cannot be drawn is not in `_shown` afterwards."""
        earlier = self._shown
        if everything:
            yield from display.hide_overlays()
            self._shown = replace(self._shown, overlay=Overlay.NONE)
        elif content.overlay != earlier.overlay:
            self._shown = replace(self._shown, overlay=Overlay.NONE)
            yield from draw_overlay(display, earlier.overlay, False)
        if everything or content.picture != earlier.picture:
            yield from draw_picture(display, content.picture)
            self._shown = replace(self._shown, picture=content.picture)
        if everything or (content.grid, content.grid_kind) != (earlier.grid, earlier.grid_kind):
            yield from display.draw_grid(content.grid, content.grid_kind, make_grid_title(content.grid_kind))
            self._shown = replace(self._shown, grid=content.grid, grid_kind=content.grid_kind)
        if content.overlay != self._shown.overlay:
            yield from draw_overlay(display, content.overlay, True)
            self._shown = replace(self._shown, overlay=content.overlay)
        self._comparisons.show(content.combination)
        self._shown = replace(self._shown, comparison=content.comparison)

    def show_opaque(self, on: bool) -> None:
        """Show the moving or warped volume of the result alone; off: over the fixed one, as before."""
        if self._display is not None:
            with self._change():
                self._display.show_opaque(on)
            self._comparisons.show(Comparison.FADE if on else self._shown.combination)

    @property
    def foreground_opacity(self) -> float | None:
        """How opaque the views show the moving or warped volume, 0 to 1; None without a result in the views."""
        return None if self._display is None else self._display.foreground_opacity

    def set_foreground_opacity(self, opacity: float) -> None:
        """Show the moving or warped volume of the result more or less opaque."""
        if self._display is not None:
            with self._change():
                self._display.set_foreground_opacity(opacity)

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """Call `on_change` once after the block, in place of once for each layer of each view that is changed in it."""
        self._changes += 1
        try:
            yield
        finally:
            self._changes -= 1
            if not self._changes:
                self._on_change()

    def _observe_views(self) -> None:
        composites = self._scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
        composites.UnRegister(None)
        for composite in composites:
            if not self.hasObserver(composite, vtk.vtkCommand.ModifiedEvent, self._on_views_changed):
                self.addObserver(composite, vtk.vtkCommand.ModifiedEvent, self._on_views_changed)

    def _on_views_changed(self, _caller: Any, _event: Any) -> None:
        if not self._changes:
            self._comparisons.follow_views()
            self._on_change()

    def show_preview(
        self, selected: SelectedNodes, moving_affine: FloatArray, field: DisplacementField, content: ViewContent
    ) -> None:
        """Show a preview of the result, until `replace_preview` or `end_preview` is called.

        moving_affine, field: as for `scene.display.preview.add_preview`. content: of the result; if it will hide
        the segmentations, the preview hides them too.
        """
        if self._preview is None:
            self._replaced = self._replaced or self._find_replaced()
            self._turns.start(self._draw_preview(selected, moving_affine, field, content))
            return
        with self._change():  # the refined deformation, after that of the network
            set_field(self._preview.transform, field, shared=True)
            self._hide_segmentations(selected, content)

    def _draw_preview(
        self, selected: SelectedNodes, moving_affine: FloatArray, field: DisplacementField, content: ViewContent
    ) -> Parts[None]:
        with self._change():
            if self._display is not None:
                self._is_complete = False
                yield from self._display.hide_overlays()
            replaced = self._replaced
            self._restore()
            self._preview = add_preview(self._scene, selected.fixed, selected.moving, moving_affine, field)
            self._replaced = replaced
            self._hide_segmentations(selected, content)
            self._display = ResultDisplay(self._logic, self._preview)
            self._display.show_after()

    def _find_replaced(self) -> tuple[Any, ViewContent] | None:
        """Return what the views show of a result, or will show when they are complete."""
        if self._turns.is_busy:
            return None if self._wanted is None else (self._wanted.transform, self._wanted_content)
        return None if self._display is None else (self._display.nodes.transform, self._shown)

    def _hide_segmentations(self, selected: SelectedNodes, content: ViewContent) -> None:
        segmentations = (selected.fixed_segmentation, selected.moving_segmentation)
        covers = content.grid or content.overlay != Overlay.NONE
        self._hidden.hide([node for node in segmentations if node is not None and covers])

    def replace_preview(self, nodes: RegistrationNodes) -> None:
        """Show a result in place of its preview, if there is a preview."""
        if self._replaced is not None and self._preview is None:
            self._turns.finish()  # the preview is on its way
        if self._preview is not None:
            with self._change():
                self._display.replace_nodes(nodes)
                self._remove_preview()
                self._shown, self._is_complete = _NOTHING, True
                self._comparisons.hide()

    def end_preview(self) -> None:
        """Remove the preview of a registration without a result, and show again what the preview had replaced."""
        if self._preview is None and self._replaced is None:
            return
        replaced = self._replaced
        self.clear()
        if replaced is not None and not self._scene.IsClosing():
            self.show(*replaced)

    def clear(self) -> None:
        """Restore what the views showed before the result."""
        self._turns.stop()
        self._restore()

    def _restore(self) -> None:
        with self._change():
            self._wanted = None
            self._comparisons.hide()
            display, self._display = self._display, None
            if display is not None:
                display.restore()
            self._remove_preview()

    def _remove_preview(self) -> None:
        self._hidden.restore()
        preview, self._preview, self._replaced = self._preview, None, None
        if preview is not None:
            remove_preview(self._scene, preview)

    def close(self) -> None:
        """Restore the views and stop observing the scene."""
        self.clear()
        self._timer.stop()
        self.removeObservers()

    def _on_scene_close(self, _caller: Any, _event: Any) -> None:
        self._comparisons.hide()
        self._display = self._preview = self._replaced = self._wanted = None
        self._turns.stop()

    def _on_scene_loaded(self, _caller: Any, _event: Any) -> None:
        # A scene that an earlier version saved with outlines comes back without them, but with hidden segmentations.
        self.clear()
        restore_hidden_segmentations(self._scene)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_added(self, _caller: Any, _event: Any, node: Any) -> None:
        if self._display is not None and node.IsA("vtkMRMLSliceCompositeNode"):
            self._timer.start(0)  # the view is not complete yet

    def _show_in_new_views(self) -> None:
        """Show the result also in views that the user has opened, as with another layout."""
        if self._display is not None:
            with self._change():
                self._display.show_in_new_views()
                self._observe_views()
            self._comparisons.show(self._shown.combination)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_removed(self, _caller: Any, _event: Any, node: Any) -> None:
        shown = None if self._display is None else self._display.nodes
        if any(node in vars(nodes).values() for nodes in (shown, self._wanted) if nodes is not None):
            self.clear()
