"""A small scripted module, from its files to the result of a click, with our and with Slicer's base classes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import slicer

from ..processes import PATIENCE_S

MODULE = """
import logging

import numpy as np
import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin


class TinyHost(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Tiny")
        self.parent.categories = ["Examples"]


@parameterNodeWrapper
class TinyHostParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    factor: int = 3


class TinyHostWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.parameters = None
        self.tag = None
        self.cleanups = 0

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/TinyHost.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = TinyHostLogic()
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onStartClose)
        self.enter()

    def enter(self):
        self.leave()
        self.parameters = self.logic.getParameterNode()
        if not self.parameters.inputVolume:
            self.parameters.inputVolume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        self.tag = self.parameters.connectGui(self.ui)

    def leave(self):
        if self.parameters:
            self.parameters.disconnectGui(self.tag)
        self.parameters = None

    exit = leave

    def onStartClose(self, caller, event):
        self.leave()

    def cleanup(self):
        self.cleanups += 1
        self.leave()
        self.removeObservers()

    def onApply(self):
        with slicer.util.tryWithErrorDisplay(_("Failed."), waitCursor=True):
            total = self.logic.scaled_sum(self.parameters.inputVolume, self.parameters.factor)
        self.ui.resultLabel.text = str(total)


class TinyHostLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return TinyHostParameterNode(super().getParameterNode())

    def scaled_sum(self, volume, factor):
        if volume is None:
            raise ValueError("no volume")
        return int(factor * slicer.util.arrayFromVolume(volume).sum())


class TinyHostTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_click()

    def test_click(self):
        self.delayDisplay("start")
        slicer.util.addVolumeFromArray(np.ones((2, 3, 4)))
        panel = slicer.modules.TinyHostWidget
        panel.enter()
        panel.ui.factorSpinBox.value = 2
        panel.ui.applyButton.click()
        self.assertEqual(panel.ui.resultLabel.text, "EXPECTED")
"""

UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>TinyHost</class>
 <widget class="qMRMLWidget" name="TinyHost">
  <layout class="QVBoxLayout" name="verticalLayout">
   <item>
    <widget class="qMRMLNodeComboBox" name="inputSelector">
     <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
     <property name="addEnabled"><bool>false</bool></property>
     <property name="removeEnabled"><bool>false</bool></property>
     <property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property>
    </widget>
   </item>
   <item>
    <widget class="QSpinBox" name="factorSpinBox">
     <property name="SlicerParameterName" stdset="0"><string>factor</string></property>
    </widget>
   </item>
   <item><widget class="QPushButton" name="applyButton"/></item>
   <item><widget class="QLabel" name="resultLabel"/></item>
  </layout>
 </widget>
 <connections>
  <connection>
   <sender>TinyHost</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
  </connection>
 </connections>
</ui>
"""


def write_module(folder: Path, expected: str = "48", module: str = MODULE) -> Path:
    (folder / "Resources" / "UI").mkdir(parents=True)
    (folder / "TinyHost.py").write_text(module.replace("EXPECTED", expected), encoding="utf-8")
    (folder / "Resources" / "UI" / "TinyHost.ui").write_text(UI, encoding="utf-8")
    return folder


@pytest.fixture
def panel(slicer_host, tmp_path):
    slicer_host.module_paths.insert(0, write_module(tmp_path / "module"))
    yield slicer_host.create_widget("TinyHost")
    slicer_host.forget_module("TinyHost")
    slicer_host.module_paths.pop(0)


def add_ones():
    import numpy as np

    return slicer.util.addVolumeFromArray(np.ones((2, 3, 4)))


def test_a_click_gives_the_result(panel, slicer_host):
    add_ones()
    panel.ui.applyButton.click()
    slicer_host.raise_slot_errors()
    assert panel.ui.resultLabel.text == "72"
    assert panel.parent.isEntered


def test_an_error_in_the_click_is_not_swallowed(panel, slicer_host):
    panel.ui.applyButton.click()
    with pytest.raises(ValueError, match="no volume"):
        slicer_host.raise_slot_errors()


