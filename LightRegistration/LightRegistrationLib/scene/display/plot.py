"""Show a plot in a layout of Slicer that has a view for it."""

from __future__ import annotations

from typing import Any


def show_chart(application_logic: Any, chart: Any) -> None:
    """Show a vtkMRMLPlotChartNode beside the slice views: chosen in the plot view, in the layout Four-Up Plot.

    Without a layout node, as without windows, the chart is only chosen.
    """
    layout = chart.GetScene().GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout is not None:  # first, since the plot view may not exist before
        layout.SetViewArrangement(layout.SlicerLayoutFourUpPlotView)
    application_logic.GetSelectionNode().SetReferenceActivePlotChartID(chart.GetID())
    application_logic.PropagatePlotChartSelection()
