"""Maps of the deformation in rendered slice views: colors at known places, legend, folds, nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.scene.display.deformation_maps import (
    FOLDED,
    MAP_OPACITY,
    MapKind,
    find_bands,
    make_determinant_bands,
    make_length_bands,
)
from LightRegistrationLib.scene.display.result_display import ResultDisplay
from LightRegistrationLib.scene.headless.slice_views import SliceView
from LightRegistrationLib.scene.nodes.probe import probe_registration
from LightRegistrationLib.scene.nodes.results import RegistrationNodes
from LightRegistrationLib.scene.nodes.transforms import set_field
from LightRegistrationLib.scene.nodes.volumes import image_array, world_affine

from ..analytic import voxel_centers_mm
from .nodes import GEOMETRIES
from .pair import make_pair
from .test_display import near, node_ids, without_image

PLAIN = GEOMETRIES[0]
SIZE = (500, 400)
LEGEND = np.s_[:, int(0.78 * SIZE[0]) :]
"""Where the legend is in the view."""


@pytest.fixture
def view(application: Any, scene: Any) -> Iterator[SliceView]:
    with SliceView(application, "Axial", SIZE) as slice_view:
        yield slice_view


@pytest.fixture
def nodes(scene: Any) -> RegistrationNodes:
    """A result whose images are black, without visible segmentations."""
    pair = make_pair(scene, PLAIN)
    published = pair.publish(scene)
    without_image(pair, published)
    for node in (pair.fixed_segmentation, pair.moving_segmentation):
        node.SetDisplayVisibility(False)
    return published


def stretch(nodes: RegistrationNodes, factor: float) -> np.ndarray:
    """Give the result the field of a stretch along R about the center of the volume; returns its displacements."""
    points = voxel_centers_mm(PLAIN)
    array = np.zeros_like(points)
    array[..., 0] = (factor - 1) * (points[..., 0] - PLAIN.center_mm[0])
    set_field(nodes.transform, DisplacementField(array.astype(np.float32), PLAIN.affine), nodes.fixed, nodes.moving)
    return array


def shown(color: tuple[float, float, float], opacity: float = 1.0) -> tuple[float, float, float]:
    red, green, blue = (channel * opacity * MAP_OPACITY for channel in color)
    return red, green, blue


def test_displacement_is_drawn_in_the_bands_of_its_length(application, scene, view, nodes) -> None:
    array = stretch(nodes, 1.3)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    display.show_map(MapKind.LENGTHS, "Displacement, mm", "folded")
    picture = view.render()
    lengths = np.abs(array[PLAIN.shape[0] // 2, ..., 0])
    bands = make_length_bands(float(np.abs(array).max()))
    numbers = find_bands(lengths, bands)
    pixels_per_voxel = float(np.prod(PLAIN.spacing_mm[:2])) / (view.node.GetFieldOfView()[0] / SIZE[0]) ** 2
    assert 5 <= len(bands) <= 10
    for number, band in enumerate(bands, start=1):
        expected = (numbers == number).sum()
        assert near(picture, shown(band.color)).sum() / pixels_per_voxel == pytest.approx(expected, rel=0.15, abs=20)


def test_the_legend_has_the_numbers_of_the_bands_and_goes_with_the_map(application, scene, view, nodes) -> None:
    stretch(nodes, 1.3)
    before = node_ids(scene)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    plain = view.render()
    display.show_map(MapKind.LENGTHS, "Displacement, mm", "folded")
    picture = view.render()
    bands = make_length_bands(0.3 * (PLAIN.size_ijk[0] - 1) / 2 * PLAIN.spacing_mm[0])
    for band in bands:
        assert near(picture[LEGEND], band.color, 2).sum() > 50, f"not in the legend: {band.name}"
    assert near(picture[LEGEND], (1, 1, 1)).sum() > 200, "white text"
    new = [scene.GetNodeByID(i) for i in node_ids(scene) - before]
    (colors,) = (node for node in new if node.IsA("vtkMRMLColorTableNode"))
    assert [colors.GetColorName(number) for number in range(1, len(bands) + 1)] == [band.name for band in bands]
    assert not any(node.GetSaveWithScene() for node in new)
    assert all(node.GetHideFromEditors() for node in new)
    display.hide_map()
    assert (view.render() == plain).all()
    assert node_ids(scene) == before
    display.restore()


def test_growth_is_red_shrinkage_blue_and_a_single_fold_magenta(application, scene, view, nodes) -> None:
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    for factor, channel in ((1.7, 0), (0.6, 2)):
        stretch(nodes, factor)
        display.show_map(MapKind.DETERMINANTS, "Jacobian", "folded")
        picture = view.render()
        center = picture[180:220, 230:270].reshape(-1, 3).astype(int)
        assert (center[:, channel] > center[:, 2 - channel] + 40).all()
        assert near(picture, shown(FOLDED)).sum() == 0

    array = np.zeros((*PLAIN.shape, 3), np.float32)
    j, i = PLAIN.shape[1] // 2, PLAIN.shape[2] // 2
    array[:, j, i, 0] = -1.5 * PLAIN.spacing_mm[0]
    set_field(nodes.transform, DisplacementField(array, PLAIN.affine), nodes.fixed, nodes.moving)
    display.show_map(MapKind.DETERMINANTS, "Jacobian", "folded")
    assert near(view.render(), shown(FOLDED)).sum() > 20
    display.restore()


def test_the_map_agrees_with_what_is_under_the_cursor(application, scene, nodes) -> None:
    display = ResultDisplay(application.logic, nodes)
    for kind in MapKind:
        before = node_ids(scene)
        display.show_map(kind, "map", "folded")
        new = [scene.GetNodeByID(i) for i in node_ids(scene) - before]
        (labels,) = (node for node in new if node.IsA("vtkMRMLLabelMapVolumeNode"))
        (colors,) = (node for node in new if node.IsA("vtkMRMLColorTableNode"))
        array, affine = image_array(labels), world_affine(labels)
        for index in np.random.default_rng(0).integers(1, np.array(array.shape) - 1, (30, 3)):
            position = affine[:3, :3] @ index[::-1] + affine[:3, 3]
            probe = probe_registration(nodes, tuple(float(x) for x in position))
            value = probe.distance_mm if kind is MapKind.LENGTHS else probe.jacobian
            low, high = read_range(colors.GetColorName(int(array[tuple(index)])))
            assert low - 0.01 <= value <= high + 0.01
        display.hide_map()


def read_range(name: str) -> tuple[float, float]:
    if name == "folded":
        return -np.inf, 0.0
    if name[0] in "<>":
        return (0.0, float(name[2:])) if name[0] == "<" else (float(name[2:]), np.inf)
    low, high = name.split(" to ")
    return float(low), float(high)


def test_bands_have_round_edges_and_hold_every_value() -> None:
    for longest in (0.0, 0.03, 0.99, 1.0, 7.3, 20.0, 137.0):
        bands = make_length_bands(longest)
        assert 1 <= len(bands) <= 10
        assert bands[-1].upper > longest
        low, high = read_range(bands[-1].name)
        assert low <= longest < high
    bands = make_determinant_bands("folded")
    names = [bands[number - 1].name for number in find_bands(np.array([-1, 0, 1e-6, 0.5, 1.0, 1.99, 2.5]), bands)]
    assert names == ["folded", "folded", "< 0.5", "0.5 to 0.67", "0.9 to 1.1", "1.5 to 2", "> 2"]


def test_maps_and_match_replace_each_other_and_the_view_is_restored(application, scene, view, nodes) -> None:
    view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(nodes.moving.GetID())
    view.logic.FitSliceToBackground()
    picture, before = view.render(), node_ids(scene)
    display = ResultDisplay(application.logic, nodes)
    display.show_after()
    for _turn in range(3):
        display.show_map(MapKind.LENGTHS, "Displacement, mm", "folded")
        view.render()
        display.show_match(True)
        view.render()
        assert display.is_in_views
        display.show_map(MapKind.DETERMINANTS, "Jacobian", "folded")
        view.render()
        assert display.is_in_views
    view.logic.GetSliceCompositeNode().SetLabelVolumeID(None)
    assert not display.is_in_views
    display.restore()
    assert (view.render() == picture).all()
    assert node_ids(scene) == before
