"""How `batch` grows: pairs per minute against processes and threads, memory of a process, and what the engine costs.

    .venv/bin/python Testing/Benchmarks/batch_growth.py --workers 1 2 --threads 1 2 --pairs 8
    .venv/bin/python Testing/Benchmarks/batch_growth.py --workers 1 --threads 1 --pairs 2 --one-worker 200 --spacing 4
    .venv/bin/python Testing/Benchmarks/batch_growth.py --workers 1 --threads 1 --pairs 2 --planned 2000

The pairs are synthesized heads, `--pairs` for each process after one that warms it up. Pairs per minute are of the wall
clock, and mean something only on a machine that does nothing else; CPU seconds a pair hardly depend on that.
--one-worker: so many pairs through one process; the memory after each is plotted, and the command fails if the last
tenth holds more than --allowed-mib beyond the second tenth. --planned: so many pairs that end at once, for the CPU
time that finding out what is done, and sending them to processes, takes for each. Needs Linux, whose /proc it reads.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import SimpleITK as sitk
from common import new_figure, write_report

from LightRegistrationLib.commands.batch.engine import open_client, run_tasks
from LightRegistrationLib.commands.batch.plan import Processes
from LightRegistrationLib.commands.batch.run import BatchRequest, prepare
from LightRegistrationLib.commands.batch.task import Task, register_task
from LightRegistrationLib.commands.phantom.pair import make_head
from LightRegistrationLib.commands.register.request import FilesRequest
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.training.evaluation.files import to_sitk_image

HEADS = 4
MEMORY_GB = 8.0
GAIN = 1.1
"""More processes or threads that gain less than this factor are not worth it."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Growth:
    """One choice of processes and threads. peak_mib: of one process, the largest. stored_mib: of one pair."""

    workers: int
    threads: int
    pairs: int
    wall_s: float
    pairs_per_minute: float
    cpu_s: float
    peak_mib: float
    stored_mib: float


@dataclass(frozen=True)
class Planning:
    """For each pair: CPU seconds of preparing, of preparing again, and of the client and the scheduler.

    engine_kib: the memory that the client and the scheduler need for it.
    """

    pairs: int
    prepare_s: float
    prepare_again_s: float
    engine_s: float
    engine_kib: float


def write_heads(folder: Path, spacing_mm: float, count: int = HEADS) -> list[Path]:
    """Write synthesized heads; any two of them are a pair."""
    files = []
    for seed in range(count):
        scan, _ = make_head(seed, spacing_mm)
        files.append(folder / f"head{seed}.nii.gz")
        sitk.WriteImage(to_sitk_image(scan), str(files[-1]))
    return files


def write_list(heads: Sequence[Path], count: int, path: Path) -> Path:
    """Write a list of pairs of heads."""
    ordered = [(a, b) for a in heads for b in heads if a != b]
    rows = [f"{n},{a},{b}" for n, (a, b) in enumerate(ordered[n % len(ordered)] for n in range(count))]
    path.write_text("\n".join(["id,fixed,moving", *rows]) + "\n", encoding="utf-8")
    return path


def make_request(pairs: Path, output: Path, arguments: argparse.Namespace, workers: int, threads: int) -> BatchRequest:
    settings = RegistrationSettings(model=arguments.model, refine=arguments.refine)
    options = FilesRequest(Path(), Path(), settings=settings, thumbnail=True)
    return BatchRequest(pairs, output, options, workers=workers, threads=threads, memory_gb=MEMORY_GB)


class Running:
    """Tasks of a batch in processes that are read from outside: CPU seconds and memory."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.processes: list[int] = list(client.run(os.getpid).values())

    def carry_out(self, tasks: Sequence[Task], failures: list[str]) -> list[float]:
        """Carry out tasks; returns the memory of the largest process after each, MiB."""
        memory: list[float] = []

        def keep(task: Task, failure: str | None) -> None:
            if failure is not None:
                failures.append(f"{task.name}: {failure}")
            memory.append(max(read_mib(process, "VmRSS") for process in self.processes))

        run_tasks(self._client, tasks, register_task, keep, failures.append)
        return memory

    def read_cpu_s(self) -> float:
        """The CPU seconds of all processes so far."""
        fields = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in self.processes]
        return sum((int(own[11]) + int(own[12])) / TICKS for own in fields)

    def read_peak_mib(self) -> float:
        """The greatest memory that a process has had."""
        return max(read_mib(process, "VmHWM") for process in self.processes)


def read_mib(process: int, key: str) -> float:
    """Read a value of /proc/PID/status."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.partition(f"{key}:")[2].split()[0]) / 1024


