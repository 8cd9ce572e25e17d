"""Both volumes of a slice view in one picture: two colors, checkerboard, difference, flicker, spy-glass.

The picture is made of what the view itself draws of its background and its foreground, and is laid over it. No node is
changed, so that nothing of it is saved with a scene.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from vtkmodules.vtkFiltersSources import vtkRegularPolygonSource
from vtkmodules.vtkImagingColor import vtkImageLuminance
from vtkmodules.vtkImagingCore import (
    vtkImageAppendComponents,
    vtkImageBlend,
    vtkImageExtractComponents,
    vtkImageShiftScale,
)
from vtkmodules.vtkImagingGeneral import vtkImageCheckerboard
from vtkmodules.vtkImagingStencil import vtkROIStencilSource
from vtkmodules.vtkRenderingCore import vtkActor2D, vtkImageMapper, vtkPolyDataMapper2D

TILE_PIXELS = 64
"""Side of a tile of the checkerboard. Chosen, not measured."""
GLASS_RADIUS_PIXELS = 70
"""Radius of the spy-glass. Chosen, not measured: about a third of a slice view on a small screen."""
_RING_COLOR = (1.0, 0.85, 0.2)
_RING_SIDES = 64
_MOST_PIXELS = 1 << 16
"""No view is wider or higher."""
_LAYER = 1
"""In front of the view's own picture, which is in layer 0, and behind outlines and grids."""


class Comparison(StrEnum):
    """How a slice view shows foreground and background together.

    FADE: the view's own picture, the foreground as opaque as chosen. COLORS: background red, foreground cyan, gray
    where both are equal. CHECKERBOARD: tiles of one and of the other. DIFFERENCE: foreground minus background as they
    are drawn, gray where both are equal. FLICKER: one after the other. GLASS: the foreground in a circle around the
    cursor, the background around it. GLASS_REVERSED: the other way round.
    """

    FADE = "fade"
    COLORS = "colors"
    CHECKERBOARD = "checkerboard"
    DIFFERENCE = "difference"
    FLICKER = "flicker"
    GLASS = "glass"
    GLASS_REVERSED = "glass reversed"


GLASSES = (Comparison.GLASS, Comparison.GLASS_REVERSED)


