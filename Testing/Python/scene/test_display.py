from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import slicer

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import apply_affine
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume
from LightRegistrationLib.scene.display.deformation_grid import (
    GridKind,
    grid_spacing_mm,
    list_contour_levels_mm,
    remove_rigid_motion,
)
from LightRegistrationLib.scene.display.match import MATCH, MISMATCH, compute_match_map
from LightRegistrationLib.scene.display.result_display import ResultDisplay
from LightRegistrationLib.scene.headless.slice_views import SliceView
from LightRegistrationLib.scene.nodes.results import RegistrationNodes
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node
from LightRegistrationLib.scene.nodes.volumes import image_data, volume_from_node, volume_node_from_volume

from ..analytic import smooth_field, voxel_centers_mm
from .nodes import GEOMETRIES, fingerprint, tilted
from .pair import Pair, make_pair

PLAIN, OBLIQUE = GEOMETRIES[0], GEOMETRIES[1]


@pytest.fixture
def view(application: Any, scene: Any) -> Iterator[SliceView]:
    with SliceView(application, "Axial", (300, 300)) as slice_view:
        yield slice_view


def registered(scene: Any, share: float = 1.0, geometry: Any = PLAIN) -> tuple[Pair, RegistrationNodes]:
    pair = make_pair(scene, geometry, share)
    nodes = pair.publish(scene)
    for node in (pair.fixed_segmentation, pair.moving_segmentation):
        node.SetDisplayVisibility(False)
    return pair, nodes


def without_image(pair: Pair, nodes: RegistrationNodes) -> None:
    """Make the images black, so that only grid, outlines, and match map are visible."""
    for node in (pair.fixed, pair.moving, nodes.warped):
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevel(1, 1e5)


def node_ids(scene: Any) -> set[str]:
    return {scene.GetNthNode(number).GetID() for number in range(scene.GetNumberOfNodes())}


def view_state(view: SliceView) -> tuple:
    composite = view.logic.GetSliceCompositeNode()
    return (
        composite.GetBackgroundVolumeID(),
        composite.GetForegroundVolumeID(),
        composite.GetLabelVolumeID(),
        composite.GetForegroundOpacity(),
        composite.GetLabelOpacity(),
    )


def test_before_shows_the_moving_and_after_the_warped_volume_over_the_fixed(application, scene, view) -> None:
    pair, nodes = registered(scene)
    display = ResultDisplay(application.logic, nodes)
    display.show_before()
    before = view.render().astype(int)
    display.show_after()
    after = view.render().astype(int)
    view.logic.GetSliceCompositeNode().SetForegroundOpacity(0)
    fixed_alone = view.render().astype(int)
    assert np.abs(after - fixed_alone).max() <= 1
    assert np.abs(before - fixed_alone).mean() > 2
    assert fixed_alone.max() > 100
    composite = view.logic.GetSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == pair.fixed.GetID()
    assert composite.GetForegroundVolumeID() == nodes.warped.GetID()


def test_the_overlay_is_half_of_each(application, scene, view) -> None:
    _, nodes = registered(scene, share=0)
    display = ResultDisplay(application.logic, nodes)
    display.show_before()
    both = view.render().astype(float)
    composite = view.logic.GetSliceCompositeNode()
    composite.SetForegroundOpacity(0)
    fixed_alone = view.render().astype(float)
    composite.SetForegroundOpacity(1)
    moving_alone = view.render().astype(float)
    assert np.abs(both - (fixed_alone + moving_alone) / 2).max() <= 2


