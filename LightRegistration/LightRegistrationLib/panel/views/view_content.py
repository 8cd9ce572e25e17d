"""What the slice views show of a result: one picture, one overlay, and the deformation grid."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

from ...scene.display.comparison import Comparison
from ...scene.display.deformation_grid import GridKind

Choice = TypeVar("Choice", bound=StrEnum)


class Picture(StrEnum):
    """The volumes in the slice views.

    FIXED: the fixed volume alone; overlays are those of the result. BEFORE, AFTER: the moving volume as it was loaded,
    or the warped one, half transparent over the fixed one.
    """

    FIXED = "fixed"
    BEFORE = "before"
    AFTER = "after"


class Overlay(StrEnum):
    """What is drawn on the picture. Choosing one replaces the other."""

    NONE = "none"
    OUTLINES = "outlines"
    MATCH = "match"
    DISPLACEMENT = "displacement"
    JACOBIAN = "jacobian"


@dataclass(frozen=True)
class ViewContent:
    """What the slice views show of a result.

    grid, grid_kind: whether the deformation is drawn, which goes with every overlay, and as what. comparison: how the
    fixed volume and the other one are shown together.
    """

    picture: Picture = Picture.AFTER
    overlay: Overlay = Overlay.OUTLINES
    grid: bool = False
    grid_kind: GridKind = GridKind.GRID
    comparison: Comparison = Comparison.FADE

    @property
    def combination(self) -> Comparison:
        """The comparison that the views show; one volume alone has none."""
        return Comparison.FADE if self.picture == Picture.FIXED else self.comparison


def read_switches(parameters: Any) -> ViewContent:
    """Return what the user has switched on; values of other versions are read as the default."""
    default = ViewContent()
    return ViewContent(
        picture=_read_choice(parameters.picture, default.picture),
        overlay=_read_choice(parameters.overlay, default.overlay),
        grid=parameters.showGrid,
        grid_kind=_read_choice(parameters.gridKind, default.grid_kind),
        comparison=_read_choice(parameters.comparison, default.comparison),
    )


def _read_choice(value: str, default: Choice) -> Choice:
    kind = type(default)
    return kind(value) if value in list(kind) else default


def read_view_content(parameters: Any, nodes: Any) -> ViewContent:
    """Return what the views can show of that: without the segmentations that an overlay needs there is none.

    nodes: the RegistrationNodes of the latest result, or None.
    """
    content = read_switches(parameters)
    if content.overlay in list_overlays(parameters, nodes):
        return content
    return replace(content, overlay=Overlay.NONE)


def list_overlays(parameters: Any, nodes: Any) -> list[Overlay]:
    """Return the overlays that the latest result has."""
    overlays = [Overlay.NONE]
    if nodes is None:
        return overlays
    if any((nodes.fixed_segmentation, nodes.moving_segmentation, nodes.warped_segmentation)):
        overlays.append(Overlay.OUTLINES)
    has_pair = nodes.fixed_segmentation is not None and nodes.warped_segmentation is not None
    if has_pair and parameters.report and parse_report(parameters.report).get("structures"):
        overlays.append(Overlay.MATCH)
    return [*overlays, Overlay.DISPLACEMENT, Overlay.JACOBIAN]


@lru_cache(maxsize=2)
def parse_report(report: str) -> dict[str, Any]:
    """Return the report that a parameter node holds as text."""
    parsed: dict[str, Any] = json.loads(report)
    return parsed


def adopt_earlier_switches(node: Any) -> None:
    """Replace the switches in the parameter node of a scene of an earlier version, where overlays were independent."""
    if not node.HasParameter("showMatch"):
        return
    earlier = {name: node.GetParameter(name) == "True" for name in ("showAfter", "showOutlines", "showMatch")}
    modifying = node.StartModify()
    for name in earlier:
        node.UnsetParameter(name)
    node.SetParameter("picture", (Picture.AFTER if earlier["showAfter"] else Picture.BEFORE).value)
    without_match = Overlay.OUTLINES if earlier["showOutlines"] else Overlay.NONE
    node.SetParameter("overlay", (Overlay.MATCH if earlier["showMatch"] else without_match).value)
    node.EndModify(modifying)