class ComparedView:
    """The comparison in one slice view.

    slice_logic: its vtkMRMLSliceLogic. renderer: the vtkRenderer that draws it. Whoever changes the comparison has the
    view drawn afterwards.
    """

    def __init__(self, slice_logic: Any, renderer: Any) -> None:
        self._slice_logic = slice_logic
        self._renderer = renderer
        self._inputs: tuple[Any, ...] = ()
        self._shows_foreground = True
        self._glass: tuple[float, float] | None = None
        self._stencil = vtkROIStencilSource()
        self._stencil.SetShapeToCylinderZ()
        # Of no view in particular: only what the picture needs is made, also after its view has changed its size.
        self._stencil.SetOutputWholeExtent(0, _MOST_PIXELS, 0, _MOST_PIXELS, 0, 0)
        self._stencil.SetOutputSpacing(1.0, 1.0, 1.0)
        self._stencil.SetOutputOrigin(0.0, 0.0, 0.0)
        self._mapper = vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._picture = _make_actor(self._mapper)
        self._ring_source = _make_ring()
        ring_mapper = vtkPolyDataMapper2D()
        ring_mapper.SetInputConnection(self._ring_source.GetOutputPort())
        self._ring = _make_actor(ring_mapper)
        self._ring.GetProperty().SetColor(*_RING_COLOR)
        self._ring.GetProperty().SetLineWidth(2)

    def show(self, kind: Comparison) -> None:
        """Show a comparison of the volumes that are in the view now; nothing without both of them."""
        self.hide()
        self._inputs = self._read_inputs()
        if kind is Comparison.FADE or None in self._inputs[:2]:
            return
        # Filters have names here and below: a port does not keep its filter alive, an input does.
        background, foreground = (_drop_alpha(layer) for layer in self._inputs[:2])
        picture = self._lay_labels_over(self._make_picture(kind, background, foreground))
        self._mapper.SetInputConnection(picture.GetOutputPort())
        self._renderer.AddViewProp(self._picture)
        if kind in GLASSES:
            self._renderer.AddViewProp(self._ring)
            self._place_glass()

    def hide(self) -> None:
        """Show the view's own picture."""
        self._renderer.RemoveViewProp(self._picture)
        self._renderer.RemoveViewProp(self._ring)
        self._mapper.RemoveAllInputs()

    @property
    def is_current(self) -> bool:
        """Whether the comparison is that of the volumes that are in the view now."""
        return self._inputs == self._read_inputs()

    def move_glass(self, place: tuple[float, float] | None) -> bool:
        """Center the spy-glass at a place of the view, pixels from its lower left corner; None for no glass.

        Returns whether it has moved.
        """
        has_moved = place != self._glass
        self._glass = place
        self._place_glass()
        return has_moved

    def alternate(self, kind: Comparison, shows_foreground: bool) -> None:
        """Show the foreground, or the background, of Comparison.FLICKER."""
        self._shows_foreground = shows_foreground
        self.show(kind)

    def _place_glass(self) -> None:
        x, y = self._glass or (-2.0 * GLASS_RADIUS_PIXELS, -2.0 * GLASS_RADIUS_PIXELS)
        radius = GLASS_RADIUS_PIXELS
        self._stencil.SetBounds(x - radius, x + radius, y - radius, y + radius, -1.0, 1.0)
        self._ring_source.SetCenter(x, y, 0.0)
        self._ring.SetVisibility(self._glass is not None)

    def _read_inputs(self) -> tuple[Any, ...]:
        """Return what the view draws of background, foreground and label layer; None for an empty layer."""
        logic = self._slice_logic
        layers = (logic.GetBackgroundLayer(), logic.GetForegroundLayer(), logic.GetLabelLayer())
        shown = (layer if layer is not None and layer.GetVolumeNode() is not None else None for layer in layers)
        return tuple(None if layer is None else layer.GetImageDataConnection() for layer in shown)

    def _make_picture(self, kind: Comparison, background: Any, foreground: Any) -> Any:
        match kind:
            case Comparison.COLORS:
                return _combine_colors(background, foreground)
            case Comparison.CHECKERBOARD:
                return self._make_checkerboard(background, foreground)
            case Comparison.DIFFERENCE:
                return _subtract(background, foreground)
            case Comparison.FLICKER:
                return foreground if self._shows_foreground else background
            case Comparison.GLASS_REVERSED:
                return self._look_through(foreground, background)
            case _:
                return self._look_through(background, foreground)

    def _make_checkerboard(self, background: Any, foreground: Any) -> Any:
        width, height, _ = self._slice_logic.GetSliceNode().GetDimensions()
        board = vtkImageCheckerboard()
        board.SetInputConnection(0, background.GetOutputPort())
        board.SetInputConnection(1, foreground.GetOutputPort())
        board.SetNumberOfDivisions([max(2, round(pixels / TILE_PIXELS)) for pixels in (width, height)] + [1])
        return board

    def _look_through(self, around: Any, inside: Any) -> Any:
        blend = vtkImageBlend()
        blend.AddInputConnection(around.GetOutputPort())
        blend.AddInputConnection(inside.GetOutputPort())
        blend.SetStencilConnection(self._stencil.GetOutputPort())
        return blend

    def _lay_labels_over(self, picture: Any) -> Any:
        labels = self._inputs[2]
        if labels is None:
            return picture
        blend = vtkImageBlend()
        blend.AddInputConnection(picture.GetOutputPort())
        blend.AddInputConnection(labels)
        blend.SetOpacity(1, self._slice_logic.GetSliceCompositeNode().GetLabelOpacity())
        return blend


def _make_actor(mapper: Any) -> Any:
    actor = vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    actor.SetLayerNumber(_LAYER)
    return actor


def _make_ring() -> Any:
    source = vtkRegularPolygonSource()
    source.GeneratePolygonOff()
    source.SetNumberOfSides(_RING_SIDES)
    source.SetRadius(GLASS_RADIUS_PIXELS)
    return source


def _drop_alpha(connection: Any) -> Any:
    """Return a filter with the colors of a layer, black outside of its volume."""
    colors = vtkImageExtractComponents()
    colors.SetInputConnection(connection)
    colors.SetComponents(0, 1, 2)
    return colors


def _make_gray(colors: Any) -> Any:
    gray = vtkImageLuminance()
    gray.SetInputConnection(colors.GetOutputPort())
    return gray


def _combine_colors(background: Any, foreground: Any) -> Any:
    combined = vtkImageAppendComponents()
    gray = _make_gray(foreground)
    for channel in (_make_gray(background), gray, gray):
        combined.AddInputConnection(channel.GetOutputPort())
    return combined


def _subtract(background: Any, foreground: Any) -> Any:
    """Return a filter with half of the difference, so that all differences fit, on middle gray.

    It is the mean of the foreground and the negative of the background.
    """
    negative = vtkImageShiftScale()
    negative.SetInputConnection(background.GetOutputPort())
    negative.SetShift(-255)
    negative.SetScale(-1)
    negative.SetOutputScalarTypeToUnsignedChar()
    mean = vtkImageBlend()
    mean.AddInputConnection(negative.GetOutputPort())
    mean.AddInputConnection(foreground.GetOutputPort())
    mean.SetOpacity(1, 0.5)
    return mean