def test_either_volume_is_shown_alone_and_the_users_opacity_comes_back(application, scene, view) -> None:
    pair, nodes = registered(scene, share=0)
    before = view_state(view)
    display = ResultDisplay(application.logic, nodes)
    display.show_before()
    composite = view.logic.GetSliceCompositeNode()
    composite.SetForegroundOpacity(0)
    fixed_alone = view.render()
    composite.SetForegroundOpacity(1)
    moving_alone = view.render()
    assert (fixed_alone != moving_alone).any()

    composite.SetForegroundOpacity(0.3)
    display.show_opaque(True)
    assert (view.render() == moving_alone).all()
    display.show_fixed()
    assert (view.render() == fixed_alone).all()
    assert composite.GetForegroundVolumeID() is None
    assert display.is_in_views
    display.show_opaque(False)
    assert composite.GetForegroundOpacity() == pytest.approx(0.3)
    composite.SetForegroundVolumeID(pair.moving.GetID())
    assert not display.is_in_views
    display.show_before()
    display.show_opaque(True)
    display.restore()
    assert view_state(view) == before


def test_a_view_opened_later_shows_the_same_and_is_restored(application, scene, view) -> None:
    pair, nodes = registered(scene)
    display = ResultDisplay(application.logic, nodes)
    display.show_before()
    display.show_match(True)
    view.logic.GetSliceCompositeNode().SetForegroundOpacity(0.3)
    view.node.SetFieldOfView(50, 50, 1)
    with SliceView(application, "Coronal", (300, 300)) as new:
        before = view_state(new)
        assert not display.is_in_views
        display.show_in_new_views()
        assert display.is_in_views
        assert view_state(new) == view_state(view)
        assert view.node.GetFieldOfView()[0] == 50, "the first view stays as it is"
        assert new.node.GetFieldOfView()[0] > 80
        assert near(new.render(), (1, 0, 0), 60).sum() > 20
        view.logic.GetSliceCompositeNode().SetForegroundVolumeID(pair.fixed.GetID())
        display.show_in_new_views()
        assert view.logic.GetSliceCompositeNode().GetForegroundVolumeID() == pair.fixed.GetID(), "the user's choice"
        display.restore()
        assert view_state(new) == before


def test_the_users_opacity_stays_when_switching(application, scene, view) -> None:
    _, nodes = registered(scene)
    display = ResultDisplay(application.logic, nodes)
    display.show_before()
    view.logic.GetSliceCompositeNode().SetForegroundOpacity(0.8)
    display.show_after()
    assert view.logic.GetSliceCompositeNode().GetForegroundOpacity() == pytest.approx(0.8)


def test_the_view_is_fitted_once_and_then_not_changed(application, scene, view) -> None:
    _, nodes = registered(scene)
    display = ResultDisplay(application.logic, nodes)
    display.show_before()
    fitted = view.node.GetFieldOfView()
    assert fitted[0] > 80
    view.node.SetFieldOfView(50, 50, 1)
    display.show_after()
    assert view.node.GetFieldOfView()[:2] == (50, 50)


def straight_lines(picture: np.ndarray, background: np.ndarray) -> int:
    """How many pixel columns are drawn over along nearly all of their length (the grid has a margin)."""
    return int(((picture != background).any(-1).mean(axis=0) > 0.8).sum())


def test_the_grid_is_straight_without_deformation_and_bent_with_it(application, scene, view) -> None:
    pair = make_pair(scene, PLAIN)
    zero_field = DisplacementField(np.zeros_like(pair.field.array), pair.field.affine)
    for field, bent in ((pair.field, True), (zero_field, False)):
        object.__setattr__(pair, "field", field)
        nodes = pair.publish(scene)
        without_image(pair, nodes)
        pair.fixed_segmentation.SetDisplayVisibility(False)
        pair.moving_segmentation.SetDisplayVisibility(False)
        display = ResultDisplay(application.logic, nodes)
        display.show_after()
        background = view.render()
        display.show_grid(True)
        picture = view.render()
        assert 0.05 < (picture != background).any(-1).mean() < 0.6
        lines = straight_lines(picture, background)
        assert lines == 0 if bent else 10 <= lines <= 60, lines
        display.show_grid(False)
        assert (view.render() == background).all()


