"""Show a registration in the slice views: overlay before and after, deformation grid, outlines, match and mismatch.

Works on nodes and the application logic only, so the same code acts on Slicer's own views and on headless ones.
"""

from __future__ import annotations

from typing import Any

from ...core.geometry.geometry import Geometry
from ..nodes.hidden_nodes import add_hidden_node
from ..nodes.matrices import vtk_matrix
from ..nodes.removal import remove_with_display
from ..nodes.results import RegistrationNodes
from ..nodes.segmentations import segmentation_from_node
from ..nodes.volumes import image_array, image_data, world_affine
from .deformation_grid import DeformationGrid
from .match import MATCH, MISMATCH, compute_match_map
from .outlines import FIXED_LINE, OTHER_LINE, Outlines
from .slice_layers import BACKGROUND, FOREGROUND, LABEL, SliceLayers, composite_nodes, slice_logics

FOREGROUND_OPACITY = 0.5
MATCH_OPACITY = 0.6


class ResultDisplay:
    """The display of one registration in all slice views.

    Each part is switched on and off on its own; off brings back what the views showed before. The user's nodes stay as
    they are, but for their segmentations' 2-D visibility while outlines are drawn.
    """

    def __init__(self, logic: Any, nodes: RegistrationNodes) -> None:
        self._logic = logic
        self._nodes = nodes
        self._scene = logic.GetMRMLScene()
        self._after = True
        self._background = SliceLayers(logic, BACKGROUND)
        self._foreground = SliceLayers(logic, FOREGROUND)
        self._labels = SliceLayers(logic, LABEL)
        self._grid = DeformationGrid(self._scene, nodes.transform)
        self._outlines = Outlines(self._scene)
        self._outlines_on = False
        self._match: list[Any] = []

    @property
    def nodes(self) -> RegistrationNodes:
        """The registration that is shown."""
        return self._nodes

    def show_before(self) -> None:
        """Show the moving volume as loaded over the fixed one, half transparent; outlines and match follow."""
        self._show_overlay(after=False)

    def show_after(self) -> None:
        """Show the warped volume over the fixed one, half transparent; outlines and match follow."""
        self._show_overlay(after=True)

    def follow(self, nodes: RegistrationNodes) -> None:
        """Go on with other nodes of the same registration: what the views showed before is not forgotten."""
        self.show_match(False)
        self.show_outlines(False)
        self.show_grid(False)
        self._nodes = nodes
        self._grid = DeformationGrid(self._scene, nodes.transform)
        self._show_overlay(after=self._after)

    def hide_overlay(self) -> None:
        """Show the volumes again that the views showed before."""
        self._background.restore()
        self._foreground.restore()

    def show_grid(self, on: bool) -> None:
        """Draw the deformation as a grid in the slice views, colored by how far it moves.

        A regular grid of the moving space is drawn where it comes to lie in the fixed one: the mapping moving -> fixed,
        the way in which the image content moves. The rigid motion of the whole is left out, so the lines are straight
        where nothing is deformed. Raises InputError if the transform is no displacement field any more.
        """
        if on:
            self._grid.show(self._fixed_geometry())
        else:
            self._grid.hide()

    def show_outlines(self, on: bool) -> None:
        """Draw the fixed structures as broad pale lines, the moving or warped ones as narrow bright lines.

        Which of the two follows `show_before` and `show_after`. What has no segmentation is not drawn.
        Raises InputError for label maps that cannot be read.
        """
        self._outlines_on = on
        if not on:
            self._outlines.hide()
            return
        fixed, other = self._nodes.fixed_segmentation, self._other_segmentation()
        unseen = self._nodes.moving_segmentation if self._after else self._nodes.warped_segmentation
        lines = [(node, style) for node, style in ((fixed, FIXED_LINE), (other, OTHER_LINE)) if node is not None]
        self._outlines.show(lines, [] if unseen is None else [unseen])

    def show_match(self, on: bool) -> None:
        """Paint white where fixed and moving (or warped) structures agree and red where they do not.

        Without both segmentations nothing is painted. Raises InputError if they have no structure in common.
        """
        self._labels.restore()
        for node in self._match:
            remove_with_display(self._scene, node)
        self._match = []
        other = self._other_segmentation()
        if on and self._nodes.fixed_segmentation is not None and other is not None:
            self._match = self._match_nodes(other)
            self._labels.show(self._match[0], MATCH_OPACITY)

    def restore(self) -> None:
        """Switch everything off: the views and the user's nodes are as they were before."""
        self.show_match(False)
        self.show_outlines(False)
        self.show_grid(False)
        self.hide_overlay()

    def _show_overlay(self, after: bool) -> None:
        fixed_id = self._nodes.fixed.GetID()
        fitting = any(node.GetBackgroundVolumeID() != fixed_id for node in composite_nodes(self._logic))
        turned = after != self._after
        self._after = after
        self._background.show(self._nodes.fixed)
        self._foreground.show(self._nodes.warped if after else self._nodes.moving, FOREGROUND_OPACITY)
        if fitting:
            for slice_logic in slice_logics(self._logic):
                width, height, _ = slice_logic.GetSliceNode().GetDimensions()
                slice_logic.FitSliceToVolume(self._nodes.fixed, width, height)
        if turned and self._outlines_on:
            self.show_outlines(True)
        if turned and self._match:
            self.show_match(True)

    def _other_segmentation(self) -> Any:
        return self._nodes.warped_segmentation if self._after else self._nodes.moving_segmentation

    def _fixed_geometry(self) -> Geometry:
        shape = image_array(self._nodes.fixed).shape
        return Geometry(shape, world_affine(self._nodes.fixed))

    def _match_nodes(self, other: Any) -> list[Any]:
        geometry = self._fixed_geometry()
        fixed = segmentation_from_node(self._nodes.fixed_segmentation)
        labels = compute_match_map(fixed, segmentation_from_node(other), geometry)
        colors = add_hidden_node(self._scene, "vtkMRMLColorTableNode", "Match and mismatch colors")
        colors.SetTypeToUser()
        colors.SetNumberOfColors(3)
        colors.SetColor(0, "background", 0, 0, 0, 0)
        colors.SetColor(MATCH, "match", 1, 1, 1, 1)
        colors.SetColor(MISMATCH, "mismatch", 1, 0, 0, 1)
        node = add_hidden_node(self._scene, "vtkMRMLLabelMapVolumeNode", "Match and mismatch")
        node.SetIJKToRASMatrix(vtk_matrix(geometry.affine))
        node.SetAndObserveImageData(image_data(labels))
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
        node.GetDisplayNode().SetHideFromEditors(True)
        node.GetDisplayNode().SetSaveWithScene(False)
        return [node, colors]
