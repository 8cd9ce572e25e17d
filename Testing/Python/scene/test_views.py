from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.scene.files.png import save_png
from LightRegistrationLib.scene.headless.pictures import save_views
from LightRegistrationLib.scene.headless.slice_views import SliceView
from LightRegistrationLib.scene.nodes.results import RegistrationNodes
from LightRegistrationLib.scene.nodes.volumes import volume_node_from_volume

from ..analytic import voxel_centers_mm
from .nodes import GEOMETRIES, GEOMETRY_NAMES, fingerprint
from .pair import make_pair

SUBJECTS = ["before", "after", "grid", "outlines", "match"]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=GEOMETRY_NAMES)
@pytest.mark.parametrize(
    ("orientation", "right", "down"),
    [("Axial", (-1, 0, 0), (0, -1, 0)), ("Sagittal", (0, -1, 0), (0, 0, -1)), ("Coronal", (-1, 0, 0), (0, 0, -1))],
)
def test_objects_are_drawn_at_their_position(application, scene, geometry, orientation, right, down) -> None:
    """A ball outside the center is drawn at its position to a fraction of a voxel: nothing is flipped or shifted."""
    ball = geometry.center_mm + (9, -6, 12)
    distance = np.linalg.norm(voxel_centers_mm(geometry) - ball, axis=-1)
    node = volume_node_from_volume(scene, Volume(np.clip(200 - 20 * distance, 0, 100), geometry.affine), "ball")
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(100, 50)
    with SliceView(application, orientation, (240, 200)) as view:
        view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
        view.node.SetFieldOfView(72, 60, 1)
        view.center_on(ball - 5 * np.array(right) + 4 * np.array(down))
        picture = view.render()[..., 0].astype(float)
    rows, columns = np.indices(picture.shape)
    center = np.array([(columns * picture).sum(), (rows * picture).sum()]) / picture.sum()
    pixels_per_mm = 240 / 72
    expected = np.array([119.5 + 5 * pixels_per_mm, 99.5 - 4 * pixels_per_mm])
    assert picture.shape == (200, 240)
    assert np.abs(center - expected).max() < 0.3 * pixels_per_mm


def test_pictures_of_a_registration_are_written(application, scene, tmp_path) -> None:
    pair = make_pair(scene, GEOMETRIES[1], share=0.7)
    nodes = pair.publish(scene)
    with SliceView(application, "Axial") as view:
        view.render()  # Slicer completes the display properties of segments when it draws them first
    before = fingerprint(*pair.inputs(), times=False)
    count, views = scene.GetNumberOfNodes(), application.logic.GetSliceLogics().GetNumberOfItems()
    paths = save_views(application, nodes, tmp_path, (200, 160))
    assert [path.name for path in paths] == [f"{name}.png" for name in SUBJECTS]
    pictures = {path.stem: sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(int) for path in paths}
    for picture in pictures.values():
        assert picture.shape == (160, 600, 3)
        for part in np.split(picture, 3, axis=1):
            assert part.max() > 100
    for name in ("before", "grid", "outlines", "match"):
        assert (pictures[name] != pictures["after"]).any()
    colored = [bool((np.ptp(picture, axis=-1) > 40).any()) for picture in pictures.values()]
    assert colored == [False, False, True, True, True]
    assert fingerprint(*pair.inputs(), times=False) == before
    assert scene.GetNumberOfNodes() == count
    assert application.logic.GetSliceLogics().GetNumberOfItems() == views


def test_without_segmentations_three_pictures_are_written(application, scene, tmp_path) -> None:
    pair = make_pair(scene, GEOMETRIES[0])
    published = pair.publish(scene)
    for node in (pair.fixed_segmentation, pair.moving_segmentation, published.warped_segmentation):
        scene.RemoveNode(node)
    nodes = RegistrationNodes(pair.fixed, pair.moving, published.transform, published.warped)
    paths = save_views(application, nodes, tmp_path, (120, 120))
    assert [path.name for path in paths] == ["before.png", "after.png", "grid.png"]


def test_a_failure_closes_the_views_again(application, scene, tmp_path) -> None:
    nodes = make_pair(scene, GEOMETRIES[0]).publish(scene)
    with SliceView(application, "Axial") as view:
        view.render()
    count, views = scene.GetNumberOfNodes(), application.logic.GetSliceLogics().GetNumberOfItems()
    with pytest.raises(InputError, match="cannot be written"):
        save_views(application, nodes, tmp_path / "nowhere", (120, 120))
    assert scene.GetNumberOfNodes() == count
    assert application.logic.GetSliceLogics().GetNumberOfItems() == views


def test_a_png_keeps_every_pixel(application, tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    save_png(pixels, tmp_path / "noise.png")
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "noise.png"))) == pixels).all()
