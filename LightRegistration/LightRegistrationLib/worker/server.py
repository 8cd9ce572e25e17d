"""The loop of the worker process: it runs one request after another, sends messages, and exits with its parent."""

from __future__ import annotations

import faulthandler
import gc
import io
import os
import queue
import shutil
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..core.errors import InputError
from ..core.geometry.transforms import DisplacementField
from ..core.models.cards import get_model_folders
from ..core.report.definition import Report
from ..core.result.progress import Progress
from ..core.result.result import RegistrationResult
from .priority import take_normal_priority
from .protocol import (
    MESSAGE_FILE,
    FieldFound,
    Finished,
    Message,
    PreviewField,
    ProgressMade,
    Ready,
    Refused,
    RegistrationReply,
    RegistrationRequest,
    decode_request,
    encode_message,
    read_request_id,
    remove_request,
)

RunRequest = Callable[
    [
        RegistrationRequest,
        Progress,
        Callable[[RegistrationResult, Report], None],
        Callable[[DisplacementField], None],
    ],
    RegistrationReply,
]
"""`worker.task.run_request` with a registry: request, progress, and callbacks for the final and the preview field."""


def serve(session: Path, model_folders: tuple[Path, ...] = ()) -> None:
    """Answer the requests on standard input until it closes.

    model_folders: searched for models in addition to the bundled ones and the user's. A model that is added, changed or
    removed is seen with the next request.

    An InputError is answered with Refused. Any other exception ends the process with its traceback in the log, because
    its state is then unknown; the client starts a new worker within seconds.
    """
    faulthandler.enable()
    line = take_normal_priority()
    if line is not None:
        sys.stderr.write(f"{line}\n")
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_requests, args=(requests, session), daemon=True).start()
    outbox = Outbox(session)
    # While torch makes its objects, which all stay, Python would look through them for garbage again and again.
    gc.disable()
    # Imported after the reader thread has started: torch takes seconds, and the parent may exit meanwhile.
    from ..core.models.registry import ModelRegistry
    from .task import run_request, warm_up

    gc.freeze()
    gc.enable()
    registry = ModelRegistry((*get_model_folders(), *model_folders))
    for line in warm_up(registry):
        outbox.send(Refused(None, line))
    outbox.send(Ready(tuple(registry.names())))
    while True:
        line = requests.get()
        registry.refresh()
        answer(line, session, outbox, partial(run_request, registry))


def answer(line: str, session: Path, outbox: Outbox, run_request: RunRequest) -> None:
    """Run the request of one line and send its messages: progress, fields as soon as they are found, and the end."""
    request_id = read_request_id(line)
    try:
        end = _run(request_id, decode_request(line, session), outbox, run_request)
    except InputError as error:
        end = Refused(request_id, str(error))
    # Here, because it takes long. No array is mapped any more: Windows cannot remove a mapped file.
    remove_request(session, request_id)
    outbox.send(end)


def _run(request_id: int, request: RegistrationRequest, outbox: Outbox, run_request: RunRequest) -> Message:
    reply = run_request(
        request,
        lambda update: outbox.send(ProgressMade(request_id, update)),
        lambda result, report: outbox.send(FieldFound(request_id, result, report)),
        lambda field: outbox.send(PreviewField(request_id, field)),
    )
    return Finished(request_id, reply.warped, reply.warped_segmentation, reply.report)


class Outbox:
    """The message file; each write is one whole line."""

    def __init__(self, session: Path) -> None:
        self._session = session
        self._file = open(session / MESSAGE_FILE, "ab", buffering=0)  # noqa: SIM115 - lives as long as the process

    def send(self, message: Message) -> None:
        """Append one message; its arrays are written before its line."""
        self._file.write(encode_message(message, self._session).encode("utf-8"))


def _read_requests(requests: queue.Queue[str], session: Path) -> None:
    """Queue the request lines; exit when standard input ends, because then the parent has exited."""
    # Not sys.stdin: the interpreter aborts at its end while a thread holds the lock of sys.stdin.
    with io.FileIO(0, closefd=False) as standard_input:
        for line in standard_input:
            requests.put(line.decode("utf-8"))
    shutil.rmtree(session, ignore_errors=True)
    os._exit(0)
