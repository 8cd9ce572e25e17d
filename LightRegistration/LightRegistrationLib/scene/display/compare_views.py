"""What the views of the compare layout show of a result: fixed volume, difference, and surfaces colored by distance."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersCore import vtkAppendPolyData

from ...core.geometry.volume import match_segments
from ..nodes.hidden_nodes import add_hidden_node
from ..nodes.removal import remove_with_display
from ..nodes.results import RegistrationNodes
from ..nodes.segmentations import segmentation_from_node
from .compare_layout import DIFFERENCE_VIEW, FIXED_VIEW, RESULT_VIEW, SURFACES_VIEW, find_layout_name
from .difference import add_difference_node
from .legends import add_legend
from .slice_layers import iterate_slice_logics
from .surface_distances import DISTANCE_ARRAY, add_distances, iterate_surfaces

_SLICE_VIEWS = (FIXED_VIEW, RESULT_VIEW, DIFFERENCE_VIEW)
FARTHEST_MM = 5.0
"""Distances from here on have the last color. Always the same, so that results can be compared."""
_COLORS = ((0.1, 0.5, 0.2), (0.95, 0.9, 0.3), (0.9, 0.1, 0.1))
"""At no distance, in the middle, and at the farthest one."""
_COLOR_COUNT = 64
_FIXED_COLOR, _FIXED_OPACITY = (1.0, 1.0, 1.0), 0.25


class Surfaces(Enum):
    """Which surfaces are drawn with those of the fixed structures. FIXED: none."""

    FIXED = auto()
    MOVING = auto()
    WARPED = auto()


class CompareViews:
    """Fills the views of the compare layout that have a content of their own, and empties them again."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic
        self._scene = logic.GetMRMLScene()
        self._difference: Any = None
        self._models: list[Any] = []

    @property
    def are_open(self) -> bool:
        """Whether the slice views exist; Slicer opens them after it has been told of the layout."""
        names = {slice_logic.GetSliceNode().GetLayoutName() for slice_logic in iterate_slice_logics(self._logic)}
        return names.issuperset(_SLICE_VIEWS)

    def show_volumes(self, nodes: RegistrationNodes) -> None:
        """Show the fixed volume and the difference, linked with the view of the result, where the other views are.

        Raises InputError for volumes that cannot be read.
        """
        self._remove_difference()
        self._difference = add_difference_node(self._scene, nodes)
        place = self._find_shown_place()
        for slice_logic in iterate_slice_logics(self._logic):
            name = slice_logic.GetSliceNode().GetLayoutName()
            if name not in _SLICE_VIEWS:
                continue
            composite = slice_logic.GetSliceCompositeNode()
            if name != RESULT_VIEW:
                volume = nodes.fixed if name == FIXED_VIEW else self._difference
                composite.SetBackgroundVolumeID(None if volume is None else volume.GetID())
            composite.SetLinkedControl(True)
            composite.SetHotLinkedControl(True)
            width, height, _ = slice_logic.GetSliceNode().GetDimensions()
            slice_logic.FitSliceToVolume(nodes.fixed, width, height)
            if place is not None:
                slice_logic.GetSliceNode().JumpSliceByOffsetting(*place)

    def show_surfaces(self, nodes: RegistrationNodes, which: Surfaces, title: str) -> Iterator[None]:
        """Draw the surfaces of the structures, one structure at each step of the iterator; complete at its end.

        The fixed ones are white and translucent, the others are colored by their distance to the fixed one of the same
        structure. title: of the legend. Nothing without segmentations. Raises InputError for labels that cannot be
        read.
        """
        self._remove_models()
        other_node = nodes.moving_segmentation if which is Surfaces.MOVING else nodes.warped_segmentation
        if nodes.fixed_segmentation is None or other_node is None:
            return
        fixed, other = segmentation_from_node(nodes.fixed_segmentation), segmentation_from_node(other_node)
        yield
        pairs = match_segments(fixed, other)
        edge_mm = float(max(fixed.geometry.spacing_mm.max(), other.geometry.spacing_mm.max()))
        fixed_parts, other_parts = [], []
        other_surfaces = iterate_surfaces(other, [two for _, two in pairs])
        for surface in iterate_surfaces(fixed, [one for one, _ in pairs]):
            fixed_parts.append(surface)
            if which is not Surfaces.FIXED:
                other_parts.append(next(other_surfaces))
                add_distances(other_parts[-1], surface, edge_mm)
            yield
        self._add_models(fixed_parts, other_parts, title)

    def clear(self) -> None:
        """Empty the views."""
        self._remove_difference()
        self._remove_models()
        for slice_logic in iterate_slice_logics(self._logic):
            composite = slice_logic.GetSliceCompositeNode()
            if composite is not None and composite.GetLayoutName() in (FIXED_VIEW, DIFFERENCE_VIEW):
                composite.SetBackgroundVolumeID(None)

    def _find_shown_place(self) -> tuple[float, float, float] | None:
        """Return the middle of the first other slice view, RAS mm."""
        for slice_logic in iterate_slice_logics(self._logic):
            node = slice_logic.GetSliceNode()
            if node.GetLayoutName() not in _SLICE_VIEWS:
                matrix = node.GetSliceToRAS()
                return matrix.GetElement(0, 3), matrix.GetElement(1, 3), matrix.GetElement(2, 3)
        return None

    def _remove_difference(self) -> None:
        if self._difference is not None:
            remove_with_display(self._scene, self._difference)
        self._difference = None

    def _remove_models(self) -> None:
        for node in self._models:
            remove_with_display(self._scene, node)
        self._models = []

    def _add_models(self, fixed: list[vtkPolyData], other: list[vtkPolyData], title: str) -> None:
        has_other = any(part.GetNumberOfPoints() for part in other)
        view = next((n for n in self._list_own_nodes("vtkMRMLViewNode")), None)
        if view is None or not (has_other or any(part.GetNumberOfPoints() for part in fixed)):
            return
        view.SetBoxVisible(False)
        view.SetAxisLabelsVisible(False)
        reference = _add_model(self._scene, "Fixed surfaces", fixed, view)
        reference.GetDisplayNode().SetColor(*_FIXED_COLOR)
        reference.GetDisplayNode().SetOpacity(_FIXED_OPACITY if has_other else 1.0)
        self._models.append(reference)
        if has_other:
            colored = _add_model(self._scene, "Surfaces by distance", other, view)
            colors = _add_colors(self._scene)
            self._models += [colored, colors]
            _color_by_distance(colored.GetDisplayNode(), colors)
            add_legend(self._scene, colored, title, int(FARTHEST_MM) + 1, _COLOR_COUNT, "%.0f")
        bounds = [0.0] * 6
        reference.GetRASBounds(bounds)
        for camera in self._list_own_nodes("vtkMRMLCameraNode"):
            _look_at(camera, bounds)

    def _list_own_nodes(self, kind: str) -> Iterator[Any]:
        for number in range(self._scene.GetNumberOfNodesByClass(kind)):
            node = self._scene.GetNthNodeByClass(number, kind)
            if find_layout_name(node) == SURFACES_VIEW:
                yield node


