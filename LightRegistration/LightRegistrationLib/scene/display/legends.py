"""Legends of colors in the views."""

from __future__ import annotations

from typing import Any


def add_legend(scene: Any, node: Any, title: str, label_count: int, color_count: int, label_format: str) -> Any:
    """Add a hidden legend of the colors of a node, at the right border of the views that show it; returns it.

    label_format: "%s" for the names of the colors, else that of numbers.
    """
    legend = scene.CreateNodeByClass("vtkMRMLColorLegendDisplayNode")
    legend.UnRegister(None)
    legend.SetName(f"{node.GetName()} legend")
    legend.SetHideFromEditors(True)
    legend.SetSaveWithScene(False)
    legend.SetTitleText(title)
    legend.SetLabelFormat(label_format)
    legend.SetUseColorNamesForLabels(label_format == "%s")
    legend.SetMaxNumberOfColors(color_count)
    legend.SetNumberOfLabels(label_count)
    legend.SetSize(0.2, 0.6)
    legend.SetPosition(0.98, 0.5)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontFamilyToArial()
    scene.AddNode(legend)
    node.AddAndObserveDisplayNodeID(legend.GetID())
    legend.SetAndObservePrimaryDisplayNode(node.GetDisplayNode())
    return legend
