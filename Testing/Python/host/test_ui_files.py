"""A .ui file with a mistake that Slicer ignores fails here."""

from __future__ import annotations

import pytest
import slicer

UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>Tiny</class>
 <widget class="qMRMLWidget" name="Tiny">
  <layout class="QVBoxLayout" name="verticalLayout">
   <item>
    <widget class="ctkCollapsibleButton" name="inputs">
     <property name="text"><string>Inputs</string></property>
     <layout class="QFormLayout" name="form">
      <item row="0" column="0">
       <widget class="qMRMLNodeComboBox" name="inputSelector">
        <property name="nodeTypes">
         <stringlist notr="true"><string>vtkMRMLScalarVolumeNode</string></stringlist>
        </property>
        <property name="noneEnabled"><bool>true</bool></property>
        <property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property>
       </widget>
      </item>
      <item row="1" column="0">
       <widget class="ctkPathLineEdit" name="path">
        <property name="filters"><set>ctkPathLineEdit::Files|ctkPathLineEdit::Readable</set></property>
       </widget>
      </item>
      <item row="2" column="0"><widget class="QCheckBox" name="check"/></item>
      <item row="3" column="0">
       <widget class="QSlider" name="slider">
        <property name="orientation"><enum>Qt::Horizontal</enum></property>
       </widget>
      </item>
     </layout>
    </widget>
   </item>
   <item>
    <widget class="QPushButton" name="applyButton"><property name="text"><string>Apply</string></property></widget>
   </item>
   <item>
    <spacer name="spacer"><property name="orientation"><enum>Qt::Vertical</enum></property>
     <property name="sizeHint" stdset="0"><size><width>20</width><height>40</height></size></property></spacer>
   </item>
  </layout>
 </widget>
 <connections>
  <connection>
   <sender>Tiny</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
  </connection>
  <connection>
   <sender>check</sender><signal>toggled(bool)</signal>
   <receiver>applyButton</receiver><slot>setEnabled(bool)</slot>
  </connection>
 </connections>
</ui>
"""


@pytest.fixture
def load(tmp_path, slicer_host):
    def load_text(text):
        path = tmp_path / "Tiny.ui"
        path.write_text(text, encoding="utf-8")
        widget = slicer.util.loadUI(str(path))
        return widget, slicer.util.childWidgetVariables(widget)

    return load_text


def test_names_types_and_properties_arrive(load):
    import ctk
    import qt

    top, ui = load(UI)
    assert type(ui.inputSelector) is slicer.qMRMLNodeComboBox
    assert type(ui.path) is ctk.ctkPathLineEdit
    assert type(ui.check) is qt.QCheckBox
    assert type(ui.form) is qt.QFormLayout
    assert ui.inputSelector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert ui.inputSelector.property("SlicerParameterName") == "inputVolume"
    assert ui.applyButton.text == "Apply"
    assert ui.slider.orientation == qt.Qt.Horizontal
    assert type(top) is slicer.qMRMLWidget


def test_connections_are_made_from_the_file(load):
    top, ui = load(UI)
    top.setMRMLScene(slicer.mrmlScene)
    assert ui.inputSelector.mrmlScene() is slicer.mrmlScene
    ui.check.checked = True
    ui.check.checked = False
    assert not ui.applyButton.enabled


def test_without_the_scene_connection_the_selector_stays_disabled(load):
    head, _, tail = UI.partition("<connection>")
    top, ui = load(head + tail.partition("</connection>")[2])
    top.setMRMLScene(slicer.mrmlScene)
    assert ui.inputSelector.mrmlScene() is None
    assert not ui.inputSelector.enabled


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("mrmlSceneChanged(vtkMRMLScene*)", "sceneChanged(vtkMRMLScene*)", "no signal"),
        ("setMRMLScene(vtkMRMLScene*)</slot>", "setScene(vtkMRMLScene*)</slot>", "no slot"),
        ('name="noneEnabled"', 'name="noneAllowed"', "no property"),
        ("setEnabled(bool)", "setEnable(bool)", "no slot"),
        ('class="QCheckBox"', 'class="QCheckbox"', "does not know the widget class"),
        ("<receiver>applyButton</receiver>", "<receiver>aplyButton</receiver>", "not in the file"),
    ],
)
def test_unknown_properties_signals_and_classes_raise(load, right, wrong, message):
    assert right in UI
    with pytest.raises((AttributeError, RuntimeError), match=message):
        load(UI.replace(right, wrong))


def test_a_missing_file_raises(slicer_host, tmp_path):
    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI(str(tmp_path / "none.ui"))


def test_a_section_that_starts_collapsed_shows_its_parts_when_opened(load):
    text = '<property name="text"><string>Inputs</string></property>'
    collapsed = '<property name="collapsed"><bool>true</bool></property>'
    assert text in UI
    top, ui = load(UI.replace(text, text + collapsed))
    top.show()
    assert ui.inputSelector.isHidden()
    ui.inputs.collapsed = False
    assert not ui.inputSelector.isHidden()
    top.close()


def test_a_collapsed_section_hides_what_it_shows(load):
    top, ui = load(UI)
    top.show()
    ui.path.hide()
    ui.inputs.collapsed = True
    assert not ui.applyButton.isHidden()
    assert ui.inputSelector.isHidden()
    ui.inputs.collapsed = False
    assert not ui.inputSelector.isHidden()
    assert ui.path.isHidden()
    top.close()
