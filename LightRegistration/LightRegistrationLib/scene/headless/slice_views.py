"""Slice views without windows, and pictures of a registration made with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ...core.errors import InputError
from ...core.geometry.geometry import apply_affine
from ..display.outlines import HiddenIn2D
from ..display.result_display import ResultDisplay
from ..files.messages import capture_messages
from ..nodes.results import RegistrationNodes
from ..nodes.segmentations import segmentation_from_node
from ..nodes.volumes import image_array, world_affine
from .application import HeadlessApplication

ORIENTATIONS = {"Axial": "Red", "Sagittal": "Yellow", "Coronal": "Green"}
"""Slicer's standard orientations and the views that show them."""

_DISPLAYABLE_MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLTransformsDisplayableManager2D",
)


class SliceView:
    """One of Slicer's slice views, drawn off screen. Close it after use, or use it in a `with` statement.

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
        factory = _slice_view_factory(application)
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
        """In Slicer a Qt widget draws the image itself behind what the displayable managers draw."""
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
        """Take the view and its nodes out of the application and free its window."""
        scene = self._application.scene
        self._application.logic.GetSliceLogics().RemoveItem(self.logic)
        own = (self.logic.GetSliceCompositeNode(), self.node)
        self.logic.DeleteSliceModel()
        self.logic.SetMRMLScene(None)
        self._group.SetMRMLDisplayableNode(None)
        for node in own:
            scene.RemoveNode(node)
        self._window.Finalize()

    def center_on(self, point_mm: NDArray[np.float64]) -> None:
        """Show the slice through a point, RAS mm, in the middle of the view."""
        self.node.JumpSliceByCentering(*(float(x) for x in point_mm))

    def render(self) -> NDArray[np.uint8]:
        """Draw the view; returns (height, width, 3) RGB, the top row first."""
        connection = self.logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._image_actor.SetVisibility(connection is not None)
        self._window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        image = grabber.GetOutput()
        width, height, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
        return np.ascontiguousarray(pixels[::-1, :, :3])


def save_png(pixels: NDArray[np.uint8], path: str | Path) -> None:
    """Write RGB pixels (height, width, 3). Raises InputError if the file cannot be written."""
    height, width, _ = pixels.shape
    image = vtk.vtkImageData()
    image.SetDimensions(width, height, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(pixels[::-1]).reshape(-1, 3), deep=True))
    if not Path(path).parent.is_dir():
        raise InputError(f"{path}: the picture cannot be written (the folder does not exist).")
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    with capture_messages():
        writer.Write()
    if writer.GetErrorCode() or not Path(path).is_file():
        raise InputError(f"{path}: the picture cannot be written.")


def save_views(
    application: HeadlessApplication, nodes: RegistrationNodes, folder: str | Path, size: tuple[int, int] = (400, 400)
) -> list[Path]:
    """Write pictures of a registration into a folder; returns their paths.

    before.png, after.png: overlays. grid.png: the deformation. outlines.png and match.png: with both segmentations
    only. Each shows the axial, sagittal and coronal slice through the middle of the fixed structures side by side.
    """
    folder = Path(folder)
    paths = []
    display = ResultDisplay(application.logic, nodes)
    with _without_segmentations(nodes), _three_views(application, size) as views:
        try:
            display.show_before()
            center = _center_mm(nodes)
            for view in views:
                view.center_on(center)
            for name, show in _subjects(display, nodes):
                show()
                path = folder / f"{name}.png"
                save_png(np.concatenate([view.render() for view in views], axis=1), path)
                paths.append(path)
        finally:
            display.restore()
    return paths


def _subjects(display: ResultDisplay, nodes: RegistrationNodes) -> Iterator[tuple[str, Any]]:
    yield "before", display.show_before
    yield "after", display.show_after
    yield "grid", lambda: display.show_grid(True)
    display.show_grid(False)
    if nodes.fixed_segmentation is None or nodes.warped_segmentation is None:
        return
    yield "outlines", lambda: display.show_outlines(True)
    display.show_outlines(False)
    yield "match", lambda: display.show_match(True)
    display.show_match(False)


@contextmanager
def _three_views(application: HeadlessApplication, size: tuple[int, int]) -> Iterator[list[SliceView]]:
    views: list[SliceView] = []
    try:
        for orientation in ORIENTATIONS:
            views.append(SliceView(application, orientation, size))
        yield views
    finally:
        for view in views:
            view.close()


@contextmanager
def _without_segmentations(nodes: RegistrationNodes) -> Iterator[None]:
    """Keep the fill of segmentations, which a loaded one has by default, out of the pictures."""
    hidden = HiddenIn2D()
    segmentations = (nodes.fixed_segmentation, nodes.moving_segmentation, nodes.warped_segmentation)
    hidden.hide([node for node in segmentations if node is not None])
    try:
        yield
    finally:
        hidden.restore()


def _center_mm(nodes: RegistrationNodes) -> NDArray[np.float64]:
    """The middle of the fixed structures, or else of what is brighter than the fixed volume's mean."""
    if nodes.fixed_segmentation is not None:
        segmentation = segmentation_from_node(nodes.fixed_segmentation)
        mask = np.any([segmentation.mask(segment) for segment in segmentation.segments], axis=0)
        affine = segmentation.affine
    else:
        array = image_array(nodes.fixed)
        mask, affine = array > np.nanmean(array), world_affine(nodes.fixed)
    k, j, i = (float(np.mean(np.nonzero(mask.any(axis=others))[0])) for others in ((1, 2), (0, 2), (0, 1)))
    return np.asarray(apply_affine(affine, (i, j, k)))


def _slice_view_factory(application: HeadlessApplication) -> Any:
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(application.logic)
    for name in _DISPLAYABLE_MANAGERS:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    return factory
