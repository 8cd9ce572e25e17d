"""The worker as Slicer starts it: below PythonSlicer, from any folder, with files that Windows can remove."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import weakref
from pathlib import Path

from LightRegistrationLib.core.result.progress import ProgressUpdate, Stage
from LightRegistrationLib.worker.client import WorkerClient
from LightRegistrationLib.worker.protocol import (
    FieldFound,
    Finished,
    ProgressMade,
    Ready,
    RegistrationReply,
    WorkerExited,
    prepare_request,
)
from LightRegistrationLib.worker.server import answer

from ..processes import ends, paused


def launcher(folder: Path) -> str:
    """A stand-in for PythonSlicer: passes standard input on and reports a crash of its child as the real one does."""
    path = folder / "PythonSlicer"
    path.write_text(
        textwrap.dedent(
            f"""\
            #!{sys.executable}
            import subprocess, sys
            code = subprocess.call([{sys.executable!r}, *sys.argv[1:]])
            if code < 0:
                sys.exit("error: [python-real] exit abnormally - Report the problem.")
            sys.exit(code)
            """
        )
    )
    path.chmod(0o755)
    return str(path)


def child_of(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/task/{process_id}/children").read_text(encoding="utf-8").split()[0])


def test_a_worker_below_a_launcher_answers_reports_its_crash_and_is_killed_with_it(
    tmp_path, watched, model_folder, request_of_blobs, long_request
):
    client = watched.client = WorkerClient(launcher(tmp_path), model_folders=(model_folder,))
    try:
        assert isinstance(watched.wait(request_id=client.submit(request_of_blobs)), Finished)
        watched.wait(ProgressMade, client.submit(long_request))
        os.kill(child_of(client.process_id), signal.SIGKILL)
        exited = watched.wait(WorkerExited)
        assert "memory ran out" in exited.line
        assert "\n" not in exited.line

        client.start()
        watched.wait(Ready)
        child = child_of(client.process_id)
        with paused(child):
            client.kill()
            assert ends(child)
    finally:
        client.close()


def test_modules_in_the_users_folder_are_not_imported(tmp_path, watched, monkeypatch):
    (tmp_path / "LightRegistrationLib").mkdir()
    for name in ("LightRegistrationLib/__init__.py", "queue.py", "faulthandler.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong file was imported')\n")
    monkeypatch.chdir(tmp_path)
    watched.client.start()
    assert isinstance(watched.wait((Ready, WorkerExited)), Ready)


def test_a_request_is_released_before_the_client_may_remove_its_files(tmp_path, request_of_blobs):
    """Windows cannot remove a file that is mapped."""
    seen = []

    class Outbox:
        def send(self, message):
            seen.append((type(message), requests[0]() is None))

    requests = []

    def run_request(request, progress, on_field, on_preview_field):
        requests.append(weakref.ref(request))
        progress(ProgressUpdate(0.5, Stage.NETWORK))
        on_field("result", {})
        return RegistrationReply("result", "warped", None, {})

    line, arrays = prepare_request(1, request_of_blobs, tmp_path)
    while not arrays.write_next():
        pass
    answer(line, tmp_path, Outbox(), run_request)
    assert seen == [(ProgressMade, False), (FieldFound, False), (Finished, True)]
    assert not list(tmp_path.glob("request-*")), "the client would need long to remove large files"
