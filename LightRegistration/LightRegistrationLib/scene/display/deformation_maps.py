"""Maps of the deformation in the slice views, in bands of colors, with a legend of their numbers.

A band is a label of a hidden label map; the legend lists the names of the bands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.geometry.geometry import FloatArray, Geometry
from ...core.parts import Parts
from ...core.review.deformation_maps import DeformationMaps, compute_deformation_maps_in_parts
from ..nodes.hidden_nodes import add_hidden_label_map
from ..nodes.removal import remove_with_display
from ..nodes.transforms import field_from_transform_node
from .legends import add_legend

Color = tuple[float, float, float]

MAP_OPACITY = 0.6
_MOST_LENGTH_BANDS = 10
_LENGTH_COLORS = ((0.27, 0.0, 0.33), (0.23, 0.32, 0.55), (0.13, 0.57, 0.55), (0.37, 0.79, 0.38), (0.99, 0.91, 0.14))
"""Dark for short, bright for long (after matplotlib's viridis)."""
_DETERMINANT_EDGES = (0.5, 0.67, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)
_SMALLER: Color = (0.0, 0.2, 1.0)
_LARGER: Color = (1.0, 0.1, 0.0)
FOLDED: Color = (1.0, 0.0, 1.0)
_UNCHANGED_OPACITY = 0.2


class MapKind(Enum):
    """LENGTHS: of the displacement, mm. DETERMINANTS: Jacobian determinants."""

    LENGTHS = auto()
    DETERMINANTS = auto()


@dataclass(frozen=True)
class Band:
    """A range of values. upper: its upper edge, which belongs to the next band. opacity: within the map."""

    name: str
    upper: float
    color: Color
    opacity: float = 1.0


class MapDisplay:
    """The maps of one transform node; computed when one is first shown, and again after the transform has changed."""

    def __init__(self, scene: Any, transform: Any) -> None:
        self._scene = scene
        self._transform = transform
        self._computed: tuple[int, DeformationMaps] | None = None
        self._nodes: list[Any] = []
        self._title = ""

    @property
    def node(self) -> Any:
        """The label map of the bands, for the label layer of the views; None while no map is shown."""
        return self._nodes[0] if self._nodes else None

    def draw(self, kind: MapKind, folded_name: str, fixed_geometry: Geometry) -> Parts[None]:
        """Add the nodes of a map in place of an earlier one, in parts. folded_name: of the folded band.

        fixed_geometry: grid of the fixed volume in the world. Raises InputError for a transform that is not a
        displacement field.
        """
        self.hide()
        maps = yield from self._compute(fixed_geometry)
        if kind is MapKind.LENGTHS:
            values, bands = maps.lengths_mm, make_length_bands(float(maps.lengths_mm.max()))
        else:
            values, bands = maps.determinants, make_determinant_bands(folded_name)
        colors = [(" ", 0, 0, 0, 0), *((band.name, *band.color, band.opacity) for band in bands)]
        labels = find_bands(values, bands)
        self._nodes = add_hidden_label_map(self._scene, "Deformation map", labels, maps.geometry, colors)

    def add_legend(self, title: str) -> None:
        """Add the legend. Call it when the views show the map: they draw legends of what they show at that moment."""
        node, colors = self._nodes
        self._title = title
        count = colors.GetNumberOfColors()
        add_legend(self._scene, node, title, count, count, "%s")

    def renew_legend(self) -> None:
        """Add the legend anew: a view that was opened after it does not draw it."""
        if self._nodes:
            for number in reversed(range(self.node.GetNumberOfDisplayNodes())):
                display = self.node.GetNthDisplayNode(number)
                if display.IsA("vtkMRMLColorLegendDisplayNode"):
                    self._scene.RemoveNode(display)
            self.add_legend(self._title)

    def hide(self) -> None:
        """Remove the map and its legend."""
        nodes, self._nodes = self._nodes, []
        for node in nodes:
            remove_with_display(self._scene, node)

    def _compute(self, fixed_geometry: Geometry) -> Parts[DeformationMaps]:
        time = self._transform.GetTransformToWorldMTime()
        if self._computed is None or self._computed[0] != time:
            field = field_from_transform_node(self._transform)
            maps = yield from compute_deformation_maps_in_parts(field, fixed_geometry)
            self._computed = time, maps
        return self._computed[1]


def make_length_bands(longest_mm: float) -> list[Band]:
    """Return bands of a round width from 0 to beyond the longest displacement, 10 at most."""
    width = find_round_width(longest_mm / _MOST_LENGTH_BANDS)
    count = max(1, math.floor(longest_mm / width * (1 + 1e-9)) + 1)
    positions = np.linspace(0, len(_LENGTH_COLORS) - 1, max(count, 2))
    anchors = np.array(_LENGTH_COLORS)
    bands = []
    for number in range(count):
        red, green, blue = (
            float(np.interp(positions[number], range(len(anchors)), anchors[:, channel])) for channel in range(3)
        )
        low, high = number * width, (number + 1) * width
        bands.append(Band(f"{low:.6g} to {high:.6g}", high, (red, green, blue)))
    return bands


def find_round_width(width: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 times a power of ten that is larger than a width; 0.1 at least."""
    power = 10.0 ** math.floor(math.log10(max(width, 0.05)))
    candidates = [factor * power for factor in (1, 2, 2.5, 5, 10, 20)]
    return max(0.1, next(candidate for candidate in candidates if candidate > width))


def make_determinant_bands(folded_name: str) -> list[Band]:
    """Return the folded band, and bands around 1: blue below, red above, nearly transparent where nothing changes."""
    edges = (*_DETERMINANT_EDGES, math.inf)
    bands = [Band(folded_name, float(np.nextafter(np.float32(0), np.float32(1))), FOLDED)]
    middle = len(edges) // 2
    for number, upper in enumerate(edges):
        lower = edges[number - 1] if number else 0.0
        name = f"> {lower:g}" if math.isinf(upper) else f"< {upper:g}" if not number else f"{lower:g} to {upper:g}"
        share, full = abs(number - middle) / middle, _SMALLER if number < middle else _LARGER
        red, green, blue = (1 - share + share * channel for channel in full)
        bands.append(Band(name, upper, (red, green, blue), 1.0 if share else _UNCHANGED_OPACITY))
    return bands


def find_bands(values: FloatArray, bands: Sequence[Band]) -> NDArray[np.uint8]:
    """Return for each value the number of its band, from 1."""
    edges = np.array([band.upper for band in bands[:-1]], dtype=np.float32)
    return (np.searchsorted(edges, values, side="right") + 1).astype(np.uint8)
