"""The preview, before anything is resampled: what it shows, and that it is removed completely."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.scene.display.preview import add_preview, remove_preview
from LightRegistrationLib.scene.display.result_display import ResultDisplay
from LightRegistrationLib.scene.headless.slice_views import ORIENTATIONS, SliceView
from LightRegistrationLib.scene.nodes.volumes import world_affine

from .nodes import GEOMETRIES, GEOMETRY_NAMES, fingerprint, linear_transform_node, tilted
from .pair import Pair, make_pair


@pytest.fixture
def views(application: Any, scene: Any) -> Iterator[list[SliceView]]:
    opened = [SliceView(application, orientation, (200, 200)) for orientation in ORIENTATIONS]
    yield opened
    for view in opened:
        view.close()


def pictures(views: list[SliceView], pair: Pair) -> np.ndarray:
    return np.concatenate([view.render()[..., 0] for view in views], axis=1).astype(int)


def hide_segmentations(pair: Pair, *others: Any) -> None:
    for node in (pair.fixed_segmentation, pair.moving_segmentation, *others):
        node.SetDisplayVisibility(False)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=GEOMETRY_NAMES)
def test_the_preview_looks_like_the_resampled_volume(application, scene, views, geometry: Geometry) -> None:
    pair = make_pair(scene, geometry)
    hide_segmentations(pair)
    preview = add_preview(scene, pair.fixed, pair.moving, world_affine(pair.moving), pair.field)
    display = ResultDisplay(application.logic, preview)
    display.show_after()
    for composite in (view.logic.GetSliceCompositeNode() for view in views):
        composite.SetForegroundOpacity(1)
    early = pictures(views, pair)
    nodes = pair.publish(scene)
    display.replace_nodes(nodes)
    remove_preview(scene, preview)
    late = pictures(views, pair)
    display.show_before()
    unregistered = pictures(views, pair)

    shown = late > 20
    assert shown.mean() > 0.05
    assert np.abs(early - late)[shown].mean() < 4, "twice interpolated, or not registered"
    assert np.abs(unregistered - late)[shown].mean() > 3 * np.abs(early - late)[shown].mean()


def test_the_users_nodes_are_not_touched_and_the_voxels_not_copied(scene) -> None:
    pair = make_pair(scene, GEOMETRIES[1])
    above = linear_transform_node(scene, "above", tilted())
    pair.moving.SetAndObserveTransformNodeID(above.GetID())
    image = pair.moving.GetImageData()
    before, count = fingerprint(*pair.inputs(), above), scene.GetNumberOfNodes()
    time = image.GetMTime()

    preview = add_preview(scene, pair.fixed, pair.moving, world_affine(pair.moving), pair.field)
    own = preview.warped.GetImageData().GetPointData().GetScalars()
    assert own is image.GetPointData().GetScalars()
    assert preview.warped.GetDisplayNode().GetWindow() == pair.moving.GetDisplayNode().GetWindow()
    for node in (preview.warped, preview.transform, preview.warped.GetDisplayNode()):
        assert node.GetHideFromEditors()
        assert not node.GetSaveWithScene()
    remove_preview(scene, preview)

    assert fingerprint(*pair.inputs(), above) == before
    assert pair.moving.GetImageData() is image
    assert image.GetMTime() == time
    assert scene.GetNumberOfNodes() == count


def test_a_moving_volume_under_a_linear_transform_is_shown_where_it_was_registered(application, scene, views) -> None:
    pair = make_pair(scene, GEOMETRIES[0])
    hide_segmentations(pair)
    plain = add_preview(scene, pair.fixed, pair.moving, world_affine(pair.moving), pair.field)
    display = ResultDisplay(application.logic, plain)
    display.show_after()
    expected = pictures(views, pair)

    above = linear_transform_node(scene, "above", tilted())
    matrix = np.linalg.inv(tilted()) @ world_affine(pair.moving)
    from LightRegistrationLib.scene.nodes.matrices import vtk_matrix

    pair.moving.SetIJKToRASMatrix(vtk_matrix(matrix))
    pair.moving.SetAndObserveTransformNodeID(above.GetID())
    again = add_preview(scene, pair.fixed, pair.moving, world_affine(pair.moving), pair.field)
    display.replace_nodes(again)
    remove_preview(scene, plain)
    assert np.abs(pictures(views, pair) - expected).max() <= 2


def test_replacing_nodes_keeps_what_the_views_showed_before(application, scene, views) -> None:
    pair = make_pair(scene, GEOMETRIES[0])
    composites = [view.logic.GetSliceCompositeNode() for view in views]
    composites[0].SetBackgroundVolumeID(pair.moving.GetID())
    before = [(c.GetBackgroundVolumeID(), c.GetForegroundVolumeID(), c.GetForegroundOpacity()) for c in composites]
    preview = add_preview(scene, pair.fixed, pair.moving, world_affine(pair.moving), pair.field)
    display = ResultDisplay(application.logic, preview)
    display.show_after()
    views[0].node.SetFieldOfView(50, 50, 1)
    nodes = pair.publish(scene)
    display.replace_nodes(nodes)
    remove_preview(scene, preview)
    assert {c.GetForegroundVolumeID() for c in composites} == {nodes.warped.GetID()}
    assert views[0].node.GetFieldOfView()[:2] == (50, 50)
    display.restore()
    after = [(c.GetBackgroundVolumeID(), c.GetForegroundVolumeID(), c.GetForegroundOpacity()) for c in composites]
    assert after == before
