"""A slice view rendered off screen: slicer-core's own displayable managers, plus the image itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk

_MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


class SliceRenderer:
    """One off-screen window for one slice logic; ``size`` in pixels."""

    def __init__(self, application_logic: Any, slice_logic: Any, size: tuple[int, int] = (500, 500)) -> None:
        self._logic = slice_logic
        self._renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetSize(*size)
        self.window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self.window)
        self._interactor.Initialize()
        self._group = self._displayable_managers(application_logic)
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper, self._actor = self._image_layer()
        slice_logic.ResizeSliceNode(*size)

    def _displayable_managers(self, application_logic: Any) -> Any:
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(application_logic)
        for name in _MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        group = slicer.vtkMRMLDisplayableManagerGroup()
        group.SetRenderer(self._renderer)
        group.Initialize(factory, self._renderer)
        group.SetMRMLDisplayableNode(self._logic.GetSliceNode())
        return group

    def _image_layer(self) -> tuple[Any, Any]:
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(actor)
        return mapper, actor

    def render(self) -> None:
        connection = self._logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._actor.SetVisibility(bool(connection))
        self.window.Render()

    def click(self, point_mm: tuple[float, float, float], button: str = "Left") -> None:
        """Move the mouse to a point (RAS mm) and click; the markups' own displayable manager handles it."""
        manager = self._group.GetDisplayableManagerByClassName("vtkMRMLMarkupsDisplayableManager")
        node = self._logic.GetSliceNode()
        to_display = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), to_display)
        x, y, *_ = to_display.MultiplyPoint((*point_mm, 1.0))
        for name in ("MouseMoveEvent", f"{button}ButtonPressEvent", f"{button}ButtonReleaseEvent"):
            data = slicer.vtkMRMLInteractionEventData()
            data.SetType(getattr(vtk.vtkCommand, name))
            data.SetRenderer(self._renderer)
            data.SetViewNode(node)
            data.SetDisplayPosition([round(x), round(y)])
            data.SetWorldPosition(list(point_mm))
            if manager.CanProcessInteractionEvent(data, vtk.reference(0.0)):
                manager.ProcessInteractionEvent(data)

    def close(self) -> None:
        """Release the slice node and the window."""
        self._group.SetMRMLDisplayableNode(None)
        self.window.Finalize()

    def write_png(self, path: Path) -> None:
        self.render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self.window)
        grabber.ReadFrontBufferOff()
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputConnection(grabber.GetOutputPort())
        writer.Write()