def measure_growth(
    heads: Sequence[Path], folder: Path, arguments: argparse.Namespace, workers: int, threads: int
) -> Growth:
    """Register the pairs with one choice of processes and threads."""
    count = workers * arguments.pairs
    output = folder / f"{workers}x{threads}"
    pairs = write_list(heads, workers + count, folder / "pairs.csv")
    tasks = prepare(make_request(pairs, output, arguments, workers, threads)).tasks
    failures: list[str] = []
    with open_client(Processes(workers, threads, MEMORY_GB), None) as client:
        running = Running(client)
        running.carry_out(tasks[:workers], failures)
        started, cpu_s = time.perf_counter(), running.read_cpu_s()
        running.carry_out(tasks[workers:], failures)
        wall_s, cpu_s = time.perf_counter() - started, running.read_cpu_s() - cpu_s
        peak_mib = running.read_peak_mib()
    if failures:
        raise SystemExit(f"a pair failed: {failures[0]}")
    stored = [sum(f.stat().st_size for f in task.folder.rglob("*") if f.is_file()) for task in tasks]
    return Growth(workers, threads, count, wall_s, 60 * count / wall_s, cpu_s / count, peak_mib, median(stored) / 2**20)


def measure_one_worker(heads: Sequence[Path], folder: Path, arguments: argparse.Namespace) -> list[float]:
    """Register many pairs in one process; returns its memory after each, MiB."""
    pairs = write_list(heads, arguments.one_worker, folder / "many.csv")
    tasks = prepare(make_request(pairs, folder / "many", arguments, 1, 1)).tasks
    failures: list[str] = []
    with open_client(Processes(1, 1, MEMORY_GB), None) as client:
        memory = Running(client).carry_out(tasks, failures)
    if failures:
        raise SystemExit(f"a pair failed: {failures[0]}")
    return memory


def measure_planning(folder: Path, count: int, arguments: argparse.Namespace) -> Planning:
    """Prepare and send pairs whose volumes cannot be read, so that nothing is registered."""
    files = []
    for number in range(2):
        files.append(folder / f"empty{number}.nii")
        files[-1].write_bytes(bytes(400 + number))
    rows = [f"{n},{files[0]},{files[1]}" for n in range(count)]
    pairs = folder / "planned.csv"
    pairs.write_text("\n".join(["id,fixed,moving", *rows]) + "\n", encoding="utf-8")
    request = make_request(pairs, folder / "planned", arguments, 1, 1)
    seconds = []
    for _ in range(2):
        started = time.process_time()
        batch = prepare(request)
        seconds.append((time.process_time() - started) / count)
    failures: list[str] = []
    with open_client(Processes(1, 1, MEMORY_GB), None) as client:
        running = Running(client)
        running.carry_out(batch.tasks[:1], failures)  # imports the library
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that of what follows
        started, before = time.process_time(), read_mib(os.getpid(), "VmRSS")
        running.carry_out(batch.tasks[1:], failures)
        seconds.append((time.process_time() - started) / (count - 1))
        grown = max(0.0, read_mib(os.getpid(), "VmHWM") - before)
    assert len(failures) == count, "each pair was to be refused"
    return Planning(count, *seconds, engine_kib=1024 * grown / count)


