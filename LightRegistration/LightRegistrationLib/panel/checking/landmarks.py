"""Landmarks of both volumes: the target registration error before and after, in words and for the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import slicer
from slicer.util import VTKObservationMixin

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray
from ...core.metrics.landmarks import measure_landmark_errors
from ...core.report.build import describe_landmarks
from ...core.report.definition import LandmarksReport
from ...scene.nodes.landmarks import map_to_fixed, map_to_moving, read_landmarks_mm
from ..translation import translate
from ..views.view_content import Picture, read_switches


def has_landmarks(parameters: Any) -> bool:
    """Whether there is a result, and a point list is chosen in each volume."""
    return None not in (parameters.result, parameters.fixedLandmarks, parameters.movingLandmarks)


def measure_landmarks(parameters: Any) -> LandmarksReport | None:
    """Measure the chosen landmarks with the transform of the latest result; None unless both lists are chosen.

    Raises InputError for lists that do not correspond.
    """
    if not has_landmarks(parameters):
        return None
    transform = parameters.result
    points, counterparts = read_landmarks_mm(transform, parameters.fixedLandmarks, parameters.movingLandmarks)
    before = measure_landmark_errors(points, counterparts)
    after = measure_landmark_errors(map_to_moving(transform, points), counterparts)
    return describe_landmarks(len(points), before, after)


def find_error_lines(parameters: Any) -> tuple[FloatArray, FloatArray] | None:
    """Return from where to where the lines of the landmarks' errors go, two arrays (n, 3), RAS mm in the fixed volume.

    They begin at the fixed landmarks, and end where the shown picture has the moving ones. None without corresponding
    landmarks, or if they are switched off.
    """
    transform, fixed, moving = parameters.result, parameters.fixedLandmarks, parameters.movingLandmarks
    if not parameters.showErrorLines or None in (transform, fixed, moving):
        return None
    try:
        points, counterparts = read_landmarks_mm(transform, fixed, moving)
    except InputError:  # the label says what is wrong
        return None
    is_before = read_switches(parameters).picture == Picture.BEFORE
    return points, counterparts if is_before else map_to_fixed(transform, counterparts)


def describe_errors(parameters: Any) -> tuple[str, bool]:
    """Return the text about the landmarks, and whether it is a problem that the user has to solve."""
    try:
        report = measure_landmarks(parameters)
    except InputError as error:
        return str(error), True
    if report is None:
        line = translate("LightRegistration", "Choose a point list in each volume; points are paired in their order.")
        return line, False
    text = translate(
        "LightRegistration",
        "Target registration error of {count} landmarks:\n"
        "before: mean {mean_before} mm, largest {max_before} mm\n"
        "after: mean {mean_after} mm, largest {max_after} mm",
    )
    numbers = {
        f"{key}_{moment}": f"{report[moment][f'{key}_mm']:.2f}"  # type: ignore[literal-required]
        for moment in ("before", "after")
        for key in ("mean", "max")
    }
    return text.format(count=report["count"], **numbers), False


class MarkupsFollower(VTKObservationMixin):
    """Calls `on_change` when points of the followed markups nodes are placed, moved or removed."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._on_change = on_change
        self._followed: list[Any] = []

    def follow(self, nodes: Iterable[Any]) -> None:
        """Follow these nodes alone; None and repeated nodes are skipped."""
        wanted: list[Any] = []
        for node in nodes:
            if node is not None and node not in wanted:
                wanted.append(node)
        if wanted == self._followed:
            return
        self.removeObservers()
        self._followed = wanted
        kind = slicer.vtkMRMLMarkupsNode
        for node in wanted:
            for event in (kind.PointModifiedEvent, kind.PointRemovedEvent, kind.PointPositionDefinedEvent):
                self.addObserver(node, event, self._tell)

    def _tell(self, _caller: Any, _event: Any) -> None:
        self._on_change()
