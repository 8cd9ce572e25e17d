"""One registration at a time in the worker process, polled by a Qt timer while it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.util import VTKObservationMixin

from ...core.errors import InputError
from ...core.geometry.transforms import DisplacementField
from ...core.result.progress import Progress, ignore_progress
from ...core.result.result import RegistrationResult
from ...scene.nodes.voxel_watch import VoxelWatch
from ...worker.client import WorkerClient
from ...worker.protocol import (
    FieldFound,
    Finished,
    Message,
    PreviewField,
    ProgressMade,
    Ready,
    Refused,
    RegistrationReply,
    RegistrationRequest,
    WorkerExited,
)
from ..translation import translate

POLL_MILLISECONDS = 15
OnField = Callable[[DisplacementField], None]
"""Called with each deformation before anything is warped with it: first the network's, then the refined one."""

OnReply = Callable[[RegistrationReply], Iterator[None]]
"""Called with the reply; does what comes before the end in parts, each in a turn of its own of the event loop."""


def ignore_field(field: DisplacementField) -> None:
    """Do nothing with a deformation; wait for the complete result."""


def ignore_reply(reply: RegistrationReply) -> Iterator[None]:
    """Do nothing with a reply before the end."""
    return iter(())


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a registration ended: with a reply, or with one line for the user that says why there is none."""

    reply: RegistrationReply | None = None
    line: str = ""
    canceled: bool = False


@dataclass(eq=False)
class _Run:
    request_id: int
    watched: tuple[Any, ...]
    voxels: VoxelWatch
    on_progress: Progress
    on_field: OnField
    on_reply: OnReply
    on_end: Callable[[Outcome], None]
    result: RegistrationResult | None = None
    reply: RegistrationReply | None = None
    parts: Iterator[None] | None = None


class RegistrationRunner(VTKObservationMixin):
    """Sends requests to the worker and passes on progress, deformations, and the outcome.

    scene: closing it, or removing an input node of a run, cancels the run and ends the worker; an idle worker stays
    ready for the next pair. python_executable: the interpreter of the worker. model_folders: searched in addition to
    the bundled models.
    """

    def __init__(self, scene: Any, python_executable: str, model_folders: tuple[Path, ...] = ()) -> None:
        VTKObservationMixin.__init__(self)
        self._scene = scene
        self._client = WorkerClient(python_executable, model_folders=model_folders)
        self._run: _Run | None = None
        self._loops: list[Any] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._poll)
        self.addObserver(scene, slicer.vtkMRMLScene.StartCloseEvent, self._on_scene_close)
        self.addObserver(scene, slicer.vtkMRMLScene.NodeRemovedEvent, self._on_node_removed)

    @property
    def is_busy(self) -> bool:
        """Whether a registration is running."""
        return self._run is not None

    @property
    def worker_process_id(self) -> int | None:
        """The ID of the worker process, None if there is none."""
        return self._client.process_id

    def warm_up(self) -> None:
        """Start the worker in the background, so that the first registration does not wait for it."""
        self._report_start_error(self._client.start)
        self._clean_up()

    def start(
        self,
        request: RegistrationRequest,
        on_end: Callable[[Outcome], None],
        on_progress: Progress = ignore_progress,
        on_field: OnField = ignore_field,
        watched: tuple[Any, ...] = (),
        on_reply: OnReply = ignore_reply,
    ) -> None:
        """Start a registration and return; Qt's event loop then calls `on_field`, `on_reply` and finally `on_end` once.

        watched: nodes whose removal from the scene cancels it, and so does a change of their voxels while they are
        written for the worker. Raises InputError if another registration is running, or if the worker cannot start.
        """
        if self.is_busy:
            raise InputError(
                translate("LightRegistration", "A registration is already running: wait for it, or cancel it.")
            )
        request_id = self._report_start_error(lambda: self._client.submit(request))
        self._run = _Run(request_id, watched, VoxelWatch(watched), on_progress, on_field, on_reply, on_end)
        self._timer.setInterval(0)
        self._timer.start()

    def cancel(self, line: str = "") -> None:
        """Cancel the running registration at once by killing the worker; the next request starts a new worker.

        Once the reply is there, it is too late: the rest is then done at once.
        """
        while self._run is not None and self._run.parts is not None:
            self._go_on(self._run)
        if self.is_busy:
            self._client.kill()
            self._end(Outcome(line=line or translate("LightRegistration", "Canceled."), canceled=True))

    def wait(self, timeout_s: float = 600.0) -> None:
        """Return when no registration is running; windows respond meanwhile.

        Raises TimeoutError; the registration then goes on.
        """
        if not self.is_busy:
            return
        loop = qt.QEventLoop()
        self._loops.append(loop)
        timeout = qt.QTimer()
        timeout.setSingleShot(True)
        timeout.connect("timeout()", loop.quit)
        timeout.start(int(timeout_s * 1000))
        loop.exec_()
        timeout.stop()
        self._loops.remove(loop)
        if self.is_busy:
            raise TimeoutError(f"the registration has not ended within {timeout_s} s")

    def close(self) -> None:
        """End the run and the worker, and stop observing the scene."""
        self.cancel()
        self._timer.stop()
        self._client.close()
        self.removeObservers()

    def _report_start_error(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except OSError as error:
            line = translate("LightRegistration", "The registration process cannot be started: {error}")
            raise InputError(line.format(error=error)) from error

    def _poll(self) -> None:
        if self._run is not None and self._run.parts is not None:
            self._go_on(self._run)
            return
        changed = self._run.voxels.find_changed() if self._run is not None and self._client.is_sending else None
        if changed is not None:
            line = translate("LightRegistration", "{name} was changed while it was read: press Register again.")
            self.cancel(line.format(name=changed.GetName()))
            return
        for message in self._client.poll():
            self._handle(message)
        if self._run is None:
            self._clean_up()
            return
        # What is left to write and to read goes on at once, after the events that wait.
        is_waiting = self._run.parts is None and not self._client.is_transferring
        self._timer.setInterval(POLL_MILLISECONDS if is_waiting else 0)

    def _handle(self, message: Message) -> None:
        if isinstance(message, WorkerExited):
            logging.error("LightRegistration's worker ended: %s\n%s", message.line, message.log)
            self._end(Outcome(line=message.line))
        elif isinstance(message, Ready):
            logging.debug("LightRegistration's worker is ready with %s", message.models)
        elif self._run is None or message.request_id != self._run.request_id:
            logging.warning("LightRegistration's worker: %s", message)
        elif isinstance(message, ProgressMade):
            self._run.on_progress(message.update)
        elif isinstance(message, Refused):
            self._end(Outcome(line=message.line))
        elif isinstance(message, PreviewField):
            self._run.on_field(message.field)
        elif isinstance(message, FieldFound):
            self._run.result = message.result
            self._run.on_field(message.result.field)
        elif isinstance(message, Finished):
            assert self._run.result is not None
            reply = RegistrationReply(self._run.result, message.warped, message.warped_segmentation, message.report)
            self._run.reply, self._run.parts = reply, self._run.on_reply(reply)
            self._go_on(self._run)

    def _go_on(self, run: _Run) -> None:
        """Do the next part of what is to be done with the reply; at last, end the run."""
        parts, run.parts = run.parts, None
        assert parts is not None
        try:
            next(parts)
        except StopIteration:
            self._end(Outcome(run.reply))
        except BaseException:
            self._clear()
            raise
        else:
            run.parts = parts

    def _end(self, outcome: Outcome) -> None:
        run, self._run = self._run, None
        self._timer.stop()
        try:
            if run is not None:
                run.on_end(outcome)
        finally:
            if not self.is_busy:  # otherwise `on_end` has started the next one
                self._clear()

    def _clear(self) -> None:
        self._run = None
        self._timer.stop()
        self._clean_up()
        for loop in self._loops:
            loop.quit()

    def _clean_up(self) -> None:
        """Let the client remove its files, also without a run: gigabytes at once would stop the event loop."""
        if self._client.is_cleaning and self._run is None:
            self._timer.setInterval(POLL_MILLISECONDS)
            self._timer.start()
        elif self._run is None:
            self._timer.stop()

    def _on_scene_close(self, _caller: Any, _event: Any) -> None:
        self.cancel(translate("LightRegistration", "The scene was closed: the registration was canceled."))

    def _on_node_removed(self, _caller: Any, _event: Any) -> None:
        if self._run is not None and not all(self._scene.IsNodePresent(node) for node in self._run.watched):
            self.cancel(
                translate("LightRegistration", "An input was removed from the scene: the registration was canceled.")
            )
