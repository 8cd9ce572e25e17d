"""The logic of the module: registers nodes of the scene and shows the result, with or without the panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import slicer
from slicer import (
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTransformNode,
)
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from ..core.errors import InputError
from ..core.geometry.transforms import DisplacementField
from ..core.result.progress import Progress, ProgressUpdate, Stage, ignore_progress
from ..core.result.settings import DEFAULT_SETTINGS, RegistrationSettings
from ..scene.nodes.results import RegistrationNodes
from ..worker.protocol import RegistrationReply
from .checking.result_table import format_completion
from .inputs.selected_nodes import SelectedNodes
from .parameters import LightRegistrationParameterNode
from .running import environment
from .running.outputs import PublishedResult, publish_reply
from .running.runner import Outcome, RegistrationRunner
from .running.series import SeriesChoice, SeriesEnd, SeriesRun
from .state import RunEnd, RunState
from .translation import translate
from .views.slice_views import ResultViews
from .views.view_content import ViewContent, adopt_earlier_switches


def ask_for_no_preview() -> ViewContent | None:
    """Show nothing before the result is complete."""
    return None


def ignore_result(published: PublishedResult) -> None:
    """Do nothing with a result before the end."""


class LightRegistrationLogic(ScriptedLoadableModuleLogic):
    """Registers nodes of the scene, with or without the panel.

    In a script: `slicer.util.getModuleLogic("LightRegistration").register(fixed, moving)`.
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._runner = RegistrationRunner(slicer.mrmlScene, environment.find_python_executable())
        self.on_change: Callable[[], None] | None = None
        self.on_view_error: Callable[[str], None] | None = None
        self._run_state = RunState()
        application_logic = slicer.app.applicationLogic()
        self._views = ResultViews(slicer.mrmlScene, application_logic, self._tell_change, self._tell_view_error)

    def getParameterNode(self):
        """Return the module's parameters, typed."""
        node = super().getParameterNode()
        adopt_earlier_switches(node)
        return LightRegistrationParameterNode(node)

    @property
    def run_state(self) -> RunState:
        """What this logic is doing, and how the latest attempt ended."""
        return self._run_state

    def _set_run_state(self, state: RunState) -> None:
        self._run_state = state
        self._tell_change()

    def _tell_change(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def _tell_view_error(self, line: str) -> None:
        if self.on_view_error is not None:
            self.on_view_error(line)

    def note_problem(self, line: str, selected: SelectedNodes) -> None:
        """Keep one line on an attempt that failed before anything was registered."""
        self._set_run_state(RunState(end=RunEnd(line, True, selected)))

    def forget_end_of_others(self, selected: SelectedNodes) -> None:
        """Forget how the latest attempt ended if other nodes were chosen for it."""
        end = self._run_state.end
        if end is not None and end.selected != selected:
            self._run_state = replace(self._run_state, end=None)

    def is_shown(self, transform: vtkMRMLTransformNode, content: ViewContent) -> bool:
        """Whether all slice views show exactly this of a result."""
        return self._views.is_showing(transform, content)

    @property
    def is_busy(self) -> bool:
        """Whether a registration is running."""
        return self._runner.is_busy

    @property
    def worker_process_id(self) -> int | None:
        """The ID of the worker process, None if there is none."""
        return self._runner.worker_process_id

    def start(
        self,
        selected: SelectedNodes,
        settings: RegistrationSettings,
        on_end: Callable[[PublishedResult | None, Outcome], None],
        on_progress: Progress = ignore_progress,
        preview: Callable[[], ViewContent | None] = ask_for_no_preview,
        replaced: RegistrationNodes | None = None,
        check_consistency: bool = False,
        on_result: Callable[[PublishedResult], None] = ignore_result,
    ) -> None:
        """Start a registration and return; `on_end` is called once, with the new nodes or None.

        preview: called with each deformation (first the network's, then the refined one), seconds before the result is
        complete; returns what the views show beside the preview, or None for no preview. replaced: an earlier result
        whose nodes take the new one, unless others are selected. check_consistency: also register in the opposite
        direction, and report how well both agree. on_result: called with the new nodes, in the turn of the event loop
        before that of `on_end`.
        Raises InputError, with one line for the user, for nodes that cannot be registered.
        """
        problem = selected.find_problem()
        if problem is not None:
            raise InputError(problem)
        self._ensure_packages()

        published: list[PublishedResult] = []
        problems: list[str] = []

        def publish(reply: RegistrationReply) -> Iterator[None]:
            try:
                published.append(publish_reply(slicer.mrmlScene, selected, reply, replaced))
            except InputError as error:
                problems.append(str(error))
                return
            yield
            self._views.replace_preview(published[0].nodes)
            yield
            self._run_state = RunState(end=RunEnd(format_completion(reply.report), False, selected, has_result=True))
            on_result(published[0])
            yield

        def end(outcome: Outcome) -> None:
            outcome = Outcome(line=problems[0]) if problems else outcome
            if not published:
                self._run_state = RunState(end=RunEnd(outcome.line, not outcome.canceled, _find_remaining(selected)))
                self._views.end_preview()
            self._tell_change()
            on_end(published[0] if published else None, outcome)

        def show_progress(update: ProgressUpdate) -> None:
            self._set_run_state(RunState(progress=update))
            on_progress(update)

        def show_preview(field: DisplacementField) -> None:
            content = preview()
            if content is not None:
                self._views.show_preview(selected, request.moving.affine, field, content)

        request = selected.make_request(settings, check_consistency)
        self._runner.start(request, end, show_progress, show_preview, tuple(selected.list_inputs()), publish)
        self._set_run_state(RunState(progress=ProgressUpdate(0.0, Stage.STARTING)))

    def start_series(
        self,
        choice: SeriesChoice,
        settings: RegistrationSettings,
        selected: SelectedNodes | None = None,
        on_end: Callable[[SeriesEnd], None] = lambda end: None,
    ) -> None:
        """Register every frame of a sequence to one of them and return; `on_end` is called once, with the new nodes.

        settings: of each registration; the frames are taken where they are. selected: what the panel shows beside it.
        Raises InputError, with one line for the user, for a sequence that cannot be registered.
        """
        problem = choice.find_problem()
        if problem is not None:
            raise InputError(problem)
        self._ensure_packages()

        def show_progress(number: int, update: ProgressUpdate) -> None:
            part = translate("LightRegistration", "Frame {number}:").format(number=number)
            self._set_run_state(RunState(progress=update, part=part))

        def end(result: SeriesEnd) -> None:
            # has_result: what the panel shows of a pair stays valid.
            remaining = _find_remaining(selected or SelectedNodes())
            shown = RunEnd(result.line, result.is_error, remaining, has_result=True)
            self._set_run_state(RunState(end=shown))
            on_end(result)

        run = SeriesRun(self._runner, choice, settings, show_progress, end)
        self._set_run_state(RunState(progress=ProgressUpdate(0.0, Stage.STARTING)))
        try:
            run.start()
        except InputError:
            self._set_run_state(RunState())
            raise

    def _ensure_packages(self) -> None:
        if not environment.find_missing_packages():
            return
        # Slicer handles events while packages are installed: the button must not be pressed a second time.
        self._set_run_state(RunState(is_starting=True))
        try:
            environment.ensure_packages()
        finally:
            self._set_run_state(RunState())

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
    ) -> PublishedResult:
        """Register and wait for the result; windows respond meanwhile.

        Masks: where the volumes are compared. Returns the new nodes and the numbers.
        Raises InputError if there is no result, TimeoutError (and cancels) if it takes longer than `timeout_s`.
        """
        ends: list[tuple[PublishedResult | None, Outcome]] = []
        selected = SelectedNodes(
            fixed, moving, fixed_segmentation, moving_segmentation, fixed_mask=fixed_mask, moving_mask=moving_mask
        )
        self.start(selected, settings, lambda registered, outcome: ends.append((registered, outcome)))
        try:
            self._runner.wait(timeout_s)
        finally:
            self._runner.cancel()
        registered, outcome = ends[0]
        if registered is None:
            raise InputError(outcome.line)
        return registered

    def show(self, transform: vtkMRMLTransformNode | None, content: ViewContent) -> None:
        """Show a result in the slice views: picture, overlay and deformation grid.

        With many structures or voxels the rest is shown in further turns of the event loop. Raises InputError for what
        cannot be shown; in a later turn, `on_view_error` is called.
        """
        self._views.show(transform, content)

    def finish_showing(self) -> None:
        """Show at once what is left for later turns of the event loop, as before a screenshot. Raises InputError."""
        self._views.finish()

    def show_opaque(self, on: bool) -> None:
        """Show the moving or warped volume of the shown result alone; off: over the fixed one, as before."""
        self._views.show_opaque(on)

    @property
    def foreground_opacity(self) -> float | None:
        """How opaque the views show the moving or warped volume, 0 to 1; None without a result in the views."""
        return self._views.foreground_opacity

    def set_foreground_opacity(self, opacity: float) -> None:
        """Show the moving or warped volume more or less opaque over the fixed one."""
        self._views.set_foreground_opacity(opacity)

    def warm_up(self) -> None:
        """Start the worker in the background, unless packages are missing: `start` reports them.

        Raises InputError if the worker cannot be started.
        """
        if not environment.find_missing_packages():
            self._runner.warm_up()

    def wait(self, timeout_s: float = 600.0) -> None:
        """Return when no registration is running; windows respond meanwhile. Raises TimeoutError."""
        self._runner.wait(timeout_s)

    def cancel(self) -> None:
        """Cancel the running registration at once."""
        self._runner.cancel()

    def close(self) -> None:
        """End the worker and restore the views."""
        self._runner.close()
        self._views.close()


def _find_remaining(selected: SelectedNodes) -> SelectedNodes:
    """Return the selected nodes as they are when the panel shows them: after the scene is closed, none."""
    return SelectedNodes() if slicer.mrmlScene.IsClosing() else selected
