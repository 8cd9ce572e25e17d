"""The list of what the views show: one picture, one overlay, and the grid; switches and views agree."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from LightRegistrationLib.scene.display.deformation_maps import make_determinant_bands, make_length_bands

from .test_preview import composites
from .test_result import pixels


def foreground() -> str | None:
    (identifier,) = {composite.GetForegroundVolumeID() for composite in composites()}
    return None if identifier is None else slicer.mrmlScene.GetNodeByID(identifier).GetName()


def drawn() -> set[str]:
    """The overlays that are in the scene for the views."""
    kinds = {"outlines": "*outlines*", "match": "Match and mismatch", "grid": "* grid", "map": "Deformation map"}
    return {kind for kind, pattern in kinds.items() if len(slicer.util.getNodes(pattern))}


def test_each_picture_shows_itself(shifted, tmp_path):
    ui, pictures = shifted.ui, {}
    show_volumes_alone(shifted)
    for name in ("fixed", "before", "after"):
        getattr(ui, f"{name}Button").click()
        assert ui.showButton.text == "Shown"
        shifted.host.render_slice_view("Red", tmp_path / f"{name}.png")
        pictures[name] = pixels(tmp_path / f"{name}.png").astype(int)
        assert foreground() == {"fixed": None, "before": "moving", "after": shifted.nodes.warped.GetName()}[name]
    # The warped volume of this result is a copy of the fixed one: blended with it, it looks like the fixed one alone.
    assert pictures["fixed"].max() > 100
    assert np.abs(pictures["fixed"] - pictures["after"]).mean() < 1
    assert np.abs(pictures["fixed"] - pictures["before"]).mean() > 2


def show_volumes_alone(shifted) -> None:
    """No overlay, no segmentations of the user, and one window for all volumes."""
    shifted.ui.noOverlayButton.click()
    for node in (shifted.fixed_segmentation, shifted.moving_segmentation):
        node.SetDisplayVisibility(False)
    for node in (shifted.fixed, shifted.moving, shifted.nodes.warped):
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevel(200, 100)


def test_the_two_volumes_are_compared_in_one_picture_and_the_nodes_stay_as_they_are(shifted, tmp_path):
    """Two colors: red and green are equal only where both volumes are."""
    ui, parameters = shifted.ui, shifted.panel.logic.getParameterNode()
    show_volumes_alone(shifted)

    def count_colored() -> int:
        shifted.host.render_slice_view("Red", tmp_path / "red.png")
        drawn = pixels(tmp_path / "red.png").astype(int)
        return int((np.abs(drawn[..., 0] - drawn[..., 1]) > 40).sum())

    def state() -> list:
        return [(c.GetCompositing(), c.GetForegroundOpacity(), c.GetLabelVolumeID()) for c in composites()]

    before = state()
    ui.beforeButton.click()
    assert count_colored() == 0
    ui.comparisonBox.setCurrentIndex(1)
    shifted.host.raise_slot_errors()
    assert parameters.comparison == "colors"
    assert ui.showButton.text == "Shown"
    assert not ui.fadeSlider.enabled
    assert state() == before
    colored = count_colored()
    assert colored > 1000
    ui.afterButton.click()
    assert count_colored() == 0, "this result is a copy of the fixed volume"
    composites()[0].SetForegroundVolumeID(shifted.moving.GetID())
    assert count_colored() == colored, "it is what is in the view now"
    ui.showButton.click()
    ui.beforeButton.click()
    assert count_colored() == colored
    shifted.nodes.transform.GetScene().RemoveNode(shifted.nodes.transform)
    shifted.host.raise_slot_errors()
    assert count_colored() == 0


def test_the_spy_glass_follows_the_cursor_in_its_view(shifted, tmp_path):
    ui, manager = shifted.ui, slicer.app.layoutManager()
    show_volumes_alone(shifted)
    ui.beforeButton.click()
    ui.comparisonBox.setCurrentIndex(5)
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")

    def count_ring(name: str) -> int:
        shifted.host.render_slice_view(name, tmp_path / f"{name}.png")
        red, green, blue = pixels(tmp_path / f"{name}.png").astype(int).reshape(-1, 3).T
        return int(((red > 200) & (green > 150) & (blue < 120)).sum())

    assert count_ring("Red") == 0
    for name, other in (("Red", "Green"), ("Green", "Red")):
        crosshair.SetCursorPositionXYZ([250.0, 250.0, 0.0], manager.sliceWidget(name).mrmlSliceNode())
        shifted.host.raise_slot_errors()
        assert count_ring(name) > 200
        assert count_ring(other) == 0
    ui.comparisonBox.setCurrentIndex(0)
    assert count_ring("Green") == 0


def test_the_deformation_is_drawn_as_a_grid_arrows_or_contours_with_a_legend(shifted, tmp_path):
    ui = shifted.ui
    ui.noOverlayButton.click()
    assert not ui.gridKindBox.enabled
    shifted.host.render_slice_view("Red", tmp_path / "none.png")
    ui.gridBox.click()
    modes = set()
    for number in range(3):
        ui.gridKindBox.setCurrentIndex(number)
        shifted.host.raise_slot_errors()
        assert ui.showButton.text == "Shown"
        (display,) = (n for n in slicer.util.getNodesByClass("vtkMRMLTransformDisplayNode") if n.GetVisibility2D())
        modes.add(display.GetVisualizationMode())
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode") == 1
    assert len(modes) == 3
    ui.gridBox.click()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode") == 0


def test_one_overlay_replaces_the_other_and_the_grid_goes_with_each(shifted):
    ui = shifted.ui
    assert drawn() == {"outlines"}
    ui.gridBox.click()
    for name in ("match", "none", "outlines", "match"):
        (ui.noOverlayButton if name == "none" else getattr(ui, f"{name}Button")).click()
        assert drawn() == {"grid", name} - {"none"}
        checked = [b for b in (ui.noOverlayButton, ui.outlinesButton, ui.matchButton) if b.checked]
        assert len(checked) == 1
    ui.gridBox.click()
    ui.beforeButton.click()
    assert drawn() == {"match"}
    assert ui.beforeButton.checked
    assert ui.matchButton.checked, "pictures and overlays are separate choices"


def test_maps_of_the_deformation_are_drawn_with_their_legend(shifted, tmp_path):
    """The result is a shift by 5 mm: one color, from 5 to 6 mm, and determinants of 1."""
    ui, parameters = shifted.ui, shifted.panel.logic.getParameterNode()
    longest, unchanged = make_length_bands(5.0)[-1], make_determinant_bands("folded")[5]
    assert (longest.name, unchanged.name) == ("5 to 6", "0.9 to 1.1")
    shifted.host.render_slice_view("Red", tmp_path / "before.png")  # the view is open, as it is in Slicer
    for overlay, band in (("displacement", longest), ("jacobian", unchanged)):
        getattr(ui, f"{overlay}Button").click()
        assert parameters.overlay == overlay
        assert drawn() == {"map"}
        assert ui.showButton.text == "Shown"
        labels = slicer.util.getNode("Deformation map")
        values = np.unique(slicer.util.arrayFromVolume(labels))
        colors = labels.GetDisplayNode().GetColorNode()
        assert [colors.GetColorName(int(value)) for value in values] == [band.name]
        shifted.host.render_slice_view("Red", tmp_path / f"{overlay}.png")
        distance = np.abs(pixels(tmp_path / f"{overlay}.png") - 255 * np.array(band.color)).max(-1)
        assert (distance[:, 380:] < 2).sum() > 50, "the band in the legend"
    ui.noOverlayButton.click()
    assert drawn() == set()
    assert slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode") == []


def test_a_view_opened_later_shows_the_same_with_its_legend(shifted, tmp_path):
    """The user chooses another layout while a map is shown."""
    ui, names = shifted.ui, set(slicer.app.layoutManager().sliceViewNames())
    shifted.host.render_slice_view("Red", tmp_path / "red.png")
    ui.displacementButton.click()
    ui.fadeSlider.setValue(20)
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutThreeOverThreeView)
    new = set(slicer.app.layoutManager().sliceViewNames()) - names
    assert len(new) == 3
    for name in new:
        shifted.host.render_slice_view(name, tmp_path / "empty.png")
    shifted.host.process_events()
    shifted.host.raise_slot_errors()
    assert len({(c.GetForegroundVolumeID(), c.GetLabelVolumeID(), c.GetForegroundOpacity()) for c in composites()}) == 1
    assert ui.showButton.text == "Shown"
    band = make_length_bands(5.0)[-1]
    for name in (*new, "Red"):
        shifted.host.render_slice_view(name, tmp_path / f"{name}.png")
        distance = np.abs(pixels(tmp_path / f"{name}.png") - 255 * np.array(band.color)).max(-1)
        assert (distance[:, 380:] < 2).sum() > 50, f"the legend in {name}"
    ui.noOverlayButton.click()
    assert not any(composite.GetLabelVolumeID() for composite in composites())
    slicer.app.layoutManager().sliceWidget(min(new)).mrmlSliceCompositeNode().SetForegroundVolumeID(None)
    assert ui.showButton.text.startswith("Not shown"), "the new views are watched"


def test_the_panel_is_updated_once_for_a_change_of_all_views(shifted):
    """Otherwise each view and layer costs an update, and windows do not respond meanwhile."""
    updates, tell = [], shifted.panel.logic.on_change
    shifted.panel.logic.on_change = lambda: (updates.append(1), tell())
    shifted.ui.fadeSlider.setValue(30)
    assert len(updates) == 1
    assert {composite.GetForegroundOpacity() for composite in composites()} == {0.3}
    shifted.ui.beforeButton.click()
    assert len(updates) == 2
    composites()[0].SetForegroundOpacity(0.6)
    assert len(updates) == 3
    assert shifted.ui.fadeSlider.value == 60


def test_a_match_map_taken_out_of_the_views_is_noticed_and_comes_back(shifted):
    shifted.ui.matchButton.click()
    composites()[0].SetLabelVolumeID(None)
    assert shifted.ui.showButton.text.startswith("Not shown")
    shifted.ui.noOverlayButton.click()
    assert drawn() == set()
    shifted.ui.matchButton.click()
    assert shifted.ui.showButton.text == "Shown"
    assert all(composite.GetLabelVolumeID() for composite in composites())


def test_overlays_without_segmentations_are_neither_offered_nor_said_to_be_shown(shifted):
    parameters = shifted.panel.logic.getParameterNode()
    for role in ("FixedSegmentation", "MovingSegmentation", "WarpedSegmentation"):
        shifted.nodes.transform.SetNodeReferenceID(f"LightRegistration.{role}", None)
    parameters.overlay = "match"
    shifted.host.raise_slot_errors()
    assert shifted.ui.noOverlayButton.checked
    assert not shifted.ui.matchButton.enabled
    assert not shifted.ui.outlinesButton.enabled
    assert drawn() == set()


@pytest.mark.parametrize(
    ("outlines", "match", "overlay"),
    [("True", "True", "match"), ("True", "False", "outlines"), ("False", "False", "none")],
)
def test_the_switches_of_an_earlier_scene_are_adopted(shifted, outlines, match, overlay):
    node = shifted.panel.logic.getParameterNode().parameterNode
    for name, value in (("showAfter", "False"), ("showOutlines", outlines), ("showMatch", match)):
        node.SetParameter(name, value)
    shifted.host.leave("LightRegistration")
    shifted.host.enter("LightRegistration")
    parameters = shifted.panel.logic.getParameterNode()
    assert (parameters.picture, parameters.overlay) == ("before", overlay)
    assert not node.HasParameter("showMatch")
    parameters.picture = "after"
    assert shifted.panel.logic.getParameterNode().picture == "after", "adopted once"
