"""The section that registers every frame of a 4-D sequence to one of them, in the worker, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import slicer

from ...core.errors import InputError
from ...core.geometry.transforms import DisplacementField
from ...core.geometry.volume import Volume
from ...core.result.progress import ProgressUpdate
from ...core.result.settings import InitialAlignment, RegistrationSettings
from ...scene.display.plot import show_chart
from ...scene.nodes.landmarks import list_point_labels, read_points_mm
from ...scene.nodes.sequences import (
    add_point_plot,
    add_sequence,
    add_transform,
    add_warped,
    find_series_problem,
    make_sequence,
    make_still_field,
    measure_points,
    read_frame,
)
from ...worker.protocol import RegistrationReply, RegistrationRequest
from ..translation import translate
from .runner import Outcome, RegistrationRunner


@dataclass(frozen=True)
class SeriesChoice:
    """What is chosen for a series: a vtkMRMLSequenceNode, the number of its reference frame, and points or None.

    adds_warped: whether the frames, warped onto the reference, are added as a sequence.
    """

    sequence: Any
    reference: int
    points: Any = None
    adds_warped: bool = False

    def find_problem(self) -> str | None:
        """Return one line that says what is missing or impossible; None if the series can be registered."""
        if self.sequence is None:
            return translate("LightRegistration", "Choose a sequence of volumes.")
        problem = find_series_problem(self.sequence)
        if problem is None and self.reference >= self.sequence.GetNumberOfDataNodes():
            line = translate("LightRegistration", "{name} has the frames 0 to {last}: choose one of them.")
            return line.format(name=self.sequence.GetName(), last=self.sequence.GetNumberOfDataNodes() - 1)
        if problem is None and self.points is not None and not self.points.GetNumberOfDefinedControlPoints():
            line = translate("LightRegistration", "{name} has no points: place some in the reference frame.")
            return line.format(name=self.points.GetName())
        return problem


@dataclass(frozen=True, eq=False)
class SeriesEnd:
    """How a series ended: one line, whether it is an error, and the nodes; None for those that it does not have."""

    line: str
    is_error: bool
    transforms: Any = None
    chart: Any = None
    warped: Any = None


class SeriesRun:
    """Registers the frames one after the other; nothing is in the scene before all are done.

    The nodes of a frame are made in the turns of the event loop after it: all of them at the end would stop it.
    on_progress: called with the number of the frame and its progress within the whole series. on_end: called once.
    """

    def __init__(
        self,
        runner: RegistrationRunner,
        choice: SeriesChoice,
        settings: RegistrationSettings,
        on_progress: Callable[[int, ProgressUpdate], None],
        on_end: Callable[[SeriesEnd], None],
    ) -> None:
        self._runner, self._choice = runner, choice
        # The frames share a position; an alignment of each would only add to what the deformation has to find.
        self._settings = replace(settings, initial=InitialAlignment.NONE, keep_volume=(), follow_up=False)
        self._on_progress, self._on_end = on_progress, on_end
        self._fields: dict[int, DisplacementField] = {}
        self._transforms = make_sequence(choice.sequence)
        self._warped = make_sequence(choice.sequence) if choice.adds_warped else None
        self._problems: list[str] = []
        self._count = choice.sequence.GetNumberOfDataNodes()
        self._fixed: Volume = read_frame(choice.sequence, choice.reference)

    def start(self) -> None:
        """Start with the first frame and return. Raises InputError if a registration is running."""
        self._go_on(0)

    def _go_on(self, number: int) -> None:
        """Register this frame, or the first one after it that can be."""
        while number < self._count:
            if number == self._choice.reference:
                # The voxels are those of the user's node.
                own = replace(self._fixed, array=self._fixed.array.copy()) if self._choice.adds_warped else self._fixed
                for _part in self._keep(number, make_still_field(self._fixed.geometry), own):
                    pass
            elif self._start_frame(number):
                return
            number += 1
        self._finish()

    def _start_frame(self, number: int) -> bool:
        try:
            request = RegistrationRequest(self._fixed, read_frame(self._choice.sequence, number), self._settings)
        except InputError as error:
            self._problems.append(str(error))
            return False
        self._runner.start(
            request,
            lambda outcome: self._on_frame(number, outcome),
            lambda update: self._show_progress(number, update),
            watched=(self._choice.sequence,),
            on_reply=lambda reply: self._keep_reply(number, reply),
        )
        return True

    def _show_progress(self, number: int, update: ProgressUpdate) -> None:
        self._on_progress(number, replace(update, fraction=(number + update.fraction) / self._count))

    def _on_frame(self, number: int, outcome: Outcome) -> None:
        if outcome.canceled:
            self._on_end(SeriesEnd(outcome.line, False))
            return
        if outcome.reply is None:
            self._problems.append(f"frame {number}: {outcome.line}")
        try:
            self._go_on(number + 1)
        except InputError as error:  # the worker cannot be started again
            self._on_end(SeriesEnd(str(error), True))

    def _keep_reply(self, number: int, reply: RegistrationReply) -> Iterator[None]:
        return self._keep(number, reply.result.field, reply.warped)

    def _keep(self, number: int, field: DisplacementField, warped: Volume) -> Iterator[None]:
        """Keep what was found for a frame, in two parts."""
        series = self._choice.sequence
        self._fields[number] = field
        add_transform(self._transforms, series, number, field)
        yield
        if self._warped is not None:
            add_warped(self._warped, series, number, warped)
        yield

    def _finish(self) -> None:
        scene = self._choice.sequence.GetScene()
        if scene is None or scene.IsClosing():
            self._on_end(SeriesEnd(translate("LightRegistration", "Canceled."), False))
            return
        if len(self._fields) < 2:
            line = translate("LightRegistration", "No frame could be registered: {reason}")
            self._on_end(SeriesEnd(line.format(reason=self._problems[0]), True))
            return
        series = self._choice.sequence
        name = self._make_name(translate("LightRegistration", "{series} to frame {number} transforms"))
        logic = slicer.app.applicationLogic().GetModuleLogic("Sequences")
        self._transforms.SetName(name)
        add_sequence(series, self._transforms, logic)
        if self._warped is not None:
            self._warped.SetName(self._make_name(translate("LightRegistration", "{series} warped to frame {number}")))
            add_sequence(series, self._warped, logic)
        line = translate("LightRegistration", "{done} of {count} frames are registered to frame {number}: {name}.")
        line = line.format(done=len(self._fields), count=self._count, number=self._choice.reference, name=name)
        text = " ".join([line, *self._problems])
        end = SeriesEnd(text, False, self._transforms, self._plot_points(), self._warped)
        if end.chart is not None:
            show_chart(slicer.app.applicationLogic(), end.chart)
        self._on_end(end)

    def _make_name(self, pattern: str) -> str:
        series = self._choice.sequence
        name = pattern.format(series=series.GetName(), number=self._choice.reference)
        return str(series.GetScene().GenerateUniqueName(name))

    def _plot_points(self) -> Any:
        points = self._choice.points
        if points is None:
            return None
        title = translate("LightRegistration", "{points} over time").format(points=points.GetName())
        distances = measure_points(self._fields, read_points_mm(points))
        return add_point_plot(self._choice.sequence, distances, list_point_labels(points), title)


class SeriesForm:
    """The widgets of the section. start: called with the choice when the user presses the button."""

    def __init__(self, ui: Any, start: Callable[[SeriesChoice], None]) -> None:
        self._ui, self._start = ui, start
        self._parameters: Any = None
        ui.seriesButton.connect("clicked()", lambda: self._start(self.read_choice()))

    def read_choice(self) -> SeriesChoice:
        """Return what is chosen."""
        parameters = self._parameters
        frame = self._ui.referenceFrameBox.value
        return SeriesChoice(parameters.series, frame, parameters.seriesPoints, parameters.seriesWarped)

    def show(self, parameters: Any, is_running: bool) -> None:
        """Show whether the chosen series can be registered."""
        self._parameters = parameters
        series = parameters.series
        count = 0 if series is None else series.GetNumberOfDataNodes()
        self._ui.referenceFrameBox.setMaximum(max(count - 1, 0))
        problem = self.read_choice().find_problem()
        self._ui.seriesButton.setEnabled(problem is None and not is_running)
        self._ui.seriesLabel.setText(problem or translate("LightRegistration", "{count} frames.").format(count=count))
        self._ui.seriesSection.setEnabled(not is_running)
