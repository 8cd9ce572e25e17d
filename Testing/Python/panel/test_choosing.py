"""Choice of inputs: from files, with models and alignments; installation of missing packages."""

from __future__ import annotations

import sys
import types

import pytest

from .. import quick_model
from ..core.body_phantoms import COVERS, add_model

TORCH = "torch"


@pytest.fixture
def without_torch(monkeypatch):
    """As in a newly installed Slicer with a user: PyTorch is missing, and the test answers the dialogs."""
    import slicer

    from LightRegistrationLib.panel.running import environment

    installed = []
    monkeypatch.setattr(environment, "find_missing_packages", lambda: [] if TORCH in installed else [TORCH])
    monkeypatch.setattr(slicer.util, "pip_install", lambda wish: installed.append(wish[0].partition(">")[0]))
    monkeypatch.setattr(slicer.app._native, "_testing", False)
    return installed


def test_nothing_is_installed_without_asking(opened, without_torch):
    opened.use_own_worker()
    opened.host.dialogs.expect("confirmOkCancelDisplay", False)
    opened.choose()
    opened.ui.registerButton.click()
    assert without_torch == []
    assert "needed" in opened.status
    assert "PyTorch" in opened.status
    assert "PyTorch" in opened.host.messages[-1].text or "PyTorch" in opened.host.dialogs.shown[-1].arguments[0]
    assert opened.panel.logic.worker_process_id is None


def test_packages_are_installed_when_the_user_agrees(opened, without_torch):
    opened.host.dialogs.expect("confirmOkCancelDisplay", True)
    opened.choose()
    opened.ui.registerButton.click()
    assert without_torch == [TORCH]
    assert opened.panel.logic.is_busy


def test_the_pytorch_extension_installs_pytorch_if_present(opened, without_torch, monkeypatch):
    import importlib.util

    class Logic:
        def installTorch(self, askConfirmation, torchVersionRequirement):
            assert askConfirmation is False
            without_torch.append(TORCH)

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = Logic
    module.__spec__ = importlib.util.spec_from_loader("PyTorchUtils", loader=None)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    opened.host.dialogs.expect("confirmOkCancelDisplay", True)
    opened.choose()
    opened.ui.registerButton.click()
    assert without_torch == [TORCH]
    assert opened.panel.logic.is_busy


def test_in_testing_mode_nothing_is_installed(opened, without_torch, monkeypatch):
    import slicer

    monkeypatch.setattr(slicer.app._native, "_testing", True)
    opened.choose()
    opened.ui.registerButton.click()
    assert without_torch == []
    assert "PyTorch" in opened.status


def test_load_buttons_load_and_choose_inputs(opened, tmp_path):
    from LightRegistrationLib.scene.files.saving import save_node, save_segmentation

    save_node(opened.moving, tmp_path / "scan.nii.gz")
    save_segmentation(opened.moving_segmentation, tmp_path / "organs.seg.nrrd")
    opened.host.dialogs.expect("QFileDialog.getOpenFileName", str(tmp_path / "scan.nii.gz"))
    opened.ui.movingLoadButton.click()
    opened.host.dialogs.expect("QFileDialog.getOpenFileName", str(tmp_path / "organs.seg.nrrd"))
    opened.ui.movingSegmentationLoadButton.click()
    opened.host.raise_slot_errors()

    parameters = opened.panel.logic.getParameterNode()
    assert parameters.movingVolume.GetName() == "scan"
    assert opened.ui.movingSelector.currentNode() is parameters.movingVolume
    assert parameters.movingSegmentation.GetSegmentation().GetNumberOfSegments() > 5


def test_an_unreadable_file_is_one_line(opened, tmp_path):
    (tmp_path / "notes.nrrd").write_text("not an image")
    opened.host.dialogs.expect("QFileDialog.getOpenFileName", str(tmp_path / "notes.nrrd"))
    opened.ui.fixedLoadButton.click()
    opened.host.raise_slot_errors()
    assert "notes.nrrd" in opened.status
    assert "\n" not in opened.status
    assert opened.panel.logic.getParameterNode().fixedVolume is None


def test_canceling_the_file_dialog_changes_nothing(opened):
    opened.host.dialogs.expect("QFileDialog.getOpenFileName", "")
    before = opened.status
    opened.ui.fixedLoadButton.click()
    opened.host.raise_slot_errors()
    assert opened.status == before


