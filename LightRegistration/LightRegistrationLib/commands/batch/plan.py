"""The pairs of a batch, and how many processes register them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ...core.errors import InputError
from ...core.thread_count import MAX_THREADS_PER_CORE
from ...training.evaluation.pairs import EvaluationPair, make_file_name
from .settings import BATCH, BatchSettings


class Shape(StrEnum):
    """Which volumes of a list are registered to which."""

    PAIRS = "pairs"
    ALL_TO_ONE = "all-to-one"
    ATLAS_TO_ALL = "atlas-to-all"
    ALL_TO_ALL = "all-to-all"


@dataclass(frozen=True)
class Scan:
    """A volume with its label map; labels None: it has none."""

    volume: Path
    labels: Path | None


def arrange_pairs(listed: Sequence[EvaluationPair], shape: Shape) -> list[EvaluationPair]:
    """Return the pairs to register; names are unique. Raises InputError if there is none."""
    if shape == Shape.PAIRS:
        return list(listed)
    scans = list(_list_scans(listed))
    first_fixed = next(scan for scan in scans if scan.volume == listed[0].fixed)
    first_moving = next(scan for scan in scans if scan.volume == listed[0].moving)
    match shape:
        case Shape.ALL_TO_ONE:
            chosen = [(first_fixed, scan) for scan in scans]
        case Shape.ATLAS_TO_ALL:
            chosen = [(scan, first_moving) for scan in scans]
        case _:
            chosen = [(fixed, moving) for fixed in scans for moving in scans]
    names, taken = name_volumes([scan.volume for scan in scans]), set[str]()
    pairs = [_make_pair(fixed, moving, names, taken) for fixed, moving in chosen if fixed.volume != moving.volume]
    if not pairs:
        raise InputError("The list has one volume only: there is nothing to register.")
    return pairs


def _list_scans(listed: Sequence[EvaluationPair]) -> Iterator[Scan]:
    """Yield each volume once, with the labels that any row gives it. Raises InputError for two different ones."""
    labels: dict[Path, Path | None] = {}
    for pair in listed:
        for volume, drawing in ((pair.fixed, pair.fixed_labels), (pair.moving, pair.moving_labels)):
            known = labels.setdefault(volume, drawing)
            if drawing is not None and known is not None and known != drawing:
                raise InputError(f"{volume}: the list gives it two label maps, {known} and {drawing}; keep one.")
            labels[volume] = known or drawing
    yield from (Scan(volume, drawing) for volume, drawing in labels.items())


def name_volumes(volumes: Sequence[Path]) -> dict[Path, str]:
    """Name each volume by its file, or where that is not unique by its folders too."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for volume in volumes:
        parts = volume.parts
        for count in range(1, len(parts) + 1):
            tail = parts[-count:]
            if sum(other.parts[-count:] == tail for other in volumes) == 1:
                break
        stem = "-".join(part for part in tail if part not in ("/", ".."))
        stem = stem.split(".nii")[0].removesuffix(".nrrd").removesuffix(".mha").removesuffix(".mhd")
        names[volume] = _number_if_taken(make_file_name(stem) or "volume", taken)
    return names


def _number_if_taken(name: str, taken: set[str]) -> str:
    """Return the name, with a number if it is taken, and take it; some disks do not tell upper from lower case."""
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free.casefold())
    return free


def _make_pair(fixed: Scan, moving: Scan, names: dict[Path, str], taken: set[str]) -> EvaluationPair:
    name = _number_if_taken(f"{names[moving.volume]}_to_{names[fixed.volume]}", taken)
    return EvaluationPair(name, fixed.volume, moving.volume, fixed.labels, moving.labels)


@dataclass(frozen=True)
class Processes:
    """How many processes register the pairs, with how many threads and gigabytes of memory each."""

    workers: int
    threads: int
    memory_gb: float

    def describe(self) -> str:
        """Return the numbers in words."""
        return (
            f"{self.workers} {'process' if self.workers == 1 else 'processes'} with {self.threads} "
            f"{'thread' if self.threads == 1 else 'threads'} and {self.memory_gb:.1f} GB each"
        )


def plan_processes(
    pairs: int,
    cores: int,
    free_gb: float,
    workers: int | None = None,
    threads: int | None = None,
    memory_gb: float | None = None,
    settings: BatchSettings = BATCH,
) -> Processes:
    """Choose what the user has left open: as many processes as cores and memory allow, with the cores shared.

    Never more processes than pairs. Raises InputError for numbers below 1, for far more processes than cores, and for
    memory that is no number.
    """
    for name, value in (("--workers", workers), ("--threads", threads), ("--memory", memory_gb)):
        if value is not None and not math.isfinite(value):
            raise InputError(f"{name} {value:g} is no amount; give a number.")
        if value is not None and value < (0.1 if name == "--memory" else 1):
            raise InputError(f"{name} {value:g} is too little; give a larger number.")
    most = MAX_THREADS_PER_CORE * cores
    if workers is not None and workers > most:
        raise InputError(f"{workers} processes are too many for {cores} cores; use {most} or fewer.")
    usable_gb = settings.free_share * free_gb
    fitting = max(1, int(usable_gb / (memory_gb or settings.worker_gb)))
    chosen = max(1, min(pairs, workers or min(cores // (threads or 1), fitting)))
    return Processes(chosen, threads or max(1, cores // chosen), memory_gb or usable_gb / chosen)