def compute_growth_mib(memory: Sequence[float]) -> float:
    """How much more the last tenth holds than the second tenth, medians."""
    part = max(len(memory) // 10, 1)
    return median(memory[-part:]) - median(memory[part : 2 * part])


def find_end(rows: Sequence[Growth]) -> str:
    """Say which choice is the last one that gains enough over all with fewer cores."""
    best = rows[0]
    for row in rows[1:]:
        if row.pairs_per_minute > GAIN * best.pairs_per_minute:
            best = row
    return (
        f"Most that is worth it: {best.workers} x {best.threads} (processes x threads), {best.pairs_per_minute:.1f} "
        f"pairs a minute; what is beyond gains less than {100 * GAIN - 100:.0f} %."
    )


def format_report(what: str, rows: Sequence[Growth], memory: Sequence[float], planning: Planning | None) -> str:
    lines = [
        f"{what}; {os.cpu_count()} cores.",
        "",
        "| processes | threads each | pairs | pairs a minute | CPU s a pair | peak memory of a process, MiB "
        "| stored a pair, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.workers} | {r.threads} | {r.pairs} | {r.pairs_per_minute:.1f} | {r.cpu_s:.2f} | {r.peak_mib:.0f} "
        f"| {r.stored_mib:.1f} |"
        for r in rows
    ]
    lines += ["", find_end(rows)] if len(rows) > 1 else []
    if memory:
        lines += [
            "",
            f"{len(memory)} pairs through one process: {median(memory[:10]):.0f} MiB at first (median of ten), "
            f"{median(memory[-10:]):.0f} MiB at last; growth from the second to the last tenth "
            f"{compute_growth_mib(memory):.1f} MiB.",
        ]
    if planning is not None:
        lines += [
            "",
            f"{planning.pairs} pairs that end at once, CPU ms for each: preparing {1e3 * planning.prepare_s:.2f}, "
            f"again {1e3 * planning.prepare_again_s:.2f}, client and scheduler {1e3 * planning.engine_s:.2f}. "
            f"They need {planning.engine_kib:.0f} KiB for each.",
        ]
    return "\n".join(lines)


def draw(rows: Sequence[Growth], memory: Sequence[float]) -> Any:
    """Draw the pairs a minute, and the memory over the pairs; a single choice, or no memory, is not drawn."""
    panels = max(1, (len(rows) > 1) + bool(memory))
    figure, axes = new_figure(columns=panels, width=5.5 * panels)
    if len(rows) > 1:
        for threads in sorted({row.threads for row in rows}):
            own = [row for row in rows if row.threads == threads]
            label = f"{threads} thread{'s' if threads > 1 else ''} each"
            axes[0][0].plot([r.workers for r in own], [r.pairs_per_minute for r in own], "o-", label=label)
        axes[0][0].set(xlabel="processes", ylabel="pairs a minute", xticks=sorted({row.workers for row in rows}))
        axes[0][0].set_ylim(bottom=0)
        axes[0][0].legend()
    if memory:
        axes[0][-1].plot(np.arange(1, len(memory) + 1), memory)
        axes[0][-1].set(xlabel="pairs in one process", ylabel="its memory, MiB")
        axes[0][-1].set_ylim(0, 1.2 * max(memory))
    return figure


def main() -> None:
    """Measure, print, write the table and the plot; exits with status 1 if the memory of one process grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="default: 1 2 4")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--pairs", type=int, default=8, help="for each process (default: 8)")
    parser.add_argument("--spacing", type=float, default=1.5, help="voxel size of the heads, mm (default: 1.5)")
    parser.add_argument("--model", default="brain-mri", help="default: brain-mri")
    parser.add_argument("--refine", default="none", help="default: none")
    parser.add_argument("--one-worker", type=int, default=0, metavar="PAIRS")
    parser.add_argument("--planned", type=int, default=0, metavar="PAIRS")
    parser.add_argument("--allowed-mib", type=float, default=50, help="growth that is no fault (default: 50)")
    parser.add_argument("--output", type=Path, help="folder for the table and the plot")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        heads = write_heads(folder, arguments.spacing)
        choices = sorted(((w, t) for w in arguments.workers for t in arguments.threads), key=lambda c: c[0] * c[1])
        rows = [measure_growth(heads, folder, arguments, *choice) for choice in choices]
        memory = measure_one_worker(heads, folder, arguments) if arguments.one_worker else []
        planning = measure_planning(folder, arguments.planned, arguments) if arguments.planned else None
    what = f"Heads of {arguments.spacing:g} mm, {arguments.model}, refine {arguments.refine}"
    text = format_report(what, rows, memory, planning)
    print(text)
    if arguments.output is not None:
        values = {
            "rows": [asdict(row) for row in rows],
            "memory_mib": [round(value, 1) for value in memory],
            "planning": None if planning is None else asdict(planning),
        }
        name = "batch_memory" if memory else "batch_growth"
        write_report(arguments.output, name, text, values, draw(rows, memory))
    sys.exit(bool(memory) and compute_growth_mib(memory) > arguments.allowed_mib)


if __name__ == "__main__":
    main()
