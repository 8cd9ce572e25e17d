"""The client of the worker process: start it, send requests, poll its messages, kill it. No Qt, torch or thread."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.torch_environment import TORCH_ENVIRONMENT
from .array_files import ArrayWriter
from .exit_reason import describe_exit, describe_write_error
from .protocol import (
    Finished,
    IncomingMessage,
    Message,
    Refused,
    RegistrationRequest,
    WorkerExited,
    list_request_folders,
    prepare_request,
)
from .removal import remove_some
from .session import WorkerSession

_LIBRARY_PARENT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, eq=False)
class _OutgoingRequest:
    request_id: int
    line: str
    arrays: ArrayWriter


class WorkerClient:
    """Starts and controls one worker process at a time; its owner polls it.

    python_executable: an interpreter that has torch. environment: of the worker, None for that of this process.
    library_folder: holds LightRegistrationLib. model_folders: searched in addition to the bundled models.
    """

    def __init__(
        self,
        python_executable: str,
        environment: Mapping[str, str] | None = None,
        library_folder: Path = _LIBRARY_PARENT,
        model_folders: tuple[Path, ...] = (),
    ) -> None:
        self._command = [python_executable, "-m", "LightRegistrationLib.worker"]
        self._arguments = [str(folder.resolve()) for folder in model_folders]
        self._library_folder = library_folder
        self._environment = _child_environment(os.environ if environment is None else environment, library_folder)
        self._session: WorkerSession | None = None
        self._last_id = 0
        self._outgoing: deque[_OutgoingRequest] = deque()
        self._incoming: deque[IncomingMessage] = deque()
        self._leftovers: deque[Path] = deque()
        self._killed: list[WorkerSession] = []

    @property
    def is_running(self) -> bool:
        """Whether a worker process is alive."""
        return self._session is not None and self._session.exit_code is None

    @property
    def process_id(self) -> int | None:
        """The ID of the worker process, None if there is none."""
        return self._session.process_id if self._session else None

    @property
    def session_folder(self) -> Path | None:
        """The private folder for messages and arrays, None if there is no worker."""
        return self._session.folder if self._session else None

    @property
    def is_sending(self) -> bool:
        """Whether arrays of a request are still to be written; they must not change before."""
        return bool(self._outgoing)

    @property
    def is_transferring(self) -> bool:
        """Whether arrays are still to be written or read, so that the next `poll` has work to do."""
        return bool(self._outgoing or self._incoming)

    @property
    def is_cleaning(self) -> bool:
        """Whether files of finished or canceled work are still to be removed, which `poll` does."""
        return bool(self._leftovers or self._killed)

    def start(self) -> None:
        """Start the worker if none runs; returns at once, a Ready message follows within seconds.

        Raises OSError if the interpreter cannot be run.
        """
        if self.is_running:
            return
        self.kill()
        self._session = WorkerSession(self._command, self._arguments, self._environment, self._library_folder)

    def submit(self, request: RegistrationRequest) -> int:
        """Request a registration and start the worker if none runs; returns the ID that its messages carry.

        Returns before anything is written: `poll` does that. Raises OSError if the interpreter cannot be run, or if the
        temporary folder cannot be used.
        """
        self.start()
        assert self._session is not None
        self._last_id += 1
        line, arrays = prepare_request(self._last_id, request, self._session.folder)
        self._outgoing.append(_OutgoingRequest(self._last_id, line, arrays))
        return self._last_id

    def poll(self) -> list[Message]:
        """Write, read, and remove some more bytes, and return the messages since the last call; never waits.

        After an unexpected exit of the worker the last message is WorkerExited; the next request starts a new worker.
        """
        self._clean_some()
        session = self._session
        if session is None:
            return []
        exit_code = session.exit_code  # read first: a worker that has exited by now has written all its lines
        self._incoming += [IncomingMessage(line, session.folder) for line in session.read_new_lines()]
        messages = self._read_some(session)
        if exit_code is None:
            messages += self._write_some(session)
        elif not self._incoming:
            log = session.read_log_tail()
            messages.append(WorkerExited(describe_exit(exit_code, log), log))
            self.kill()
        return messages

    def _read_some(self, session: WorkerSession) -> list[Message]:
        """Return the messages that are complete, at most one with arrays, because it takes time to check them."""
        messages = []
        while self._incoming and self._incoming[0].read_next():
            incoming = self._incoming.popleft()
            messages.append(incoming.decode())
            self._remove_finished(messages[-1], session.folder)
            if incoming.has_arrays:
                break
        return messages

    def _write_some(self, session: WorkerSession) -> list[Message]:
        """Write some more of the oldest request, and send its line when all is written; returns why it cannot be."""
        if not self._outgoing:
            return []
        request = self._outgoing[0]
        try:
            if request.arrays.write_next():
                session.send(self._outgoing.popleft().line)
        except OSError as error:
            self._outgoing.popleft()
            refused = Refused(request.request_id, describe_write_error(error, session.folder.parent))
            self._remove_finished(refused, session.folder)
            return [refused]
        return []

    def _remove_finished(self, message: Message, session: Path) -> None:
        if isinstance(message, (Finished, Refused)) and message.request_id is not None:
            folders = list_request_folders(session, message.request_id)
            self._leftovers += [folder for folder in folders if not remove_some(folder)]

    def _clean_some(self) -> None:
        if self._leftovers and remove_some(self._leftovers[0]):
            self._leftovers.popleft()
        self._killed = [session for session in self._killed if not session.clean_next()]

    def kill(self) -> None:
        """Kill the worker and return; further calls of `poll` remove its folder."""
        self._outgoing.clear()
        self._incoming.clear()
        self._leftovers.clear()
        if self._session is not None:
            self._session.kill()
            self._killed.append(self._session)
            self._session = None

    def close(self) -> None:
        """Kill the worker and remove all folders at once."""
        self.kill()
        for session in self._killed:
            session.close()
        self._killed.clear()


def _child_environment(environment: Mapping[str, str], library_folder: Path) -> dict[str, str]:
    inherited = environment.get("PYTHONPATH", "")
    path = os.pathsep.join([str(library_folder), inherited] if inherited else [str(library_folder)])
    return {
        **TORCH_ENVIRONMENT,
        **environment,
        "PYTHONPATH": path,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
    }
