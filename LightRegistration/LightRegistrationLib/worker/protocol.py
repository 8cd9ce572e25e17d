"""What the panel's side and the worker process say to each other; importable without torch and without Qt.

Requests go to the worker's standard input, one line of JSON each. Messages come back as lines of JSON, appended
to one file in the session folder: it can be polled on every system without a thread. Arrays lie beside them as
.npy files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.geometry.transforms import DisplacementField
from ..core.geometry.volume import Segmentation, Volume
from ..core.result.result import RegistrationResult, RegistrationSettings
from .serialization import load_value, save_value

MESSAGE_FILE = "messages.jsonl"
LOG_FILE = "worker.log"


@dataclass(frozen=True, eq=False)
class RegistrationRequest:
    """One registration to do. Segmentations are compared where both are given; a moving one is warped.

    Masks: where the volumes are compared. The structures that `settings.keep_volume` names are in the moving
    segmentation.
    """

    fixed: Volume
    moving: Volume
    settings: RegistrationSettings
    fixed_segmentation: Segmentation | None = None
    moving_segmentation: Segmentation | None = None
    fixed_mask: Segmentation | None = None
    moving_mask: Segmentation | None = None


@dataclass(frozen=True, eq=False)
class RegistrationReply:
    """A finished registration: what is warped lies on the fixed grid; report as in report.json."""

    result: RegistrationResult
    warped: Volume
    warped_segmentation: Segmentation | None
    report: dict[str, Any]


@dataclass(frozen=True)
class Ready:
    """The worker has loaded everything; `models` are the names that it can use."""

    models: tuple[str, ...]


@dataclass(frozen=True)
class ProgressMade:
    """A request has come as far as `fraction` (0 to 1) and is now in `stage`."""

    request_id: int
    fraction: float
    stage: str


@dataclass(frozen=True, eq=False)
class FirstField:
    """The student's own field of a request that goes on to be refined: something to look at meanwhile."""

    request_id: int
    field: DisplacementField


@dataclass(frozen=True, eq=False)
class FieldFound:
    """The deformation of a request is there, nothing is warped yet; the report still lacks all scores."""

    request_id: int
    result: RegistrationResult
    report: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Finished:
    """A request is done; what it found was said before, by FieldFound."""

    request_id: int
    warped: Volume
    warped_segmentation: Segmentation | None
    report: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """The input cannot be used; `line` is for the user. request_id None: a model could not be loaded."""

    request_id: int | None
    line: str


@dataclass(frozen=True)
class WorkerExited:
    """The worker process has ended by itself; `line` is for the user, `log` is the end of what it printed."""

    line: str
    log: str


Message = Ready | ProgressMade | FirstField | FieldFound | Finished | Refused | WorkerExited


def encode_request(request_id: int, request: RegistrationRequest, session: Path) -> str:
    """Write the request's arrays into the session folder and return the line that announces them."""
    parts = [
        request.fixed,
        request.moving,
        request.settings,
        request.fixed_segmentation,
        request.moving_segmentation,
        request.fixed_mask,
        request.moving_mask,
    ]
    value = save_value(parts, _request_folder(session, request_id))
    return json.dumps({"id": request_id, "value": value}) + "\n"


def read_request_id(line: str) -> int:
    """The number of the request that a line announces."""
    return int(json.loads(line)["id"])


def decode_request(line: str, session: Path) -> RegistrationRequest:
    """The request of one line, its arrays mapped. Raises InputError for values that cannot be used."""
    folder = _request_folder(session, read_request_id(line))
    return RegistrationRequest(*load_value(json.loads(line)["value"], folder, mapped=True))


def encode_message(message: Message, session: Path) -> str:
    """The line that says this message; its arrays are written into the session folder."""
    if isinstance(message, Ready):
        entry: dict[str, Any] = {"kind": "ready", "models": list(message.models)}
    elif isinstance(message, ProgressMade):
        entry = {
            "kind": "advanced",
            "id": message.request_id,
            "fraction": message.fraction,
            "stage": message.stage,
        }
    elif isinstance(message, Refused):
        entry = {"kind": "refused", "id": message.request_id, "line": message.line}
    elif isinstance(message, FirstField):
        value = save_value(message.field, _first_field_folder(session, message.request_id))
        entry = {"kind": "first field", "id": message.request_id, "value": value}
    elif isinstance(message, FieldFound):
        value = save_value(message.result, _field_folder(session, message.request_id))
        entry = {"kind": "field", "id": message.request_id, "value": value, "report": message.report}
    elif isinstance(message, Finished):
        value = save_value([message.warped, message.warped_segmentation], _reply_folder(session, message.request_id))
        entry = {"kind": "finished", "id": message.request_id, "value": value, "report": message.report}
    else:
        raise TypeError(f"a worker does not say {type(message).__name__}")
    return json.dumps(entry) + "\n"


def decode_message(line: str, session: Path) -> Message:
    """The message of one line, its arrays read into memory."""
    entry = json.loads(line)
    kind = entry["kind"]
    if kind == "ready":
        return Ready(tuple(entry["models"]))
    if kind == "advanced":
        return ProgressMade(entry["id"], entry["fraction"], entry["stage"])
    if kind == "refused":
        return Refused(entry["id"], entry["line"])
    if kind == "first field":
        folder = _first_field_folder(session, entry["id"])
        return FirstField(entry["id"], load_value(entry["value"], folder, mapped=False))
    if kind == "field":
        result = load_value(entry["value"], _field_folder(session, entry["id"]), mapped=False)
        return FieldFound(entry["id"], result, entry["report"])
    if kind == "finished":
        warped, warped_segmentation = load_value(entry["value"], _reply_folder(session, entry["id"]), mapped=False)
        return Finished(entry["id"], warped, warped_segmentation, entry["report"])
    raise ValueError(f"unknown message {kind!r}")


def request_folders(session: Path, request_id: int) -> tuple[Path, ...]:
    """Where the arrays of a request, of its fields and of its reply lie; to be removed when all have been read."""
    folders = (_request_folder, _first_field_folder, _field_folder, _reply_folder)
    return tuple(folder(session, request_id) for folder in folders)


def _request_folder(session: Path, request_id: int) -> Path:
    return session / f"request-{request_id}"


def _first_field_folder(session: Path, request_id: int) -> Path:
    return session / f"first-field-{request_id}"


def _field_folder(session: Path, request_id: int) -> Path:
    return session / f"field-{request_id}"


def _reply_folder(session: Path, request_id: int) -> Path:
    return session / f"reply-{request_id}"
