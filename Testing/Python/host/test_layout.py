"""The double's slice views are Slicer's own and render what display code sets."""

from __future__ import annotations

import numpy as np
import pytest
import slicer


def read_png(path):
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(path))
    reader.Update()
    image = reader.GetOutput()
    columns, rows, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)


@pytest.fixture
def volume(slicer_host):
    array = np.zeros((20, 40, 40), dtype=np.float32)
    array[:, 10:30, 10:30] = 100
    node = slicer.util.addVolumeFromArray(array, name="square")
    node.GetDisplayNode().SetAutoWindowLevel(0)
    node.GetDisplayNode().SetWindowLevel(100, 50)
    return node


def test_the_views_are_named_and_real(slicer_host):
    manager = slicer.app.layoutManager()
    assert set(manager.sliceViewNames()) == {"Red", "Green", "Yellow"}
    red = manager.sliceWidget("Red")
    assert red.mrmlSliceNode().GetOrientation() == "Axial"
    assert red.sliceLogic().GetSliceCompositeNode() is red.mrmlSliceCompositeNode()
    assert manager.sliceWidget("Blue") is None


def test_a_displayed_volume_is_rendered(slicer_host, volume, tmp_path):
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    slicer.util.resetSliceViews()
    slicer_host.render_slice_view("Red", tmp_path / "red.png")
    image = read_png(tmp_path / "red.png")
    bright = (image > 200).all(axis=-1).mean()
    # The square has half the side length of the field of view, so it covers a quarter of it.
    assert bright == pytest.approx(0.25, abs=0.05)


def test_an_empty_view_is_black(slicer_host, tmp_path):
    slicer_host.render_slice_view("Green", tmp_path / "green.png")
    assert read_png(tmp_path / "green.png").max() == 0


def test_the_layout_number_is_stored_and_emitted(slicer_host):
    heard = []
    manager = slicer.app.layoutManager()
    manager.connect("layoutChanged(int)", heard.append)
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert heard == [manager.layout]
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    manager.disconnect("layoutChanged(int)", heard.append)


def test_the_views_are_removed_from_the_shared_scene_and_added_again(slicer_host, volume, tmp_path):
    slicer_host.render_slice_view("Red", tmp_path / "before.png")
    slicer_host.close_views()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceNode") == 0
    assert slicer.app.applicationLogic().GetSliceLogics().GetNumberOfItems() == 0
    slicer_host.open_views()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    slicer_host.render_slice_view("Red", tmp_path / "after.png")
    assert read_png(tmp_path / "after.png").max() > 200
