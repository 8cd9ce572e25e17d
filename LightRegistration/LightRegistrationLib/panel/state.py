"""What the panel's widgets show, derived from the logic and the parameter node alone, never from what they showed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..core.result.progress import ProgressUpdate, Stage
from ..scene.display.comparison import Comparison
from ..scene.nodes.results import find_registration_nodes
from .checking.landmarks import describe_errors, has_landmarks
from .checking.place_check import PlaceRow, PlaceStep, describe_places
from .inputs.selected_nodes import SelectedNodes, read_selected_nodes
from .running.stage_labels import format_progress
from .translation import translate
from .views.view_content import Overlay, Picture, ViewContent, list_overlays, parse_report, read_view_content

DOUBLE_CLICK_S = 0.5
"""A second press of the button within this time belongs to a double click: the longest default of desktop systems."""


@dataclass(frozen=True)
class RunEnd:
    """How the latest attempt ended: one line for the user, and the nodes that were chosen for it."""

    line: str
    is_error: bool
    selected: SelectedNodes
    has_result: bool = False


@dataclass(frozen=True)
class RunState:
    """What the logic is doing.

    is_starting: packages are being installed. progress: of the running registration. part: which part of a series it
    is; empty for a pair.
    """

    is_starting: bool = False
    progress: ProgressUpdate | None = None
    part: str = ""
    end: RunEnd | None = None

    @property
    def is_running(self) -> bool:
        """Whether a registration runs or is about to."""
        return self.is_starting or self.progress is not None


@dataclass(frozen=True)
class ResultState:
    """The latest result. report: its numbers. is_old: not of the chosen inputs and the latest attempt.

    content: what the switches say. overlays: those that it has. is_shown: whether the views show what the switches say.
    can_show: whether its nodes are still there. landmarks: the target registration error, or what is wrong with the
    chosen point lists if landmarks_are_wrong; has_landmarks: whether there is such an error. places: the rows of the
    places that were checked. fade_percent: how opaque the moving or warped volume lies over the fixed one; None while
    that cannot be chosen.
    """

    report: dict[str, Any]
    is_old: bool
    content: ViewContent
    overlays: tuple[Overlay, ...]
    is_shown: bool
    can_show: bool
    landmarks: str
    landmarks_are_wrong: bool
    has_landmarks: bool
    places: tuple[PlaceRow, ...]
    fade_percent: int | None


@dataclass(frozen=True)
class PanelState:
    """What the widgets show.

    can_choose_transform: whether that of the initial alignment can be chosen. progress_percent: None without a running
    registration. place_step: of a checked place.
    """

    can_choose: bool
    can_choose_transform: bool
    button_text: str
    button_enabled: bool
    button_tip: str
    progress_percent: int | None
    status: str
    status_is_error: bool
    result: ResultState | None
    place_step: PlaceStep


def find_state(
    run: RunState,
    parameters: Any,
    is_shown: Callable[[Any, ViewContent], bool],
    place_step: PlaceStep = PlaceStep.IDLE,
    foreground_opacity: float | None = None,
) -> PanelState:
    """Return what the widgets show.

    is_shown: tells for a result's transform and a ViewContent whether the views show exactly that. foreground_opacity:
    of the moving or warped volume in the views, 0 to 1; None without a result in the views.
    """
    selected = read_selected_nodes(parameters)
    problem = selected.find_problem()
    is_running = run.is_running
    result = _find_result(run, parameters, selected, is_shown)
    if result is not None and foreground_opacity is not None and _can_fade(result, place_step):
        result = replace(result, fade_percent=round(100 * foreground_opacity))
    status, status_is_error = _find_status(run, selected, problem)
    return PanelState(
        can_choose=not is_running,
        can_choose_transform=selected.starts_with_transform,
        button_text=translate("LightRegistration", "Cancel")
        if run.progress is not None
        else translate("LightRegistration", "Register"),
        button_enabled=run.progress is not None or (problem is None and not run.is_starting),
        button_tip=_find_button_tip(run, problem),
        progress_percent=None if run.progress is None else int(100 * run.progress.fraction),
        status=status,
        status_is_error=status_is_error,
        result=result,
        place_step=place_step,
    )


def _find_status(run: RunState, selected: SelectedNodes, problem: str | None) -> tuple[str, bool]:
    if run.is_starting:
        return format_progress(ProgressUpdate(0.0, Stage.STARTING)), False
    if run.progress is not None:
        return f"{run.part} {format_progress(run.progress)}".strip(), False
    if run.end is not None and run.end.selected == selected:
        return run.end.line, run.end.is_error
    return problem or translate("LightRegistration", "Ready."), False


def _find_button_tip(run: RunState, problem: str | None) -> str:
    if run.progress is not None:
        return translate("LightRegistration", "Stop at once. No data is changed.")
    ready = translate("LightRegistration", "Deform the moving volume so that it matches the fixed volume.")
    return problem or ready


def _find_result(
    run: RunState, parameters: Any, selected: SelectedNodes, is_shown: Callable[[Any, ViewContent], bool]
) -> ResultState | None:
    if parameters.result is None or not parameters.report:
        return None
    nodes = find_registration_nodes(parameters.result)
    is_running = run.is_running
    content = read_view_content(parameters, nodes)
    landmarks, landmarks_are_wrong = describe_errors(parameters)
    has_failed = run.end is not None and not run.end.has_result and run.end.selected == selected
    return ResultState(
        report=parse_report(parameters.report),
        is_old=is_running or has_failed or nodes is None or not selected.has_inputs_of(nodes),
        content=content,
        overlays=tuple(list_overlays(parameters, nodes)),
        is_shown=nodes is not None and is_shown(parameters.result, content),
        can_show=nodes is not None and not is_running,
        landmarks=landmarks,
        landmarks_are_wrong=landmarks_are_wrong,
        has_landmarks=has_landmarks(parameters) and not landmarks_are_wrong,
        places=describe_places(parameters.result),
        fade_percent=None,
    )


def _can_fade(result: ResultState, place_step: PlaceStep) -> bool:
    is_faded = result.content.picture != Picture.FIXED and result.content.comparison == Comparison.FADE
    return result.can_show and result.is_shown and is_faded and place_step == PlaceStep.IDLE
