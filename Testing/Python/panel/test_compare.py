"""The compare layout: four views of a result next to each other, and the way back to the user's own layout."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from LightRegistrationLib.scene.files.saving import save_scene

from ..scene.three_d_view import ThreeDView
from .test_result import pixels

LAYOUTS = slicer.vtkMRMLLayoutNode
NAMES = ("Fixed", "Result", "Difference")


def layers(name: str) -> tuple[str | None, str | None]:
    composite = slicer.app.layoutManager().sliceWidget(f"LightRegistration{name}").mrmlSliceCompositeNode()
    found = (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
    names = [None if i is None else slicer.mrmlScene.GetNodeByID(i).GetName() for i in found]
    return names[0], names[1]


def colored_model():
    return slicer.util.getNodes("Surfaces by distance").get("Surfaces by distance")


def wait_for_surfaces(opened) -> None:
    opened.host.process_events(until=lambda: not opened.panel.checks._compare._timer.active, timeout_s=60)
    opened.host.raise_slot_errors()


@pytest.fixture
def compared(shifted):
    slicer.app.layoutManager().setLayout(LAYOUTS.SlicerLayoutOneUpRedSliceView)
    shifted.ui.compareButton.click()
    wait_for_surfaces(shifted)
    return shifted


def test_four_views_show_the_result_and_the_button_leads_back(compared, tmp_path):
    ui, warped = compared.ui, compared.nodes.warped.GetName()
    assert ui.compareButton.checked
    assert [layers(name) for name in NAMES] == [("fixed", None), ("fixed", warped), ("Difference", None)]
    ui.beforeButton.click()
    assert [layers(name) for name in NAMES] == [("fixed", None), ("fixed", "moving"), ("Difference", None)]
    assert ui.showButton.text == "Shown"
    ui.noOverlayButton.click()
    for node in (compared.fixed_segmentation, compared.moving_segmentation):
        node.SetDisplayVisibility(False)
    for name in NAMES:
        compared.host.render_slice_view(f"LightRegistration{name}", tmp_path / f"{name}.png")
    # The warped volume of this result is a copy of the fixed one.
    difference = pixels(tmp_path / "Difference.png").astype(int)
    gray = difference[100:400, 100:400]
    assert np.abs(gray - 127).max() <= 1
    assert pixels(tmp_path / "Fixed.png").max() > 100
    ui.compareButton.click()
    assert slicer.app.layoutManager().layout == LAYOUTS.SlicerLayoutOneUpRedSliceView
    assert not ui.compareButton.checked
    assert [layers(name)[0] for name in ("Fixed", "Difference")] == [None, None]
    assert slicer.util.getNodes("Difference*") == {}
    assert colored_model() is None
    assert ui.showButton.text == "Shown"


def test_the_surfaces_are_colored_by_their_distance_before_and_after(compared, tmp_path):
    """After: the structures are those of the fixed volume, at no distance. Before: those of the moving volume."""
    view = slicer.mrmlScene.GetSingletonNode("LightRegistrationSurfaces", "vtkMRMLViewNode")
    drawn = ThreeDView(slicer.app.applicationLogic(), view)
    try:
        green, red = {}, {}
        for button in ("after", "before"):
            getattr(compared.ui, f"{button}Button").click()
            compared.ui.compareButton.click()  # the camera of the view exists from now on
            compared.ui.compareButton.click()
            wait_for_surfaces(compared)
            picture = drawn.render()[:, :300].astype(int)
            green[button] = ((picture[..., 1] > picture[..., 0] + 40) & (picture[..., 1] > 60)).sum()
            red[button] = (picture[..., 0] > picture[..., 1] + 60).sum()
            distances = slicer.util.arrayFromModelPointData(colored_model(), "Distance")
            assert (np.percentile(distances, 95) < 0.01) == (button == "after")
    finally:
        drawn.close()
    assert green["after"] > 2000
    assert red["after"] == 0
    assert red["before"] > 300


def test_a_saved_scene_has_no_trace_of_the_layout(compared, tmp_path):
    save_scene(slicer.mrmlScene, tmp_path / "compared.mrb")
    text = read_scene_text(tmp_path / "compared.mrb")
    assert "5811" not in text
    assert "LightRegistrationFixed" not in text
    assert "LightRegistrationSurfaces" not in text
    compared.ui.compareButton.click()
    save_scene(slicer.mrmlScene, tmp_path / "own.mrb")
    assert f'currentViewArrangement="{LAYOUTS.SlicerLayoutOneUpRedSliceView}"' in read_scene_text(tmp_path / "own.mrb")


def read_scene_text(path) -> str:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".mrml"))
        return archive.read(name).decode("utf-8")


def test_another_layout_and_closing_the_scene_end_it(compared):
    ui, manager = compared.ui, slicer.app.layoutManager()
    manager.setLayout(LAYOUTS.SlicerLayoutThreeOverThreeView)
    compared.host.process_events()
    compared.host.raise_slot_errors()
    assert not ui.compareButton.checked
    assert colored_model() is None
    for _turn in range(2):
        ui.compareButton.click()
    assert manager.layout == LAYOUTS.SlicerLayoutThreeOverThreeView
    ui.compareButton.click()
    wait_for_surfaces(compared)
    compared.panel.logic.getParameterNode().result = None
    assert colored_model() is None
    slicer.mrmlScene.Clear(0)
    compared.host.process_events()
    compared.host.raise_slot_errors()
    assert manager.layout == LAYOUTS.SlicerLayoutThreeOverThreeView
