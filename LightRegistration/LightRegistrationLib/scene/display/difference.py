"""The difference of the result and the fixed volume, as a hidden volume node."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.review.drawing import find_window, scale_to_gray
from ..nodes.hidden_nodes import add_hidden_node
from ..nodes.matrices import vtk_matrix
from ..nodes.results import RegistrationNodes
from ..nodes.volumes import image_data, volume_from_node

_WINDOW_PERCENT = 120.0
"""Differences of half of that are black or white. Chosen for legibility."""


def add_difference_node(scene: Any, nodes: RegistrationNodes) -> Any:
    """Add a hidden volume: result minus fixed volume, in percent of what each of them draws from black to white.

    It lies on the grid of the fixed volume in the world. Gray where both are equal, brighter where the result is.
    Returns None if the result is no longer on that grid. Raises InputError for volumes that cannot be read.
    """
    fixed, warped = volume_from_node(nodes.fixed), volume_from_node(nodes.warped)
    if not fixed.geometry.matches(warped.geometry):
        return None
    windows = find_window(fixed), find_window(warped)
    percent = np.empty(fixed.array.shape, dtype=np.int8)
    for k in range(len(percent)):
        percent[k] = _subtract(fixed.array[k], warped.array[k], *windows)
    display = add_hidden_node(scene, "vtkMRMLScalarVolumeDisplayNode", "Difference display")
    display.SetDefaultColorMap()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(_WINDOW_PERCENT, 0.0)
    node = add_hidden_node(scene, "vtkMRMLScalarVolumeNode", "Difference")
    node.SetIJKToRASMatrix(vtk_matrix(fixed.affine))
    node.SetAndObserveDisplayNodeID(display.GetID())
    node.SetAndObserveImageData(image_data(percent))
    return node


def _subtract(
    fixed: NDArray, warped: NDArray, fixed_window: tuple[float, float], warped_window: tuple[float, float]
) -> NDArray[np.float32]:
    grays = (
        scale_to_gray(warped.astype(np.float32), warped_window),
        scale_to_gray(fixed.astype(np.float32), fixed_window),
    )
    return np.round(100 * (grays[0] - grays[1]))
