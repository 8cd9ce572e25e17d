"""The numbers of a report (core.report) as a table node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vtkmodules.vtkCommonCore import vtkDoubleArray, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkTable

NAME_COLUMN = "Structure"
_COLUMNS = {
    "Dice before": ("before", "dice"),
    "Dice after": ("after", "dice"),
    "Jaccard before": ("before", "jaccard"),
    "Jaccard after": ("after", "jaccard"),
    "Mean distance before (mm)": ("before", "mean_distance_mm"),
    "Mean distance after (mm)": ("after", "mean_distance_mm"),
    "HD95 before (mm)": ("before", "hd95_mm"),
    "HD95 after (mm)": ("after", "hd95_mm"),
    "Volume change (%)": ("after", "volume_change_percent"),
}


_LANDMARK_COLUMNS = {
    "TRE mean before (mm)": ("before", "mean_mm"),
    "TRE mean after (mm)": ("after", "mean_mm"),
    "TRE largest before (mm)": ("before", "max_mm"),
    "TRE largest after (mm)": ("after", "max_mm"),
}


def fill_report_table(table_node: Any, report: Mapping[str, Any]) -> None:
    """Replace the content of a vtkMRMLTableNode with the columns of a report; undefined numbers are NaN."""
    names, columns = list_report_columns(report)
    table = vtkTable()
    first = vtkStringArray()
    first.SetName(NAME_COLUMN)
    for name in names:
        first.InsertNextValue(name)
    table.AddColumn(first)
    for title, values in columns.items():
        column = vtkDoubleArray()
        column.SetName(title)
        for value in values:
            column.InsertNextValue(float("nan") if value is None else value)
        table.AddColumn(column)
    modifying = table_node.StartModify()
    table_node.SetAndObserveTable(table)
    table_node.SetUseColumnTitleAsColumnHeader(True)
    table_node.EndModify(modifying)


def list_report_columns(report: Mapping[str, Any]) -> tuple[list[str], dict[str, list[float | None]]]:
    """Return the names of the rows, one for each structure and one for the mean, and the columns of numbers by title.

    With landmarks, one more row has their target registration error (TRE), in columns of its own. Undefined numbers are
    None. Without structures and landmarks there are columns but no rows.
    """
    structures, landmarks = report.get("structures") or [], report.get("landmarks")
    rows = [*structures, {"name": "Mean", **report["mean"]}] if structures else []
    columns = dict(_COLUMNS)
    if landmarks is not None:
        rows.append({"name": f"Landmarks ({landmarks['count']})", **landmarks})
        columns |= _LANDMARK_COLUMNS
    numbers = {title: [row[moment].get(key) for row in rows] for title, (moment, key) in columns.items()}
    return [row["name"] for row in rows], numbers
