"""A store of what a teacher says of drawn pairs, computed once: half-precision shards with checksums, resumable.

The images are stored with the deformations: drawing them again takes about as long as an update of the student (0.1 s
and 0.3 s at 3 mm, 0.4 s and 0.9 s at 2 mm, on one CPU thread), reading them takes a millisecond.
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
from ..monitoring.monitor import NO_MONITOR
from ..state import first_line

logger = logging.getLogger(__name__)

FORMAT = 1
RESOLUTIONS = ("half", "full")
PAIRS_PER_SHARD = 8
"""Pairs in a file: what a killed run has to compute again at most."""
INDEX_FILE = "index.json"
Draw = Callable[[int], Pair]
Teach = Callable[[Pair], Tensor]


@dataclass(frozen=True)
class StoreConfig:
    """What a store holds: so many pairs for each spacing, and their deformations at `half` or `full` resolution."""

    pairs: int = 0
    resolution: str = "half"

    def __post_init__(self) -> None:
        if self.pairs < 0:
            raise ValueError(f"pairs has to be 0 or more, got {self.pairs}")
        if self.resolution not in RESOLUTIONS:
            raise ValueError(f"resolution has to be half or full, got {self.resolution!r}")


class KnowledgeStore:
    """Pairs and deformations in a folder.

    identity: plain values that say what the store was computed from (teacher, sources, seed, spacing, resolution); a
    folder that holds another store is refused with an InputError that names what differs. clean: whether the images
    without noise are kept too; else the ones that the network sees stand for them.
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
        """Make the folder this store's, or see that it is. Raises InputError if it is another one's."""
        index = self.folder / INDEX_FILE
        if index.exists():
            self._compare(index)
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
        stop: Callable[[], bool] = NO_MONITOR.is_stop_requested,
    ) -> None:
        """Compute the files that are missing, of every `parts`-th one from `part`; `stop` is asked before each pair.

        draw: pair n (N = 1), the same each time. teach: its deformation (1, 3, D, H, W), voxels of its grid. Raises
        InputError if the disk is full.
        """
        for shard in self.shards[part::parts]:
            if self._known(shard) is not None:
                continue
            tensors: dict[str, Tensor] = {}
            shapes = []
            for place in range(self._count(shard)):
                if stop():
                    return
                pair = draw(shard * PAIRS_PER_SHARD + place)
                shapes.append(tuple(pair.fixed.shape[2:]))
                tensors |= {f"{place}.{name}": t for name, t in self._packed(pair, teach(pair)).items()}
            self._put(shard, tensors, shapes)
            logger.info("store: %d of %d pairs", shard * PAIRS_PER_SHARD + len(shapes), self.config.pairs)

    def open(self) -> None:
        """Get ready to draw: every file is read and held against its checksum.

        Raises InputError that names the file that is damaged or missing.
        """
        self.shapes = []
        for shard in self.shards:
            known = self._known(shard)
            file = self._file(shard)
            if known is None:
                raise InputError(f"{file}: the store lacks this file; run again to have it computed.")
            if _sha256(file) != known["sha256"]:
                raise InputError(f"{file}: this file is damaged; delete it and run again to have it computed anew.")
            self.shapes += [tuple(shape) for shape in known["shapes"][: self._count(shard)]]

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

    def _packed(self, pair: Pair, flow: Tensor) -> dict[str, Tensor]:
        if self.config.resolution == "half":
            flow = resize_flow(flow, tuple(max(n // 2, 1) for n in flow.shape[2:]))
        images = {name: getattr(pair, name)[:, :1] for name in self.images}
        return {name: tensor.half().cpu().contiguous() for name, tensor in {"flow": flow, **images}.items()}

    def _count(self, shard: int) -> int:
        return min(PAIRS_PER_SHARD, self.config.pairs - shard * PAIRS_PER_SHARD)

    def _file(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.safetensors"

    def _known(self, shard: int) -> dict[str, Any] | None:
        """What was written down of a file that is whole; None if it has to be computed."""
        note = self._file(shard).with_suffix(".json")
        if not note.exists() or not self._file(shard).exists():
            return None
        try:
            known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f"{note}: cannot be read ({error}); delete it and run again.") from error
        return known if len(known["shapes"]) >= self._count(shard) else None

    def _put(self, shard: int, tensors: dict[str, Tensor], shapes: list[tuple[int, ...]]) -> None:
        """The note is written last, so that a file counts only when it is whole."""
        file, content = self._file(shard), save(tensors)
        note = {"sha256": hashlib.sha256(content).hexdigest(), "shapes": shapes}
        with _writing(file):
            file.with_suffix(".json").unlink(missing_ok=True)
            _write(file, content)
            _write(file.with_suffix(".json"), json.dumps(note).encode())

    def _compare(self, index: Path) -> None:
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
        raise InputError(f"{path}: the store cannot be written ({error.strerror}); make room and run again.") from error


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
