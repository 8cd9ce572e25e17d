"""The numbers of a report (core.report) as a table node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vtkmodules.vtkCommonCore import vtkDoubleArray, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkTable

_COLUMNS = {
    "Dice before": ("before", "dice"),
    "Dice after": ("after", "dice"),
    "Jaccard before": ("before", "jaccard"),
    "Jaccard after": ("after", "jaccard"),
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
    """Replace the content of a vtkMRMLTableNode with one row per structure and one row for the mean.

    With landmarks, one more row has their target registration error (TRE), in columns of its own. Undefined numbers are
    NaN. Without structures and landmarks the table has columns but no rows.
    """
    structures, landmarks = report.get("structures") or [], report.get("landmarks")
    rows = [*structures, {"name": "Mean", **report["mean"]}] if structures else []
    columns = dict(_COLUMNS)
    if landmarks is not None:
        rows.append({"name": f"Landmarks ({landmarks['count']})", **landmarks})
        columns |= _LANDMARK_COLUMNS
    table = vtkTable()
    names = vtkStringArray()
    names.SetName("Structure")
    for row in rows:
        names.InsertNextValue(row["name"])
    table.AddColumn(names)
    for title, (moment, key) in columns.items():
        column = vtkDoubleArray()
        column.SetName(title)
        for row in rows:
            value = row[moment].get(key)
            column.InsertNextValue(float("nan") if value is None else value)
        table.AddColumn(column)
    modifying = table_node.StartModify()
    table_node.SetAndObserveTable(table)
    table_node.SetUseColumnTitleAsColumnHeader(True)
    table_node.EndModify(modifying)
