"""The 3D Slicer module: deformable registration of two volumes; LightRegistrationLib does the work."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import qt
import slicer
import vtk
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.result.settings import MAX_CASCADES
from LightRegistrationLib.panel.checking.landmarks import measure_landmarks
from LightRegistrationLib.panel.checking.result_export import (
    add_table_node,
    choose_and_save_csv,
    choose_and_save_page,
    copy_numbers,
)
from LightRegistrationLib.panel.checking.tabs import ResultChecks
from LightRegistrationLib.panel.checking.tolerances import ToleranceForm, read_tolerances
from LightRegistrationLib.panel.choices import (
    CheckList,
    ChoiceBox,
    NumberBox,
    list_grid_items,
    list_initial_items,
    list_model_items,
    list_refinement_items,
)
from LightRegistrationLib.panel.inputs.file_dialogs import (
    choose_and_load_segmentation,
    choose_and_load_volume,
    list_load_titles,
)
from LightRegistrationLib.panel.inputs.sample_data import register_sample_data
from LightRegistrationLib.panel.inputs.selected_nodes import (
    NODE_PARAMETERS,
    choose_only_pair,
    list_preservable_segments,
    read_preserved_segments,
    read_selected_nodes,
    read_settings,
    swap_inputs,
)
from LightRegistrationLib.panel.logic import LightRegistrationLogic
from LightRegistrationLib.panel.running.durations import read_seconds, store_seconds
from LightRegistrationLib.panel.running.outputs import find_replaced
from LightRegistrationLib.panel.running.series import SeriesForm
from LightRegistrationLib.panel.self_test.scenarios import LightRegistrationScenarios
from LightRegistrationLib.panel.state import DOUBLE_CLICK_S, find_state
from LightRegistrationLib.panel.translation import translate
from LightRegistrationLib.panel.views.comparisons import list_comparison_items
from LightRegistrationLib.panel.views.view_content import (
    Picture,
    read_switches,
    read_view_content,
)
from LightRegistrationLib.panel.widget_states import OVERLAY_BUTTONS, PICTURE_BUTTONS, PanelWidgets
from LightRegistrationLib.scene.nodes.results import find_registration_nodes
from LightRegistrationLib.scene.nodes.review import read_review


class LightRegistration(ScriptedLoadableModule):
    """The module's description: title, category, help."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = translate("LightRegistration", "LightRegistration")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        self.parent.dependencies = []
        self.parent.contributors = ["The LightRegistration developers"]
        self.parent.helpText = translate(
            "LightRegistration",
            "Deforms a moving volume so that it matches a fixed volume, in one to two seconds on an ordinary CPU.<br>"
            "Choose two volumes and press Register. With a segmentation of each volume, the module also shows how "
            "well the structures match before and after registration. Your own data is never changed: transform, "
            "warped volume, and warped segmentation are new nodes.",
        )
        self.parent.acknowledgementText = translate(
            "LightRegistration",
            "The method follows Tran et al.: Light-weight Deformable Registration using Adversarial Learning with "
            "Distilling Knowledge, IEEE Transactions on Medical Imaging, 2022.",
        )
        # Other modules can be imported from then on.
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Offer the built-in pair in the module Sample Data."""
    register_sample_data(str(Path(__file__).parent / "Resources" / "Icons" / "Phantom.png"))


class LightRegistrationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel: connects its widgets with the parameter node and the logic."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.view = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._followed = None
        self._startedAt = 0.0
        self.doubleClickSeconds = DOUBLE_CLICK_S

    def setup(self):
        """Build the panel when the user opens the module for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/LightRegistration.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = LightRegistrationLogic()
        self.view = PanelWidgets(self.ui)
        self.checks = ResultChecks(
            self.ui,
            self.view.structures,
            slicer.app.applicationLogic(),
            self.refresh,
            self.onShowButton,
            self.logic.show_opaque,
        )
        self.tolerances = ToleranceForm(self.ui, self.refresh)
        self.tolerances.show_stored()
        self.series = SeriesForm(self.ui, self.onSeriesStart)
        self.modelBox = ChoiceBox(self.ui.modelBox, list_model_items(), self._setter("model"))
        self.initialBox = ChoiceBox(self.ui.initialBox, list_initial_items(), self._setter("initial"))
        self.refineBox = ChoiceBox(self.ui.refineBox, list_refinement_items(read_seconds()), self._setter("refine"))
        self.comparisonBox = ChoiceBox(self.ui.comparisonBox, list_comparison_items(), self._setter("comparison"))
        self.gridKindBox = ChoiceBox(self.ui.gridKindBox, list_grid_items(), self._setter("gridKind"))
        self.cascadesBox = NumberBox(self.ui.cascadesBox, MAX_CASCADES, self._setter("cascades"))
        self.threadsBox = NumberBox(self.ui.threadsBox, os.cpu_count() or 1, self._setter("threads"))
        setKeepVolume = self._setter("keepVolume")
        self.keepList = CheckList(self.ui.keepVolumeList, lambda names: setKeepVolume("\n".join(names)))
        self._connect()
        self.initializeParameterNode()

    def _connect(self):
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        # Before the selectors hear of it: they would choose the next node in their lists.
        removal = slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent
        self.addObserver(slicer.mrmlScene, removal, self.onNodeAboutToBeRemoved, priority=1.0)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeRemovedEvent, self.onNodeRemoved)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeAddedEvent, self.onNodeAdded)
        self._refreshTimer = qt.QTimer()
        self._refreshTimer.setSingleShot(True)
        self._refreshTimer.connect("timeout()", self.refresh)
        slicer.app.connect("aboutToQuit()", self.logic.close)
        self.ui.registerButton.connect("clicked()", self.onRegisterButton)
        self.logic.on_change = self.refresh
        self.logic.on_view_error = self.onViewError
        self.ui.showButton.connect("clicked()", self.onShowButton)
        self.ui.fadeSlider.connect("valueChanged(int)", lambda value: self.logic.set_foreground_opacity(value / 100))
        self.ui.swapButton.connect("clicked()", lambda: swap_inputs(self._parameterNode))
        self.ui.saveReportButton.connect("clicked()", self.onSaveReportButton)
        self.ui.tableButton.connect("clicked()", self.onTableButton)
        self.ui.csvButton.connect("clicked()", self.onCsvButton)
        self.ui.copyButton.connect("clicked()", self.onCopyButton)
        for parameter, buttons in (("picture", PICTURE_BUTTONS), ("overlay", OVERLAY_BUTTONS)):
            choose = self._setter(parameter)
            for value, name in buttons.items():
                getattr(self.ui, name).connect("clicked()", lambda f=choose, v=value: f(v.value))
        for parameter, button, load in (
            ("fixedVolume", self.ui.fixedLoadButton, choose_and_load_volume),
            ("movingVolume", self.ui.movingLoadButton, choose_and_load_volume),
            ("fixedSegmentation", self.ui.fixedSegmentationLoadButton, choose_and_load_segmentation),
            ("movingSegmentation", self.ui.movingSegmentationLoadButton, choose_and_load_segmentation),
        ):
            button.connect("clicked()", lambda p=parameter, f=load: self.onLoadButton(p, f))

    def cleanup(self):
        """End the worker and all observations when the module is unloaded or the application closes."""
        if self.logic is None:  # setup() has failed
            return
        slicer.app.disconnect("aboutToQuit()", self.logic.close)
        self.logic.on_change = self.logic.on_view_error = None
        self._refreshTimer.stop()
        self.setParameterNode(None)
        self.removeObservers()
        self.checks.close()
        self.logic.close()

    def enter(self):
        """Update the panel when the user opens this module; models may have been added since."""
        self.modelBox.set_items(list_model_items())
        self.tolerances.show_stored()
        self.initializeParameterNode()
        choose_only_pair(slicer.mrmlScene, self._parameterNode)

    def exit(self):
        """Disconnect the panel when the user opens another module; a running registration goes on."""
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        """Disconnect from the parameter node, which is removed with the scene, and leave the compare layout."""
        self.checks.switch_to_own_layout()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        """Start again with a new parameter node if this module is open."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        """Read the parameters again: they are imported before the nodes that they reference."""
        if self._parameterNode is not None:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller, event, node):
        """Choose nothing in place of a chosen node that is removed."""
        if self._parameterNode is None or slicer.mrmlScene.IsClosing():
            return
        for parameter in NODE_PARAMETERS:
            if getattr(self._parameterNode, parameter) is node:
                setattr(self._parameterNode, parameter, None)

    def initializeParameterNode(self):
        """Connect the panel with the parameter node, which is created if needed."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode):
        """Connect the panel with a parameter node; disconnect it for None."""
        self.checks.set_parameters(parameterNode)
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
            # Opening the module does not change the views; later changes of the parameters do.
            self._followed = self._readViewState()
            self.onParametersModified()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller, event, node):
        """Show that a node of the result is gone; the many hidden nodes of a display are no part of it."""
        isOfDisplay = node.GetHideFromEditors() and not node.GetSaveWithScene()
        if not slicer.mrmlScene.IsClosing() and not isOfDisplay:
            self.refresh()

    def onNodeAdded(self, caller, event):
        """List a new node among those that can be carried along, when it is complete."""
        if self._parameterNode is not None and self._parameterNode.result is not None:
            self._refreshTimer.start(0)

    def onParametersModified(self, caller=None, event=None):
        """Follow the parameter node: panel, worker and views, except while a scene is being imported."""
        if slicer.mrmlScene.IsImporting():
            return
        parameters = self._parameterNode
        self.modelBox.show(parameters.model)
        self.initialBox.show(parameters.initial)
        self.refineBox.show(parameters.refine)
        self.cascadesBox.show(parameters.cascades)
        self.threadsBox.show(parameters.threads)
        switches = read_switches(parameters)
        self.comparisonBox.show(switches.comparison)
        self.gridKindBox.show(switches.grid_kind)
        self.keepList.show(list_preservable_segments(parameters), read_preserved_segments(parameters))
        if not self.logic.is_busy:
            selected = read_selected_nodes(parameters)
            self.logic.forget_end_of_others(selected)
            self._warmUp(selected)
            self._updateViews()
        self.refresh()

    def refresh(self):
        """Show the present state of the logic, the parameter node and the views."""
        parameters = self._parameterNode
        if parameters is None or slicer.mrmlScene.IsImporting():
            return
        self.checks.follow(self.logic.run_state.is_running)
        self.series.show(parameters, self.logic.run_state.is_running)
        logic = self.logic
        opacity = logic.foreground_opacity
        self.view.show(find_state(logic.run_state, parameters, logic.is_shown, self.checks.place_step, opacity))

    def onRegisterButton(self):
        """Do what the button says: start a registration, or cancel the running one."""
        if self.logic.run_state.is_starting:
            return
        if self.logic.is_busy:
            # The second press of a double click is not meant as Cancel.
            if time.monotonic() - self._startedAt > self.doubleClickSeconds:
                self.logic.cancel()
            return
        self._startedAt = time.monotonic()
        selected = read_selected_nodes(self._parameterNode)
        try:
            self.logic.start(
                selected,
                read_settings(self._parameterNode),
                self.onEnd,
                preview=self._readPreviewContent,
                replaced=find_replaced(self._parameterNode, selected),
                check_consistency=self._parameterNode.checkConsistency,
                on_result=self.onResult,
            )
        except InputError as error:
            self._showProblem(str(error), selected)

    def onSeriesStart(self, choice):
        """Register every frame of the chosen sequence to one of them."""
        self._startedAt = time.monotonic()
        selected = read_selected_nodes(self._parameterNode)
        try:
            self.logic.start_series(choice, read_settings(self._parameterNode), selected)
        except InputError as error:
            self._showProblem(str(error), selected)

    def onShowButton(self):
        """Show the result in the views, as the switches say."""
        self._show(self._readViewState())

    def onSaveReportButton(self):
        """Save pictures and numbers of the result as a page."""

        def savePage(nodes, report):
            report = report | {"review": read_review(nodes.transform)}
            return choose_and_save_page(self.parent, nodes, report, read_tolerances())

        self._save(savePage)

    def onCsvButton(self):
        """Save the numbers of the result as a CSV file."""
        self._save(lambda nodes, report: choose_and_save_csv(self.parent, nodes, report))

    def _save(self, save):
        try:
            path = save(*self._readResult())
        except InputError as error:
            self._showProblem(str(error), read_selected_nodes(self._parameterNode))
            return
        if path is not None:
            slicer.util.showStatusMessage(translate("LightRegistration", "Saved {path}.").format(path=path), 5000)

    def onCopyButton(self):
        """Copy the numbers of the result, for spreadsheets."""
        try:
            copy_numbers(self._readResult()[1])
        except InputError as error:
            self._showProblem(str(error), read_selected_nodes(self._parameterNode))
            return
        slicer.util.showStatusMessage(translate("LightRegistration", "Copied the numbers."), 5000)

    def onTableButton(self):
        """Add the numbers of the result to the scene as a table."""
        try:
            node = add_table_node(*self._readResult())
        except InputError as error:
            self._showProblem(str(error), read_selected_nodes(self._parameterNode))
            return
        line = translate("LightRegistration", "Added the table {name}; the Tables module shows it.")
        slicer.util.showStatusMessage(line.format(name=node.GetName()), 5000)

    def _readResult(self):
        """Return the nodes and the numbers of the result, with those of the landmarks. Raises InputError."""
        report, landmarks = json.loads(self._parameterNode.report), measure_landmarks(self._parameterNode)
        if landmarks is not None:
            report = report | {"landmarks": landmarks}
        return find_registration_nodes(self._parameterNode.result), report

    def onResult(self, registered):
        """Store the result in the parameter node, which shows its numbers."""
        parameters = self.logic.getParameterNode()
        self._followed = None  # also a result in the same nodes is a new one
        store_seconds(registered.report)
        self.refineBox.set_items(list_refinement_items(read_seconds()))
        with slicer.util.NodeModify(parameters.parameterNode):  # one event, and one update of the panel
            parameters.report = json.dumps(registered.report)
            parameters.picture = Picture.AFTER.value
            parameters.result = registered.nodes.transform

    def onEnd(self, registered, outcome):
        """Show the result in the views, and how the registration ended."""
        slicer.util.showStatusMessage(self.logic.run_state.end.line, 5000)
        if self._parameterNode is not None:
            self._updateViews()
            self.refresh()
            self._warmUp(read_selected_nodes(self._parameterNode))

    def onLoadButton(self, parameter, load):
        """Load a file and choose the loaded node."""
        try:
            node = load(self.parent, list_load_titles()[parameter])
        except InputError as error:
            self._showProblem(str(error), read_selected_nodes(self._parameterNode))
        else:
            if node is not None:
                setattr(self._parameterNode, parameter, node)

    def _showProblem(self, line, selected):
        slicer.util.showStatusMessage(line, 5000)
        self.logic.note_problem(line, selected)

    def _warmUp(self, selected):
        """Start the worker before the user presses Register."""
        if selected.find_problem() is None:
            self.logic.warm_up()

    def _readViewState(self):
        result = self._parameterNode.result
        nodes = None if result is None else find_registration_nodes(result)
        return (result, read_view_content(self._parameterNode, nodes))

    def _readPreviewContent(self):
        """Return what the views show beside a preview; None while another module is open."""
        return None if self._parameterNode is None else read_switches(self._parameterNode)

    def _updateViews(self):
        wanted = self._readViewState()
        if wanted != self._followed:
            self._show(wanted)

    def _show(self, wanted):
        self._followed = wanted
        try:
            self.logic.show(*wanted)
        except InputError as error:
            self._showProblem(str(error), read_selected_nodes(self._parameterNode))

    def onViewError(self, line):
        """Say why the views do not show what the switches say."""
        if self._parameterNode is not None:
            self._showProblem(line, read_selected_nodes(self._parameterNode))

    def _setter(self, parameter):
        def setParameter(value):
            if self._parameterNode is not None:
                setattr(self._parameterNode, parameter, value)

        return setParameter


class LightRegistrationTest(LightRegistrationScenarios, ScriptedLoadableModuleTest):
    """The self-test: scenarios on a synthetic pair of volumes; runs in Slicer and without it."""
