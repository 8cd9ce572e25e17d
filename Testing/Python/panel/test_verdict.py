"""The reader's verdict: given in the panel, stored with the transform, shown on the page, never given by itself."""

from __future__ import annotations

import slicer

from LightRegistrationLib.scene.files.saving import save_scene

NOTE = 'Left kidney only; "see" <slice> 42: 5 % & more\nÄrztin: no dose 100%'


def test_the_verdict_is_stored_with_the_transform_and_comes_back(shifted, tmp_path):
    from LightRegistrationLib.scene.nodes.review import read_review

    ui, transform = shifted.ui, shifted.nodes.transform
    assert (ui.verdictBox.currentText, ui.reviewerEdit.text, ui.noteEdit.plainText) == ("Not reviewed", "", "")
    ui.verdictBox.setCurrentIndex(2)
    ui.reviewerEdit._native.textEdited.emit("Dr. A. Müller; radiology")
    ui.noteEdit.setPlainText(NOTE)
    shifted.host.raise_slot_errors()
    given = {"verdict": "accepted with limits", "reviewer": "Dr. A. Müller; radiology", "note": NOTE}
    assert read_review(transform) == given

    save_scene(slicer.mrmlScene, tmp_path / "reviewed.mrb")
    slicer.util.loadScene(str(tmp_path / "reviewed.mrb"), {"clear": True})
    shifted.host.process_events()
    shifted.host.raise_slot_errors()
    parameters = shifted.panel.logic.getParameterNode()
    assert read_review(parameters.result) == given
    assert (ui.verdictBox.currentText, ui.noteEdit.plainText) == ("Accepted with limits", NOTE)
    assert ui.reviewerEdit.text == given["reviewer"]


def test_another_result_has_its_own_verdict(shifted):
    from LightRegistrationLib.scene.nodes.results import OutputNodes, publish_result
    from LightRegistrationLib.scene.nodes.review import read_review
    from LightRegistrationLib.scene.nodes.transforms import field_from_transform_node
    from LightRegistrationLib.scene.nodes.volumes import volume_from_node

    ui, nodes = shifted.ui, shifted.nodes
    parameters = shifted.panel.logic.getParameterNode()
    ui.verdictBox.setCurrentIndex(3)
    ui.noteEdit.setPlainText("wrong side")
    inputs = (slicer.mrmlScene, nodes.fixed, nodes.moving, field_from_transform_node(nodes.transform))
    other = publish_result(*inputs, volume_from_node(nodes.fixed))
    parameters.result = other.transform
    assert (ui.verdictBox.currentText, ui.noteEdit.plainText) == ("Not reviewed", "")
    parameters.result = nodes.transform
    assert (ui.verdictBox.currentText, ui.noteEdit.plainText) == ("Rejected", "wrong side")
    publish_result(*inputs, volume_from_node(nodes.fixed), outputs=OutputNodes(nodes.transform))
    shifted.panel.refresh()
    assert ui.verdictBox.currentText == "Not reviewed", "a new result in the same transform"
    assert read_review(other.transform)["note"] == ""
    shifted.host.raise_slot_errors()


def test_the_page_shows_the_verdict(shifted, tmp_path):
    """Without a verdict it says so: that is tested on the page of the command line."""
    from LightRegistrationLib.scene.nodes.review import read_review, store_review

    store_review(shifted.nodes.transform, "verdict", "passed")
    assert read_review(shifted.nodes.transform)["verdict"] == "not reviewed", "a word of another version"
    ui, path = shifted.ui, tmp_path / "page.html"
    ui.verdictBox.setCurrentIndex(3)
    ui.reviewerEdit._native.textEdited.emit("<b>Dr. Who</b>")
    ui.noteEdit.setPlainText(NOTE)
    shifted.host.dialogs.expect("QFileDialog.getSaveFileName", str(path))
    ui.saveReportButton.click()
    shifted.host.raise_slot_errors()
    page = path.read_text(encoding="utf-8")
    assert '<b class="off">rejected</b>, by &lt;b&gt;Dr. Who&lt;/b&gt;.' in page
    assert "42: 5 % &amp; more<br>Ärztin: no dose 100%" in page
