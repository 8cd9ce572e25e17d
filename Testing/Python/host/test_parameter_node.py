"""Typed parameter nodes: the same rules with our stand-in and with Slicer's own parameterNodeWrapper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import slicer


@pytest.fixture
def parameters_class(slicer_host):
    from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

    def build():
        class Parameters:
            fixed: slicer.vtkMRMLScalarVolumeNode
            structures: slicer.vtkMRMLSegmentationNode | None
            cascades: Annotated[int, WithinRange(1, 5)] = 3
            opacity: Annotated[float, WithinRange(0, 1)] = 0.5
            model: Annotated[str, Choice(["auto", "brain"])] = "auto"
            name: Annotated[str, Default("case")]
            file: Path
            show_grid: bool = False

        # The type hints are built here: they name classes that exist only after the host has started.
        Parameters.__annotations__ = {
            "fixed": slicer.vtkMRMLScalarVolumeNode,
            "structures": slicer.vtkMRMLSegmentationNode | None,
            "cascades": Annotated[int, WithinRange(1, 5)],
            "opacity": Annotated[float, WithinRange(0, 1)],
            "model": Annotated[str, Choice(["auto", "brain"])],
            "name": Annotated[str, Default("case")],
            "file": Path,
            "show_grid": bool,
        }
        return parameterNodeWrapper(Parameters)

    return build()


def new_node():
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Parameters")


@pytest.fixture
def parameters(parameters_class):
    return parameters_class(new_node())


def test_defaults(parameters):
    assert parameters.fixed is None
    assert parameters.structures is None
    assert parameters.cascades == 3
    assert parameters.opacity == 0.5
    assert parameters.model == "auto"
    assert parameters.name == "case"
    assert parameters.show_grid is False


def test_values_are_stored_in_the_node(parameters, parameters_class):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    structures = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    parameters.fixed, parameters.structures = volume, structures
    parameters.cascades, parameters.opacity, parameters.show_grid = 4, 0.25, True
    parameters.model, parameters.name, parameters.file = "brain", "b", Path("c") / "d"
    again = parameters_class(parameters.parameterNode)
    assert again.fixed is volume
    assert again.structures is structures
    assert (again.cascades, again.opacity, again.show_grid) == (4, 0.25, True)
    assert (again.model, again.name, again.file) == ("brain", "b", Path("c") / "d")
    again.structures = None
    assert parameters.structures is None


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("cascades", 9, ValueError),
        ("cascades", 2.5, TypeError),
        ("cascades", None, ValueError),
        ("opacity", "0.5", TypeError),
        ("model", "liver", ValueError),
        ("show_grid", 1, TypeError),
        ("name", None, ValueError),
    ],
)
def test_wrong_values_raise_and_are_not_stored(parameters, name, value, error):
    before = getattr(parameters, name)
    with pytest.raises(error):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_a_node_of_another_type_raises(parameters):
    with pytest.raises(TypeError):
        parameters.fixed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")


def test_values_survive_saving_and_reloading_the_scene(parameters, parameters_class, slicer_host, tmp_path):
    import numpy as np

    parameters.parameterNode.SetSingletonTag("TinyParameters")
    parameters.fixed = slicer.util.addVolumeFromArray(np.arange(24.0).reshape(2, 3, 4), name="kept")
    parameters.cascades, parameters.name, parameters.show_grid = 2, "patient 1", True
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    slicer_host.close_scene()
    assert slicer.mrmlScene.GetFirstNodeByName("kept") is None
    slicer.util.loadScene(str(path))
    node = slicer.mrmlScene.GetSingletonNode("TinyParameters", "vtkMRMLScriptedModuleNode")
    again = parameters_class(node)
    assert again.fixed.GetName() == "kept"
    assert (again.cascades, again.name, again.show_grid) == (2, "patient 1", True)


class Ui:
    """As childWidgetVariables returns it: widgets as attributes."""


@pytest.fixture
def ui(slicer_host):
    import ctk
    import qt

    ui = Ui()
    ui.fixed = slicer.qMRMLNodeComboBox()
    ui.fixed.noneEnabled = True
    ui.fixed.setMRMLScene(slicer.mrmlScene)
    ui.cascades, ui.opacity, ui.model = qt.QSpinBox(), ctk.ctkSliderWidget(), qt.QComboBox()
    ui.name, ui.file, ui.show_grid = qt.QLineEdit(), ctk.ctkPathLineEdit(), qt.QCheckBox()
    for name, widget in vars(ui).items():
        widget.setProperty("SlicerParameterName", name)
    ui.plain = qt.QLabel("not a parameter")
    return ui


def test_widgets_show_the_parameters_and_write_them(parameters, ui):
    parameters.connectGui(ui)
    assert (ui.cascades.value, ui.opacity.value, ui.model.currentText) == (3, 0.5, "auto")
    assert (ui.cascades.minimum, ui.cascades.maximum) == (1, 5)
    assert (ui.opacity.minimum, ui.opacity.maximum) == (0.0, 1.0)
    assert ui.fixed.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    ui.fixed.setCurrentNode(volume)
    ui.cascades.value, ui.opacity.value, ui.model.currentIndex = 5, 0.75, 1
    ui.name.text, ui.file.currentPath, ui.show_grid.checked = "n", "x.nrrd", True
    assert parameters.fixed is volume
    assert (parameters.cascades, parameters.opacity, parameters.model) == (5, 0.75, "brain")
    assert (parameters.name, parameters.file, parameters.show_grid) == ("n", Path("x.nrrd"), True)


def test_parameters_that_change_reach_the_widgets(parameters, ui):
    parameters.connectGui(ui)
    parameters.cascades, parameters.model, parameters.show_grid = 2, "brain", True
    assert (ui.cascades.value, ui.model.currentText, ui.show_grid.checked) == (2, "brain", True)


def test_disconnected_widgets_do_not_change(parameters, ui):
    tag = parameters.connectGui(ui)
    parameters.disconnectGui(tag)
    parameters.cascades = 2
    assert ui.cascades.value == 3
    ui.cascades.value = 4
    assert parameters.cascades == 2


def test_an_unbounded_number_on_a_slider_raises(slicer_host):
    import ctk
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    class Loose:
        opacity: float

    Loose.__annotations__ = {"opacity": float}
    ui = Ui()
    ui.slider = ctk.ctkSliderWidget()
    ui.slider.setProperty("SlicerParameterName", "opacity")
    with pytest.raises(RuntimeError, match="unbounded"):
        parameterNodeWrapper(Loose)(new_node()).connectGui(ui)


def test_a_widget_that_cannot_show_the_type_raises(parameters, ui):
    import ctk

    ui.name = ctk.ctkPathLineEdit()
    ui.name.setProperty("SlicerParameterName", "name")
    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        parameters.connectGui(ui)


def test_a_widget_that_names_no_parameter_raises(parameters, ui):
    ui.plain.setProperty("SlicerParameterName", "nothing")
    with pytest.raises(ValueError, match="nothing"):
        parameters.connectGui(ui)
