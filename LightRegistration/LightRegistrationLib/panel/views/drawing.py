"""The choices of the switches, carried out by the display of a result."""

from __future__ import annotations

from ...core.parts import Parts
from ...scene.display.deformation_grid import GridKind
from ...scene.display.deformation_maps import MapKind
from ...scene.display.result_display import ResultDisplay
from ..translation import translate
from .view_content import Overlay, Picture

_MAPS = {Overlay.DISPLACEMENT: MapKind.LENGTHS, Overlay.JACOBIAN: MapKind.DETERMINANTS}


def draw_overlay(display: ResultDisplay, overlay: Overlay, on: bool) -> Parts[None]:
    """Draw an overlay with its legend, or remove it, in parts. Raises InputError for one that cannot be drawn."""
    if overlay == Overlay.OUTLINES:
        yield from display.draw_outlines(on, _make_outline_titles())
    elif overlay == Overlay.MATCH:
        yield from display.draw_match(on)
    elif overlay in _MAPS and on:
        folded_name = translate("LightRegistration", "folded")
        yield from display.draw_map(_MAPS[overlay], _make_map_title(overlay), folded_name)
    else:
        display.hide_map()


def make_grid_title(kind: GridKind) -> str:
    """Return the title of the legend of a deformation grid, see `DeformationGrid.add_legend`."""
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


def draw_picture(display: ResultDisplay, picture: Picture) -> Parts[None]:
    """Show a picture, and the overlay of before that belongs to it, in parts."""
    if picture == Picture.FIXED:
        return display.draw_fixed()
    return display.draw_before() if picture == Picture.BEFORE else display.draw_after()