def test_the_grid_has_round_cells_that_fit_the_volume() -> None:
    for geometry in GEOMETRIES:
        spacing = grid_spacing_mm(geometry)
        longest = (geometry.size_ijk * geometry.spacing_mm).max()
        assert 12 <= longest / spacing <= 32
        assert float(f"{spacing:.0e}"[0]) in (1, 2, 5)


def test_the_grid_does_not_change_the_transforms_display_and_is_not_in_3d(application, scene, view) -> None:
    _, nodes = registered(scene)
    nodes.transform.CreateDefaultDisplayNodes()
    nodes.transform.GetDisplayNode().SetDefaultColors()
    before, state = node_ids(scene), fingerprint(nodes.transform)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    display.show_grid(True)
    shown = [scene.GetNodeByID(i) for i in node_ids(scene) - before]
    assert [node.GetVisibility3D() for node in shown if node.IsA("vtkMRMLTransformDisplayNode")] == [0]
    assert not any(node.GetSaveWithScene() for node in shown if node.IsA("vtkMRMLTransformNode"))
    view.render()
    display.show_grid(False)
    assert fingerprint(nodes.transform) == state
    assert node_ids(scene) == before


def test_the_grid_shows_deformation_and_not_the_motion_of_the_whole() -> None:
    field = smooth_field(OBLIQUE)
    rigid = tilted(17, (45, -60, 30))
    centers = voxel_centers_mm(field.geometry)
    moved = apply_affine(rigid, centers + field.array) - centers
    apart = remove_rigid_motion(DisplacementField(moved.astype(np.float32), field.affine), OBLIQUE)
    alone = remove_rigid_motion(field, OBLIQUE)
    assert np.abs(moved).max() > 50
    assert np.abs(apart.array - alone.array).max() < 1e-3
    turned = DisplacementField((apply_affine(rigid, centers) - centers).astype(np.float32), field.affine)
    assert np.abs(remove_rigid_motion(turned, OBLIQUE).array).max() < 1e-3


def near(picture: np.ndarray, color: tuple[float, float, float], tolerance: int = 12) -> np.ndarray:
    return (np.abs(picture.astype(int) - np.round(np.array(color) * 255)).max(-1) <= tolerance).astype(bool)


def test_outlines_are_white_for_fixed_and_in_the_segments_colors_for_the_other(application, scene, view) -> None:
    pair, nodes = registered(scene, share=0.5)
    without_image(pair, nodes)
    for node, color in ((pair.fixed_segmentation, (0, 1, 0)), (pair.moving_segmentation, (1, 0, 1))):
        for number in range(3):
            node.GetSegmentation().GetNthSegment(number).SetColor(color)
    for number in range(3):
        nodes.warped_segmentation.GetSegmentation().GetNthSegment(number).SetColor(0, 1, 1)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    plain = view.render()
    display.show_outlines(True)
    after = view.render()
    white = (after.min(-1) > 180) & (np.ptp(after.astype(int), axis=-1) < 10)
    assert near(after, (0, 1, 1)).sum() > 100
    assert white.sum() > 100
    assert not ((after[..., 1] > 80) & (after[..., 0] < 30) & (after[..., 2] < 30)).any(), "the fixed structures' green"
    assert near(after, (1, 0, 1)).sum() == 0
    display.show_before()
    before = view.render()
    assert near(before, (1, 0, 1)).sum() > 100
    assert near(before, (0, 1, 1)).sum() == 0
    display.show_after()
    assert (view.render() == after).all()
    display.show_outlines(False)
    assert (view.render() == plain).all()


