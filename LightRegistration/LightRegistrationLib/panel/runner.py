"""One registration at a time in the worker process, watched by a Qt timer while it is under way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ..core.errors import InputError
from ..core.geometry.transforms import DisplacementField
from ..core.result.progress import Progress, ignore_progress
from ..core.result.result import RegistrationResult
from ..worker.client import WorkerClient
from ..worker.protocol import (
    FieldFound,
    Finished,
    PreviewField,
    Message,
    ProgressMade,
    Ready,
    Refused,
    RegistrationReply,
    RegistrationRequest,
    WorkerExited,
)

POLL_MILLISECONDS = 15
OnField = Callable[[DisplacementField], None]
"""Called when a deformation is found, before anything is warped by it: the student's, and then a refined one."""


def ignore_field(field: DisplacementField) -> None:
    """Wait for the whole."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a registration ended: with a reply, or with one line that says why there is none."""

    reply: RegistrationReply | None = None
    line: str = ""
    canceled: bool = False


@dataclass(eq=False)
class _Run:
    request_id: int
    watched: tuple[Any, ...]
    on_progress: Progress
    on_field: OnField
    on_end: Callable[[Outcome], None]
    result: RegistrationResult | None = None


class RegistrationRunner(VTKObservationMixin):
    """Sends requests to the worker and tells how they go.

    scene: its closing ends the worker, and removal of a run's input node ends the run. python_executable: what the
    worker runs on. model_folders: searched besides the bundled models.
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
        """Whether a registration is under way."""
        return self._run is not None

    @property
    def worker_process_id(self) -> int | None:
        """The number of the worker process, None where none was started."""
        return self._client.process_id

    def warm_up(self) -> None:
        """Start the worker in the background, so that the first registration need not wait for it."""
        self._started(self._client.start)

    def start(
        self,
        request: RegistrationRequest,
        on_end: Callable[[Outcome], None],
        on_progress: Progress = ignore_progress,
        on_field: OnField = ignore_field,
        watched: tuple[Any, ...] = (),
    ) -> None:
        """Begin a registration and return; `on_field` and then once `on_end` are called from Qt's event loop.

        watched: nodes whose removal from the scene ends it. Raises InputError while another one is under way and
        where the worker cannot be started.
        """
        if self.is_busy:
            raise InputError(_("A registration is under way: wait for it or cancel it."))
        request_id = self._started(lambda: self._client.submit(request))
        self._run = _Run(request_id, watched, on_progress, on_field, on_end)
        self._timer.start()

    def cancel(self, line: str = "") -> None:
        """End what is under way at once by killing the worker; the next request starts a new one."""
        if self.is_busy:
            self._client.kill()
            self._end(Outcome(line=line or _("Canceled."), canceled=True))

    def wait(self, timeout_s: float = 600.0) -> None:
        """Return when nothing is under way any more; windows stay alive meanwhile.

        Raises TimeoutError, with the registration still under way.
        """
        if not self.is_busy:
            return
        loop = qt.QEventLoop()
        self._loops.append(loop)
        alarm = qt.QTimer()
        alarm.setSingleShot(True)
        alarm.connect("timeout()", loop.quit)
        alarm.start(int(timeout_s * 1000))
        loop.exec_()
        alarm.stop()
        self._loops.remove(loop)
        if self.is_busy:
            raise TimeoutError(f"the registration has not ended within {timeout_s} s")

    def close(self) -> None:
        """End everything: the run, the worker, the observation of the scene."""
        self.cancel()
        self._client.close()
        self.removeObservers()

    def _started(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except OSError as error:
            raise InputError(_("The registration process cannot be started: {error}").format(error=error)) from error

    def _poll(self) -> None:
        for message in self._client.poll():
            self._handle(message)

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
            self._end(Outcome(reply))

    def _end(self, outcome: Outcome) -> None:
        run, self._run = self._run, None
        self._timer.stop()
        try:
            if run is not None:
                run.on_end(outcome)
        finally:
            for loop in self._loops:
                loop.quit()

    def _on_scene_close(self, _caller: Any, _event: Any) -> None:
        self.cancel(_("The scene was closed: the registration was canceled."))
        self._client.kill()

    def _on_node_removed(self, _caller: Any, _event: Any) -> None:
        if self._run is not None and not all(self._scene.IsNodePresent(node) for node in self._run.watched):
            self.cancel(_("An input was removed from the scene: the registration was canceled."))
