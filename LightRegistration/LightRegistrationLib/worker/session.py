"""One worker process with its private folder: started once, ended once, nothing left behind."""

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

_REAP_SECONDS = 0.3
_LOG_TAIL_CHARACTERS = 4000


class WorkerSession:
    """A running worker process and the folder that it shares with this one."""

    def __init__(
        self, command: list[str], arguments: list[str], environment: Mapping[str, str], working_folder: Path
    ) -> None:
        """Start `command` in the working folder, with the session folder and `arguments` behind it; returns at once.

        Raises OSError where it cannot be started.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="LightRegistration-"))
        try:
            self._process = _started([*command, str(self.folder), *arguments], self.folder, environment, working_folder)
        except OSError:
            shutil.rmtree(self.folder)
            raise
        self._read_bytes = 0
        # Also runs when the interpreter ends: neither process nor patient data outlives the application.
        self._finalizer = weakref.finalize(self, _end, self._process, self.folder)

    @property
    def process_id(self) -> int:
        """The number of the process that was started."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; negative for the signal that ended it (POSIX)."""
        return self._process.poll()

    def send(self, line: str) -> None:
        """Pass one request line on; a process that is gone is noticed by its exit code, not here."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(line.encode("utf-8"))
            self._process.stdin.flush()

    def new_lines(self) -> list[str]:
        """The whole lines that the worker has written since the last call."""
        path = self.folder / MESSAGE_FILE
        if not path.exists():
            return []
        with open(path, "rb") as file:
            file.seek(self._read_bytes)
            written = file.read()
        whole = written[: written.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        return whole.decode("utf-8").splitlines()

    def log_tail(self) -> str:
        """The end of what the process printed."""
        text = (self.folder / LOG_FILE).read_text(encoding="utf-8", errors="replace")
        return text[-_LOG_TAIL_CHARACTERS:].strip()

    def end(self) -> None:
        """End the process at once, whatever it does, and remove the folder."""
        self._finalizer()


def _started(
    command: list[str], folder: Path, environment: Mapping[str, str], working_folder: Path
) -> subprocess.Popen[bytes]:
    with open(folder / LOG_FILE, "wb") as log:
        return subprocess.Popen(
            command,
            env=dict(environment),
            # `python -m` looks into it first: neither the user's folder nor an installed copy may come before ours.
            cwd=working_folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            **_own_group(),
        )


def _own_group() -> dict[str, Any]:
    """PythonSlicer is a launcher with the interpreter as its child: in one group both can be killed."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined]
    return {"start_new_session": True}


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _REAP_SECONDS
    if process.poll() is None:
        _kill_tree(process)
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # the reader may be gone
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):  # killed, but still giving its memory back
        process.wait(timeout=_REAP_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    # Windows keeps the files of a process that is still ending, below a launcher that has ended.
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
        shutil.rmtree(folder, ignore_errors=True)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    if os.name == "nt":
        flags = subprocess.CREATE_NO_WINDOW  # type: ignore[attr-defined]
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], creationflags=flags, check=False)
        return
    with contextlib.suppress(ProcessLookupError):  # it may end between the look and the kill
        os.killpg(process.pid, signal.SIGKILL)