def test_the_legend_of_outlines_names_what_is_drawn_and_goes_with_it(application, scene, view) -> None:
    pair, nodes = registered(scene, share=0.5)
    without_image(pair, nodes)
    for node, color in ((pair.moving_segmentation, (1, 0, 1)), (nodes.warped_segmentation, (0, 1, 1))):
        for number in range(3):
            node.GetSegmentation().GetNthSegment(number).SetColor(color)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    before, top_right = node_ids(scene), (slice(0, 70), slice(240, 300))

    def list_names() -> list[str]:
        (colors,) = [
            scene.GetNodeByID(i) for i in node_ids(scene) - before if "Outline colors" in scene.GetNodeByID(i).GetName()
        ]
        return [colors.GetColorName(number) for number in range(colors.GetNumberOfColors())]

    display.show_outlines(True, ("F", "M", "W"))
    drawn = view.render()
    assert near(drawn[top_right], (0, 1, 1)).sum() > 50
    assert near(drawn[top_right], (1, 1, 1)).sum() > 50
    assert sorted(list_names()) == ["F", "W"]
    display.show_before()
    assert near(view.render()[top_right], (1, 0, 1)).sum() > 50
    assert sorted(list_names()) == ["F", "M"]
    assert not any(scene.GetNodeByID(i).GetSaveWithScene() for i in node_ids(scene) - before)
    with SliceView(application, "Coronal", (300, 300)) as other:
        display.show_in_new_views()
        assert near(other.render()[top_right], (1, 0, 1)).sum() > 50, "a view that was opened later"
    display.show_outlines(False)
    assert node_ids(scene) == before


