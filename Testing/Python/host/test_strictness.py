"""The double refuses what PythonQt refuses, and accepts what PythonQt accepts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def test_a_misspelt_property_raises_on_read_and_write(slicer_host):
    import qt

    button = qt.QPushButton("Register")
    with pytest.raises(AttributeError, match=r"QPushButton.*txet"):
        _ = button.txet
    with pytest.raises(AttributeError, match=r"QPushButton.*txet"):
        button.txet = "x"


def test_own_attributes_on_a_widget_raise(slicer_host):
    import ctk
    import qt

    for widget in (qt.QLabel("a"), ctk.ctkSliderWidget(), qt.QTimer()):
        with pytest.raises(AttributeError, match="not allowed"):
            widget.myOwnState = 1


def test_own_attributes_on_a_value_object_raise(slicer_host):
    import qt

    with pytest.raises(AttributeError, match="not allowed"):
        qt.QTableWidgetItem("a").state = 1


def test_what_pyside_has_and_slicer_lacks_raises(slicer_host):
    import qt
    import slicer

    with pytest.raises(AttributeError, match=r"qMRMLNodeComboBox.*setNodeTypes"):
        slicer.qMRMLNodeComboBox().setNodeTypes(["vtkMRMLVolumeNode"])
    with pytest.raises(AttributeError, match=r"QComboBox.*setLabelDrawingMode"):
        qt.QComboBox().setLabelDrawingMode(0)
    with pytest.raises(AttributeError, match="QTimer"):
        _ = qt.QTimer.Precise


def test_classes_without_a_contract_raise(slicer_host):
    import ctk
    import qt

    with pytest.raises(AttributeError, match="reduce_contract"):
        _ = qt.QCalendarWidget
    with pytest.raises(AttributeError, match="no class"):
        _ = ctk.ctkNoSuchWidget
    with pytest.raises(AttributeError, match="no class"):
        _ = qt.QNoSuchThing


@pytest.mark.parametrize("signal", ["clickd(bool)", "clicked(int)", "clicked"])
def test_a_wrong_signal_raises(slicer_host, signal):
    import qt

    with pytest.raises(AttributeError, match="QPushButton has no signal"):
        qt.QPushButton("a").connect(signal, print)


def test_a_wrong_slot_raises(slicer_host):
    import qt

    label, button = qt.QLabel("a"), qt.QPushButton("b")
    with pytest.raises(AttributeError, match="QLabel has no slot"):
        button.connect("clicked()", label, "claer()")


def test_properties_are_not_callable_and_setters_work(slicer_host):
    import qt

    button = qt.QPushButton("a")
    with pytest.raises(TypeError):
        button.text()
    button.setText("b")
    assert button.text == "b"
    button.enabled = False
    assert not button.enabled
    assert not button.isEnabled()


def test_read_only_properties_raise(slicer_host):
    import qt

    with pytest.raises(AttributeError, match="not writable"):
        qt.QWidget().width = 3


def test_numbers_convert_as_in_pythonqt(slicer_host):
    import ctk
    import qt

    spin, double, check, slider = qt.QSpinBox(), qt.QDoubleSpinBox(), qt.QCheckBox(), ctk.ctkSliderWidget()
    spin.value = 3.7
    assert spin.value == 3
    spin.value = np.int64(7)
    assert spin.value == 7
    spin.setValue(np.float32(5.9))
    assert spin.value == 5
    double.value = np.float32(2.5)
    assert double.value == 2.5
    check.checked = np.bool_(True)
    assert check.checked is True
    slider.value = np.float64(12.25)
    assert slider.value == 12.25
    with pytest.raises(ValueError, match="takes a number"):
        spin.value = "7"


def test_text_converts_with_str(slicer_host):
    import qt

    label = qt.QLabel()
    for value in (5, Path("a") / "b", None):
        label.text = value
        assert label.text == str(value)
    label.setText(6)
    assert label.text == "6"


def test_a_string_is_not_accepted_as_a_string_list(slicer_host):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    with pytest.raises(ValueError, match="sequence of str"):
        selector.nodeTypes = "vtkMRMLScalarVolumeNode"
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert selector.nodeTypes == ("vtkMRMLScalarVolumeNode",)


def test_types_are_flat_and_inherits_compares_names(slicer_host):
    import qt

    button = qt.QPushButton("a")
    assert type(button) is qt.QPushButton
    assert not isinstance(button, qt.QWidget)
    assert button.inherits("QWidget")
    assert button.className() == "QPushButton"


def test_one_wrapper_per_object(slicer_host):
    import qt

    parent = qt.QWidget()
    layout = qt.QVBoxLayout(parent)
    child = qt.QCheckBox("a")
    layout.addWidget(child)
    assert child.parent() is parent
    assert parent.children()[1] is child
    assert parent.layout() is layout


def test_slots_get_the_arguments_of_the_signature(slicer_host):
    import qt

    seen = []
    button = qt.QPushButton("a")
    button.checkable = True
    button.connect("clicked()", lambda *args: seen.append(("signature without", args)))
    button.connect("clicked(bool)", lambda *args: seen.append(("signature with", args)))
    button.clicked.connect(lambda checked: seen.append(("attribute", (checked,))))
    button.clicked.connect(lambda: seen.append(("fewer", ())))
    button.click()
    assert seen == [
        ("signature without", ()),
        ("signature with", (True,)),
        ("attribute", (True,)),
        ("fewer", ()),
    ]


def test_disconnect_ends_the_calls(slicer_host):
    import qt

    class Counter:
        count = 0

        def increase(self):
            self.count += 1

    counter, button = Counter(), qt.QPushButton("a")
    button.connect("clicked()", counter.increase)
    button.click()
    assert button.disconnect("clicked()", counter.increase)
    assert not button.disconnect("clicked()", counter.increase)
    button.click()
    assert counter.count == 1


def test_connections_keep_their_owner_alive_as_in_pythonqt(slicer_host):
    import qt

    seen = []

    class Owner:
        def note(self):
            seen.append(1)

    button = qt.QPushButton("a")
    button.connect("clicked()", Owner().note)
    button.click()
    assert seen == [1]


def test_an_exception_in_a_slot_is_recorded(slicer_host):
    import qt

    def broken():
        raise KeyError("broken slot")

    button = qt.QPushButton("a")
    button.connect("clicked()", broken)
    button.click()
    with pytest.raises(KeyError, match="broken slot"):
        slicer_host.raise_slot_errors()


def test_enums_behave_as_ints(slicer_host):
    import qt

    label = qt.QLabel()
    label.alignment = qt.Qt.AlignRight | qt.Qt.AlignTop
    assert label.alignment == 0x2 | 0x20
    label.alignment = 0x4
    assert label.alignment == qt.Qt.AlignHCenter
    assert qt.QMessageBox.Ok == 0x400
    assert qt.Qt.Checked == 2


def test_a_deleted_object_raises(slicer_host):
    import qt

    widget = qt.QWidget()
    widget.delete()
    assert not widget
    with pytest.raises(ValueError, match="already deleted"):
        widget.show()


def test_a_python_subclass_gets_its_events_and_may_have_attributes(slicer_host):
    import qt

    class Panel(qt.QWidget):
        closed = qt.Signal()

        def __init__(self):
            super().__init__()
            self.closings = 0

        def closeEvent(self, event):
            self.closings += 1
            self.closed.emit()
            event.accept()

    panel, heard = Panel(), []
    panel.closed.connect(lambda: heard.append(True))
    panel.show()
    panel.close()
    assert panel.closings == 1
    assert heard == [True]


def test_a_timer_and_a_process_run(slicer_host):
    import sys

    import qt

    ticks, process = [], qt.QProcess()
    timer = qt.QTimer()
    timer.setInterval(1)
    timer.connect("timeout()", lambda: ticks.append(1))
    timer.start()
    process.start(sys.executable, ["-c", "print('hello')"])
    slicer_host.process_events(until=lambda: process.state() == qt.QProcess.NotRunning and ticks)
    timer.stop()
    assert process.readAllStandardOutput().data() == b"hello\n"
    assert process.exitCode() == 0
    assert not timer.active


def test_a_process_emits_its_exit_code(slicer_host):
    import sys

    import qt

    ended, process = [], qt.QProcess()
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, status)))
    process.start(sys.executable, ["-c", "raise SystemExit(3)"])
    slicer_host.process_events(until=lambda: ended)
    assert ended == [(3, qt.QProcess.NormalExit)]


def test_a_table_is_filled_and_read(slicer_host):
    import qt

    table = qt.QTableWidget(1, 2)
    table.setHorizontalHeaderLabels(["label", "Dice"])
    table.setItem(0, 0, qt.QTableWidgetItem("liver"))
    table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
    assert table.rowCount == 1
    assert table.item(0, 0).text() == "liver"
    assert table.item(0, 1) is None
    with pytest.raises(TypeError):
        table.rowCount()


def test_a_single_shot_keeps_its_target_and_runs_once(slicer_host):
    import qt

    seen = []

    class Owner:
        def note(self):
            seen.append(1)

    qt.QTimer.singleShot(0, Owner().note)
    slicer_host.process_events(until=lambda: seen)
    assert seen == [1]


def test_a_process_environment_reaches_the_child(slicer_host):
    import sys

    import qt

    environment = qt.QProcessEnvironment.systemEnvironment()
    environment.insert("LIGHT_REGISTRATION_PROBE", "here")
    process = qt.QProcess()
    process.setProcessEnvironment(environment)
    process.start(sys.executable, ["-c", "import os; print(os.environ['LIGHT_REGISTRATION_PROBE'])"])
    process.waitForFinished()
    assert process.readAllStandardOutput().data() == b"here\n"


def test_a_process_that_cannot_start_emits_an_error(slicer_host):
    import qt

    errors, process = [], qt.QProcess()
    process.connect("errorOccurred(QProcess::ProcessError)", errors.append)
    process.start("/no/such/program", [])
    slicer_host.process_events(until=lambda: errors)
    assert errors == [qt.QProcess.FailedToStart]
    assert process.error() == qt.QProcess.FailedToStart


def test_signals_that_qt_6_renamed_still_arrive(slicer_host):
    import qt

    heard, combo = [], qt.QComboBox()
    combo.connect("currentIndexChanged(QString)", heard.append)
    combo.connect("currentIndexChanged(int)", heard.append)
    combo.addItem("auto")
    assert sorted(heard, key=str) == [0, "auto"]


def test_children_are_found_by_class_and_name(slicer_host):
    import qt

    parent = qt.QWidget()
    layout = qt.QVBoxLayout(parent)
    buttons = [qt.QPushButton(text) for text in "ab"]
    for button in buttons:
        button.name = button.text
        layout.addWidget(button)
    assert parent.findChild(qt.QPushButton, "b") is buttons[1]
    assert parent.findChildren("QPushButton") == tuple(buttons)
    assert parent.findChild(qt.QLabel) is None


def test_pyside_keeps_the_reference_count_of_none(slicer_host):
    """PySide 6.12 on Python 3.11 did, and the interpreter aborted after some thousand calls."""
    import sys

    from PySide6 import QtCore

    thing = QtCore.QObject()
    before = sys.getrefcount(None)
    for _ in range(2000):
        thing.setObjectName("x")
    assert sys.getrefcount(None) > before - 200


def test_names_that_only_the_wheel_has_are_removed(slicer_host):
    import slicer

    assert slicer.util.arrayFromVolume
    assert not hasattr(slicer, "arrayFromVolume")
    assert slicer.vtkMRMLScene
