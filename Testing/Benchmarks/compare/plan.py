"""The sets of pairs, and what each row of the comparison depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from common import brain_ring
from peers.method import Start
from peers.registry import METHODS, key_of

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.training import configuration
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair, read_pairs
from LightRegistrationLib.training.evaluation.run import write_text

from .row import REVISION

ABDOMEN_PAIRS, ABDOMEN_SEED = 10, 1


@dataclass(frozen=True)
class PairSet:
    """Pairs of one anatomy; `pairs` takes the data folder and the working folder. measure: the main one of the set."""

    title: str
    pairs: Callable[[Path, Path], Sequence[EvaluationPair]]
    measure: str = "dice"


def from_manifest(anatomy: str, landmarks: bool = False) -> Callable[[Path, Path], list[EvaluationPair]]:
    """Take the manifest's pairs of an anatomy; with landmarks, only those that have them."""
    return lambda data, work: [
        pair for pair in read_pairs(data / "manifest.json", [anatomy]) if pair.landmarks is not None or not landmarks
    ]


def abdomen(data: Path, work: Path) -> list[EvaluationPair]:
    """Draw the synthesized pairs once; they are kept while the configuration stays as it is."""
    config = Path(configuration.__file__).parent / "configs" / "abdomen-ct.toml"
    folder = work / "abdomen"
    drawn = folder / "drawn.json"
    stamp = [hashlib.sha256(config.read_bytes()).hexdigest(), ABDOMEN_PAIRS, ABDOMEN_SEED]
    if not (drawn.is_file() and json.loads(drawn.read_text(encoding="utf-8")) == stamp):
        # Imported here, since it imports torch.
        from synthesized import synthesized_pairs

        synthesized_pairs(config, data, folder, "abdomen", ABDOMEN_PAIRS, ABDOMEN_SEED)
        write_text(drawn, json.dumps(stamp))
    roles = ("fixed", "moving", "fixed_labels", "moving_labels")
    return [
        EvaluationPair(f"abdomen_{n}", group="abdomen", **{role: folder / f"{n}_{role}.nii.gz" for role in roles})
        for n in range(ABDOMEN_PAIRS)
    ]


SETS = {
    "brain": PairSet("brain T1, ring of 15", lambda data, work: brain_ring(data)),
    "hippocampus": PairSet("hippocampus crops, T1", from_manifest("hippocampus_t1")),
    "headneck": PairSet("head and neck CT", from_manifest("headneck_ct")),
    "abdomen": PairSet("abdomen CT, synthesized", abdomen),
    "lung": PairSet("lung CT, inhale to exhale", from_manifest("lung_ct", landmarks=True), "tre_mm"),
    "liver": PairSet("liver MRI, breathing", from_manifest("liver_mri", landmarks=True), "tre_mm"),
}


@dataclass(frozen=True)
class Task:
    """One row to measure: a method on a pair of a set, and how it is run. start: of a method that begins there."""

    group: str
    pair: EvaluationPair
    method: str
    threads: int = 1
    surfaces: bool = True
    start: Start | None = None

    @property
    def file(self) -> Path:
        """The row's file, below the working folder."""
        return Path("rows", self.group, self.pair.name, f"{self.method}.json")

    def key(self) -> str:
        """Hash all that the row depends on: the files' content, the method, how it is run and measured."""
        files = {role: digest(path) for role, path in self.pair.files.items()}
        method = key_of(METHODS[self.method], self.start)
        parts = [REVISION, files, self.method, method, self.threads, self.surfaces]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def request(self) -> dict[str, Any]:
        """Make the request for the process that runs it."""
        return {
            "pair": self.pair.name,
            "files": {role: str(path.resolve()) for role, path in self.pair.files.items()},
            "method": self.method,
            "threads": self.threads,
            "surfaces": self.surfaces,
            "start": None if self.start is None else start_values(self.start),
        }


def start_values(start: Start) -> dict[str, Any]:
    """Write an affine start as JSON can hold it."""
    return {
        "matrix": start.transform.matrix.tolist(),
        "seconds": start.seconds,
        "cpu_seconds": start.cpu_seconds,
    }


def digest(path: Path) -> str:
    """Return the SHA-256 of a file. Raises InputError if it cannot be read."""
    try:
        state = path.stat()
        return _digest(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror or error}).") from error


@cache
def _digest(path: Path, changed_ns: int, size: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
