"""Measure the CPU time of ours and of the peers alone on the machine, one thread each, on one or two brain pairs.

    LIGHTREG_DATA=<data> runs/peers/bin/python Testing/Benchmarks/cpu_time.py --output Testing/Benchmarks/results

Run it with nothing else on the machine; it takes about eight minutes for one pair (for the environment of the peers see
`comparison.py`). The methods take turns, --repeat times; each run is a process of its own, and its CPU seconds are
those of the registration alone, the affine stage included: without importing, reading or loading the models. The table
shows the median, and how many times faster ours are. It also says how much other work ran on the machine meanwhile.

Written to --output: cpu_time.json, one entry a processor (that of this machine is replaced, the others stay), and
cpu_time.md, made of it. With `--methods` also those that take long (syn-cc, deeds).
"""

from __future__ import annotations

import functools
import json
import os
import resource
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import benchmark_parser, brain_ring, parse
from compare.load import OtherWork
from compare.machine import processor_name
from compare.plan import Task
from compare.process import measure
from compare.report import ratio
from compare.row import start_of
from peers.registry import METHODS

from LightRegistrationLib.training.evaluation.run import write_text
from LightRegistrationLib.training.evaluation.tables import format_markdown_table

NAME = "cpu_time"
OURS = ("ours-none", "ours-fast", "ours-best")
DEFAULT = (*OURS, "demons", "elastix", "syn", "greedy", "convexadam")
QUIET = 0.05
"""Other work up to this many CPU seconds per second does not count as a busy machine."""
HEADER = """\
# CPU time

CPU seconds of the registration alone, on one thread, medians of alternating runs; the last three columns say how many
times less CPU time ours take. One table for each processor that the command was run on:

    LIGHTREG_DATA=<data> runs/peers/bin/python Testing/Benchmarks/cpu_time.py --output Testing/Benchmarks/results"""
REPORTED = """\
## Reported for another machine, with an earlier version of the code

Not measured with this command: on a quiet Intel machine (model not recorded), one thread, ANTs SyN is reported to take
77 CPU seconds on a brain pair, 44 times as long as ours without refinement, 8 times as long as `fast` and 2.2 times as
long as `best`."""


def measure_all(tasks: Sequence[Task], repeat: int) -> Iterator[dict[str, Any]]:
    """Run all tasks in turn, again and again; yield what each run took."""
    for _ in range(repeat):
        for task in tasks:
            work, own = OtherWork(), _own_seconds()
            row = measure(task)
            other = work.share(_own_seconds() - own)
            taken = {key: row.get(key) for key in ("error", "cpu_seconds", "seconds")}
            run = {"pair": task.pair.name, "method": task.method, **taken, "other_work": other}
            print(f"{task.pair.name:<28} {task.method:<12} {row.get('error') or line_of(run)}", flush=True)
            yield run


def line_of(run: dict[str, Any]) -> str:
    """Write what is printed of a run."""
    other = "" if run["other_work"] is None else f", other work {run['other_work']:.0%} of a core"
    return f"{run['cpu_seconds']:8.2f} CPU s, {run['seconds']:8.2f} s{other}"


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def tasks_of(arguments: Any) -> list[Task]:
    """List the runs of one turn; the affine stage is run first where a method starts from it."""
    tasks = []
    for pair in brain_ring(arguments.data)[: arguments.pairs]:
        affine = Task("brain", pair, "affine", arguments.threads, surfaces=False)
        start = functools.cache(lambda task=affine: start_of(measure(task)))
        for method in arguments.methods:
            task = replace(affine, method=method)
            tasks.append(replace(task, start=start()) if METHODS[method].needs_start else task)
    return tasks


def summarize(runs: Sequence[dict[str, Any]], threads: int) -> dict[str, Any]:
    """Reduce the runs on one processor to the numbers of its table."""
    by_method = {name: [r for r in runs if r["method"] == name] for name in dict.fromkeys(r["method"] for r in runs)}
    others = [r["other_work"] for r in runs if r["other_work"] is not None]
    return {
        "cores": os.cpu_count(),
        "threads": threads,
        "pairs": sorted({r["pair"] for r in runs}),
        "most_other_work": max(others, default=None),
        "methods": {name: _method_summary(own) for name, own in by_method.items()},
    }


def _method_summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    errors = [r["error"] for r in runs if r["error"]]
    seconds = [r["cpu_seconds"] for r in runs if not r["error"]]
    if not seconds:
        return {"error": errors[0]}
    return {
        "runs": len(seconds),
        "failed": len(errors),
        "cpu_seconds": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
    }


def text_of(found: dict[str, Any]) -> str:
    """Write one section for each processor, Markdown."""
    parts = [HEADER]
    for processor, entry in found.items():
        parts += [f"## {processor}, {entry['cores']} cores", _conditions(entry), table(entry["methods"])]
    return "\n\n".join([*parts, REPORTED])


def _conditions(entry: dict[str, Any]) -> str:
    other = entry["most_other_work"]
    if other is None:
        load = "how busy the machine was is not known"
    elif other <= QUIET:
        load = f"nothing else running (at most {other:.0%} of a core)"
    else:
        load = f"NOT alone on the machine: other work took up to {other:.0%} of a core, so these times are unreliable"
    return f"{entry['threads']} thread, pairs: {', '.join(entry['pairs'])}; {load}."


def table(methods: dict[str, Any]) -> str:
    """Show the CPU time of each method, and how many times that of ours it is."""
    lines = []
    for name, own in methods.items():
        if "error" in own:
            lines.append([METHODS[name].title, "", f"failed: {own['error']}", "", "", ""])
            continue
        times = [
            ratio(own["cpu_seconds"] / methods[ours]["cpu_seconds"])
            if name not in OURS and "cpu_seconds" in methods.get(ours, {})
            else ""
            for ours in OURS
        ]
        runs = f"{own['runs']} runs, {own['least']:.2f} to {own['most']:.2f}"
        failed = f", {own['failed']} failed" if own["failed"] else ""
        lines.append([METHODS[name].title, f"{own['cpu_seconds']:.2f}", runs + failed, *times])
    columns = [f": {METHODS[ours].title}" for ours in OURS]
    return format_markdown_table(["method", "CPU s", "runs", *columns], lines)


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs") / NAME)
    parser.set_defaults(threads=1)
    parser.add_argument("--methods", nargs="+", choices=[name for name in METHODS if name != "none"], default=DEFAULT)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=2)
    arguments = parse(parser)
    file = arguments.output / f"{NAME}.json"
    runs = list(measure_all(tasks_of(arguments), arguments.repeat))
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    found[processor_name()] = summarize(runs, arguments.threads)
    write_text(file, json.dumps(found, indent=1))
    write_text(arguments.output / f"{NAME}.md", text_of(found))
    print("", text_of(found), sep="\n")


if __name__ == "__main__":
    main()
