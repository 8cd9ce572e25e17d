"""The requests and messages between a client and the worker process; importable without torch and without Qt.

Requests go to the worker's standard input, one line of JSON each. Messages are lines of JSON that the worker appends to
one file in the session folder: such a file can be polled on every system without a thread. Arrays are .npy files beside
it; the client writes and reads them in slices, because it must not stop the event loop of its owner.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..core.geometry.transforms import DisplacementField
from ..core.geometry.volume import Segmentation, Volume
from ..core.report.definition import Report
from ..core.result.progress import ProgressUpdate, Stage
from ..core.result.result import RegistrationResult
from ..core.result.settings import RegistrationSettings
from ..scene.nodes.cropped_segmentation import CroppedSegmentation
from .array_files import ArrayReader, ArrayWriter
from .serialization import build_value, load_value, prepare_value, save_value

MESSAGE_FILE = "messages.jsonl"
LOG_FILE = "worker.log"


class MessageKind(StrEnum):
    """The `kind` of a message line."""

    READY = "ready"
    PROGRESS = "progress"
    PREVIEW_FIELD = "preview field"
    FIELD = "field"
    FINISHED = "finished"
    REFUSED = "refused"


@dataclass(frozen=True, eq=False)
class RegistrationRequest:
    """One registration to do. Segmentations are compared where both are given; a moving one is warped.

    Masks: where the volumes are compared. The structures that `settings.keep_volume` names are in the moving
    segmentation. check_consistency: also register the fixed volume to the moving one, and report how well both agree.
    cropped: segmentations and masks, by the name of their value here, that are still to be completed, which takes time.
    warnings: about the segmentations and masks.
    """

    fixed: Volume
    moving: Volume
    settings: RegistrationSettings
    fixed_segmentation: Segmentation | None = None
    moving_segmentation: Segmentation | None = None
    fixed_mask: Segmentation | None = None
    moving_mask: Segmentation | None = None
    check_consistency: bool = False
    cropped: Mapping[str, CroppedSegmentation] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def complete(self) -> RegistrationRequest:
        """Complete the cropped segmentations, and warn of empty structures. Raises InputError for label maps."""
        if not self.cropped:
            return self
        found: dict[str, Any] = {name: cropped.complete() for name, cropped in self.cropped.items()}
        warnings = [
            f"{cropped.name}: the structure '{name}' is empty; it has no voxel."
            for cropped in self.cropped.values()
            for name in cropped.list_empty_names()
        ]
        return replace(self, **found, cropped={}, warnings=(*self.warnings, *dict.fromkeys(warnings)))


@dataclass(frozen=True, eq=False)
class RegistrationReply:
    """A finished registration. warped, warped_segmentation: on the fixed grid."""

    result: RegistrationResult
    warped: Volume
    warped_segmentation: Segmentation | None
    report: Report


@dataclass(frozen=True)
class Ready:
    """The worker has loaded its models; `models` are their names."""

    models: tuple[str, ...]


@dataclass(frozen=True)
class ProgressMade:
    """The progress of a request."""

    request_id: int
    update: ProgressUpdate


@dataclass(frozen=True, eq=False)
class PreviewField:
    """The displacement field of the network, before the refinement of a request starts."""

    request_id: int
    field: DisplacementField


@dataclass(frozen=True, eq=False)
class FieldFound:
    """The final displacement field of a request; nothing is warped yet, and the report has no scores."""

    request_id: int
    result: RegistrationResult
    report: Report


@dataclass(frozen=True, eq=False)
class Finished:
    """A request is done; its result came before, with FieldFound."""

    request_id: int
    warped: Volume
    warped_segmentation: Segmentation | None
    report: Report


@dataclass(frozen=True)
class Refused:
    """The input cannot be used; `line` is for the user. request_id None: a model could not be loaded."""

    request_id: int | None
    line: str


@dataclass(frozen=True)
class WorkerExited:
    """The worker process ended without being asked to. line: for the user. log: the end of its output."""

    line: str
    log: str


Message = Ready | ProgressMade | PreviewField | FieldFound | Finished | Refused | WorkerExited


def prepare_request(request_id: int, request: RegistrationRequest, session: Path) -> tuple[str, ArrayWriter]:
    """Return the line for the worker's standard input, and what writes the arrays into the session folder before."""
    parts = [getattr(request, part.name) for part in fields(request)]
    value, arrays = prepare_value(parts, _request_folder(session, request_id))
    return json.dumps({"id": request_id, "value": value}) + "\n", arrays


def read_request_id(line: str) -> int:
    """Return the number of the request in a line."""
    return int(json.loads(line)["id"])


