"""Coverage: the images that a model is for, as ranges of image statistics (the `covers` key of its card)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError

MODALITIES = ("MRI", "CT", "any")

STATISTICS = {
    "longest_mm": "{0} mm long",
    "cut_percent": "the body covers {0} % of the surface of the field of view",
    "air_percent": "{0} % of the body is air",
    "median_air_percent": "in half of the slices {0} % of it or more",
    "narrow_mm": "{0} mm wide where it is narrow",
    "narrowing_percent": "{0} % narrower there than where it is wide",
    "calm_rank_percent": "its most homogeneous tissue is brighter than {0} % of the rest",
}
"""The numbers of `core.models.image_statistics.measure_image_statistics`, and the text in which each is shown.

longest_mm: longest side of the bounding box of the body, mm.
cut_percent: fraction of the volume's outer surface that lies in the body: 0 if the whole body lies in the field of
view, near 100 for a crop of its inside.
air_percent (CT): fraction of the body that is air: lungs, airways, bowel.
median_air_percent (CT): the same for each axial slice, median of all slices: large in a chest, small in an abdomen with
the lower ends of the lungs.
narrow_mm (CT): diameter of a disk with the area of the body's axial cross-section, lower quartile of all slices.
narrowing_percent (CT): by how much that is less than the 90th percentile: half for a neck between head and shoulders,
little along a trunk.
calm_rank_percent (MRI): how bright the most homogeneous tissue deep inside is, as its rank in all tissue there. In a
brain this is the white matter: above 70 in T1, where it is the brightest tissue; below 65 in T2, FLAIR and proton
density.
"""


UNKNOWN_DISTANCE = 2.0
"""Distance of a statistic that could not be measured: outside, since an edge is at 1. Chosen."""


@dataclass(frozen=True)
class Coverage:
    """One kind of image that a model is for.

    modality: `MRI`, `CT` or `any`. anatomy: words for the user. ranges: least and greatest value of some of the
    `STATISTICS`.
    """

    modality: str
    anatomy: str
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def is_for(self, modality: str) -> bool:
        """Whether images of this modality are covered."""
        return self.modality in (modality, "any")

    def find_outside(self, statistics: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """Find the ranges outside which the statistics lie; one that could not be measured lies outside."""
        return {
            name: (least, greatest)
            for name, (least, greatest) in self.ranges.items()
            if name not in statistics or not least <= statistics[name] <= greatest
        }

    def measure_distance(self, statistics: Mapping[str, float]) -> float:
        """Measure how far the statistics lie from the middle of the ranges, the largest: 1 is an edge, more outside."""
        return max(
            (_measure_range_distance(name, statistics.get(name), limits) for name, limits in self.ranges.items()),
            default=0.0,
        )


def _measure_range_distance(name: str, value: float | None, limits: tuple[float, float]) -> float:
    """0 in the middle of the range and 1 at its edges; at a limit that no value can cross, 0 as in the middle."""
    low, high = limits
    if value is None:
        return UNKNOWN_DISTANCE
    if low <= 0:
        return (value - low) / (high - low)
    if name.endswith("_percent") and high >= 100:
        return (high - value) / (high - low)
    return abs(2 * value - low - high) / (high - low)


def parse_coverages(value: Any, file: Path) -> tuple[Coverage, ...]:
    """Parse the `covers` of a card, a list of tables or one table. Raises ModelError with the file and the key."""
    entries = [value] if isinstance(value, Mapping) else value
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ModelError(f"{file}: covers: a table or a list of tables is needed.")
    return tuple(_parse_coverage(entry, file) for entry in entries)


def _parse_coverage(entry: Mapping[str, Any], file: Path) -> Coverage:
    if entry.get("modality") not in MODALITIES:
        raise ModelError(f"{file}: covers.modality: one of {', '.join(MODALITIES)} is needed.")
    anatomy = entry.get("anatomy")
    if not isinstance(anatomy, str) or not anatomy:
        raise ModelError(f"{file}: covers.anatomy: words for the part of the body are needed.")
    ranges = {key: value for key, value in entry.items() if key not in ("modality", "anatomy")}
    for key, limits in ranges.items():
        if key not in STATISTICS:
            raise ModelError(f"{file}: covers.{key}: unknown; use {', '.join(STATISTICS)}.")
        if not _is_range(limits):
            raise ModelError(f"{file}: covers.{key}: two numbers are needed, the least and a greater one.")
    return Coverage(entry["modality"], anatomy, {key: (float(low), float(high)) for key, (low, high) in ranges.items()})


def _is_range(limits: Any) -> bool:
    if not isinstance(limits, list) or len(limits) != 2:
        return False
    if not all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in limits):
        return False
    return bool(limits[0] < limits[1])
