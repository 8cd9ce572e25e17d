"""Outlines of segmentations in the slice views, with a legend, drawn by hidden nodes of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from ...core.parts import Parts, do_at_once
from ..nodes.hidden_nodes import add_hidden_node
from ..nodes.removal import remove_segmentation_silently, remove_with_display
from ..nodes.segmentations import segmentation_from_node, set_segmentation
from ..nodes.sharing import list_segment_ids, share_segments
from ..nodes.voxel_watch import VoxelWatch
from .legends import add_legend

Color = tuple[float, float, float]


@dataclass(frozen=True)
class LineStyle:
    """How an outline is drawn. thickness: pixels. opacity: 0 to 1. color: of all structures; None for their own."""

    thickness: int
    opacity: float
    color: Color | None = None


FIXED_LINE = LineStyle(4, 0.9, (1.0, 1.0, 1.0))
"""A broad, white line: where both segmentations agree, the narrow line of the other one lies inside it."""
OTHER_LINE = LineStyle(2, 1.0)
MOST_SEGMENTS = 40
"""Segments that one hidden node draws, at most. Chosen, so that to add or to remove it takes a few ten milliseconds."""


class _Drawing:
    """The hidden nodes that draw the outlines of a node in a style."""

    def __init__(self, source: Any, style: LineStyle) -> None:
        self.source = source
        self.style = style
        self.nodes: list[Any] = []
        self._segment_ids = list_segment_ids(source)
        self._voxels = VoxelWatch([source])
        self._is_complete = False

    def add(self, scene: Any) -> Parts[None]:
        """Add the nodes, one in each part; few segments are no part of their own."""
        for segment_ids in _divide(self._segment_ids):
            self.nodes.append(_add_outline_node(scene, self.source, segment_ids, self.style))
            if len(segment_ids) == MOST_SEGMENTS:
                yield
        self._is_complete = True

    def remove(self, scene: Any) -> Parts[None]:
        """Remove the nodes, one in each part; few segments are no part of their own."""
        while self.nodes:
            is_large = self.nodes[-1].GetSegmentation().GetNumberOfSegments() == MOST_SEGMENTS
            remove_segmentation_silently(scene, self.nodes.pop())
            if is_large:
                yield

    def still_draws(self, source: Any, style: LineStyle) -> bool:
        """Whether these are the outlines of a node, as it is now, in a style."""
        is_same = self._is_complete and self.source is source and self.style == style
        return is_same and self._segment_ids == list_segment_ids(source) and self._voxels.find_changed() is None


class Outlines:
    """Outlines of segmentations (or label map nodes) in the slice views.

    Separate, hidden nodes draw them; they share the voxels of the segments. (A second display node on the user's
    segmentation is no alternative: Slicer's slice views crash when it is removed.)
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._drawings: list[_Drawing] = []
        self._legend: list[Any] = []
        self._titles: tuple[str, ...] = ()

    def draw(self, lines: Sequence[tuple[Any, LineStyle]]) -> Parts[None]:
        """Draw each node's outlines in its style, and no others, in parts. Those that are drawn already stay."""
        yield from self.keep(lines)
        for node, style in lines:
            if not any(drawing.still_draws(node, style) for drawing in self._drawings):
                self._drawings.append(_Drawing(node, style))
                yield from self._drawings[-1].add(self._scene)
        sources = [node for node, _ in lines]
        self._drawings.sort(key=lambda drawing: sources.index(drawing.source))

    def keep(self, lines: Sequence[tuple[Any, LineStyle]]) -> Parts[None]:
        """Remove all outlines but those of these nodes in these styles, in parts."""
        self._remove_legend()
        for drawing in list(self._drawings):
            if not any(drawing.still_draws(node, style) for node, style in lines):
                yield from drawing.remove(self._scene)
                if drawing in self._drawings:  # an observer of the scene may have removed the rest
                    self._drawings.remove(drawing)

    def add_legend(self, titles: Sequence[str]) -> None:
        """Add a legend of the outlines that are drawn, in place of an earlier one. titles: what each node shows.

        A line of the legend has the color of the first structure of its node.
        """
        self._remove_legend()
        self._titles = tuple(titles)
        first = [next(_iterate_segments(drawing.nodes), None) for drawing in self._drawings]
        entries = [(title, segment.GetColor()) for title, segment in zip(titles, first, strict=True) if segment]
        if not entries:
            return
        colors = add_hidden_node(self._scene, "vtkMRMLColorTableNode", "Outline colors")
        colors.SetTypeToUser()
        colors.SetNumberOfColors(len(entries))
        for number, (name, color) in enumerate(reversed(entries)):  # the first one is at the bottom of the legend
            colors.SetColor(number, name, *color, 1.0)
        carrier = _add_legend_carrier(self._scene, colors)
        legend = add_legend(self._scene, carrier, " ", len(entries), len(entries), "%s")
        legend.SetSize(0.3, 0.08 * len(entries))
        legend.SetPosition(0.98, 0.98)
        self._legend = [carrier, colors]

    def renew_legend(self) -> None:
        """Add the legend anew: a view that was opened after it does not draw it."""
        if self._legend:
            self.add_legend(self._titles)

    def _remove_legend(self) -> None:
        nodes, self._legend = self._legend, []
        for node in nodes:
            remove_with_display(self._scene, node)

    def hide(self) -> None:
        """Remove the outlines and their legend."""
        do_at_once(self.keep([]))


def _divide(segment_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the IDs of segments in groups for one node each; of a label map, which has none, one empty group."""
    for start in range(0, max(len(segment_ids), 1), MOST_SEGMENTS):
        yield segment_ids[start : start + MOST_SEGMENTS]


def _add_outline_node(scene: Any, node: Any, segment_ids: Sequence[str], style: LineStyle) -> Any:
    """Add a hidden segmentation node that draws the outlines of segments of the given node at the same position.

    It is complete before it enters the scene: for each later change of a segmentation that is not in its data tree,
    Slicer writes an error to the application log.
    """
    outline_node = slicer.vtkMRMLSegmentationNode()
    outline_node.SetName(f"{node.GetName()} outlines")
    outline_node.SetHideFromEditors(True)
    outline_node.SetSaveWithScene(False)
    outline_node.SetScene(scene)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        set_segmentation(outline_node, segmentation_from_node(node))
    else:
        share_segments(node.GetSegmentation(), outline_node.GetSegmentation(), segment_ids)
        outline_node.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    if style.color is not None:
        for segment in _iterate_segments([outline_node]):
            segment.SetColor(style.color)
    _show_outlines_only(outline_node, style)
    return scene.AddNode(outline_node)


def _show_outlines_only(node: Any, style: LineStyle) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetHideFromEditors(True)
    display.SetSaveWithScene(False)
    display.SetVisibility3D(False)
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(style.thickness)
    display.SetOpacity2DOutline(style.opacity)


def _iterate_segments(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        segmentation = node.GetSegmentation()
        for number in range(segmentation.GetNumberOfSegments()):
            yield segmentation.GetNthSegment(number)


def _add_legend_carrier(scene: Any, colors: Any) -> Any:
    """Add a hidden, empty model that has the colors of the legend.

    With a legend on a segmentation that is not in Slicer's data tree, Slicer would write errors to the application log.
    """
    node = add_hidden_node(scene, "vtkMRMLModelNode", "Outline legend")
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetHideFromEditors(True)
    display.SetSaveWithScene(False)
    display.SetAndObserveColorNodeID(colors.GetID())
    display.SetScalarVisibility(True)
    display.SetVisibility2D(True)
    display.SetVisibility3D(False)
    return node