def test_models_and_alignments_have_readable_names(opened):
    from LightRegistrationLib.core.models.cards import BUNDLED_MODELS_FOLDER, list_cards

    box = opened.ui.modelBox
    titles = [card.title for card in list_cards((BUNDLED_MODELS_FOLDER,)).values()]
    assert len(titles) > 3
    assert [box.itemText(i) for i in range(box.count)] == ["Automatic", *titles, "Coarse grid, for tests (quick)"]
    opened.ui.initialBox.setCurrentIndex(2)
    assert opened.panel.logic.getParameterNode().initial == "centers"
    opened.panel.logic.getParameterNode().initial = "none"
    assert "already aligned" in opened.ui.initialBox.currentText


def test_the_refinement_is_stored_in_the_scene(opened):
    box = opened.ui.refineBox
    assert [box.itemText(i).split(" (")[0] for i in range(box.count)] == ["None", "Fast", "Best"]
    box.setCurrentIndex(2)
    assert opened.panel.logic.getParameterNode().refine == "best"
    opened.panel.logic.getParameterNode().refine = "fast"
    assert box.currentText.startswith("Fast")


def test_an_unknown_refinement_is_shown_and_refused_in_one_line(opened):
    opened.choose(segmentations=False)
    opened.panel.logic.getParameterNode().refine = "turbo"
    opened.host.raise_slot_errors()
    opened.ui.registerButton.click()
    opened.host.raise_slot_errors()
    assert "Unknown refinement 'turbo'" in opened.status
    assert opened.ui.registerButton.enabled


def checked(box) -> list[str]:
    import qt

    items = [box.item(row) for row in range(box.count)]
    return [item.text() for item in items if item.checkState() == qt.Qt.Checked]


def test_preservable_structures_are_those_of_the_moving_segmentation(opened):
    import qt

    from LightRegistrationLib.panel.inputs.selected_nodes import read_settings

    box, parameters = opened.ui.keepVolumeList, opened.panel.logic.getParameterNode()
    assert box.count == 0
    opened.choose()
    segmentation = opened.moving_segmentation.GetSegmentation()
    names = [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]
    assert [box.item(row).text() for row in range(box.count)] == names
    box.item(2).setCheckState(qt.Qt.Checked)
    box.item(1).setCheckState(qt.Qt.Checked)
    opened.host.raise_slot_errors()
    assert read_settings(parameters).keep_volume == (names[1], names[2])

    segmentation.GetNthSegment(1).SetName("Tumor, left")
    opened.host.leave("LightRegistration")
    opened.host.enter("LightRegistration")
    assert box.item(1).text() == "Tumor, left"
    assert checked(box) == [names[2]]
    opened.ui.movingSegmentationSelector.setCurrentNode(None)
    assert box.count == 0
    assert read_settings(parameters).keep_volume == ()
    opened.ui.movingSegmentationSelector.setCurrentNode(opened.moving_segmentation)
    assert checked(box) == [names[2]]


def test_masks_and_preserved_structures_reach_the_registration(opened):
    import qt

    opened.choose()
    opened.ui.fixedMaskSelector.setCurrentNode(opened.fixed_segmentation)
    opened.ui.keepVolumeList.item(0).setCheckState(qt.Qt.Checked)
    opened.ui.registerButton.click()
    request = opened.panel.logic._runner._run
    assert opened.fixed_segmentation in request.watched
    opened.finish()
    import json

    report = json.loads(opened.panel.logic.getParameterNode().report)
    assert report["masks"] == {"fixed": "fixed organs", "moving": None}
    assert report["settings"]["keep_volume"] == [opened.ui.keepVolumeList.item(0).text()]
    assert [kept["name"] for kept in report["kept"]] == report["settings"]["keep_volume"]
    assert f"Volume of {report['kept'][0]['name']}" in opened.ui.summaryLabel.text


def test_follow_up_reaches_the_registration_and_its_changes_are_shown(opened):
    import json

    opened.choose(segmentations=False)
    assert opened.panel.logic.getParameterNode().followUp is False
    opened.ui.followUpBox.setChecked(True)
    assert opened.panel.logic.getParameterNode().followUp is True
    opened.ui.registerButton.click()
    opened.finish()
    report = json.loads(opened.panel.logic.getParameterNode().report)
    assert report["settings"]["follow_up"] is True
    assert "kept, not erased" in opened.ui.summaryLabel.text
    for change in report["follow_up"]["changes"]:
        assert f"{change['volume_mm3']:.0f} mm³ at R {change['position_ras_mm'][0]:.1f}" in opened.ui.summaryLabel.text


