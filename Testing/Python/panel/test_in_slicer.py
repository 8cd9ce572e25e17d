"""The panel together with other parts of Slicer: loading of scenes, installation of packages, the data tree."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def test_a_scene_with_a_result_is_loaded_while_the_panel_is_open(opened, tmp_path):
    """Parameters are imported before the nodes that they reference; helper nodes of the display are not saved."""
    import slicer

    from LightRegistrationLib.scene.files.saving import save_scene

    names = [node.GetName() for node in (opened.fixed, opened.moving, opened.fixed_segmentation)]
    opened.registered()
    opened.ui.gridBox.click()
    opened.ui.matchButton.click()
    save_scene(slicer.mrmlScene, tmp_path / "result.mrb")
    slicer.util.loadScene(str(tmp_path / "result.mrb"), {"clear": True})
    opened.host.process_events()
    opened.host.raise_slot_errors()

    selectors = (opened.ui.fixedSelector, opened.ui.movingSelector, opened.ui.fixedSegmentationSelector)
    assert [selector.currentNode().GetName() for selector in selectors] == names
    assert opened.ui.registerButton.enabled
    assert opened.ui.resultSection.visible
    assert opened.ui.resultTable.rowCount > 2
    for part in ("Match", "outlines", "grid", "Displacement"):
        assert list(slicer.util.getNodes(f"*{part}*")) == []
    for name in ("fixed organs", "moving organs"):
        assert slicer.util.getNode(name).GetDisplayNode().GetVisibility2D(), name

    opened.ui.gridBox.click()
    opened.ui.gridBox.click()
    opened.host.raise_slot_errors()


def test_a_failed_installation_is_one_line(opened, monkeypatch):
    import slicer

    from LightRegistrationLib.panel.running import environment

    def fail(_wish):
        raise subprocess.CalledProcessError(1, ["PythonSlicer", "-m", "pip"])

    monkeypatch.setattr(environment, "find_missing_packages", lambda: ["torch"])
    monkeypatch.setattr(slicer.util, "pip_install", fail)
    opened.choose()
    with opened.host.leave_testing_mode():
        opened.host.dialogs.expect("confirmOkCancelDisplay", True)
        opened.ui.registerButton.click()
    opened.host.raise_slot_errors()
    assert "Installing torch failed" in opened.status
    assert "\n" not in opened.status
    assert opened.ui.registerButton.enabled


def test_nothing_starts_twice_while_packages_are_installed(opened, monkeypatch):
    """pip_install handles events, so that the user could press Register again."""
    import slicer

    from LightRegistrationLib.panel.running import environment

    missing, asked = ["torch"], []

    def install(_wish):
        asked.append(_wish)
        opened.ui.registerButton.click()
        missing.clear()

    monkeypatch.setattr(environment, "find_missing_packages", lambda: list(missing))
    monkeypatch.setattr(slicer.util, "pip_install", install)
    opened.choose()
    with opened.host.leave_testing_mode():
        opened.host.dialogs.expect("confirmOkCancelDisplay", True)
        opened.ui.registerButton.click()
    opened.host.raise_slot_errors()
    assert len(asked) == 1
    assert opened.panel.logic.is_busy
    opened.ui.registerButton.click()
    assert not opened.panel.logic.is_busy


def test_reload_in_developer_mode_removes_the_old_panels_display(opened):
    import slicer

    opened.registered()
    assert len(slicer.util.getNodes("*outlines*")) == 2
    slicer.util.reloadScriptedModule("LightRegistration")
    opened.panel = slicer.modules.LightRegistrationWidget
    opened.host.process_events()
    opened.host.raise_slot_errors()
    assert list(slicer.util.getNodes("*outlines*")) == []
    assert opened.fixed_segmentation.GetDisplayNode().GetVisibility2D()
    assert opened.ui.registerButton.enabled
    assert opened.ui.fixedSelector.currentNode() is opened.fixed


def test_the_self_test_script_names_missing_packages_and_sets_the_exit_status(opened, monkeypatch, capsys):
    import slicer

    from LightRegistrationLib.panel.running import environment

    exit_statuses = []
    monkeypatch.setattr(environment, "find_missing_packages", lambda: ["torch"])
    monkeypatch.setattr(slicer.util, "exit", exit_statuses.append)
    runpy.run_path(str(REPOSITORY / "Testing" / "slicer_self_test.py"))
    assert exit_statuses == [2]
    assert "-m pip install" in capsys.readouterr().out


def test_outlines_neither_change_in_the_scene_nor_when_they_leave_it(opened):
    """Slicer's Segmentations module logs an error for each change of a segmentation node that is hidden."""
    import slicer
    import vtk

    added, changes = [], []
    node_class = slicer.vtkMRMLSegmentationNode
    names = ("SegmentAdded", "SegmentModified", "SegmentRemoved")
    events = [getattr(slicer.vtkSegmentation, name) for name in names]

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_added(_scene, _event, node):
        if node.IsA("vtkMRMLSegmentationNode") and node.GetHideFromEditors():
            added.append(node.GetName())
            for event in (*events, node_class.DisplayModifiedEvent):
                node.AddObserver(event, lambda caller, name: changes.append((caller.GetName(), name)))

    tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, on_added)
    opened.registered()
    opened.host.process_events()
    opened.ui.noOverlayButton.click()
    opened.ui.outlinesButton.click()
    slicer.mrmlScene.RemoveObserver(tag)
    assert len(added) == 4
    assert changes == []
