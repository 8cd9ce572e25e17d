"""What the slice views show: the result as selected in the panel, or the preview of a running registration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from ..core.geometry.geometry import FloatArray
from ..core.geometry.transforms import DisplacementField
from ..scene.display.hidden_segmentations import HiddenSegmentations, restore_hidden_segmentations
from ..scene.display.preview import add_preview, remove_preview
from ..scene.display.result_display import ResultDisplay
from ..scene.nodes.results import RegistrationNodes, find_registration_nodes
from .inputs import SelectedNodes


@dataclass(frozen=True)
class ViewContent:
    """What the slice views show of a result. after: the warped volume instead of the moving one."""

    after: bool = True
    grid: bool = False
    outlines: bool = True
    match: bool = False


class ResultViews(VTKObservationMixin):
    """Shows one result or preview at a time in all slice views, and restores the views afterwards.

    on_change: called when the views show something else, also when the user has chosen it.
    """

    def __init__(self, scene: Any, application_logic: Any, on_change: Callable[[], None] = lambda: None) -> None:
        VTKObservationMixin.__init__(self)
        self._on_change = on_change
        self._scene = scene
        self._logic = application_logic
        self._display: ResultDisplay | None = None
        self._shown: ViewContent | None = None
        self._preview: RegistrationNodes | None = None
        self._replaced: tuple[Any, ViewContent] | None = None
        self._hidden = HiddenSegmentations(scene)
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
        earlier = self._shown
        if self._display is None:
            self._display, earlier = ResultDisplay(self._logic, nodes), None
        elif not self._display.is_in_views:
            earlier = None
        self._shown = content
        if earlier is None or content.after != earlier.after:
            (self._display.show_after if content.after else self._display.show_before)()
        # Only what changed is drawn again: a match map of a large volume takes time.
        for name in ("grid", "outlines", "match"):
            on = getattr(content, name)
            if on != (earlier is not None and getattr(earlier, name)):
                getattr(self._display, f"show_{name}")(on)
        self._observe_views()
        self._on_change()

    def _observe_views(self) -> None:
        composites = self._scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
        composites.UnRegister(None)
        for composite in composites:
            if not self.hasObserver(composite, vtk.vtkCommand.ModifiedEvent, self._on_views_changed):
                self.addObserver(composite, vtk.vtkCommand.ModifiedEvent, self._on_views_changed)

    def _on_views_changed(self, _caller: Any, _event: Any) -> None:
        self._on_change()

    def show_preview(
        self, selected: SelectedNodes, moving_affine: FloatArray, field: DisplacementField, content: ViewContent
    ) -> None:
        """Show a preview of the result, until `replace_preview` or `end_preview` is called.

        moving_affine, field: as for `scene.display.preview.add_preview`. content: of the result; if it will hide
        the segmentations, the preview hides them too.
        """
        replaced = None if self._display is None or self._preview else (self._display.nodes.transform, self._shown)
        self.clear()
        self._preview = add_preview(self._scene, selected.fixed, selected.moving, moving_affine, field)
        self._replaced = replaced
        segmentations = (selected.fixed_segmentation, selected.moving_segmentation)
        covers = content.outlines or content.grid or content.match
        self._hidden.hide([node for node in segmentations if node is not None and covers])
        self._display = ResultDisplay(self._logic, self._preview)
        self._display.show_after()

    def replace_preview(self, nodes: RegistrationNodes) -> None:
        """Show a result in place of its preview, if there is a preview."""
        if self._preview is not None:
            self._display.replace_nodes(nodes)
            self._remove_preview()
            self._shown = ViewContent(outlines=False)

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
        display, self._display = self._display, None
        if display is not None:
            display.restore()
        self._remove_preview()
        self._on_change()

    def _remove_preview(self) -> None:
        self._hidden.restore()
        preview, self._preview, self._replaced = self._preview, None, None
        if preview is not None:
            remove_preview(self._scene, preview)

    def close(self) -> None:
        """Restore the views and stop observing the scene."""
        self.clear()
        self.removeObservers()

    def _on_scene_close(self, _caller: Any, _event: Any) -> None:
        self._display = self._preview = self._replaced = None

    def _on_scene_loaded(self, _caller: Any, _event: Any) -> None:
        # A scene that an earlier version saved with outlines comes back without them, but with hidden segmentations.
        self.clear()
        restore_hidden_segmentations(self._scene)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_removed(self, _caller: Any, _event: Any, node: Any) -> None:
        if self._display is not None and node in vars(self._display.nodes).values():
            self.clear()
