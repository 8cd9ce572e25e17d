"""A 3-D view of Slicer, drawn off screen."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from LightRegistrationLib.scene.headless.slice_views import draw_window, register_displayable_managers

_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


class ThreeDView:
    """The view of a vtkMRMLViewNode. size: width and height, pixels."""

    def __init__(self, application_logic: Any, view_node: Any, size: tuple[int, int] = (400, 400)) -> None:
        self._renderer = vtk.vtkRenderer()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetSize(*size)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        register_displayable_managers(factory, application_logic, _MANAGERS)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self._renderer)
        self._group.Initialize(factory, self._renderer)
        self._group.SetMRMLDisplayableNode(view_node)

    def render(self) -> np.ndarray:
        """Draw the view; returns (height, width, 3) RGB, the top row first."""
        return draw_window(self._window)

    def close(self) -> None:
        """Free the window."""
        self._group.SetMRMLDisplayableNode(None)
        self._window.Finalize()