def decode_request(line: str, session: Path) -> RegistrationRequest:
    """Return the request of one line, complete, its arrays memory-mapped if whole.

    Raises InputError for values that cannot be used.
    """
    folder = _request_folder(session, read_request_id(line))
    return RegistrationRequest(*load_value(json.loads(line)["value"], folder)).complete()


def encode_message(message: Message, session: Path) -> str:
    """Write the message's arrays into the session folder and return its line."""
    kind, entry = _encode_entry(message, session)
    return json.dumps({"kind": kind, **entry}) + "\n"


def _encode_entry(message: Message, session: Path) -> tuple[MessageKind, dict[str, Any]]:
    match message:
        case Ready(models):
            return MessageKind.READY, {"models": list(models)}
        case ProgressMade(number, update):
            progress = {"fraction": update.fraction, "stage": update.stage, "step": update.step, "steps": update.steps}
            return MessageKind.PROGRESS, {"id": number, **progress}
        case Refused(number_or_none, line):
            return MessageKind.REFUSED, {"id": number_or_none, "line": line}
        case PreviewField(number, field):
            value = save_value(field.with_residual(), _preview_folder(session, number))
            return MessageKind.PREVIEW_FIELD, {"id": number, "value": value}
        case FieldFound(number, result, report):
            # The transform node needs the residual; to compute it would stop the event loop of the client.
            result = replace(result, field=result.field.with_residual())
            value = save_value(result, _field_folder(session, number))
            return MessageKind.FIELD, {"id": number, "value": value, "report": report}
        case Finished(number, warped, segmentation, report):
            value = save_value([warped, segmentation], _reply_folder(session, number))
            return MessageKind.FINISHED, {"id": number, "value": value, "report": report}
        case _:
            raise TypeError(f"a worker does not send {type(message).__name__}")


class IncomingMessage:
    """The message of one line, whose arrays are read into memory; `decode` it when all are."""

    def __init__(self, line: str, session: Path) -> None:
        """Raises ValueError for an unknown kind."""
        self._entry = json.loads(line)
        self._kind = MessageKind(self._entry["kind"])
        folder = _ARRAY_FOLDERS.get(self._kind)
        self._arrays = None if folder is None else ArrayReader(folder(session, self._entry["id"]))

    @property
    def has_arrays(self) -> bool:
        """Whether there is something to read."""
        return self._arrays is not None

    def read_next(self) -> bool:
        """Read some more bytes of the arrays; returns whether all are read."""
        return self._arrays is None or self._arrays.read_next()

    def decode(self) -> Message:
        """Return the message. Raises ValueError for an unknown stage."""
        entry = self._entry
        match self._kind:
            case MessageKind.READY:
                return Ready(tuple(entry["models"]))
            case MessageKind.PROGRESS:
                update = ProgressUpdate(entry["fraction"], Stage(entry["stage"]), entry["step"], entry["steps"])
                return ProgressMade(entry["id"], update)
            case MessageKind.REFUSED:
                return Refused(entry["id"], entry["line"])
            case MessageKind.PREVIEW_FIELD:
                return PreviewField(entry["id"], self._build_value())
            case MessageKind.FIELD:
                return FieldFound(entry["id"], self._build_value(), entry["report"])
            case MessageKind.FINISHED:
                warped, segmentation = self._build_value()
                return Finished(entry["id"], warped, segmentation, entry["report"])

    def _build_value(self) -> Any:
        assert self._arrays is not None
        return build_value(self._entry["value"], self._arrays.arrays.__getitem__)


def remove_request(session: Path, request_id: int) -> None:
    """Remove the arrays of a request that nobody reads any more."""
    shutil.rmtree(_request_folder(session, request_id), ignore_errors=True)


def list_request_folders(session: Path, request_id: int) -> tuple[Path, ...]:
    """Return the folders with the arrays of a request, its fields and its reply; to be removed once all are read."""
    folders = (_request_folder, _preview_folder, _field_folder, _reply_folder)
    return tuple(folder(session, request_id) for folder in folders)


def _request_folder(session: Path, request_id: int) -> Path:
    return session / f"request-{request_id}"


def _preview_folder(session: Path, request_id: int) -> Path:
    return session / f"preview-{request_id}"


def _field_folder(session: Path, request_id: int) -> Path:
    return session / f"field-{request_id}"


def _reply_folder(session: Path, request_id: int) -> Path:
    return session / f"reply-{request_id}"


_ARRAY_FOLDERS: dict[MessageKind, Callable[[Path, int], Path]] = {
    MessageKind.PREVIEW_FIELD: _preview_folder,
    MessageKind.FIELD: _field_folder,
    MessageKind.FINISHED: _reply_folder,
}
