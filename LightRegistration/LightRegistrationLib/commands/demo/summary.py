"""A report as a short table for the terminal."""

from __future__ import annotations

from pathlib import Path

from ...core.report.definition import OverlapReport, Report
from ..files.output_folder import VIEWS_FOLDER
from ..register.command import format_model


def format_summary(report: Report, output: Path) -> str:
    """Return a report as a short table for the terminal."""
    lines = [*_format_structures(report), *_format_field(report), *_format_refinement(report)]
    seconds = ", ".join(f"{name} {value:.2f}" for name, value in report["seconds"].items())
    lines.append(f"Model              {format_model(report)}")
    lines.append(f"Seconds            {seconds}")
    lines += [f"Warning            {line}" for line in report["warnings"]]
    lines.append(f"Pictures           {output / VIEWS_FOLDER}")
    lines.append(f"Everything else    {output}")
    return "\n".join(lines)


def _format_structures(report: Report) -> list[str]:
    if not report["structures"]:
        return ["No Dice: give both segmentations to see it."]
    rows = [(row["name"], row["before"], row["after"]) for row in report["structures"]]
    if report["mean"]:
        rows.append(("Mean", report["mean"]["before"], report["mean"]["after"]))
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{'Dice':<{width}}  before   after"]
    lines += [f"{name:<{width}}  {_format_dice(before)}  {_format_dice(after)}" for name, before, after in rows]
    return [*lines, ""]


def _format_dice(overlap: OverlapReport) -> str:
    return "     -" if overlap["dice"] is None else f"{overlap['dice']:6.3f}"


def _format_field(report: Report) -> list[str]:
    folding, least = report["jacobian"]["percent_nonpositive"], report["jacobian"]["minimum"]
    lines = [f"Folding            {folding:.4f} % (least Jacobian determinant {least:.3f})"]
    known_deformation = report.get("known_deformation")
    regions = (
        []
        if known_deformation is None
        else [("brain", known_deformation["brain"]), ("head", known_deformation["head"])]
    )
    for place, known in regions:
        size = f"{known['mean_displacement_mm']:.2f} mm mean, {known['max_displacement_mm']:.2f} mm max"
        left = f"{known['mean_error_mm']:.2f} mm mean, {known['max_error_mm']:.2f} mm max"
        lines.append(f"Known deformation  in the {place}: {size}; error left: {left}")
    return lines


def _format_refinement(report: Report) -> list[str]:
    lines = []
    refinement = report["refinement"]
    if refinement:
        gain = f"{refinement['similarity_before']:.4f} before, {refinement['similarity_after']:.4f} after"
        steps = f"{refinement['steps']} steps ({refinement['ended']})"
        lines.append(f"Refinement         {refinement['preset']}: {steps}, {refinement['metric']} {gain}")
    for structure in report["kept"]:
        free, change = _format_percent(structure["change_percent_free"]), _format_percent(structure["change_percent"])
        lines.append(f"Preserved volume   {structure['name']}: {change} ({free} without)")
    return lines


def _format_percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f} %"
