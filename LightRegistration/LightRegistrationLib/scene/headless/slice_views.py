"""Slicer's slice views without windows, drawn off screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from .application import HeadlessApplication

ORIENTATIONS = {"Axial": "Red", "Sagittal": "Yellow", "Coronal": "Green"}
"""Slicer's standard orientations, with the names of the views that show them."""

_DISPLAYABLE_MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)


class SliceView:
    """A slice view of Slicer, drawn off screen. Close it after use, or use it in a `with` statement.

    orientation: "Axial", "Sagittal" or "Coronal". size: width and height, pixels.
    """

    def __init__(self, application: HeadlessApplication, orientation: str, size: tuple[int, int] = (400, 400)) -> None:
        self._application = application
        self._renderer = vtk.vtkRenderer()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetSize(*size)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()
        factory = _configure_factory(application)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self._renderer)
        self._group.Initialize(factory, self._renderer)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application.logic)
        application.logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(application.scene)
        self.node = self.logic.AddSliceNode(ORIENTATIONS[orientation])
        self._group.SetMRMLDisplayableNode(self.node)
        self.node.SetMappedInLayout(1)
        self.node.SetOrientation(orientation)
        self.logic.ResizeSliceNode(*size)
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._add_image_actor()

    def _add_image_actor(self) -> None:
        """Draw the image behind what the displayable managers draw; in Slicer a Qt widget does this."""
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image_actor = vtk.vtkActor2D()
        self._image_actor.SetMapper(self._mapper)
        self._image_actor.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(self._image_actor)

    def __enter__(self) -> SliceView:
        """Return the view."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the view."""
        self.close()

    def close(self) -> None:
        """Remove the view and its nodes from the application and free its window."""
        scene = self._application.scene
        self._application.logic.GetSliceLogics().RemoveItem(self.logic)
        own_nodes = (self.logic.GetSliceCompositeNode(), self.node)
        self.logic.DeleteSliceModel()
        self.logic.SetMRMLScene(None)
        self._group.SetMRMLDisplayableNode(None)
        for node in own_nodes:
            scene.RemoveNode(node)
        self._window.Finalize()

    @property
    def renderer(self) -> Any:
        """The vtkRenderer that draws the view."""
        return self._renderer

    def center_on(self, point_mm: NDArray[np.float64]) -> None:
        """Show the slice through a point (RAS mm), with the point in the middle of the view."""
        self.node.JumpSliceByCentering(*(float(x) for x in point_mm))

    def render(self) -> NDArray[np.uint8]:
        """Draw the view; returns (height, width, 3) RGB, the top row first."""
        connection = self.logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._image_actor.SetVisibility(connection is not None)
        return draw_window(self._window)


def draw_window(window: Any) -> NDArray[np.uint8]:
    """Draw a vtkRenderWindow; returns (height, width, 3) RGB, the top row first."""
    window.Render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.ReadFrontBufferOff()
    grabber.Update()
    image = grabber.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
    return np.ascontiguousarray(pixels[::-1, :, :3])


def register_displayable_managers(factory: Any, application_logic: Any, names: Sequence[str]) -> Any:
    """Register the displayable managers of a kind of views, once for the process; returns the factory."""
    factory.SetMRMLApplicationLogic(application_logic)
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    return factory


def _configure_factory(application: HeadlessApplication) -> Any:
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    return register_displayable_managers(factory, application.logic, _DISPLAYABLE_MANAGERS)
