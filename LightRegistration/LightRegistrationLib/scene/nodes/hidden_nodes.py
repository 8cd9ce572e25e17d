"""Helper nodes of the display: hidden from lists and from Slicer's data tree, not saved with the scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.geometry.geometry import Geometry
from .matrices import vtk_matrix
from .volumes import image_data

LabelColor = tuple[str, float, float, float, float]
"""Name, red, green, blue and opacity (0 to 1)."""


def add_hidden_node(scene: Any, class_name: str, name: str) -> Any:
    """Add a node that is hidden already when it enters the scene; otherwise Slicer's data tree lists it."""
    node = scene.CreateNodeByClass(class_name)
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    return scene.AddNode(node)


def add_hidden_label_map(
    scene: Any, name: str, labels: NDArray[np.uint8], geometry: Geometry, label_colors: Sequence[LabelColor]
) -> list[Any]:
    """Add a label map with a color table of its own; returns its node, and that of the colors.

    labels: (k, j, i); their memory is used and must not be changed later. geometry: their grid in the world.
    label_colors: of the labels 0, 1, 2, ...
    """
    colors = add_hidden_node(scene, "vtkMRMLColorTableNode", f"{name} colors")
    colors.SetTypeToUser()
    colors.SetNumberOfColors(len(label_colors))
    for number, color in enumerate(label_colors):
        colors.SetColor(number, *color)
    node = add_hidden_node(scene, "vtkMRMLLabelMapVolumeNode", name)
    node.SetIJKToRASMatrix(vtk_matrix(geometry.affine))
    node.SetAndObserveImageData(image_data(labels, shared=True))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colors.GetID())
    display.SetHideFromEditors(True)
    display.SetSaveWithScene(False)
    return [node, colors]
