"""Shared by the benchmarks: the data folder, the brain ring, peers, and the writing of tables and plots."""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch
from matplotlib.figure import Figure
from peers.method import Start
from peers.own import affine_stage
from peers.registry import METHODS, key_of

from LightRegistrationLib.training.evaluation.cases import AffineStart, Case, Method, Outcome, evaluate_field
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair


def benchmark_parser(description: str | None, output: Path) -> argparse.ArgumentParser:
    """Make a command line with --data, --output and --threads."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LIGHTREG_DATA"), help="default: LIGHTREG_DATA")
    parser.add_argument("--output", type=Path, default=output, help=f"default: {output}")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the arguments and set the threads of torch and SimpleITK; exits if the data folder is missing."""
    arguments = parser.parse_args()
    if arguments.data is None or not (Path(arguments.data) / "manifest.json").is_file():
        parser.error("the data folder is missing: set LIGHTREG_DATA or --data")
    arguments.data = Path(arguments.data)
    use_threads(arguments.threads)
    return arguments


def use_threads(count: int) -> None:
    """Set the number of CPU threads of torch and SimpleITK."""
    torch.set_num_threads(count)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)


def brain_ring(data: Path, count: int | None = None) -> list[EvaluationPair]:
    """Pair each brain T1 scan (fixed) with the next in the list, the last with the first; all, or the first few."""
    records = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["records"]
    brains = sorted((r for r in records if r["anatomy"] == "brain_t1"), key=lambda r: r["id"])[:count]
    return [
        EvaluationPair(
            f"{fixed['id']}__{moving['id']}",
            data / fixed["image"],
            data / moving["image"],
            data / fixed["labels"],
            data / moving["labels"],
            group="brain_t1",
        )
        for fixed, moving in zip(brains, brains[1:] + brains[:1], strict=True)
    ]


def peer(name: str) -> Method:
    """Make an evaluation's method of a peer: run in this process, from the pair's files, with an affine stage."""
    method = METHODS[name]

    def run(case: Case, start: AffineStart | None) -> Outcome:
        method.check_package()
        files, threads = (case.pair.fixed, case.pair.moving), torch.get_num_threads()
        own_start: Start | None = affine_stage(*files, threads) if method.needs_start else None
        work = method.make(*files, threads, own_start)
        started = time.perf_counter()
        work.register()
        seconds = time.perf_counter() - started + work.seconds
        return replace(evaluate_field(case, work.field()), seconds=seconds)

    return Method(method.title, json.dumps(key_of(method, None)), run)


PEERS = {name: peer(name) for name in ("demons", "syn")}


def new_figure(columns: int = 1, width: float = 10.0, height: float = 4.5, rows: int = 1) -> tuple[Any, Any]:
    """Make a matplotlib figure for a file, and its axes by row and column."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def write_report(folder: Path, name: str, text: str, values: Any, figure: Any) -> None:
    """Write a benchmark's table (.md), values (.json) and plot (.png) into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    (folder / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    figure.savefig(folder / f"{name}.png", dpi=110)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one line for each row; the columns are the keys of all rows."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def print_and_write(
    rows: Iterable[dict[str, Any]],
    folder: Path,
    name: str,
    format_report: Callable[[Sequence[dict[str, Any]]], str],
    plot: Callable[[Sequence[dict[str, Any]]], Any],
) -> None:
    """Print each row as soon as it is measured, then write table, values, plot and rows (.csv), and print the table."""
    measured = []
    for row in rows:
        measured.append(row)
        print({key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()}, flush=True)
    text = format_report(measured)
    write_report(folder, name, text, measured, plot(measured))
    write_csv(folder / f"{name}.csv", measured)
    print(text)
