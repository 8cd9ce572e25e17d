"""Tuning constants of group templates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TemplateSettings:
    """Tuning constants."""

    field_spacing_mm: float = 2.0
    """Node spacing of the maps that are averaged, rounded to whole voxels of the template. Chosen: refined fields have
    nodes about 2 mm apart."""
    field_margin_nodes: int = 2
    """Nodes of these maps beyond the template on each side. Chosen, not measured."""
    margin_percent: float = 4.0
    """Margin of the template's grid beyond the median field of view, of its extent. Chosen: a brain that is cropped to
    its surface is still whole after its shape has been averaged."""
    min_known_share: float = 0.5
    """Share of the scans that have to show a voxel of the template; the others get the background. Chosen."""
    typical_percentile: float = 50.0
    """Percentile of the foreground that becomes `typical_value` in each scan. Chosen: the median hardly depends on how
    much air a scan shows."""
    typical_value: float = 1000.0
    """Intensity of typical tissue in a template of scans without a unit. Chosen."""
    max_foreground_points: int = 50_000
    """So many points of the first scan are enough for its center. Chosen, not measured."""


TEMPLATE = TemplateSettings()
