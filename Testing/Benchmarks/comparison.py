"""Compare ours with other registration tools on the same files: accuracy, folding, seconds, memory.

    LIGHTREG_DATA=<data> .venv/bin/python Testing/Benchmarks/comparison.py --output Testing/Benchmarks/results

Every method runs on every pair in a process of its own, on so many CPU threads as --threads says. Each row is kept
in the folder --work as soon as it is there, and is run again only if its files, its settings or (ours) the code or its
model has changed; so the command can be stopped at any time, and goes on when it is called again. Peers' rows that
stand in --rows (a comparison.csv of an earlier run) are taken over by the same rule, with --keep-older also those that
do not hold any more and have no newer row: the report names them. A method that starts from our
affine stage gets its map from the row `affine`, and is run again only if that map changes. A method that fails leaves
its error in the row, and is tried again the next time; `failures.py` says which results count as failed.

Written to --output: comparison.md (tables, notes, the bars), .csv (every row), .json (the means) and .png; with
--to-cards also the means of our own methods into the cards of the models that registered a set.

The peers elastix, ANTs, Greedy, ConvexAdam and deeds need packages (versions: `peers/registry.py`, settings:
`peers/settings.py`), best in an environment of their own, since ANTsPy asks for an older numpy than Slicer has. deeds
is compiled there. Rows that were made there count here as well:

    python3 -m venv runs/peers && runs/peers/bin/pip install ".[benchmarks,training]"
    runs/peers/bin/pip install "cython<3.1" && runs/peers/bin/pip install --no-build-isolation ".[benchmarks-deeds]"
    LIGHTREG_DATA=<data> runs/peers/bin/python Testing/Benchmarks/comparison.py --methods elastix syn syn-cc greedy
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from common import benchmark_parser, parse, write_report
from compare.cards import card_results, write_to_cards
from compare.earlier import find_older_row, find_row, read_rows
from compare.plan import SETS, Task
from compare.plot import plot
from compare.process import measure
from compare.report import report, rows_csv, values
from compare.row import start_of
from compare.statistics import Row
from peers.method import Start
from peers.registry import METHODS, weights_of

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair
from LightRegistrationLib.training.evaluation.run import write_text

NAME, AFFINE = "comparison", "affine"
ROWS = Path(__file__).parent / "results" / f"{NAME}.csv"


def tasks_of(arguments: Any) -> Iterator[Task]:
    """List every row that is wanted; sets whose files are missing are named and left out."""
    for group in arguments.sets:
        try:
            pairs = SETS[group].pairs(arguments.data, arguments.work)[: arguments.pairs]
        except InputError as error:
            print(f"{group}: {error}", file=sys.stderr)
            continue
        for pair in pairs:
            start = functools.cache(partial(affine_start, arguments, group, pair))
            for method in arguments.methods:
                task = Task(group, pair, method, arguments.threads, arguments.surfaces)
                yield replace(task, start=start()) if METHODS[method].needs_start else task


def affine_start(arguments: Any, group: str, pair: EvaluationPair) -> Start | None:
    """Read the affine stage of the product on a pair from its row; the row is measured first if it is not there.

    None where it failed, or where only a report is wanted.
    """
    task = Task(group, pair, AFFINE, arguments.threads, arguments.surfaces)
    row = done(task, arguments.work)
    if row is None and not arguments.report_only:
        row = run(task, arguments.work)
    return None if row is None or row.get("error") else start_of(row)


def done(task: Task, work: Path, *, with_error: bool = False) -> Row | None:
    """Read the row of an earlier run, if it still holds; one with an error only if that is wanted."""
    try:
        row = json.loads((work / task.file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    holds = row.get("key") == task.key() and row.get("weights", "") == weights_of(row.get("model", ""))
    return row if holds and (with_error or not row.get("error")) else None


def run(task: Task, work: Path) -> Row:
    """Run one method on one pair and keep the row."""
    row = {
        "set": task.group,
        "pair": task.pair.name,
        "method": task.method,
        "key": task.key(),
        **measure(task),
    }
    write_text(work / task.file, json.dumps(row, indent=1))
    return row


def rows_of(arguments: Any) -> list[Row]:
    """Collect all rows: those of the working folder, those of an earlier table, and those that are measured now."""
    rows, earlier = [], read_rows(arguments.rows)
    for task in tasks_of(arguments):
        row = None if task.method in arguments.again else done(task, arguments.work) or take_over(task, earlier)
        if row is None and arguments.keep_older and not METHODS[task.method].is_ours:
            row = find_older_row(earlier, task.group, task.pair.name, task.method)
        if row is None and arguments.report_only:
            row = done(task, arguments.work, with_error=True)
        elif row is None:
            row = run(task, arguments.work)
            print(line_of(row), flush=True)
        if row is not None:
            rows.append(row)
    return rows


def take_over(task: Task, earlier: Sequence[Row]) -> Row | None:
    """Find a peer's row in an earlier table, measured with the same files, settings and version; never one of ours."""
    return None if METHODS[task.method].is_ours else find_row(earlier, task.key())


def line_of(row: Row) -> str:
    """Write the line that is printed for a row."""
    if row.get("error"):
        found = f"FAILED: {row['error']}"
    else:
        shown = {"Dice": row["dice"], "TRE": row["tre_mm"], "CPU s": row["cpu_seconds"]}
        found = ", ".join(f"{name} {value:.3f}" for name, value in shown.items() if value is not None)
    return f"{row['set']:<12} {row['pair']:<34} {row['method']:<10} {found}"


def command_line() -> Any:
    """Make the parser."""
    parser = benchmark_parser(__doc__, Path("runs/comparison"))
    parser.set_defaults(threads=1)
    parser.add_argument("--work", type=Path, default=Path("runs/comparison/work"), help="finished rows are kept here")
    parser.add_argument("--rows", type=Path, default=ROWS, help="table of earlier rows, those of peers are taken over")
    parser.add_argument("--keep-older", action="store_true", help="take over also rows that do not hold any more")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--pairs", type=int, help="take only so many pairs of each set")
    parser.add_argument("--again", nargs="+", choices=list(METHODS), default=[], help="measure these again")
    parser.add_argument("--no-surfaces", dest="surfaces", action="store_false", help="no HD95")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, report the finished rows")
    parser.add_argument("--to-cards", action="store_true", help="also write our own means into the models' cards")
    return parser


def main() -> None:
    """Run the command."""
    parser = command_line()
    arguments = parse(parser)
    try:
        rows = rows_of(arguments)
    except InputError as error:
        parser.error(str(error))
    if not rows:
        parser.error("there is no row to report; run the command without --report-only")
    text = report(rows)
    write_report(arguments.output, NAME, text, values(rows), plot(rows))
    write_text(arguments.output / f"{NAME}.csv", rows_csv(rows).rstrip())
    if arguments.to_cards:
        write_to_cards(card_results(rows))
    print("", text, sep="\n")


if __name__ == "__main__":
    main()
