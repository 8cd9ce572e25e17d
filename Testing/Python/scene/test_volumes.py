from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import slicer
import vtk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from vtk.util.numpy_support import vtk_to_numpy

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.scene.nodes.volumes import set_volume, volume_from_node, volume_node_from_volume

from ..analytic import phantom
from .nodes import GEOMETRIES, GEOMETRY_NAMES, fingerprint, linear_transform_node, tilted, warped_transform_node

every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=GEOMETRY_NAMES)


@every_geometry
def test_a_volume_is_written_to_a_node_and_read_back(scene, geometry: Geometry) -> None:
    volume, _ = phantom(geometry)
    node = volume_node_from_volume(scene, volume, "scan")
    again = volume_from_node(node)
    assert again.array.dtype == volume.array.dtype
    assert (again.array == volume.array).all()
    assert np.abs(again.affine - volume.affine).max() < 1e-9
    assert again.name == "scan"


def test_voxels_lie_where_slicer_says(scene) -> None:
    volume, _ = phantom(GEOMETRIES[1])
    node = volume_node_from_volume(scene, volume, "scan")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    expected = matrix.MultiplyPoint((3, 5, 7, 1))[:3]
    assert np.allclose(apply_affine(volume_from_node(node).affine, (3, 5, 7)), expected)
    assert node.GetImageData().GetScalarComponentAsDouble(3, 5, 7, 0) == volume.array[7, 5, 3]


@settings(max_examples=15, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 6)] * 3),
    flip=st.booleans(),
    offset=st.tuples(*[st.floats(-1500, 1500)] * 3),
)
def test_any_geometry_survives(application, angles, spacing, flip, offset) -> None:
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * ((-1 if flip else 1), 1, 1)
    affine = homogeneous(axes * spacing, offset)
    volume = Volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), affine)
    node = volume_node_from_volume(application.scene, volume, "scan")
    again = volume_from_node(node)
    application.scene.RemoveNode(node)
    assert again.geometry.matches(volume.geometry, 1e-6)


def test_linear_parent_transforms_move_the_volume(scene) -> None:
    volume, _ = phantom(GEOMETRIES[1])
    node = volume_node_from_volume(scene, volume, "scan")
    outer = linear_transform_node(scene, "outer", tilted())
    inner = linear_transform_node(scene, "inner", homogeneous(np.diag([1.1, 0.9, -1]), (5, 6, 7)))
    inner.SetAndObserveTransformNodeID(outer.GetID())
    node.SetAndObserveTransformNodeID(inner.GetID())
    world = volume_from_node(node)
    points = np.random.default_rng(0).uniform(0, 30, (20, 3))
    for point in points:
        local = apply_affine(volume.affine, point)
        expected = np.zeros(3)
        node.TransformPointToWorld(local, expected)
        assert np.allclose(apply_affine(world.affine, point), expected, atol=1e-6)
    assert np.shares_memory(world.array, volume_from_node(node).array)


def test_a_nonlinear_parent_transform_is_refused(scene) -> None:
    volume, _ = phantom(GEOMETRIES[0])
    node = volume_node_from_volume(scene, volume, "scan")
    outer = warped_transform_node(scene)
    inner = linear_transform_node(scene, "inner", tilted())
    inner.SetAndObserveTransformNodeID(outer.GetID())
    node.SetAndObserveTransformNodeID(inner.GetID())
    with pytest.raises(InputError, match=r"scan is under a nonlinear transform .* harden"):
        volume_from_node(node)


def test_reading_does_not_touch_the_node(scene) -> None:
    volume, _ = phantom(GEOMETRIES[1])
    node = volume_node_from_volume(scene, volume, "scan")
    node.SetAndObserveTransformNodeID(linear_transform_node(scene, "tilt", tilted()).GetID())
    before = fingerprint(node)
    again = volume_from_node(node)
    assert fingerprint(node) == before
    with pytest.raises(ValueError, match="read-only"):
        again.array[0, 0, 0] = 1
    assert np.shares_memory(again.array, vtk_to_numpy(node.GetImageData().GetPointData().GetScalars()))


@pytest.mark.parametrize(
    "dtype", "bool uint8 int8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64".split()
)
def test_every_voxel_type_is_kept_or_widened(scene, dtype: str) -> None:
    array = (np.random.default_rng(1).random((4, 5, 6)) * 2).astype(dtype)
    node = volume_node_from_volume(scene, Volume(array, np.eye(4)), "scan")
    assert (volume_from_node(node).array == array).all()


def test_the_new_volume_is_shown_like_the_moving_one(scene) -> None:
    volume, _ = phantom(GEOMETRIES[0])
    moving = volume_node_from_volume(scene, volume, "moving")
    display = moving.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(123, 45)
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeInvertedGrey")
    shown = volume_node_from_volume(scene, volume, "warped", like=moving).GetDisplayNode()
    assert (shown.GetWindow(), shown.GetLevel(), shown.GetAutoWindowLevel()) == (123, 45, 0)
    assert shown.GetColorNodeID() == "vtkMRMLColorTableNodeInvertedGrey"
    assert shown is not display


def test_an_output_volume_is_replaced_in_place(scene) -> None:
    first, second = phantom(GEOMETRIES[0])[0], phantom(GEOMETRIES[3])[0]
    node = volume_node_from_volume(scene, first, "scan")
    node.SetAndObserveTransformNodeID(linear_transform_node(scene, "tilt", tilted()).GetID())
    set_volume(node, second)
    again = volume_from_node(node)
    assert again.geometry.matches(second.geometry)
    assert (again.array == second.array).all()
    assert node.GetNumberOfDisplayNodes() == 1


def test_names_stay_unique(scene) -> None:
    volume, _ = phantom(GEOMETRIES[0])
    names = {volume_node_from_volume(scene, volume, "scan").GetName() for _ in range(3)}
    assert len(names) == 3


def test_a_node_without_image_is_refused(scene) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(InputError, match="nothing: the volume holds no image"):
        volume_from_node(node)


def test_color_images_and_single_slices_are_refused(scene) -> None:
    for class_name, size, components, message in (
        ("vtkMRMLVectorVolumeNode", (4, 5, 6), 3, "3 components"),
        ("vtkMRMLScalarVolumeNode", (4, 5, 1), 1, "single slice"),
    ):
        image = vtk.vtkImageData()
        image.SetDimensions(size)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, components)
        node = scene.AddNewNodeByClass(class_name, "odd")
        node.SetAndObserveImageData(image)
        with pytest.raises(InputError, match=f"odd: .*{message}"):
            volume_from_node(node)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.float32])
def test_shared_voxels_are_not_copied_and_live_as_long_as_the_image(dtype) -> None:
    volume = Volume(np.arange(60).reshape(3, 4, 5).astype(dtype), np.eye(4))
    memory = weakref.ref(volume.array.base)
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "taken over")
    set_volume(node, volume, shared=True)
    assert np.shares_memory(vtk_to_numpy(node.GetImageData().GetPointData().GetScalars()), volume.array)
    del volume
    gc.collect()
    assert memory() is not None
    assert (volume_from_node(node).array == np.arange(60).reshape(3, 4, 5)).all()
    set_volume(node, Volume(np.zeros((2, 2, 2), dtype), np.eye(4)))
    gc.collect()
    assert memory() is None