def test_outlines_have_no_fill(application, scene, view) -> None:
    pair, nodes = registered(scene)
    without_image(pair, nodes)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    display.show_outlines(True)
    colored = (view.render() > 30).any(-1)
    labels = segmentation_from_node(pair.fixed_segmentation).layers[0]
    slice_area = (labels[labels.shape[0] // 2] > 0).sum() * 4.0
    pixel_area = (view.node.GetFieldOfView()[0] / 300) ** 2
    assert 0 < colored.sum() * pixel_area < 0.6 * slice_area


def test_hiding_outlines_restores_the_users_segmentations(application, scene, view) -> None:
    pair, nodes = registered(scene)
    for node in (pair.fixed_segmentation, pair.moving_segmentation):
        node.SetDisplayVisibility(True)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    picture, state = view.render(), fingerprint(*pair.inputs(), times=False)
    count = scene.GetNumberOfNodes()
    display.show_outlines(True)
    display.show_before()
    assert (view.render() != picture).any()
    display.show_after()
    display.show_outlines(False)
    assert fingerprint(*pair.inputs(), times=False) == state
    assert scene.GetNumberOfNodes() == count
    assert (view.render() == picture).all()


def test_label_map_nodes_are_outlined_too(application, scene, view) -> None:
    pair, nodes = registered(scene)
    without_image(pair, nodes)
    label_node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    label_node.CopyOrientation(pair.fixed)
    label_node.SetAndObserveImageData(image_data(segmentation_from_node(pair.fixed_segmentation).layers[0]))
    with_labels = RegistrationNodes(pair.fixed, pair.moving, nodes.transform, nodes.warped, label_node)
    display = ResultDisplay(application.logic, with_labels)
    display.show_after()
    count, plain = scene.GetNumberOfNodes(), view.render()
    display.show_outlines(True)
    assert (view.render() != plain).any(-1).sum() > 100
    display.show_outlines(False)
    assert scene.GetNumberOfNodes() == count
    assert (view.render() == plain).all()


@pytest.mark.parametrize("after", [True, False])
def test_white_is_match_and_red_is_mismatch(application, scene, view, after: bool) -> None:
    pair, nodes = registered(scene, share=0.5)
    without_image(pair, nodes)
    display = ResultDisplay(application.logic, nodes)
    if after:
        display.show_after()
    else:
        display.show_before()
    plain = view.render()
    display.show_match(True)
    picture = view.render()
    assert plain.max() == 0
    fixed = segmentation_from_node(pair.fixed_segmentation).layers[0]
    other = segmentation_from_node(nodes.warped_segmentation if after else pair.moving_segmentation).layers[0]
    k = round((view.node.GetSliceOffset() - PLAIN.affine[2, 3]) / PLAIN.spacing_mm[2])
    match = ((fixed[k] == other[k]) & (fixed[k] > 0)).sum()
    mismatch = (fixed[k] != other[k]).sum()
    pixels_per_voxel = 4.0 / (view.node.GetFieldOfView()[0] / 300) ** 2
    white, red = near(picture, (0.6, 0.6, 0.6)), near(picture, (0.6, 0, 0))
    assert match > 100
    assert mismatch > 20
    assert white.sum() / pixels_per_voxel == pytest.approx(match, rel=0.05)
    assert red.sum() / pixels_per_voxel == pytest.approx(mismatch, rel=0.1)
    assert ((picture > 0).any(-1) == (white | red)).all()
    display.show_match(False)
    assert (view.render() == plain).all()


def test_match_of_overlapping_and_differently_numbered_structures() -> None:
    large, small, shifted = np.zeros((3, 6, 6, 6), np.uint8)
    large[1:5, 1:5, 1:5], small[2:4, 2:4, 2:4], shifted[3:5, 2:4, 2:4] = 1, 1, 9
    fixed = Segmentation((large, small), np.eye(4), (Segment("organ", 1, 0), Segment("tumor", 1, 1)))
    other = Segmentation((large * 4, shifted), np.eye(4), (Segment("organ", 4, 0), Segment("tumor", 9, 1)))
    labels = compute_match_map(fixed, other, fixed.geometry)
    expected = large * MATCH
    expected[(small > 0) != (shifted > 0)] = MISMATCH
    assert (labels == expected).all()
    unnamed = Segmentation((large * 4,), np.eye(4), (Segment("something", 4),))
    assert (compute_match_map(unnamed, other, fixed.geometry)[large > 0] != 0).all()
    with pytest.raises(InputError, match="share neither a name nor a label value"):
        compute_match_map(fixed, Segmentation((shifted,), np.eye(4), (Segment("else", 9),)), fixed.geometry)


@pytest.mark.parametrize(("values", "dtype"), [((1, 7, 255), np.uint8), ((3, 90_000, 2), np.int32)])
def test_the_match_map_is_right_for_all_label_values_and_layers(values, dtype) -> None:
    """As each structure says by itself; a mismatch wins where structures overlap."""
    rng = np.random.default_rng(3)
    choices = np.array([0, *values, 5 if dtype is np.uint8 else -4], dtype)
    layers = [rng.choice(choices, (4, 5, 6)) for _ in range(3)]
    names = ("a", "b", "c")
    named = list(zip(names, values, strict=True))
    fixed_segments = tuple(Segment(name, value, int(name == "c")) for name, value in named)
    fixed = Segmentation((layers[0], layers[1]), np.eye(4), fixed_segments)
    other = Segmentation((layers[2],), np.eye(4), tuple(Segment(name, value) for name, value in named))
    found = compute_match_map(fixed, other, fixed.geometry)
    masks = [(fixed.mask(one), other.mask(two)) for one, two in zip(fixed.segments, other.segments, strict=True)]
    both = np.any([one & two for one, two in masks], axis=0)
    different = np.any([one != two for one, two in masks], axis=0)
    assert (found == np.where(different, MISMATCH, both * MATCH)).all()


def test_switching_everything_off_restores_the_views(application, scene, view) -> None:
    pair, nodes = registered(scene, share=0.5, geometry=OBLIQUE)
    pair.fixed_segmentation.SetDisplayVisibility(True)
    own = volume_node_from_volume(scene, Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)), "own")
    composite = view.logic.GetSliceCompositeNode()
    composite.SetBackgroundVolumeID(own.GetID())
    composite.SetForegroundVolumeID(pair.fixed.GetID())
    composite.SetForegroundOpacity(0.3)
    composite.SetLabelOpacity(0.9)
    view.logic.FitSliceToBackground()
    state, before = view_state(view), node_ids(scene)
    users = fingerprint(*pair.inputs(), own, times=False)
    display = ResultDisplay(application.logic, nodes)
    for show in (display.show_grid, display.show_outlines, display.show_match):
        display.show_before()
        show(True)
    assert view_state(view) != state
    display.restore()
    assert view_state(view) == state
    assert fingerprint(*pair.inputs(), own, times=False) == users
    assert node_ids(scene) == before