def _add_model(scene: Any, name: str, parts: list[vtkPolyData], view: Any) -> Any:
    appended = vtkAppendPolyData()
    for part in parts:
        appended.AddInputData(part)
    appended.Update()
    display = add_hidden_node(scene, "vtkMRMLModelDisplayNode", f"{name} display")
    display.SetVisibility2D(False)
    display.AddViewNodeID(view.GetID())
    node = add_hidden_node(scene, "vtkMRMLModelNode", name)
    node.SetAndObservePolyData(appended.GetOutput())
    node.SetAndObserveDisplayNodeID(display.GetID())
    return node


def _add_colors(scene: Any) -> Any:
    colors = add_hidden_node(scene, "vtkMRMLColorTableNode", "Distance colors")
    colors.SetTypeToUser()
    colors.SetNumberOfColors(_COLOR_COUNT)
    positions, anchors = np.linspace(0, len(_COLORS) - 1, _COLOR_COUNT), np.array(_COLORS)
    for number, position in enumerate(positions):
        red, green, blue = (float(np.interp(position, range(len(anchors)), anchors[:, c])) for c in range(3))
        colors.SetColor(number, f"{number * FARTHEST_MM / (_COLOR_COUNT - 1):.2f}", red, green, blue, 1.0)
    return colors


def _color_by_distance(display: Any, colors: Any) -> None:
    display.SetAndObserveColorNodeID(colors.GetID())
    display.SetActiveScalarName(DISTANCE_ARRAY)
    display.SetScalarRangeFlag(display.UseManualScalarRange)
    display.SetScalarRange(0.0, FARTHEST_MM)
    display.SetScalarVisibility(True)


def _look_at(camera: Any, bounds: list[float]) -> None:
    """Look at a box from the front, slightly from above and the patient's left."""
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    center, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    direction = np.array([-0.35, 0.9, 0.25])
    camera.SetFocalPoint(*(float(x) for x in center))
    camera.SetPosition(*(float(x) for x in center + 4.0 * radius * direction / np.linalg.norm(direction)))
    camera.SetViewUp(0.0, 0.0, 1.0)
    camera.ResetClippingRange()
