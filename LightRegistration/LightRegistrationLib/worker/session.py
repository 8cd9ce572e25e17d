"""One worker process and its session folder; the end of the session kills the process and removes the folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .protocol import LOG_FILE, MESSAGE_FILE
from .removal import remove_some

_REAP_SECONDS = 0.3
_LOG_TAIL_CHARACTERS = 4000


class WorkerSession:
    """A running worker process and the private folder for its messages and arrays."""

    def __init__(
        self, command: list[str], arguments: list[str], environment: Mapping[str, str], working_folder: Path
    ) -> None:
        """Start `command`, followed by the session folder and `arguments`, in the working folder; returns at once.

        Raises OSError if it cannot be started.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="LightRegistration-"))
        try:
            self._process = _start_process(
                [*command, str(self.folder), *arguments], self.folder, environment, working_folder
            )
        except OSError:
            shutil.rmtree(self.folder)
            raise
        self._read_bytes = 0
        # Also runs at the exit of the interpreter: neither the process nor patient data may outlive the application.
        self._finalizer = weakref.finalize(self, _close, self._process, self.folder)

    @property
    def process_id(self) -> int:
        """The ID of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; negative for the signal that ended it (POSIX)."""
        return self._process.poll()

    def send(self, line: str) -> None:
        """Write one request line; a process that has exited is noticed by its exit code, not here."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(line.encode("utf-8"))
            self._process.stdin.flush()

    def read_new_lines(self) -> list[str]:
        """Return the complete lines that the worker has written since the last call."""
        path = self.folder / MESSAGE_FILE
        if not path.exists():
            return []
        with open(path, "rb") as file:
            file.seek(self._read_bytes)
            written = file.read()
        whole = written[: written.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        return whole.decode("utf-8").splitlines()

    def read_log_tail(self) -> str:
        """Return the end of the output of the process."""
        text = (self.folder / LOG_FILE).read_text(encoding="utf-8", errors="replace")
        return text[-_LOG_TAIL_CHARACTERS:].strip()

    def kill(self) -> None:
        """Kill the process and return; `clean_next` removes what it leaves."""
        _kill(self._process)

    def clean_next(self) -> bool:
        """Remove some of the folder of a killed process; returns whether nothing is left. Never waits."""
        # The memory of a large process takes a while to be freed, and what it writes until then comes back.
        if self._process.poll() is None or not remove_some(self.folder):
            return False
        self._finalizer.detach()
        return True

    def close(self) -> None:
        """Kill the process and remove the folder, all at once."""
        self._finalizer()


def _start_process(
    command: list[str], folder: Path, environment: Mapping[str, str], working_folder: Path
) -> subprocess.Popen[bytes]:
    with open(folder / LOG_FILE, "wb") as log:
        return subprocess.Popen(
            command,
            env=dict(environment),
            # `python -m` searches it first: the user's folder or an installed copy must not be imported instead.
            cwd=working_folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            **_new_process_group(),
        )


def _new_process_group() -> dict[str, Any]:
    """Options of Popen for a process group: PythonSlicer is a launcher with a child, and both must be killed."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined]
    return {"start_new_session": True}


def _close(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _REAP_SECONDS
    _kill(process)
    with contextlib.suppress(subprocess.TimeoutExpired):  # killed, but its memory is still being freed
        process.wait(timeout=_REAP_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    # On Windows the files stay locked until the child of the launcher has exited, too.
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
        shutil.rmtree(folder, ignore_errors=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        _kill_tree(process)
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # the process may have exited
        process.stdin.close()


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    if os.name == "nt":
        flags = subprocess.CREATE_NO_WINDOW  # type: ignore[attr-defined]
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], creationflags=flags, check=False)
        return
    with contextlib.suppress(ProcessLookupError):  # it may exit between poll and kill
        os.killpg(process.pid, signal.SIGKILL)