def test_restoring_gives_the_same_picture_pixel_by_pixel(application, scene, view) -> None:
    pair, nodes = registered(scene, share=0.5)
    view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(pair.fixed.GetID())
    view.logic.FitSliceToBackground()
    pair.fixed_segmentation.SetDisplayVisibility(True)
    picture = view.render()
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    display.show_grid(True)
    display.show_outlines(True)
    display.show_match(True)
    assert (view.render() != picture).any()
    display.restore()
    assert (view.render() == picture).all()


def test_what_the_user_chose_meanwhile_is_not_changed(application, scene, view) -> None:
    pair, nodes = registered(scene)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    composite = view.logic.GetSliceCompositeNode()
    composite.SetBackgroundVolumeID(pair.moving.GetID())
    display.restore()
    assert composite.GetBackgroundVolumeID() == pair.moving.GetID()


def test_without_segmentations_there_is_an_overlay_only(application, scene, view) -> None:
    pair = make_pair(scene, PLAIN)
    nodes = RegistrationNodes(pair.fixed, pair.moving, pair.publish(scene).transform, pair.fixed)
    for node in (pair.fixed_segmentation, pair.moving_segmentation):
        node.SetDisplayVisibility(False)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    plain = view.render()
    display.show_outlines(True)
    display.show_match(True)
    assert (view.render() == plain).all()
    assert (volume_from_node(nodes.fixed).array == volume_from_node(pair.fixed).array).all()


@pytest.mark.parametrize("leaving", ["fixed", "warped", "fixed_segmentation", "warped_segmentation", "transform"])
def test_a_displayed_node_can_be_removed(application, scene, view, leaving: str, capfd) -> None:
    """Views are restored when any node is about to be removed, also one that draws: VTK prints what fails in that."""
    _, nodes = registered(scene, share=0.5)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    display.show_grid(True)
    display.show_outlines(True)
    display.show_match(True)
    view.render()
    tag = scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, lambda *_: display.restore())
    scene.RemoveNode(getattr(nodes, leaving))
    scene.RemoveObserver(tag)
    view.render()
    composite = view.logic.GetSliceCompositeNode()
    assert composite.GetForegroundVolumeID() is None
    assert composite.GetLabelVolumeID() is None
    display.restore()
    assert not [i for i in node_ids(scene) if scene.GetNodeByID(i).GetName().endswith("outlines")]
    assert "Error" not in capfd.readouterr().err


def test_switching_many_times_is_safe(application, scene, view) -> None:
    """Slicer's slice views crash on some ways to add and remove what they draw."""
    _, nodes = registered(scene, share=0.5)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    before = node_ids(scene)
    for _ in range(12):
        display.show_outlines(True)
        display.show_match(True)
        display.show_before()
        view.render()
        display.show_after()
        display.show_outlines(False)
        display.show_match(False)
    view.render()
    assert node_ids(scene) == before


@pytest.mark.parametrize("part", ["grid", "match", "outlines"])
def test_each_part_is_readable_alone(application, scene, view, part: str) -> None:
    """The user's segmentations, visible with their fills, do not cover it: the picture is the same without them."""
    pair, nodes = registered(scene, share=0.5)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    switch = getattr(display, f"show_{part}")
    switch(True)
    alone = view.render()
    switch(False)
    for node in (pair.fixed_segmentation, pair.moving_segmentation):
        node.SetDisplayVisibility(True)
    covered = view.render()
    switch(True)
    assert (covered != alone).any(-1).sum() > 500
    assert (view.render() == alone).all()
    switch(False)
    assert (view.render() == covered).all()


