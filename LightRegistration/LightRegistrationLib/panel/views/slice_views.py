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
from ...scene.display.comparison import Comparison
from ...scene.display.deformation_grid import GridKind
from ...scene.display.deformation_maps import MapKind
from ...scene.display.hidden_segmentations import HiddenSegmentations, restore_hidden_segmentations
from ...scene.display.preview import add_preview, remove_preview
from ...scene.display.result_display import ResultDisplay
from ...scene.nodes.results import RegistrationNodes, find_registration_nodes
from ..inputs.selected_nodes import SelectedNodes
from ..translation import translate
from .comparisons import Comparisons
from .view_content import Overlay, Picture, ViewContent

_NOTHING = ViewContent(overlay=Overlay.NONE)
"""What a display that was just made, or that replaced a preview, draws on the picture."""


class ResultViews(VTKObservationMixin):
    """Shows one result or preview at a time in all slice views, and restores the views afterwards.

    on_change: called when the views show something else, also when the user has chosen it.
    """

    def __init__(self, scene: Any, application_logic: Any, on_change: Callable[[], None] = lambda: None) -> None:
        VTKObservationMixin.__init__(self)
        self._on_change = on_change
        self._changes = 0
        self._scene = scene
        self._logic = application_logic
        self._display: ResultDisplay | None = None
        self._shown = _NOTHING
        self._preview: RegistrationNodes | None = None
        self._replaced: tuple[Any, ViewContent] | None = None
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
            and self._display.nodes.transform is transform
            and self._shown == content
            and self._display.is_in_views
        )

    def show(self, transform: Any, content: ViewContent) -> None:
        """Show the result that belongs to a transform; restore the views for None or a transform without a result.

        Raises InputError if the segmentations have no structure in common.
        """
        nodes = None if transform is None else find_registration_nodes(transform)
        if self._display is not None and (nodes is None or self._display.nodes.transform is not nodes.transform):
            self.clear()
        if nodes is None:
            return
        is_new = self._display is None
        if self._display is None:
            self._display, self._shown = ResultDisplay(self._logic, nodes), _NOTHING
        with self._change():
            try:
                self._draw(self._display, content, is_new or not self._display.is_in_views)
            finally:
                self._observe_views()

    def _draw(self, display: ResultDisplay, content: ViewContent, everything: bool) -> None:
        """Draw what changed, or everything; a match map of a large volume takes time.

        What cannot be drawn is not in `_shown` afterwards.
        """
        earlier = self._shown
        if everything or content.overlay != earlier.overlay:
            _show_overlay(display, earlier.overlay, False)
            self._shown = replace(self._shown, overlay=Overlay.NONE)
        if everything or content.picture != earlier.picture:
            _show_picture(display, content.picture)
            self._shown = replace(self._shown, picture=content.picture)
        if (content.grid, content.grid_kind) != (earlier.grid, earlier.grid_kind):
            display.show_grid(content.grid, content.grid_kind, _make_grid_title(content.grid_kind))
            self._shown = replace(self._shown, grid=content.grid, grid_kind=content.grid_kind)
        if content.overlay != self._shown.overlay:
            _show_overlay(display, content.overlay, True)
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
        with self._change():
            replaced = None if self._display is None or self._preview else (self._display.nodes.transform, self._shown)
            self.clear()
            self._preview = add_preview(self._scene, selected.fixed, selected.moving, moving_affine, field)
            self._replaced = replaced
            segmentations = (selected.fixed_segmentation, selected.moving_segmentation)
            covers = content.grid or content.overlay != Overlay.NONE
            self._hidden.hide([node for node in segmentations if node is not None and covers])
            self._display = ResultDisplay(self._logic, self._preview)
            self._display.show_after()

    def replace_preview(self, nodes: RegistrationNodes) -> None:
        """Show a result in place of its preview, if there is a preview."""
        if self._preview is not None:
            with self._change():
                self._display.replace_nodes(nodes)
                self._remove_preview()
                self._shown = _NOTHING
                self._comparisons.hide()

    def end_preview(self) -> None:
        """Remove the preview of a registration without a result, and show again what the preview had replaced."""
        if self._preview is None:
            return
        replaced = self._replaced
        self.clear()
        if replaced is not None and not self._scene.IsClosing():
            self.show(*replaced)

    def clear(self) -> None:
        """Restore what the views showed before the result."""
        with self._change():
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
        self._display = self._preview = self._replaced = None

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
        if self._display is not None and node in vars(self._display.nodes).values():
            self.clear()


_MAPS = {Overlay.DISPLACEMENT: MapKind.LENGTHS, Overlay.JACOBIAN: MapKind.DETERMINANTS}


def _show_overlay(display: ResultDisplay, overlay: Overlay, on: bool) -> None:
    if overlay == Overlay.OUTLINES:
        display.show_outlines(on, _make_outline_titles())
    elif overlay == Overlay.MATCH:
        display.show_match(on)
    elif overlay in _MAPS and on:
        display.show_map(_MAPS[overlay], _make_map_title(overlay), translate("LightRegistration", "folded"))
    else:
        display.hide_map()


def _make_grid_title(kind: GridKind) -> str:
    if kind == GridKind.GRID:
        return translate("LightRegistration", "mm\ncells:\n{spacing} mm")
    return translate("LightRegistration", "mm")


def _make_outline_titles() -> tuple[str, str, str]:
    return (
        translate("LightRegistration", "fixed: white"),
        translate("LightRegistration", "moving: colors"),
        translate("LightRegistration", "warped: colors"),
    )


def _make_map_title(overlay: Overlay) -> str:
    if overlay == Overlay.DISPLACEMENT:
        return translate("LightRegistration", "Displacement, mm")
    return translate("LightRegistration", "Jacobian")


def _show_picture(display: ResultDisplay, picture: Picture) -> None:
    if picture == Picture.FIXED:
        display.show_fixed()
    elif picture == Picture.BEFORE:
        display.show_before()
    else:
        display.show_after()