@pytest.fixture
def own_models(monkeypatch, tmp_path):
    """The user's folder of models, empty at first; the panel and its worker both use it."""
    monkeypatch.setenv("LIGHTREG_MODELS", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def test_a_new_model_of_the_user_appears_when_the_module_is_opened_again(own_models, opened):
    opened.use_own_worker()
    box, parameters = opened.ui.modelBox, opened.panel.logic.getParameterNode()
    before = [box.itemText(i) for i in range(box.count)]
    add_model(own_models, "knee", title="Knee MRI")
    add_model(own_models, "bad", title=None)
    opened.host.leave("LightRegistration")
    opened.host.enter("LightRegistration")
    offered = [box.itemText(i) for i in range(box.count)]
    assert [text for text in offered if text not in before] == ["Knee MRI (knee)", "bad (damaged)"]
    assert [text for text in offered if text in before] == before
    assert (box.currentText, parameters.model) == ("Automatic", "auto")
    box.setCurrentIndex(offered.index("Knee MRI (knee)"))
    assert parameters.model == "knee"
    opened.host.leave("LightRegistration")
    opened.host.enter("LightRegistration")
    assert (box.currentText, parameters.model) == ("Knee MRI (knee)", "knee")

    opened.choose(segmentations=False)
    box.setCurrentIndex(offered.index("bad (damaged)"))
    opened.ui.registerButton.click()
    opened.finish()
    assert "lacks title" in opened.status
    assert "\n" not in opened.status


def test_a_chosen_model_for_other_images_gives_a_warning(own_models, opened):
    opened.use_own_worker()
    add_model(own_models, "lung-ct", covers=COVERS["lung-ct"], modality="CT")
    opened.panel.logic.getParameterNode().model = "lung-ct"
    opened.registered(segmentations=False)
    summary = opened.ui.summaryLabel.text
    assert "Model: lung-ct, chosen by name." in summary
    assert "fixed does not look like CT (no Hounsfield units), but the model 'lung-ct' was trained on CT" in summary


def test_a_model_whose_weights_are_not_those_of_its_card_is_one_line(own_models, opened):
    opened.use_own_worker()
    quick_model.add_quick_model(own_models)
    altered = (own_models / quick_model.NAME).rename(own_models / "altered")
    weights = bytearray((altered / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (altered / "weights.safetensors").write_bytes(weights)
    opened.choose(segmentations=False)
    opened.panel.logic.getParameterNode().model = "altered"
    opened.ui.registerButton.click()
    opened.finish()
    assert "'altered'" in opened.status
    assert "damaged" in opened.status
    assert "\n" not in opened.status
    assert opened.panel.logic.getParameterNode().result is None
    opened.panel.logic.getParameterNode().model = "brain-mri"
    opened.registered(segmentations=False)


def test_a_missing_model_is_shown_and_refused_in_one_line(opened):
    opened.panel.logic.getParameterNode().model = "gone-model"
    assert opened.ui.modelBox.currentText == "gone-model"
    opened.choose(segmentations=False)
    opened.ui.registerButton.click()
    opened.finish()
    assert "Unknown model 'gone-model'" in opened.status


def test_a_volume_that_cannot_be_registered_is_refused_when_it_is_chosen(opened):
    import slicer
    import vtk

    for name, shape, components, reason in (("color", (4, 4, 4), 3, "components"), ("slice", (9, 9, 1), 1, "slice")):
        image = vtk.vtkImageData()
        image.SetDimensions(*shape)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, components)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        node.SetAndObserveImageData(image)
        opened.choose(segmentations=False)
        opened.ui.movingSelector.setCurrentNode(node)
        assert reason in opened.status
        assert not opened.ui.registerButton.enabled
        opened.ui.movingSelector.setCurrentNode(opened.moving)
        assert opened.ui.registerButton.enabled


def test_a_loaded_single_slice_is_not_chosen(opened, tmp_path):
    import numpy as np
    import slicer

    from LightRegistrationLib.core.geometry.volume import Volume
    from LightRegistrationLib.scene.files.saving import save_node
    from LightRegistrationLib.scene.nodes.volumes import volume_node_from_volume

    flat = Volume(np.ones((2, 9, 9), np.uint8), np.eye(4), "flat")
    node = volume_node_from_volume(slicer.mrmlScene, flat, "flat")
    image = node.GetImageData()
    image.SetDimensions(9, 18, 1)
    save_node(node, tmp_path / "flat.nrrd")
    opened.host.dialogs.expect("QFileDialog.getOpenFileName", str(tmp_path / "flat.nrrd"))
    opened.ui.fixedLoadButton.click()
    opened.host.raise_slot_errors()
    assert "single slice" in opened.status
    assert opened.panel.logic.getParameterNode().fixedVolume is None


def test_a_chosen_node_that_is_removed_leaves_no_choice(opened):
    """A result of ours stands beside the removed node in the selector's list."""
    import slicer

    nodes = opened.registered()
    slicer.mrmlScene.RemoveNode(opened.moving)
    opened.host.process_events()
    opened.host.raise_slot_errors()
    parameters = opened.panel.logic.getParameterNode()
    assert parameters.movingVolume is None
    assert opened.ui.movingSelector.currentNode() is None
    assert "Choose a moving volume" in opened.status
    slicer.mrmlScene.RemoveNode(opened.fixed_segmentation)
    assert parameters.fixedSegmentation is None
    assert slicer.mrmlScene.IsNodePresent(nodes.warped)


def test_load_dialogs_have_plain_titles(opened):
    """Slicer returns tool tips as HTML."""
    titles = []
    for name in ("fixed", "moving", "fixedSegmentation", "movingSegmentation"):
        button = getattr(opened.ui, f"{name}LoadButton")
        button.toolTip = f"<p>{button.toolTip}</p>"
        opened.host.dialogs.expect("QFileDialog.getOpenFileName", "")
        button.click()
        titles.append(opened.host.dialogs.shown[-1].arguments[1])
    opened.host.raise_slot_errors()
    assert titles[0] == "Load the fixed volume"
    assert len(set(titles)) == 4
    assert not any("<" in title for title in titles)


def test_on_linux_the_build_for_the_cpu_is_asked_for_and_the_question_says_its_size(opened, without_torch, monkeypatch):
    import slicer

    wishes = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(slicer.util, "pip_install", lambda wish: (wishes.append(wish), without_torch.append(TORCH)))
    opened.host.dialogs.expect("confirmOkCancelDisplay", True)
    opened.choose()
    opened.ui.registerButton.click()
    assert [wish[0].partition(">")[0] for wish in wishes] == [TORCH]
    assert wishes[0][-1].endswith("/cpu")
    assert "About 200 MB" in opened.host.dialogs.shown[-1].arguments[0]


def test_swap_exchanges_volumes_segmentations_and_masks(opened):
    opened.choose()
    parameters = opened.panel.logic.getParameterNode()
    parameters.movingMask = opened.moving_segmentation
    opened.ui.swapButton.click()
    opened.host.raise_slot_errors()
    assert (parameters.fixedVolume, parameters.movingVolume) == (opened.moving, opened.fixed)
    assert parameters.fixedSegmentation is opened.moving_segmentation
    assert parameters.movingSegmentation is opened.fixed_segmentation
    assert (parameters.fixedMask, parameters.movingMask) == (opened.moving_segmentation, None)
    assert opened.ui.fixedSelector.currentNode() is opened.moving
    assert opened.ui.registerButton.enabled


def test_the_only_two_volumes_are_chosen_when_the_module_is_opened(opened):
    parameters = opened.panel.logic.getParameterNode()
    opened.panel.exit()
    opened.panel.enter()
    assert (parameters.fixedVolume, parameters.movingVolume) == (opened.fixed, opened.moving)
    assert parameters.fixedSegmentation is None
    assert opened.status == "Ready."

    parameters.movingVolume = None
    opened.panel.exit()
    opened.panel.enter()
    assert parameters.movingVolume is None, "the user's choice stays"


def test_of_three_volumes_or_a_label_map_none_is_chosen(opened):
    import slicer

    parameters = opened.panel.logic.getParameterNode()
    opened.panel.exit()
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    labels.SetAndObserveImageData(opened.fixed.GetImageData())
    opened.panel.enter()
    assert parameters.movingVolume is opened.moving, "label maps do not count"
    parameters.fixedVolume = parameters.movingVolume = None
    opened.panel.exit()
    third = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "third")
    third.SetAndObserveImageData(opened.fixed.GetImageData())
    opened.panel.enter()
    assert (parameters.fixedVolume, parameters.movingVolume) == (None, None)
