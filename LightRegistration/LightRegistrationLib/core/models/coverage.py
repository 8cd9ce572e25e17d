"""What a model is for, in numbers: the `covers` key of its card, held against what a volume looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError

MODALITIES = ("MRI", "CT", "any")

STATISTICS = {
    "longest_mm": "{0} mm long",
    "cut_percent": "{0} % of the view's edge lies in the body",
    "air_percent": "{0} % of the body is air",
    "narrow_mm": "{0} mm wide where it is narrow",
    "narrowing_percent": "{0} % narrower there than where it is wide",
    "calm_rank_percent": "its most even tissue is brighter than {0} % of the rest",
}
"""The numbers that `core.models.image_statistics.measure_image_statistics` measures, and how they are said.

longest_mm: longest side of the box around what is shown (the body without the air around it), mm.
cut_percent: the share of the volume's outer surface that lies in the body: 0 where it lies free in the field of view,
near 100 for a piece cut out of the inside.
air_percent (CT): the share of the body that is air: lungs, airways, bowel.
narrow_mm (CT): diameter of a disk as large as the body's axial cross-section, the lower quartile of all slices.
narrowing_percent (CT): by how much that is less than where the body is wide (the 90th percentile): half for a neck
between head and shoulders, little along a trunk.
calm_rank_percent (MRI): how bright the most even tissue deep inside is, as its rank in all tissue there. In a brain
this is the white matter: above 70 in T1, where it is the brightest tissue; below 65 in T2, FLAIR and proton density.
"""


@dataclass(frozen=True)
class Coverage:
    """One kind of image that a model is for.

    modality: `MRI`, `CT` or `any`. anatomy: for people. ranges: least and greatest value of some of the `STATISTICS`.
    """

    modality: str
    anatomy: str
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def is_for(self, modality: str) -> bool:
        """Whether images of this modality are meant."""
        return self.modality in (modality, "any")

    def outside(self, facts: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """The ranges that the facts do not lie in; a fact that could not be measured lies in none."""
        return {
            name: (least, greatest)
            for name, (least, greatest) in self.ranges.items()
            if name not in facts or not least <= facts[name] <= greatest
        }

    def distance(self, facts: Mapping[str, float]) -> float:
        """How near the facts lie to an edge of the ranges, the worst of them: 1 is the edge, more is outside."""
        return max((_edge_distance(name, facts.get(name), limits) for name, limits in self.ranges.items()), default=0.0)


def _edge_distance(name: str, value: float | None, limits: tuple[float, float]) -> float:
    """0 in the middle of the range and 1 at its edges; an edge that no value can cross is as good as the middle."""
    low, high = limits
    if value is None:
        return 2.0
    if low <= 0:
        return (value - low) / (high - low)
    if name.endswith("_percent") and high >= 100:
        return (high - value) / (high - low)
    return abs(2 * value - low - high) / (high - low)


def parse_coverages(value: Any, file: Path) -> tuple[Coverage, ...]:
    """The `covers` of a card: a list of tables, or one table. Raises ModelError that names the file and the key."""
    entries = [value] if isinstance(value, Mapping) else value
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ModelError(f"{file}: covers: a table or a list of tables is needed.")
    return tuple(_parse_coverage(entry, file) for entry in entries)


def _parse_coverage(entry: Mapping[str, Any], file: Path) -> Coverage:
    if entry.get("modality") not in MODALITIES:
        raise ModelError(f"{file}: covers.modality: one of {', '.join(MODALITIES)} is needed.")
    anatomy = entry.get("anatomy")
    if not isinstance(anatomy, str) or not anatomy:
        raise ModelError(f"{file}: covers.anatomy: words that say what is shown are needed.")
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
