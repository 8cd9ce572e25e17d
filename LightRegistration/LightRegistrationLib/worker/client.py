"""The client of the worker process: start it, send requests, poll its messages, kill it. No Qt, torch or thread."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..core.torch_environment import TORCH_ENVIRONMENT
from .exit_reason import describe_exit
from .protocol import (
    Finished,
    Message,
    Refused,
    RegistrationRequest,
    WorkerExited,
    decode_message,
    encode_request,
    list_request_folders,
)
from .session import WorkerSession

_LIBRARY_PARENT = Path(__file__).resolve().parents[2]


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

        Raises OSError if the interpreter cannot be run or the temporary folder is full.
        """
        self.start()
        assert self._session is not None
        self._last_id += 1
        self._session.send(encode_request(self._last_id, request, self._session.folder))
        return self._last_id

    def poll(self) -> list[Message]:
        """Return the messages since the last call; never waits.

        After an unexpected exit of the worker the last message is WorkerExited; the next request starts a new worker.
        """
        session = self._session
        if session is None:
            return []
        exit_code = session.exit_code  # read first: a worker that has exited by now has written all its lines
        messages = [decode_message(line, session.folder) for line in session.read_new_lines()]
        for message in messages:
            _remove_finished(message, session.folder)
        if exit_code is not None:
            log = session.read_log_tail()
            messages.append(WorkerExited(describe_exit(exit_code, log), log))
            self.kill()
        return messages

    def kill(self) -> None:
        """Kill the worker and remove its folder."""
        if self._session is not None:
            self._session.close()
            self._session = None

    close = kill


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


def _remove_finished(message: Message, session: Path) -> None:
    if isinstance(message, (Finished, Refused)) and message.request_id is not None:
        for folder in list_request_folders(session, message.request_id):
            shutil.rmtree(folder, ignore_errors=True)
