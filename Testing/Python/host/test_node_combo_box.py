"""Selection rules of qMRMLNodeComboBox that a panel relies on."""

from __future__ import annotations

import pytest
import slicer


@pytest.fixture
def selector(slicer_host):
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.setMRMLScene(slicer.mrmlScene)
    return combo


def add(class_name="vtkMRMLScalarVolumeNode", name="v"):
    return slicer.mrmlScene.AddNewNodeByClass(class_name, name)


def test_it_is_disabled_until_it_has_a_scene(slicer_host):
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    add()
    assert not combo.enabled
    assert combo.currentNode() is None
    combo.setMRMLScene(slicer.mrmlScene)
    assert combo.enabled
    assert combo.currentNode() is not None


def test_without_none_and_menu_the_first_node_is_selected_automatically(slicer_host):
    heard = []
    combo = bare_selector()
    combo.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    first = add(name="a")
    add(name="b")
    assert combo.currentNode() is first
    assert combo.currentNodeID == first.GetID()
    assert heard == [first]


def test_with_a_menu_the_first_new_node_is_not_selected(selector):
    add(name="a")
    assert selector.currentNode() is None


def test_a_node_that_was_there_before_the_scene_was_set_is_chosen(slicer_host):
    node = add(name="a")
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.setMRMLScene(slicer.mrmlScene)
    assert combo.currentNode() is node


def bare_selector():
    """Without the menu entries (Create new ..., Delete current ...), as selectors of inputs are."""
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.addEnabled = combo.removeEnabled = False
    combo.setMRMLScene(slicer.mrmlScene)
    return combo


def test_with_none_nothing_is_selected_automatically(selector):
    selector.noneEnabled = True
    node = add()
    assert selector.currentNode() is None
    selector.setCurrentNode(node)
    assert selector.currentNode() is node


def test_the_bool_overload_gets_a_bool(selector):
    heard = []
    selector.noneEnabled = True
    selector.connect("currentNodeChanged(bool)", heard.append)
    node = add()
    selector.setCurrentNode(node)
    selector.setCurrentNode(None)
    assert heard == [True, False]


def test_derived_types_hidden_nodes_and_attributes_are_filtered(selector):
    label, hidden, plain = add("vtkMRMLLabelMapVolumeNode"), add(name="hidden"), add(name="plain")
    hidden.SetHideFromEditors(True)
    assert selector.nodeCount() == 2
    selector.showChildNodeTypes = False
    assert [selector.nodeFromIndex(i) for i in range(selector.nodeCount())] == [plain]
    selector.showHidden = True
    assert selector.nodeCount() == 2
    selector.addAttribute("vtkMRMLScalarVolumeNode", "Role", "fixed")
    assert selector.nodeCount() == 0
    plain.SetAttribute("Role", "fixed")
    assert selector.nodeCount() == 1
    assert label not in [selector.nodeFromIndex(0)]


def test_without_none_nothing_can_be_chosen_by_code(slicer_host):
    combo = bare_selector()
    add(name="a")
    combo.setCurrentNode(None)
    assert combo.currentNode() is None


@pytest.mark.parametrize("none_enabled", [False, True])
def test_after_removing_the_current_node_the_next_row_is_selected(slicer_host, none_enabled):
    combo = bare_selector()
    combo.noneEnabled = none_enabled
    first, second, third = add(name="a"), add(name="b"), add(name="c")
    combo.setCurrentNode(second)
    heard = []
    combo.currentNodeChanged.connect(heard.append)
    slicer.mrmlScene.RemoveNode(second)
    slicer.mrmlScene.RemoveNode(third)
    slicer.mrmlScene.RemoveNode(first)
    assert heard == [third, first, None]


def test_closing_the_scene_empties_it(slicer_host):
    combo = bare_selector()
    add(name="a")
    add(name="b")
    heard = []
    combo.currentNodeChanged.connect(heard.append)
    slicer_host.close_scene()
    assert heard == [None]
    assert combo.nodeCount() == 0


def test_renaming_a_node_keeps_the_selection(slicer_host):
    combo = bare_selector()
    node = add(name="a")
    heard = []
    combo.currentNodeChanged.connect(heard.append)
    node.SetName("b")
    assert heard == [node]


def test_the_users_new_node_is_named_and_selected(selector):
    selector.noneEnabled = True
    selector.baseName = "Warped"
    heard = []
    selector.connect("nodeAddedByUser(vtkMRMLNode*)", heard.append)
    node = selector.addNode()
    assert node.GetName() == "Warped"
    assert selector.currentNode() is node
    assert heard == [node]
    assert selector.addNode().GetName() == "Warped_1"


def test_a_node_of_another_type_is_not_taken(selector):
    selector.noneEnabled = True
    selector.setCurrentNode(add())
    selector.setCurrentNode(add("vtkMRMLModelNode"))
    assert selector.currentNode() is None


def test_a_node_chosen_before_the_scene_is_set_is_selected_later(slicer_host):
    add(name="a")
    wanted = add(name="b")
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.setCurrentNodeID(wanted.GetID())
    combo.setMRMLScene(slicer.mrmlScene)
    assert combo.currentNode() is wanted
