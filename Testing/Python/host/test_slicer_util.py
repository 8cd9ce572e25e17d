"""slicer.util (Slicer's own, from the wheel) over the double: files, messages, dialogs, modules, settings."""

from __future__ import annotations

import numpy as np
import pytest
import slicer


@pytest.fixture
def volume(slicer_host):
    # Right-handed: Slicer's reader turns the slices of a left-handed one around.
    affine = np.array([[0.0, 2, 0, 5], [-1.5, 0, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1]])
    matrix = slicer.util.vtkMatrixFromArray(affine)
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    return slicer.util.addVolumeFromArray(array, matrix, name="original")


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".mha"])
def test_a_volume_comes_back_from_its_file(volume, tmp_path, ending):
    path = str(tmp_path / f"saved{ending}")
    assert slicer.util.saveNode(volume, path)
    loaded = slicer.util.loadVolume(path, {"name": "back"})
    assert loaded.GetName() == "back"
    assert np.array_equal(slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(volume))
    assert np.allclose(matrix_of(loaded), matrix_of(volume), atol=1e-6)


def matrix_of(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def test_a_label_volume_and_a_segmentation_are_read(volume, tmp_path):
    path = str(tmp_path / "labels.nrrd")
    slicer.util.saveNode(volume, path)
    assert slicer.util.loadLabelVolume(path).IsA("vtkMRMLLabelMapVolumeNode")
    segmentation = slicer.util.loadSegmentation(path)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 23


def test_a_transform_comes_back_from_its_file(slicer_host, tmp_path):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    slicer.util.updateTransformMatrixFromArray(node, np.diag([1.0, 2, 3, 1]))
    path = str(tmp_path / "t.h5")
    assert slicer.util.saveNode(node, path)
    loaded = slicer.util.loadTransform(path)
    assert loaded.IsA("vtkMRMLTransformNode")
    assert loaded.GetTransformToParent().TransformPoint(1, 1, 1) == pytest.approx((1, 2, 3))


def test_a_missing_or_broken_file_raises_and_leaves_no_node(slicer_host, tmp_path):
    broken = tmp_path / "broken.h5"
    broken.write_text("no transform", encoding="utf-8")
    before = slicer.mrmlScene.GetNumberOfNodes()
    for path in (tmp_path / "none.nrrd", broken):
        with pytest.raises(RuntimeError, match="Failed to load node"):
            slicer.util.loadNodeFromFile(str(path), properties={})
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_messages_to_the_user_are_recorded(slicer_host):
    slicer.util.errorDisplay("no overlap")
    slicer.util.warningDisplay("large")
    slicer.util.infoDisplay("done")
    slicer.util.showStatusMessage("working", 100)
    slicer.util.delayDisplay("wait", 10)
    told = [(m.level, m.text) for m in slicer_host.messages]
    assert told == [
        ("error", "no overlap"),
        ("warning", "large"),
        ("info", "done"),
        ("status", "working"),
        ("info", "wait"),
    ]


def test_a_question_is_answered_by_the_test_or_as_in_testing_mode(slicer_host):
    assert slicer.util.confirmOkCancelDisplay("install?") is True
    slicer_host.dialogs.expect("confirmOkCancelDisplay", False)
    assert slicer.util.confirmOkCancelDisplay("install?") is False
    assert [m.level for m in slicer_host.messages] == ["question", "question"]


def test_outside_testing_mode_errors_are_shown_and_questions_need_an_answer(slicer_host):
    with slicer_host.leave_testing_mode():
        with pytest.raises(ZeroDivisionError), slicer.util.tryWithErrorDisplay("Failed."):
            _ = 1 / 0
        with pytest.raises(AssertionError, match="would block"):
            slicer.util.confirmYesNoDisplay("really?")
    assert slicer_host.messages[0].level == "error"
    assert "division by zero" in slicer_host.messages[0].text
    assert slicer.app.testingEnabled()


def test_a_file_dialog_answers_from_the_queue_and_an_unexpected_one_raises(slicer_host):
    import qt

    slicer_host.dialogs.expect("QFileDialog.getOpenFileName", "/data/fixed.nrrd")
    assert qt.QFileDialog.getOpenFileName(None, "Load", "", "*.nrrd") == "/data/fixed.nrrd"
    with pytest.raises(AssertionError, match="would block"):
        qt.QFileDialog.getOpenFileName(None, "Load")
    with pytest.raises(AssertionError, match="would block"):
        qt.QMessageBox.question(None, "Sure?", "Really?")


def test_a_dialog_that_is_executed_answers_from_the_queue(slicer_host):
    import qt

    dialog = qt.QDialog()
    with pytest.raises(AssertionError, match="would block"):
        dialog.exec_()
    slicer_host.dialogs.expect("QDialog.exec", qt.QDialog.Accepted)
    assert dialog.exec_() == qt.QDialog.Accepted


def test_core_modules_offer_their_logic(slicer_host):
    assert slicer.modules.volumes.logic().IsA("vtkSlicerVolumesLogic")
    assert slicer.util.getModuleLogic("Segmentations").IsA("vtkSlicerSegmentationsModuleLogic")
    with pytest.raises(RuntimeError, match="Could not find module"):
        slicer.util.getModule("NoSuchModule")


def test_settings_cursor_and_context_managers(slicer_host):
    import qt

    slicer.app.userSettings().setValue("LightRegistration/Threads", 3)
    assert slicer.util.settingsValue("LightRegistration/Threads", 1, int) == 3
    assert slicer.util.settingsValue("LightRegistration/None", 7, int) == 7
    with slicer.util.WaitCursor(), slicer.util.RenderBlocker(), slicer.util.MessageDialog("m"):
        assert qt.QApplication.overrideCursor()
    assert not qt.QApplication.overrideCursor()
    with pytest.raises(ZeroDivisionError), slicer.util.tryWithErrorDisplay("failed", waitCursor=True):
        _ = 1 / 0
    assert not qt.QApplication.overrideCursor()


def test_the_application_has_properties_and_methods_where_slicer_has_them(slicer_host):
    assert isinstance(slicer.app.applicationVersion, str)
    assert isinstance(slicer.app.majorVersion, int)
    assert isinstance(slicer.app.temporaryPath, str)
    assert slicer.app.mrmlScene() is slicer.mrmlScene
    assert slicer.app.testingEnabled() is True
    assert slicer.app.layoutManager().className() == "qSlicerLayoutManager"
    assert slicer.util.mainWindow() is not None
    with pytest.raises(AttributeError, match="qSlicerApplication"):
        _ = slicer.app.layoutManger
    with pytest.raises(AttributeError, match="not allowed"):
        slicer.app.myState = 1


def test_selecting_a_module_emits_its_name(slicer_host):
    slicer.util.selectModule("Volumes")
    assert slicer.util.selectedModule() == "Volumes"


def test_temporary_folders_exist(slicer_host):
    from pathlib import Path

    assert Path(slicer.util.tempDirectory()).is_dir()


def test_packaging_records_requests_and_installs_nothing(slicer_host):
    import slicer.packaging

    assert slicer.packaging.pip_check("numpy")
    assert not slicer.packaging.pip_check("numpy<1")
    slicer.packaging.pip_ensure(["no-such-package-here>=1"], requester="LightRegistration")
    assert not slicer.packaging.pip_check("no-such-package-here")
