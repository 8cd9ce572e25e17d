"""From Register to the result, and failures on the way."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from ..processes import PATIENCE_S, ends, paused


def test_the_window_responds_and_shows_progress_during_registration(opened):
    opened.choose()
    opened.start()
    ui = opened.ui
    assert ui.registerButton.text == "Cancel"
    assert ui.progressBar.visible
    assert not ui.fixedSelector.enabled
    assert opened.status.endswith("…")

    with paused(opened.panel.logic.worker_process_id):
        for _ in range(20):
            opened.host.process_events()
            time.sleep(0.02)  # the panel asks for news by a timer
        assert opened.panel.logic.is_busy
        assert ui.registerButton.enabled

    shown = [ui.progressBar.value]
    ui.progressBar.connect("valueChanged(int)", shown.append)
    opened.finish()
    assert shown == sorted(shown)
    assert len(set(shown)) > 3
    assert ui.registerButton.text == "Register"
    assert not ui.progressBar.visible
    assert ui.fixedSelector.enabled


def test_cancel_ends_the_worker_without_waiting_for_it(opened):
    opened.choose()
    opened.start()
    process = opened.panel.logic.worker_process_id
    opened.panel._warmUp = lambda choice: None
    with paused(process):
        opened.ui.registerButton.click()
        assert opened.ui.registerButton.text == "Register"
        assert ends(process)
    assert opened.status == "Canceled."


def test_cancel_during_refinement_ends_the_worker_without_waiting_for_it(opened):
    opened.choose(segmentations=False)
    opened.panel.logic.getParameterNode().refine = "best"
    opened.start()
    opened.host.process_events(until=lambda: opened.status.startswith("Refining, step"), timeout_s=PATIENCE_S)
    process = opened.panel.logic.worker_process_id
    opened.panel._warmUp = lambda choice: None
    with paused(process):
        opened.ui.registerButton.click()
        assert ends(process)
    assert opened.status == "Canceled."


def test_the_opposite_direction_is_checked_where_the_user_wants_it(opened):
    opened.choose(segmentations=False)
    opened.ui.consistencyBox.setChecked(True)
    opened.start()
    opened.finish()
    assert "Consistency with the opposite direction: mean" in opened.ui.summaryLabel.text
    assert "Displacement beyond the initial alignment: median" in opened.ui.summaryLabel.text
    opened.ui.consistencyBox.setChecked(False)
    assert opened.panel.logic.getParameterNode().checkConsistency is False


def test_a_killed_worker_is_one_line_and_the_next_registration_works(opened):
    opened.choose()
    opened.start()
    os.kill(opened.panel.logic.worker_process_id, signal.SIGKILL)
    opened.finish()
    assert "memory ran out" in opened.status
    assert "\n" not in opened.status
    assert opened.ui.registerButton.enabled

    nodes = opened.registered()
    assert nodes.warped is not None
    assert "mean Dice" in opened.status


def test_input_that_the_worker_refuses_is_one_line(opened):
    import slicer

    far = np.eye(4)
    far[:3, 3] = 5000
    opened.moving.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(far))
    opened.panel.logic.getParameterNode().initial = "none"
    opened.choose(segmentations=False)
    opened.ui.registerButton.click()
    opened.finish()
    assert "do not overlap" in opened.status
    assert opened.panel.logic.getParameterNode().result is None


def test_the_worker_ends_with_the_panel_and_with_the_application(opened):
    import slicer

    opened.choose()
    opened.start()
    process = opened.panel.logic.worker_process_id
    with paused(process):
        slicer.app._native.aboutToQuit.emit()
        assert ends(process)


def test_cleanup_ends_the_worker(opened):
    opened.choose()
    opened.start()
    process = opened.panel.logic.worker_process_id
    with paused(process):
        opened.host.remove_widget("LightRegistration")
        assert ends(process)


def test_an_idle_worker_stays_ready_when_the_scene_is_closed(opened):
    import slicer

    opened.registered(segmentations=False)
    process = opened.panel.logic.worker_process_id
    assert process is not None
    slicer.mrmlScene.Clear()
    assert opened.panel.logic.worker_process_id == process
    assert not ends(process, patience_s=0)


def test_the_worker_starts_before_the_user_presses_register(opened):
    opened.use_own_worker()
    assert opened.panel.logic.worker_process_id is None
    opened.choose(segmentations=False)
    assert opened.panel.logic.worker_process_id is not None


def test_another_module_can_be_opened_during_registration(opened):
    opened.choose()
    opened.start()
    opened.host.leave("LightRegistration")
    opened.finish()
    opened.host.enter("LightRegistration")
    assert opened.panel.logic.getParameterNode().result is not None
    assert opened.ui.resultTable.rowCount > 2
    assert opened.ui.registerButton.text == "Register"


def test_registering_again_replaces_the_own_result_but_never_one_that_is_used(opened):
    from LightRegistrationLib.scene.nodes.results import find_registration_nodes

    first = opened.registered()
    ui, parameters = opened.ui, opened.panel.logic.getParameterNode()
    assert "s last time)" in ui.refineBox.currentText, "the time on this machine"
    parameters.picture = "before"
    ui.registerButton.click()
    opened.finish()
    second = find_registration_nodes(parameters.result)
    assert vars(second) == vars(first)
    assert ui.showButton.text == "Shown"
    assert ui.afterButton.checked

    # The result becomes an input: it is no longer replaced.
    parameters.fixedMask = first.warped_segmentation
    ui.registerButton.click()
    opened.finish()
    assert parameters.result is not first.transform
    assert find_registration_nodes(first.transform) is not None


def test_each_run_makes_new_nodes_if_results_are_kept_and_no_outputs_are_chosen(opened):
    opened.ui.keepResultsBox.click()
    first = opened.registered()
    opened.ui.registerButton.click()
    opened.finish()
    from LightRegistrationLib.scene.nodes.results import find_registration_nodes

    second = find_registration_nodes(opened.panel.logic.getParameterNode().result)
    assert second.transform is not first.transform
    assert second.warped is not first.warped

    opened.ui.outputTransformSelector.setCurrentNode(first.transform)
    opened.ui.outputVolumeSelector.setCurrentNode(first.warped)
    opened.ui.outputSegmentationSelector.setCurrentNode(first.warped_segmentation)
    opened.ui.registerButton.click()
    opened.finish()
    third = find_registration_nodes(opened.panel.logic.getParameterNode().result)
    assert third.transform is first.transform
    assert third.warped is first.warped
    assert third.warped_segmentation is first.warped_segmentation


def test_wait_times_out_and_the_registration_goes_on(opened):
    opened.choose()
    opened.ui.registerButton.click()
    with pytest.raises(TimeoutError):
        opened.panel.logic.wait(0.05)
    assert opened.panel.logic.is_busy


def test_the_end_is_done_in_parts_between_which_the_window_responds(opened):
    opened.choose()
    opened.ui.registerButton.click()
    runner, parameters = opened.panel.logic._runner, opened.panel.logic.getParameterNode()
    opened.host.process_events(
        until=lambda: runner._run is not None and runner._run.parts is not None, timeout_s=PATIENCE_S
    )
    import slicer

    assert slicer.util.getNode("moving registered").GetImageData() is not None
    assert parameters.result is None, "its numbers are shown in a later turn"
    assert opened.panel.logic.is_busy
    assert opened.ui.registerButton.text == "Cancel"

    opened.ui.registerButton.click()
    assert not opened.panel.logic.is_busy
    assert parameters.result is not None, "too late to cancel"
    assert "mean Dice" in opened.status
    opened.host.raise_slot_errors()


def test_closing_the_scene_between_the_parts_of_the_end_leaves_nothing(opened):
    import slicer

    opened.choose()
    opened.ui.registerButton.click()
    runner = opened.panel.logic._runner
    opened.host.process_events(
        until=lambda: runner._run is not None and runner._run.parts is not None, timeout_s=PATIENCE_S
    )
    slicer.mrmlScene.Clear()
    opened.host.process_events()
    opened.host.raise_slot_errors()
    assert not opened.panel.logic.is_busy
    assert not slicer.util.getNodes("moving*")
    assert opened.ui.registerButton.text == "Register"
    assert not opened.ui.resultSection.visible


def test_cancel_leaves_no_files_and_the_panel_stops_looking_for_them(opened):
    """They are removed in later turns of the event loop."""
    opened.use_own_worker()
    opened.choose(segmentations=False)
    opened.panel._warmUp = lambda choice: None
    opened.start()
    folder, runner = opened.own_client.session_folder, opened.panel.logic._runner
    opened.ui.registerButton.click()
    assert opened.own_client.is_cleaning
    opened.host.process_events(until=lambda: not folder.exists(), timeout_s=PATIENCE_S)
    opened.host.process_events(until=lambda: not runner._timer.active, timeout_s=PATIENCE_S)
    opened.host.raise_slot_errors()
    assert not opened.panel.logic.is_busy

    nodes = opened.registered(segmentations=False)
    assert nodes.warped is not None


def test_quitting_after_cancel_leaves_no_files(opened):
    import slicer

    opened.use_own_worker()
    opened.choose(segmentations=False)
    opened.panel._warmUp = lambda choice: None
    opened.start()
    folder = opened.own_client.session_folder
    opened.ui.registerButton.click()
    slicer.app._native.aboutToQuit.emit()
    assert not folder.exists()