@pytest.mark.parametrize("part", ["grid", "match", "outlines"])
def test_a_scene_saved_meanwhile_shows_the_users_segmentations(application, scene, tmp_path, part) -> None:
    """Read without this module: nothing restores what was hidden."""
    pair, nodes = registered(scene)
    pair.fixed_segmentation.SetDisplayVisibility(True)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    getattr(display, f"show_{part}")(True)
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    display.restore()
    name = pair.fixed_segmentation.GetName()
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    saved = scene.GetFirstNodeByName(name).GetDisplayNode()
    assert saved.GetVisibility()
    assert saved.GetVisibility2D()
    assert saved.GetNumberOfViewNodeIDs() == 0
    assert saved.IsDisplayableInView("vtkMRMLSliceNodeRed")


def test_surfaces_stay_in_3d_while_the_segmentation_is_hidden(application, scene) -> None:
    pair, nodes = registered(scene)
    pair.fixed_segmentation.SetDisplayVisibility(True)
    pair.fixed_segmentation.CreateClosedSurfaceRepresentation()
    before = node_ids(scene)
    display = ResultDisplay(application.logic, nodes)
    display.show_outlines(True)
    shown = [scene.GetNodeByID(i) for i in node_ids(scene) - before]
    surfaces = [node for node in shown if node.GetName() == "fixed organs surfaces"]
    assert [node.GetDisplayNode().GetVisibility3D() for node in surfaces] == [1]
    assert [node.GetDisplayNode().GetVisibility2D() for node in surfaces] == [0]
    assert not any(node.GetSaveWithScene() for node in shown)
    display.restore()
    assert node_ids(scene) == before


def test_a_segmentation_that_the_user_limited_to_some_views_keeps_them(application, scene) -> None:
    pair, nodes = registered(scene)
    own = pair.fixed_segmentation.GetDisplayNode()
    own.AddViewNodeID("vtkMRMLSliceNodeRed")
    display = ResultDisplay(application.logic, nodes)
    display.show_outlines(True)
    assert own.GetViewNodeIDs() == ("vtkMRMLSliceNodeRed",)
    display.restore()
    assert own.GetViewNodeIDs() == ("vtkMRMLSliceNodeRed",)


def test_contours_have_round_lengths_up_to_the_longest_one() -> None:
    assert list_contour_levels_mm(9.0) == [2, 4, 6, 8]
    assert list_contour_levels_mm(0.01) == [0.1]
    for longest in np.geomspace(0.2, 200, 60):
        levels = list_contour_levels_mm(float(longest))
        assert 1 <= len(levels) <= 8
        assert longest / 3 < levels[-1] <= longest * (1 + 1e-6)


def test_grid_arrows_and_contours_draw_the_deformation_each_in_its_way(application, scene, view) -> None:
    pair, nodes = registered(scene)
    without_image(pair, nodes)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    drawn = {}
    for kind in GridKind:
        display.show_grid(True, kind)
        drawn[kind] = view.render().max(-1) > 60
        assert 200 < drawn[kind].sum() < drawn[kind].size / 2
    kinds = list(drawn.values())
    assert all((one != other).sum() > 200 for one, other in zip(kinds, kinds[1:] + kinds[:1], strict=True))
    bare = view.render()
    display.show_grid(True, GridKind.CONTOURS, "mm")
    assert (view.render() != bare)[:, :60].sum() > 300, "the legend at the left"
    for title, shown in (("mm", "mm"), ("cells {spacing} mm", f"cells {grid_spacing_mm(PLAIN):g} mm")):
        display.show_grid(True, GridKind.GRID, title)
        assert scene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode").GetTitleText() == shown
    display.show_grid(False)
    assert view.render().max() < 60
