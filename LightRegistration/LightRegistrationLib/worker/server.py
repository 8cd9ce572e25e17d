"""The worker process's side: do one request after another, say how it goes, end with the parent."""

from __future__ import annotations

import faulthandler
import io
import os
import queue
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.geometry.transforms import DisplacementField
from ..core.models.cards import get_model_folders as standard_folders
from ..core.result.result import Progress, RegistrationResult
from .protocol import (
    MESSAGE_FILE,
    FieldFound,
    Finished,
    FirstField,
    Message,
    ProgressMade,
    Ready,
    Refused,
    RegistrationReply,
    RegistrationRequest,
    decode_request,
    encode_message,
    read_request_id,
)

Perform = Callable[
    [
        RegistrationRequest,
        Progress,
        Callable[[RegistrationResult, dict[str, Any]], None],
        Callable[[DisplacementField], None],
    ],
    RegistrationReply,
]
"""`worker.task.run_request` for a request: what it says goes to its progress, then the whole field, and the first one."""


def serve(session: Path, model_folders: tuple[Path, ...] = ()) -> None:
    """Answer the requests of standard input until it closes.

    model_folders: searched for models besides the bundled ones and the user's. A model that is added, changed or
    removed meanwhile counts from the next request on.

    An InputError is answered in words. Any other exception ends the process with its traceback in the log:
    nobody knows what state it leaves behind, and the panel's side starts a fresh worker in seconds.
    """
    faulthandler.enable()
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_requests, args=(requests, session), daemon=True).start()
    outbox = Outbox(session)
    # Imported only now: torch takes seconds, and a parent that dies during them must be noticed.
    from ..core.models.registry import ModelRegistry
    from .task import run_request, warm_up

    registry = ModelRegistry((*standard_folders(), *model_folders))
    for line in warm_up(registry):
        outbox.say(Refused(None, line))
    outbox.say(Ready(tuple(registry.names())))
    while True:
        line = requests.get()
        registry.refresh()
        answer(line, session, outbox, partial(run_request, registry))


def answer(line: str, session: Path, outbox: Outbox, run_request: Perform) -> None:
    """Do the request of one line and say what came of it: the field as soon as it is there, then the rest."""
    request_id = read_request_id(line)
    try:
        request = decode_request(line, session)
        reply = run_request(
            request,
            lambda fraction, stage: outbox.say(ProgressMade(request_id, fraction, stage)),
            lambda result, report: outbox.say(FieldFound(request_id, result, report)),
            lambda field: outbox.say(FirstField(request_id, field)),
        )
    except InputError as error:
        outbox.say(Refused(request_id, str(error)))
    else:
        # Closes its mapped files: on Windows the other side could not remove them otherwise.
        del request
        outbox.say(Finished(request_id, reply.warped, reply.warped_segmentation, reply.report))


class Outbox:
    """The message file, one whole line per write."""

    def __init__(self, session: Path) -> None:
        self._session = session
        self._file = open(session / MESSAGE_FILE, "ab", buffering=0)  # noqa: SIM115 - lives as long as the process

    def say(self, message: Message) -> None:
        """Append one message; its arrays are written before its line."""
        self._file.write(encode_message(message, self._session).encode("utf-8"))


def _read_requests(requests: queue.Queue[str], session: Path) -> None:
    """Pass lines on; when standard input ends, the parent is gone and nobody waits for the result."""
    # Not sys.stdin: an interpreter that ends with an error aborts if a thread holds the lock of that.
    with io.FileIO(0, closefd=False) as standard_input:
        for line in standard_input:
            requests.put(line.decode("utf-8"))
    shutil.rmtree(session, ignore_errors=True)
    os._exit(0)
