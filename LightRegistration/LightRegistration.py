"""Deformable registration of two volumes as a 3D Slicer module; everything but the glue is in LightRegistrationLib."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Union

import slicer
import vtk
from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTransformNode,
)
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.result.progress import Progress, ProgressUpdate, Stage, ignore_progress
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.panel.choices import (
    CheckList,
    ChoiceBox,
    initial_items,
    model_items,
    refinement_items,
)
from LightRegistrationLib.panel.environment import ensure_packages, find_missing_packages, python_executable
from LightRegistrationLib.panel.file_dialogs import choose_and_load_segmentation, choose_and_load_volume
from LightRegistrationLib.panel.inputs import (
    Choice,
    list_preservable_segments,
    read_preserved_segments,
    read_selected_nodes,
    read_settings,
)
from LightRegistrationLib.panel.outputs import Registered, publish
from LightRegistrationLib.panel.result_table import format_completion
from LightRegistrationLib.panel.runner import Outcome, RegistrationRunner
from LightRegistrationLib.panel.self_test.scenarios import LightRegistrationScenarios
from LightRegistrationLib.panel.slice_views import Layers, ResultViews
from LightRegistrationLib.panel.widget_states import PanelWidgets


class LightRegistration(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("LightRegistration")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        self.parent.dependencies = []
        self.parent.contributors = ["The LightRegistration developers"]
        self.parent.helpText = _(
            "Deforms a moving volume so that it matches a fixed one, in about a second on an ordinary CPU.<br>"
            "Choose two volumes and press Register. With a segmentation of each, the module also shows how well "
            "the structures match before and after. Your own data is never changed: the deformation, the warped "
            "volume and the warped segmentation are new nodes."
        )
        self.parent.acknowledgementText = _(
            "The method follows Tran et al., Light-weight Deformable Registration using Adversarial Learning with "
            "Distilling Knowledge, IEEE Transactions on Medical Imaging, 2022."
        )


# Slicer's connectors know a Union with None, but not the newer A | B.
SegmentationOrLabels = Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007


@parameterNodeWrapper
class LightRegistrationParameterNode:
    """What the user chose and what came of it; saved with the scene.

    Masks: where the volumes are compared, None for everywhere. keepVolume: names of moving segments, one in each line.
    An output that is None is created anew by each run. result: the transform of the latest run, which refers to
    everything that belongs to it. report: its numbers as JSON.
    """

    fixedVolume: vtkMRMLScalarVolumeNode
    movingVolume: vtkMRMLScalarVolumeNode
    fixedSegmentation: SegmentationOrLabels
    movingSegmentation: SegmentationOrLabels
    model: str = "auto"
    initial: str = "affine"
    refine: str = "none"
    fixedMask: SegmentationOrLabels
    movingMask: SegmentationOrLabels
    keepVolume: str = ""
    outputTransform: vtkMRMLTransformNode
    outputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    result: vtkMRMLTransformNode
    report: str = ""
    showAfter: bool = True
    showGrid: bool = False
    showOutlines: bool = True
    showMatch: bool = False


class LightRegistrationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Connects the panel's widgets with the parameter node and the logic."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.view = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._endedChoice = None
        self._shown = None

    def setup(self):
        """Build the panel when the user opens the module for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/LightRegistration.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = LightRegistrationLogic()
        self.view = PanelWidgets(self.ui)
        self.modelBox = ChoiceBox(self.ui.modelBox, model_items(), self._setter("model"))
        self.initialBox = ChoiceBox(self.ui.initialBox, initial_items(), self._setter("initial"))
        self.refineBox = ChoiceBox(self.ui.refineBox, refinement_items(), self._setter("refine"))
        setKeepVolume = self._setter("keepVolume")
        self.keepList = CheckList(self.ui.keepVolumeList, lambda names: setKeepVolume("\n".join(names)))
        self._connect()
        self.initializeParameterNode()

    def _connect(self):
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        slicer.app.connect("aboutToQuit()", self.logic.close)
        self.ui.registerButton.connect("clicked()", self.onRegisterButton)
        self.ui.afterButton.connect("toggled(bool)", self._setter("showAfter"))
        for parameter, button, load in (
            ("fixedVolume", self.ui.fixedLoadButton, choose_and_load_volume),
            ("movingVolume", self.ui.movingLoadButton, choose_and_load_volume),
            ("fixedSegmentation", self.ui.fixedSegmentationLoadButton, choose_and_load_segmentation),
            ("movingSegmentation", self.ui.movingSegmentationLoadButton, choose_and_load_segmentation),
        ):
            button.connect("clicked()", lambda p=parameter, b=button, f=load: self.onLoadButton(p, b.toolTip, f))

    def cleanup(self):
        """End everything when the module is unloaded or the application closes."""
        if self.logic is None:  # setup() has failed
            return
        slicer.app.disconnect("aboutToQuit()", self.logic.close)
        self.setParameterNode(None)
        self.removeObservers()
        self.logic.close()

    def enter(self):
        """The user opens this module; models may have been added since."""
        self.modelBox.offer(model_items())
        self.initializeParameterNode()

    def exit(self):
        """The user opens another module; a registration under way goes on."""
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        """The parameter node goes with the scene."""
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        """Start over if the user is looking."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        """Read the parameters anew: they came before the nodes that they refer to."""
        if self._parameterNode is not None:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        """Make sure that there is a parameter node and that the panel shows it."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode):
        """Connect the panel with this parameter node, or with none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
            # Opening the module changes no view; only what the user does from now on.
            self._shown = self._layers()
            self.onParametersModified()

    def onParametersModified(self, caller=None, event=None):
        """Show what the parameter node says, unless a registration is under way or a scene is half loaded."""
        if slicer.mrmlScene.IsImporting():
            return
        parameters = self._parameterNode
        self.modelBox.show(parameters.model)
        self.initialBox.show(parameters.initial)
        self.refineBox.show(parameters.refine)
        self.keepList.show(list_preservable_segments(parameters), read_preserved_segments(parameters))
        if self.logic.is_busy:
            return
        choice = read_selected_nodes(self._parameterNode)
        if choice != self._endedChoice:
            self._endedChoice = None
            self.view.show_ready(choice.problem())
            self._warmUp(choice)
        self.view.show_result(json.loads(parameters.report) if parameters.result and parameters.report else None)
        self.view.select_before_or_after(parameters.showAfter)
        self._showLayers()

    def onRegisterButton(self):
        """Start, or cancel what is under way."""
        if self.logic.is_busy:
            self.logic.cancel()
            return
        parameters, choice, problem = self._parameterNode, read_selected_nodes(self._parameterNode), None
        # Slicer's windows live while packages are installed: the button must not be pressed a second time.
        self.view.show_starting()
        try:
            self.logic.start(
                choice, read_settings(parameters), self.onEnd, self.view.show_progress, self._previewLayers
            )
        except InputError as error:
            problem = str(error)
        finally:
            if self.logic.is_busy:
                self.view.show_progress(ProgressUpdate(0.0, Stage.STARTING))
            else:
                self.view.show_ready(choice.problem())
        if problem is not None:
            self._showEnd(problem, isError=True)

    def onEnd(self, registered, outcome):
        """Keep the result in the parameter node and show it."""
        if registered is not None:
            parameters = self.logic.getParameterNode()
            parameters.report = json.dumps(registered.report)
            parameters.showAfter = True
            parameters.result = registered.nodes.transform
        self._showEnd(
            outcome.line or format_completion(registered.report), isError=registered is None and not outcome.canceled
        )

    def onLoadButton(self, parameter, title, load):
        """Load a file and choose what was in it."""
        try:
            node = load(self.parent, title)
        except InputError as error:
            self._showEnd(str(error), isError=True)
        else:
            if node is not None:
                setattr(self._parameterNode, parameter, node)

    def _showEnd(self, line, isError):
        slicer.util.showStatusMessage(line, 5000)
        if self._parameterNode is None:
            return
        self._endedChoice = read_selected_nodes(self._parameterNode)
        self.onParametersModified()
        self.view.show_outcome(line, isError)
        self._warmUp(self._endedChoice)

    def _warmUp(self, choice):
        """Have the worker ready when the user presses Register; what is wrong is said then."""
        if choice.problem() is None and not find_missing_packages():
            self.logic.warm_up()

    def _layers(self):
        p = self._parameterNode
        return (p.result, Layers(after=p.showAfter, grid=p.showGrid, outlines=p.showOutlines, match=p.showMatch))

    def _previewLayers(self):
        """What a first picture is shown with, if the user is looking."""
        return None if self._parameterNode is None else self._layers()[1]

    def _showLayers(self):
        if self._layers() != self._shown:
            self._shown = self._layers()
            try:
                self.logic.show(*self._shown)
            except InputError as error:
                self.view.show_outcome(str(error), is_error=True)

    def _setter(self, parameter):
        def setParameter(value):
            if self._parameterNode is not None:
                setattr(self._parameterNode, parameter, value)

        return setParameter


DEFAULT_SETTINGS = RegistrationSettings()


def no_preview() -> Layers | None:
    """Show nothing before the result is complete."""
    return None


class LightRegistrationLogic(ScriptedLoadableModuleLogic):
    """Registers nodes of the scene, with or without the panel.

    In a script: `slicer.util.getModuleLogic("LightRegistration").register(fixed, moving)`.
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._runner = RegistrationRunner(slicer.mrmlScene, python_executable())
        self._layers = ResultViews(slicer.mrmlScene, slicer.app.applicationLogic())

    def getParameterNode(self):
        """The module's parameters, typed."""
        return LightRegistrationParameterNode(super().getParameterNode())

    @property
    def is_busy(self) -> bool:
        """Whether a registration is under way."""
        return self._runner.is_busy

    @property
    def worker_process_id(self) -> int | None:
        """The number of the worker process, None where there is none."""
        return self._runner.worker_process_id

    def start(
        self,
        choice: Choice,
        settings: RegistrationSettings,
        on_end: Callable[[Registered | None, Outcome], None],
        on_progress: Progress = ignore_progress,
        preview: Callable[[], Layers | None] = no_preview,
    ) -> None:
        """Begin a registration and return; `on_end` is called once, with the nodes that were made or None.

        preview: asked when a deformation is found, the student's and then a refined one, seconds before the result is
        complete: the layers that its first picture is shown with, or None for no picture.
        Raises InputError, in one line for the user, for what cannot be registered.
        """
        problem = choice.problem()
        if problem is not None:
            raise InputError(problem)
        ensure_packages()

        def publish_and_end(outcome: Outcome) -> None:
            try:
                registered = publish(slicer.mrmlScene, choice, outcome.reply) if outcome.reply else None
            except InputError as error:
                registered, outcome = None, Outcome(line=str(error))
            if registered is None:
                self._layers.end_preview()
            else:
                self._layers.replace_preview(registered.nodes)
            on_end(registered, outcome)

        def show_first_picture(field: DisplacementField) -> None:
            layers = preview()
            if layers is not None:
                self._layers.preview(choice, request.moving.affine, field, layers)

        request = choice.request(settings)
        self._runner.start(request, publish_and_end, on_progress, show_first_picture, tuple(choice.inputs()))

    def register(
        self,
        fixed: vtkMRMLScalarVolumeNode,
        moving: vtkMRMLScalarVolumeNode,
        *,
        fixed_segmentation: vtkMRMLSegmentationNode | None = None,
        moving_segmentation: vtkMRMLSegmentationNode | None = None,
        fixed_mask: vtkMRMLSegmentationNode | None = None,
        moving_mask: vtkMRMLSegmentationNode | None = None,
        settings: RegistrationSettings = DEFAULT_SETTINGS,
        timeout_s: float = 600.0,
    ) -> Registered:
        """Register and wait for the result; windows stay alive meanwhile.

        Masks: where the volumes are compared. Returns the new nodes and the numbers.
        Raises InputError where there is none, TimeoutError (and cancels).
        """
        ends: list[tuple[Registered | None, Outcome]] = []
        choice = Choice(
            fixed, moving, fixed_segmentation, moving_segmentation, fixed_mask=fixed_mask, moving_mask=moving_mask
        )
        self.start(choice, settings, lambda registered, outcome: ends.append((registered, outcome)))
        try:
            self._runner.wait(timeout_s)
        finally:
            self._runner.cancel()
        registered, outcome = ends[0]
        if registered is None:
            raise InputError(outcome.line)
        return registered

    def show(self, transform: vtkMRMLTransformNode | None, layers: Layers) -> None:
        """Show a result in the slice views: overlay before or after, grid, outlines, match and mismatch."""
        self._layers.show(transform, layers)

    def warm_up(self) -> None:
        """Start the worker in the background. Raises InputError where it cannot be started."""
        self._runner.warm_up()

    def wait(self, timeout_s: float = 600.0) -> None:
        """Return when nothing is under way any more; windows stay alive meanwhile. Raises TimeoutError."""
        self._runner.wait(timeout_s)

    def cancel(self) -> None:
        """End what is under way at once."""
        self._runner.cancel()

    def close(self) -> None:
        """End everything, the worker too."""
        self._runner.close()
        self._layers.close()


class LightRegistrationTest(LightRegistrationScenarios, ScriptedLoadableModuleTest):
    """The self-test: what the panel promises, tried on a made-up pair of scans; runs in Slicer and without it."""
