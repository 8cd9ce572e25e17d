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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ...core.errors import InputError
from ...core.network.flows import resize_flow
from ..data.pairs import Pair, join
from ..state import first_line

logger = logging.getLogger(__name__)

FORMAT = 1
RESOLUTIONS = ("half", "full")
PAIRS_PER_SHARD = 8
"""Pairs in one file; an interrupted run computes at most this many again."""
INDEX_FILE = "index.json"
Draw = Callable[[int], Pair]
RunTeacher = Callable[[Pair], Tensor]


@dataclass(frozen=True)
class StoreConfig:
    """Content of a store: number of pairs for each spacing, and resolution (`half` or `full`) of the deformations."""

    pairs: int = 0
    resolution: str = "half"

    def __post_init__(self) -> None:
        if self.pairs < 0:
            raise ValueError(f"pairs has to be 0 or more, got {self.pairs}")
        if self.resolution not in RESOLUTIONS:
            raise ValueError(f"resolution has to be half or full, got {self.resolution!r}")


class KnowledgeStore:
    """A folder of pairs and the teacher's deformations for them.

    identity: plain values that identify the origin of the store (teacher, sources, seed, spacing); a folder with
    another store is refused with an InputError that names the differences. clean: whether the images without noise are
    stored too; otherwise the network's input images are used in their place.
    """

    def __init__(self, folder: Path, config: StoreConfig, identity: Mapping[str, Any], clean: bool = False) -> None:
        self.folder = folder
        self.config = config
        self.images = ("fixed", "moving", "fixed_clean", "moving_clean") if clean else ("fixed", "moving")
        settings = {"format": FORMAT, "resolution": config.resolution, "images": self.images, **identity}
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.shapes: list[tuple[int, ...]] = []

    @property
    def shards(self) -> range:
        """The numbers of the files."""
        return range(-(-self.config.pairs // PAIRS_PER_SHARD))

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
        run_teacher: RunTeacher,
        part: int = 0,
        parts: int = 1,
        is_stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        """Compute the missing shards number `part`, `part` + `parts` and so on.

        draw: returns pair n (N = 1), the same each time. run_teacher: returns the deformation of a pair
        (1, 3, D, H, W), voxels of its grid. is_stop_requested: called before each pair. Raises InputError if the disk
        is full.
        """
        for shard in self.shards[part::parts]:
            if self._record(shard) is not None:
                continue
            tensors: dict[str, Tensor] = {}
            shapes = []
            for place in range(self._count(shard)):
                if is_stop_requested():
                    return
                pair = draw(shard * PAIRS_PER_SHARD + place)
                shapes.append(tuple(pair.fixed.shape[2:]))
                tensors |= {f"{place}.{name}": t for name, t in self._pack(pair, run_teacher(pair)).items()}
            self._write_shard(shard, tensors, shapes)
            logger.info("store: %d of %d pairs", shard * PAIRS_PER_SHARD + len(shapes), self.config.pairs)

    def open(self) -> None:
        """Prepare drawing: read every file and verify its checksum.

        Raises InputError that names the file that is damaged or missing.
        """
        self.shapes = []
        for shard in self.shards:
            record = self._record(shard)
            file = self._file(shard)
            if record is None:
                raise InputError(f"{file}: the store lacks this file; run again to compute it.")
            if _sha256(file) != record["sha256"]:
                raise InputError(f"{file}: this file is damaged; delete it and run again to compute it.")
            self.shapes += [tuple(shape) for shape in record["shapes"][: self._count(shard)]]

    def draw(self, generator: torch.Generator, count: int = 1) -> tuple[Pair, Tensor]:
        """Draw `count` different pairs of one grid (fewer if there are not so many), with their deformations."""
        first = int(torch.randint(len(self.shapes), (), generator=generator))
        same = [n for n, shape in enumerate(self.shapes) if shape == self.shapes[first] and n != first]
        order = torch.randperm(len(same), generator=generator)[: count - 1].tolist() if count > 1 else []
        drawn = [self.read(n) for n in (first, *(same[i] for i in order))]
        return join([pair for pair, _ in drawn]), torch.cat([flow for _, flow in drawn])

    def read(self, number: int) -> tuple[Pair, Tensor]:
        """A pair (N = 1) and its deformation (1, 3, D, H, W), voxels of its grid. Raises InputError."""
        file, place = self._file(number // PAIRS_PER_SHARD), number % PAIRS_PER_SHARD
        try:
            with safe_open(file, framework="pt") as shard:
                images = {name: shard.get_tensor(f"{place}.{name}").float() for name in self.images}
                flow = shard.get_tensor(f"{place}.flow").float()
        except (OSError, SafetensorError) as error:
            raise InputError(f"{file}: cannot be read ({first_line(error)}); delete it and run again.") from error
        clean = {f"{name}_clean": images.get(f"{name}_clean", images[name]) for name in ("fixed", "moving")}
        return Pair(images["fixed"], images["moving"], **clean), resize_flow(flow, tuple(images["fixed"].shape[2:]))

    def _pack(self, pair: Pair, flow: Tensor) -> dict[str, Tensor]:
        if self.config.resolution == "half":
            flow = resize_flow(flow, tuple(max(n // 2, 1) for n in flow.shape[2:]))
        images = {name: getattr(pair, name)[:, :1] for name in self.images}
        return {name: tensor.half().cpu().contiguous() for name, tensor in {"flow": flow, **images}.items()}

    def _count(self, shard: int) -> int:
        return min(PAIRS_PER_SHARD, self.config.pairs - shard * PAIRS_PER_SHARD)

    def _file(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.safetensors"

    def _record(self, shard: int) -> dict[str, Any] | None:
        """The record of a complete shard; None if the shard has to be computed."""
        file = self._file(shard).with_suffix(".json")
        if not file.exists() or not self._file(shard).exists():
            return None
        try:
            record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{file}: cannot be read ({error}); delete it and run again.") from error
        return record if len(record["shapes"]) >= self._count(shard) else None

    def _write_shard(self, shard: int, tensors: dict[str, Tensor], shapes: list[tuple[int, ...]]) -> None:
        """Write a shard; its record (JSON) is written last, because a shard counts only if it has one."""
        file, content = self._file(shard), save(tensors)
        record = {"sha256": hashlib.sha256(content).hexdigest(), "shapes": shapes}
        with _writing(file):
            file.with_suffix(".json").unlink(missing_ok=True)
            _write(file, content)
            _write(file.with_suffix(".json"), json.dumps(record).encode())

    def _check_index(self, index: Path) -> None:
        try:
            found = json.loads(index.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{index}: cannot be read ({error}); choose another folder for the store.") from error
        if not isinstance(found, dict):
            found = {}
        different = [key for key in self.settings if found.get(key) != self.settings[key]]
        if different:
            raise InputError(
                f"{index}: this store was computed with another {', '.join(different)}; choose another folder for the "
                "store."
            )


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


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