def test_the_module_is_found_by_name(panel, slicer_host):
    assert slicer.modules.tinyhost.title == "Tiny"
    assert slicer.modules.tinyhost.categories == ("Examples",)
    assert slicer.util.getModuleWidget("TinyHost") is panel
    assert slicer.util.getModuleLogic("TinyHost") is panel.logic
    with pytest.raises(AttributeError, match="not allowed"):
        slicer.modules.tinyhost.titel = "Tiny"


def test_wrapped_texts_can_be_translated(panel, slicer_host):
    from slicer.i18n import tr, translate

    with slicer_host.use_translation(lambda context, text: f"{context}:{text}"):
        assert tr("Failed.") == "test_scripted_module:Failed."
        assert translate("Tiny", "Failed.") == "Tiny:Failed."
    assert tr("Failed.") == "Failed."


def test_a_timeout_names_the_error_of_a_slot(panel, slicer_host):
    import qt

    qt.QTimer.singleShot(0, panel.onApply)
    with pytest.raises(TimeoutError) as caught:
        slicer_host.process_events(until=lambda: panel.ui.resultLabel.text, timeout_s=0.1)
    assert isinstance(caught.value.__cause__, ValueError)
    slicer_host.slot_errors.clear()


def test_closing_the_scene_and_coming_back(panel, slicer_host):
    add_ones()
    panel.ui.factorSpinBox.value = 5
    slicer_host.close_scene()
    assert panel.parameters is None
    slicer_host.leave("TinyHost")
    slicer_host.enter("TinyHost")
    assert panel.ui.factorSpinBox.value == 3
    assert panel.ui.inputSelector.currentNode() is None


def test_removing_the_panel_cleans_it_up_once(panel, slicer_host):
    slicer_host.remove_widget("TinyHost")
    assert panel.cleanups == 1
    assert not hasattr(slicer.modules, "TinyHostWidget")
    assert not panel.parent


def test_reloading_makes_a_new_panel_from_the_file(panel, slicer_host):
    source = Path(slicer.util.modulePath("TinyHost"))
    source.write_text(source.read_text(encoding="utf-8").replace("int(factor", "-int(factor"), encoding="utf-8")
    panel.onReload()
    assert panel.cleanups == 1
    add_ones()
    fresh = slicer.modules.TinyHostWidget
    fresh.ui.applyButton.click()
    slicer_host.raise_slot_errors()
    assert fresh.ui.resultLabel.text == "-72"


def run_self_test(folder: Path, slicer_source: str | None) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != "SLICER_SOURCE"}
    if slicer_source:
        environment["SLICER_SOURCE"] = slicer_source
    repository = Path(__file__).resolve().parents[3]
    environment["PYTHONPATH"] = str(repository / "Testing" / "SlicerHost")
    command = [sys.executable, "-m", "slicer_host", str(folder), "--test", "TinyHost"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.fixture(params=["stand-ins", "Slicer's own files"])
def base_classes(request):
    if request.param == "stand-ins":
        return None
    source = os.environ.get("SLICER_SOURCE")
    if not source:
        pytest.skip("SLICER_SOURCE names no Slicer source tree: NOT tried with Slicer's own base classes")
    return source


def test_the_self_test_passes_on_the_command_line(tmp_path, base_classes):
    result = run_self_test(write_module(tmp_path / "module"), base_classes)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("EXPECTED", "49", "AssertionError"),
        ('"clicked(bool)"', '"clickd(bool)"', "no signal"),
        ("self.parent.title =", "self.parent.titel =", "not allowed"),
        ("factor: int = 3", "factr: int = 3", "factor"),
    ],
)
def test_a_wrong_module_fails_on_the_command_line(tmp_path, right, wrong, reason):
    assert right in MODULE
    result = run_self_test(write_module(tmp_path / "module", module=MODULE.replace(right, wrong)), None)
    assert result.returncode == 1
    assert reason in result.stderr
