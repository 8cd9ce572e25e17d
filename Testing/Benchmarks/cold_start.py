"""Where the time of a cold command goes: help, a refused input, and one registration, each in a new process.

    python Testing/Benchmarks/cold_start.py FIXED MOVING [--labels FIXED MOVING] [--library FOLDER] [--runs 3] \\
        [--output FOLDER]

CPU seconds (user and system, of one thread) are the least of some runs; the wall time beside them depends on what
else the machine does. The shares of a registration are measured by Python's import profiler and by the report.
--labels: their label maps or segmentations; the registration is then also measured with them, and its shares too.
--library: the folder LightRegistration of another version, measured in turn with this one; the ratio is printed too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "LightRegistration"
IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
SHARES = ("torch", "slicer_core", "vtkmodules", "scipy", "numpy", "LightRegistrationLib")


@dataclass(frozen=True)
class Cost:
    """Seconds of one process."""

    cpu_s: float
    wall_s: float


def run(library: Path, arguments: list[str], *options: str) -> tuple[Cost, str]:
    """Run light-registration of a library; returns its cost and its standard error."""
    command = [sys.executable, *options, "-m", "LightRegistrationLib.commands", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(library), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall_s), done.stderr


def make_registration(pair: tuple[Path, Path], labels: list[Path] | None, output: str) -> list[str]:
    """Return the arguments of a registration on one thread, with labels of the fixed and the moving scan or without."""
    arguments = ["register", *map(str, pair), "--output", output, "--force", "--threads", "1"]
    if labels:
        arguments += ["--fixed-segmentation", str(labels[0]), "--moving-segmentation", str(labels[1])]
    return arguments


def measure_commands(
    libraries: list[Path], pair: tuple[Path, Path], labels: list[Path] | None, runs: int
) -> dict[str, list[Cost]]:
    """Measure each command with each library, in turn; returns the least cost by command and library."""
    costs: dict[str, list[list[Cost]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "help": ["--help"],
            "help of register": ["register", "--help"],
            "missing file": ["register", f"{folder}/absent.nii", str(pair[1]), "--output", f"{folder}/none"],
            "register": make_registration(pair, None, f"{folder}/result"),
        }
        if labels:
            commands["register with labels"] = make_registration(pair, labels, f"{folder}/result")
        for name, arguments in commands.items():
            costs[name] = [[] for _ in libraries]
            for library in libraries:
                run(library, arguments)  # writes the byte code, fills the file cache
            for _ in range(runs):
                for number, library in enumerate(libraries):
                    costs[name][number].append(run(library, arguments)[0])
    return {name: [min(of_one, key=lambda cost: cost.cpu_s) for of_one in of_all] for name, of_all in costs.items()}


def measure_shares(library: Path, pair: tuple[Path, Path], labels: list[Path] | None) -> dict[str, float]:
    """Measure the wall seconds of importing each package, and of the stages, in one registration."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = make_registration(pair, labels, f"{folder}/result")
        cost, stderr = run(library, arguments, "-X", "importtime")
        seconds = json.loads((Path(folder) / "result" / "report.json").read_text())["seconds"]
    imports: Counter[str] = Counter()
    for line in stderr.splitlines():
        if match := IMPORT_LINE.match(line):
            package = match[2].partition(".")[0]
            imports[package if package in SHARES else "other packages"] += int(match[1])
    shares = {f"import of {name}": total / 1e6 for name, total in imports.most_common()}
    known = ("reading", "comparing", "writing", "starting")
    shares |= {name: seconds[name] for name in known[:3] if name in seconds}
    shares["registration"] = sum(value for name, value in seconds.items() if name not in known)
    shares["the rest: start, end, report"] = cost.wall_s - sum(shares.values())
    return shares


def format_results(costs: dict[str, list[Cost]], shares: dict[str, float]) -> str:
    """Return the tables as Markdown."""
    is_compared = len(next(iter(costs.values()))) > 1
    head = ["command", "CPU s", "wall s", *(["CPU s of the other", "ratio"] if is_compared else [])]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for name, of_all in costs.items():
        cells = [name, f"{of_all[0].cpu_s:.2f}", f"{of_all[0].wall_s:.2f}"]
        if is_compared:
            cells += [f"{of_all[1].cpu_s:.2f}", f"{of_all[0].cpu_s / of_all[1].cpu_s:.2f}"]
        lines.append(" | ".join(cells))
    total = sum(shares.values())
    lines += ["", "part of a cold register | share", "--- | ---"]
    lines += [f"{name} | {100 * value / total:.0f} %" for name, value in shares.items()]
    return "\n".join(f"| {line} |" if line else "" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixed", type=Path)
    parser.add_argument("moving", type=Path)
    parser.add_argument("--labels", type=Path, nargs=2, metavar=("FIXED", "MOVING"), help="their labels")
    parser.add_argument("--library", type=Path, help="LightRegistration folder of another version")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--output", type=Path, help="folder for cold_start.md (default: print alone)")
    arguments = parser.parse_args()
    libraries = [LIBRARY, *([arguments.library.resolve()] if arguments.library else [])]
    pair = (arguments.fixed, arguments.moving)
    costs = measure_commands(libraries, pair, arguments.labels, arguments.runs)
    text = format_results(costs, measure_shares(LIBRARY, pair, arguments.labels))
    print(text)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "cold_start.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
