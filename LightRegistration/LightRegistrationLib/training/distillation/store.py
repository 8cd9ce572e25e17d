"""Knowledge store: training pairs with the teacher's deformations, computed once, in half-precision shards.

Filling can be interrupted and continued; each shard has a checksum. The images are stored too: drawing them again takes
about as long as an update of the student (0.1 s and 0.3 s at 3 mm, 0.4 s and 0.9 s at 2 mm, on one CPU thread), reading
them takes a millisecond.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ...core.errors import InputError
from ...core.files.plain_file import hash_file, read_plain_text
from ...core.network.flows import resize_flow
from ..data.pairs import Pair, join
from ..state import first_line
from .lesson import Lesson

logger = logging.getLogger(__name__)

FORMAT = 2
RESOLUTIONS = ("half", "full")
PAIRS_PER_SHARD = 8
"""Pairs in one file; an interrupted run computes at most this many again."""
INDEX_FILE = "index.json"
LABELS = ("fixed_labels", "moving_labels")
IMAGES = tuple(f.name for f in fields(Pair))
Draw = Callable[[int], Pair]
Teach = Callable[[Pair, int], Lesson]


@dataclass(frozen=True)
class StoreConfig:
    """Content of a store.

    pairs: number for each spacing. resolution: of the deformations, `half` or `full`. seed: of the pairs, so that runs
    with different seeds can share a store; 0: the seed of the run.
    """

    pairs: int = 0
    resolution: str = "half"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pairs < 0:
            raise ValueError(f"pairs has to be 0 or more, got {self.pairs}")
        if self.resolution not in RESOLUTIONS:
            raise ValueError(f"resolution has to be half or full, got {self.resolution!r}")


@dataclass(frozen=True)
class StoredImages:
    """What a store holds of a pair beside the network's input images.

    clean: the images without noise; otherwise the network's input images are used in their place. structures: their
    projections of the structures too, and the labels where the pair has them; needs `clean`.
    """

    clean: bool = False
    structures: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The images of `Pair` that every stored pair has."""
        return ("fixed", "moving", "fixed_clean", "moving_clean") if self.clean else ("fixed", "moving")

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values that differ between stores that hold something else."""
        return {"images": self.names} | ({"structures": True} if self.structures else {})


INPUT_IMAGES = StoredImages()


class KnowledgeStore:
    """A folder of pairs and the teacher's deformations for them.

    identity: plain values that identify the origin of the store (teacher, sources, seed, spacing); a folder with
    another store is refused with an InputError that names the differences. content: which images are stored. images_of:
    a store of the same pairs, from which the images are read; this one then has deformations alone. After `open`,
    `shapes` are the grids of the pairs, `untaught` is the number of pairs that the teacher does not teach, and
    `cpu_seconds` is what drawing the pairs and asking the teacher cost.
    """

    def __init__(
        self,
        folder: Path,
        config: StoreConfig,
        identity: Mapping[str, Any],
        content: StoredImages = INPUT_IMAGES,
        images_of: KnowledgeStore | None = None,
    ) -> None:
        self.folder = folder
        self.config = config
        self.content = content
        self.images_of = images_of
        stored = content.identity if images_of is None else {"images": ()}
        settings = {"format": FORMAT, "resolution": config.resolution, **stored, **identity}
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.shapes: list[tuple[int, ...]] = []
        self.untaught = 0
        self.cpu_seconds = 0.0

    @property
    def shards(self) -> range:
        """The numbers of the files."""
        return range(-(-self.config.pairs // PAIRS_PER_SHARD))

    @property
    def is_complete(self) -> bool:
        """Whether no file is missing."""
        return all(self._record(shard) is not None for shard in self.shards)

    def claim(self) -> None:
        """Create the folder and its index, or check that it belongs to this store. Raises InputError if it does not."""
        index = self.folder / INDEX_FILE
        if index.exists():
            self._check_index(index)
            return
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(index, (json.dumps(self.settings, indent=1) + "\n").encode())

    def fill(
        self,
        draw: Draw,
        teach: Teach,
        part: int = 0,
        parts: int = 1,
        is_stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        """Compute the missing shards number `part`, `part` + `parts` and so on.

        draw: returns pair n (N = 1), the same each time. teach: returns the lesson of a pair and its number n.
        is_stop_requested: called before each pair. Raises InputError if the disk is full, or if a deformation is of
        another grid or not finite; the shard of that pair is not written.
        """
        for shard in self.shards[part::parts]:
            if self._record(shard) is not None:
                continue
            tensors: dict[str, Tensor] = {}
            shapes, taught = [], []
            started = time.process_time()
            for place in range(self._count(shard)):
                if is_stop_requested():
                    return
                number = shard * PAIRS_PER_SHARD + place
                pair = draw(number)
                lesson = teach(pair, number)
                lesson.check(pair, f"{self.folder}, pair {number}")
                shapes.append(tuple(pair.fixed.shape[2:]))
                taught.append(bool(lesson.is_taught[0]))
                tensors |= {f"{place}.{name}": t for name, t in self._pack(pair, lesson).items()}
            cpu_seconds = round(time.process_time() - started, 2)
            self._write_shard(shard, tensors, {"shapes": shapes, "taught": taught, "cpu_seconds": cpu_seconds})
            logger.info("store: %d of %d pairs", shard * PAIRS_PER_SHARD + len(shapes), self.config.pairs)

    def open(self) -> None:
        """Prepare drawing: read every file, verify its checksum, and count the pairs that are not taught.

        Raises InputError that names the file that is damaged or missing, or if no pair is taught.
        """
        self.shapes, self.untaught, self.cpu_seconds = [], 0, 0.0
        for shard in self.shards:
            record = self._record(shard)
            file = self._file(shard)
            if record is None:
                raise InputError(f"{file}: the store lacks this file; run again to compute it.")
            if hash_file(file) != record["sha256"]:
                raise InputError(f"{file}: this file is damaged; delete it and run again to compute it.")
            self.shapes += [tuple(shape) for shape in record["shapes"][: self._count(shard)]]
            self.untaught += record["taught"][: self._count(shard)].count(False)
            self.cpu_seconds += record["cpu_seconds"]
        if self.untaught == len(self.shapes) > 0:
            raise InputError(f"{self.folder}: the teacher teaches none of the {self.untaught} pairs; use another one.")
        if self.untaught:
            logger.info("store: %d of %d pairs are not taught", self.untaught, len(self.shapes))

    def draw(self, generator: torch.Generator, count: int = 1) -> tuple[Pair, Lesson]:
        """Draw `count` different pairs of one grid (fewer if there are not so many), with what the teacher said."""
        first = int(torch.randint(len(self.shapes), (), generator=generator))
        same = [n for n, shape in enumerate(self.shapes) if shape == self.shapes[first] and n != first]
        order = torch.randperm(len(same), generator=generator)[: count - 1].tolist() if count > 1 else []
        drawn = [self.read(n) for n in (first, *(same[i] for i in order))]
        flows, taught = (torch.cat([getattr(lesson, k) for _, lesson in drawn]) for k in ("flow", "is_taught"))
        return join([pair for pair, _ in drawn]), Lesson(flows, taught)

    def read(self, number: int) -> tuple[Pair, Lesson]:
        """A pair (N = 1) and what the teacher said of it. Raises InputError."""
        if self.images_of is None:
            tensors = self._read(number, (*IMAGES, "flow", "is_taught"))
            pair = _pair_of(tensors)
        else:
            tensors = self._read(number, ("flow", "is_taught"))
            pair = self.images_of.read_pair(number)
        flow = resize_flow(tensors["flow"].float(), tuple(pair.fixed.shape[2:]))
        return pair, Lesson(flow, tensors["is_taught"])

    def read_pair(self, number: int) -> Pair:
        """A pair (N = 1) alone. Raises InputError."""
        if self.images_of is not None:
            return self.images_of.read_pair(number)
        return _pair_of(self._read(number, IMAGES))

    def _read(self, number: int, names: Iterable[str]) -> dict[str, Tensor]:
        """Those of these tensors of a pair that are stored."""
        file, place = self._file(number // PAIRS_PER_SHARD), number % PAIRS_PER_SHARD
        try:
            with safe_open(file, framework="pt") as shard:
                stored = set(shard.keys())
                return {name: shard.get_tensor(f"{place}.{name}") for name in names if f"{place}.{name}" in stored}
        except (OSError, SafetensorError) as error:
            raise InputError(f"{file}: cannot be read ({first_line(error)}); delete it and run again.") from error

    def _pack(self, pair: Pair, lesson: Lesson) -> dict[str, Tensor]:
        flow = lesson.flow
        if self.config.resolution == "half":
            flow = resize_flow(flow, tuple(max(n // 2, 1) for n in flow.shape[2:]))
        names = () if self.images_of is not None else self.content.names
        images = {name: getattr(pair, name) for name in names}
        if self.content.structures and self.images_of is None:
            images |= {name: labels for name in LABELS if (labels := getattr(pair, name)) is not None}
        else:
            images = {name: image[:, :1] for name, image in images.items()}
        halves = {name: tensor.half().cpu().contiguous() for name, tensor in {"flow": flow, **images}.items()}
        return {**halves, "is_taught": lesson.is_taught.cpu()}

    def _count(self, shard: int) -> int:
        return min(PAIRS_PER_SHARD, self.config.pairs - shard * PAIRS_PER_SHARD)

    def _file(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.safetensors"

    def _record(self, shard: int) -> dict[str, Any] | None:
        """The record of a complete shard; None if the shard has to be computed."""
        file = self._file(shard).with_suffix(".json")
        if not file.exists() or not self._file(shard).exists():
            return None
        text = read_plain_text(file, "JSON")
        try:
            record: dict[str, Any] = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{file}: cannot be read ({error}); delete it and run again.") from error
        return record if len(record["shapes"]) >= self._count(shard) else None

    def _write_shard(self, shard: int, tensors: dict[str, Tensor], pairs: Mapping[str, Any]) -> None:
        """Write a shard; its record (JSON) is written last, because a shard counts only if it has one."""
        file, content = self._file(shard), save(tensors)
        record = {"sha256": hashlib.sha256(content).hexdigest(), **pairs}
        with _writing(file):
            file.with_suffix(".json").unlink(missing_ok=True)
            _write(file, content)
            _write(file.with_suffix(".json"), json.dumps(record).encode())

    def _check_index(self, index: Path) -> None:
        text = read_plain_text(index, "JSON")
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{index}: cannot be read ({error}); choose another folder for the store.") from error
        if not isinstance(found, dict):
            found = {}
        keys = dict.fromkeys((*self.settings, *found))
        different = [key for key in keys if found.get(key) != self.settings.get(key)]
        if different:
            raise InputError(
                f"{index}: this store was computed with another {', '.join(different)}; choose another folder for the "
                "store."
            )


def _pair_of(tensors: Mapping[str, Tensor]) -> Pair:
    """A pair from what is stored of it; without noise-free images the network's input images stand in for them."""
    images = {name: tensors[name].float() for name in IMAGES if name in tensors}
    clean = {f"{name}_clean": images[name] for name in INPUT_IMAGES.names}
    return Pair(**(clean | images))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: the store cannot be written ({error.strerror}); free disk space and run again."
        ) from error


def _write(path: Path, content: bytes) -> None:
    partial = path.with_suffix(f"{path.suffix}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
