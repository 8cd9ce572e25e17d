"""Show a registration in the slice views: volumes before and after, deformation grid and maps, outlines, match map.

Uses nodes and the application logic only, so that the same code works in Slicer and without windows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ...core.geometry.geometry import Geometry
from ...core.parts import Parts, do_at_once
from ..nodes.removal import remove_with_display
from ..nodes.results import RegistrationNodes
from ..nodes.volumes import image_array, world_affine
from .deformation_grid import DeformationGrid, GridKind
from .deformation_maps import MAP_OPACITY, MapDisplay, MapKind
from .hidden_segmentations import HiddenSegmentations
from .match import add_match_map
from .outlines import FIXED_LINE, OTHER_LINE, LineStyle, Outlines
from .slice_layers import BACKGROUND, FOREGROUND, LABEL, SliceLayers, iterate_composite_nodes, iterate_slice_logics

OutlineTitles = tuple[str, str, str]
"""What the legend calls the outlines of the fixed, the moving and the warped structures."""
FOREGROUND_OPACITY = 0.5
MATCH_OPACITY = 0.6


class ResultDisplay:
    """The display of one registration in all slice views.

    Each part (grid, outlines, match map, map of the deformation) is switched on and off separately and is readable
    alone: while one is drawn, the views do not draw the segmentations themselves, whose fills would cover it. Switching
    it off restores what the views showed before. A scene that is saved meanwhile holds the user's nodes as they were.

    What takes long with many structures or voxels can be done in parts (`draw_...`); when it is left in the middle,
    `hide_overlays` removes what was drawn.
    """

    def __init__(self, logic: Any, nodes: RegistrationNodes) -> None:
        self._logic = logic
        self._nodes = nodes
        self._scene = logic.GetMRMLScene()
        self._after = True
        self._foreground_node: Any = nodes.warped
        self._background = SliceLayers(logic, BACKGROUND)
        self._foreground = SliceLayers(logic, FOREGROUND)
        self._labels = SliceLayers(logic, LABEL)
        self._grid = DeformationGrid(self._scene, nodes.transform)
        self._outlines = Outlines(self._scene)
        self._hidden = HiddenSegmentations(self._scene)
        self._outlines_on = self._grid_on = False
        self._outline_titles: OutlineTitles | None = None
        self._match_map: list[Any] = []
        self._map = MapDisplay(self._scene, nodes.transform)
        self._keeps_hidden = False

    @property
    def nodes(self) -> RegistrationNodes:
        """The nodes of the displayed registration."""
        return self._nodes

    @property
    def is_in_views(self) -> bool:
        """Whether all slice views show the picture and the map; the user may have chosen others meanwhile."""
        volumes = (self._nodes.fixed, self._foreground_node)
        wanted = tuple(None if volume is None else volume.GetID() for volume in volumes)
        label_node = self._match_map[0] if self._match_map else self._map.node
        labels = None if label_node is None else label_node.GetID()
        return all(
            (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID()) == wanted
            and labels in (None, node.GetLabelVolumeID())
            for node in iterate_composite_nodes(self._logic)
        )

    @property
    def foreground_opacity(self) -> float | None:
        """How opaque the first slice view shows the moving or warped volume, 0 to 1; None without slice views."""
        node = next(iterate_composite_nodes(self._logic), None)
        return None if node is None else float(node.GetForegroundOpacity())

    def set_foreground_opacity(self, opacity: float) -> None:
        """Show the moving or warped volume more or less opaque over the fixed one, in all slice views."""
        for node in iterate_composite_nodes(self._logic):
            node.SetForegroundOpacity(opacity)

    def show_before(self) -> None:
        """Do `draw_before` at once."""
        do_at_once(self.draw_before())

    def show_after(self) -> None:
        """Do `draw_after` at once."""
        do_at_once(self.draw_after())

    def show_fixed(self) -> None:
        """Do `draw_fixed` at once."""
        do_at_once(self.draw_fixed())

    def draw_before(self) -> Parts[None]:
        """Show the unregistered moving volume over the fixed one, half transparent, and its outlines and match map."""
        return self._draw_volumes(self._nodes.moving, after=False)

    def draw_after(self) -> Parts[None]:
        """Show the warped volume over the fixed one, half transparent, and its outlines and match map."""
        return self._draw_volumes(self._nodes.warped, after=True)

    def draw_fixed(self) -> Parts[None]:
        """Show the fixed volume alone; outlines and match map are those of the warped structures."""
        return self._draw_volumes(None, after=True)

    def show_opaque(self, on: bool) -> None:
        """Show the moving or warped volume without the fixed one below it; off: as transparent as before."""
        self._foreground.show_opaque(on)

    def replace_nodes(self, nodes: RegistrationNodes) -> None:
        """Display other nodes of the same registration; `restore` still restores what the views showed at first."""
        self._hide_everything()
        self._nodes = nodes
        self._grid = DeformationGrid(self._scene, nodes.transform)
        self._map = MapDisplay(self._scene, nodes.transform)
        do_at_once(self._draw_volumes(nodes.warped if self._after else nodes.moving, after=self._after))

    def show_in_new_views(self) -> None:
        """Show the same in the slice views that were opened meanwhile; the others are not changed."""
        new_nodes = self._background.list_new_views()
        if not new_nodes:
            return
        for layer in (self._background, self._foreground, self._labels):
            layer.show_in_new_views()
        for slice_logic in iterate_slice_logics(self._logic):
            if slice_logic.GetSliceCompositeNode() in new_nodes:
                self._fit(slice_logic)
        self._outlines.renew_legend()
        self._map.renew_legend()
        self._grid.renew_legend()

    def restore_volumes(self) -> None:
        """Restore the volumes that the views showed before."""
        self._background.restore()
        self._foreground.restore()

    def show_grid(self, on: bool, kind: GridKind = GridKind.GRID, title: str = "") -> None:
        """Do `draw_grid` at once."""
        do_at_once(self.draw_grid(on, kind, title))

    def draw_grid(self, on: bool, kind: GridKind = GridKind.GRID, title: str = "") -> Parts[None]:
        """Draw the deformation in the slice views, colored by displacement. title: of the legend, see
        `DeformationGrid.add_legend`; without one none.

        A regular grid of the moving space is mapped into the fixed space (moving -> fixed), as the image content
        moves. The rigid motion of the whole is removed, so that lines are straight where nothing is deformed.
        Raises InputError if the transform is no longer a displacement field.
        """
        if on:
            yield from self._grid.draw(self._fixed_geometry(), kind)
            if title:
                self._grid.add_legend(title)
        else:
            self._grid.hide()
        self._grid_on = on
        self._hide_or_show_segmentations()

    def show_outlines(self, on: bool, titles: OutlineTitles | None = None) -> None:
        """Do `draw_outlines` at once."""
        do_at_once(self.draw_outlines(on, titles))

    def draw_outlines(self, on: bool, titles: OutlineTitles | None = None) -> Parts[None]:
        """Draw the fixed structures as broad, white lines, the moving or warped ones as narrow lines in their colors.

        The moving structures after `show_before`, the warped ones after `show_after`. Missing ones are skipped.
        titles: words of the legend; without them none. Raises InputError for label maps that cannot be read.
        """
        self._outlines_on, self._outline_titles = on, titles
        lines = self._list_lines() if on else {}
        yield from self._outlines.draw(list(lines.values()))
        if titles is not None:
            self._outlines.add_legend([titles[number] for number in lines])
        self._hide_or_show_segmentations()

    def _list_lines(self) -> dict[int, tuple[Any, LineStyle]]:
        """Return the segmentations whose outlines belong to the picture, by the number of their title."""
        fixed, other = self._nodes.fixed_segmentation, self._other_segmentation()
        lines = {0: (fixed, FIXED_LINE), 2 if self._after else 1: (other, OTHER_LINE)}
        return {number: (node, style) for number, (node, style) in lines.items() if node is not None}

    def show_match(self, on: bool) -> None:
        """Do `draw_match` at once."""
        do_at_once(self.draw_match(on))

    def draw_match(self, on: bool) -> Parts[None]:
        """Show the match map: white where fixed and moving (or warped) structures agree, red where they differ.

        Shows nothing unless there are both segmentations. Raises InputError if they have no structure in common.
        """
        if on:
            self.hide_map()
        nodes, self._match_map = self._match_map, []  # first, since an observer of the scene may call this again
        if nodes:
            self._labels.restore()
        for node in nodes:
            remove_with_display(self._scene, node)
        other = self._other_segmentation()
        if on and self._nodes.fixed_segmentation is not None and other is not None:
            self._match_map = yield from add_match_map(
                self._scene, self._nodes.fixed_segmentation, other, self._fixed_geometry()
            )
            self._labels.show(self._match_map[0], MATCH_OPACITY)
        self._hide_or_show_segmentations()

    def show_map(self, kind: MapKind, title: str, folded_name: str) -> None:
        """Do `draw_map` at once."""
        do_at_once(self.draw_map(kind, title, folded_name))

    def draw_map(self, kind: MapKind, title: str, folded_name: str) -> Parts[None]:
        """Show a map of the deformation with its legend. title: of the legend. folded_name: of the folded band in it.

        The whole displacement is meant, the initial alignment included; determinants are those of the map fixed ->
        moving. Raises InputError if the transform is no longer a displacement field.
        """
        yield from self.draw_match(False)
        self.hide_map()
        yield from self._map.draw(kind, folded_name, self._fixed_geometry())
        self._labels.show(self._map.node, MAP_OPACITY)
        self._map.add_legend(title)
        self._hide_or_show_segmentations()

    def hide_map(self) -> None:
        """Remove the map of the deformation."""
        if self._map.node is not None:
            self._labels.restore()
            self._map.hide()
            self._hide_or_show_segmentations()

    def restore(self) -> None:
        """Switch everything off: the views and the user's nodes are again as they were before."""
        self._hide_everything()
        self.restore_volumes()

    def _hide_everything(self) -> None:
        do_at_once(self.hide_overlays())
        self.show_grid(False)

    def hide_overlays(self) -> Parts[None]:
        """Hide outlines, match map and map of the deformation, in parts; the grid stays."""
        yield from self.draw_match(False)
        self.hide_map()
        yield from self.draw_outlines(False)

    def _draw_volumes(self, foreground: Any, after: bool) -> Parts[None]:
        switched, has_match = after != self._after, bool(self._match_map)
        if switched:  # what belongs to one volume is not drawn over the other
            yield from self._outlines.keep([line for number, line in self._list_lines().items() if number == 0])
            yield from self.draw_match(False)
        fixed_id = self._nodes.fixed.GetID()
        is_new_background = any(
            node.GetBackgroundVolumeID() != fixed_id for node in iterate_composite_nodes(self._logic)
        )
        self._after = after
        self._foreground_node = foreground
        self._background.show(self._nodes.fixed)
        self._foreground.show(foreground, FOREGROUND_OPACITY)
        if is_new_background:
            for slice_logic in iterate_slice_logics(self._logic):
                self._fit(slice_logic)
        if switched and self._outlines_on:
            yield from self.draw_outlines(True, self._outline_titles)
        if switched and has_match:
            yield from self.draw_match(True)

    def _fit(self, slice_logic: Any) -> None:
        width, height, _ = slice_logic.GetSliceNode().GetDimensions()
        slice_logic.FitSliceToVolume(self._nodes.fixed, width, height)

    def _hide_or_show_segmentations(self) -> None:
        """Do not draw the segmentations while there is something that their fills would cover."""
        if self._keeps_hidden:
            return
        if not (self._grid_on or self._outlines_on or self._match_map or self._map.node):
            self._hidden.restore()
            return
        nodes = self._nodes
        segmentations = (nodes.fixed_segmentation, nodes.moving_segmentation, nodes.warped_segmentation)
        self._hidden.hide([node for node in segmentations if node is not None])

    @contextlib.contextmanager
    def keep_hidden(self) -> Iterator[None]:
        """Draw the segmentations again, or not, at the end of the block: with many structures, each change takes long.

        What is drawn in the block may cover them, or be covered, until then.
        """
        self._keeps_hidden = True
        try:
            yield
        finally:
            self._keeps_hidden = False
            self._hide_or_show_segmentations()

    def _other_segmentation(self) -> Any:
        return self._nodes.warped_segmentation if self._after else self._nodes.moving_segmentation

    def _fixed_geometry(self) -> Geometry:
        shape = image_array(self._nodes.fixed).shape
        return Geometry(shape, world_affine(self._nodes.fixed))
