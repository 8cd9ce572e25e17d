"""Made-up inputs of all kinds, sound and damaged: each is read rightly or refused with one line. Fails on a fault.

    .venv/bin/python Testing/Benchmarks/fuzz.py --inputs 10000

Volumes, label maps, DICOM series, model cards, tables and configurations are made from the seed and given to the
library in processes whose memory is limited; one that crashes or hangs is a fault too. The table counts the outcomes
by kind; each fault is listed with the input's number, and `--only NUMBER` repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

PATIENCE_S = 60
"""An input that takes more processor time, or ten times as long on a clock, counts as endless. Chosen: the others take
milliseconds, but other programs may slow them down."""
EXTRA_MEMORY_BYTES = 3 << 30
"""Memory that the process may take beyond what its libraries need; the inputs hold 20,000 voxels. Chosen."""


def main() -> None:
    """Run the inputs, print the table, and exit with status 1 on a fault."""
    arguments = _parse()
    if arguments.child:
        _run_here(arguments)
        os._exit(0)  # at its end HDF5 complains of the damaged files, which no command of the library does
    outcomes = _run_all(arguments)
    kinds = list(dict.fromkeys(outcome["kind"] for outcome in sorted(outcomes, key=lambda o: o["number"])))
    counts = Counter((outcome["kind"], outcome["result"]) for outcome in outcomes)
    columns = ("read", "refused", "FAULT")
    print(f"{'kind':22}" + "".join(f"{name:>9}" for name in columns))
    for kind in kinds:
        print(f"{kind:22}" + "".join(f"{counts[kind, name]:9}" for name in columns))
    print(f"{'all':22}" + "".join(f"{sum(counts[kind, name] for kind in kinds):9}" for name in columns))
    faults = [outcome for outcome in outcomes if outcome["result"] == "FAULT"]
    for fault in faults[: arguments.show]:
        print(f"#{fault['number']} {fault['kind']}: {fault['text']}")
    sys.exit(bool(faults))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--kinds", nargs="+", default=[], help="parts of the kinds' names; default: all kinds")
    parser.add_argument("--only", type=int, help="run only the input with this number")
    parser.add_argument("--show", type=int, default=50, help="faults that are listed (default: 50)")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_all(arguments: argparse.Namespace) -> list[dict]:
    """Run in child processes, a new one after each crash."""
    if arguments.only is not None:
        arguments.first, arguments.inputs = arguments.only, arguments.only + 1
    outcomes: list[dict] = []
    first = arguments.first
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log"
        while first < arguments.inputs:
            log.write_text("")
            status = _run_child(arguments, first, log, Path(name))
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            finished = [line for line in lines if "result" in line]
            outcomes += finished
            if len(lines) == 2 * len(finished) and status == 0:
                break
            if not lines or lines[-1] in finished:
                raise SystemExit(f"the process ended with status {status} between two inputs")
            outcomes.append({**lines[-1], "result": "FAULT", "text": f"the process ended with status {status}"})
            first = lines[-1]["number"] + 1
    return outcomes


def _run_child(arguments: argparse.Namespace, first: int, log: Path, folder: Path) -> int:
    command = [sys.executable, __file__, "--child", str(log), "--first", str(first)]
    command += ["--inputs", str(arguments.inputs), "--seed", str(arguments.seed)]
    command += ["--kinds", *arguments.kinds] if arguments.kinds else []
    work = folder / f"work-{first}"
    work.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, cwd=work, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


def _run_here(arguments: argparse.Namespace) -> None:
    """Run inputs in this process; each is written to the log before and after."""
    import torch
    from fuzzing.kinds import KINDS
    from fuzzing.outcome import try_input

    torch.set_num_threads(1)
    try_input("sound volume", Random(0))  # loads all libraries
    _limit_memory()
    chosen = [kind for kind in KINDS if not arguments.kinds or any(part in kind for part in arguments.kinds)]
    with arguments.child.open("a") as log:
        for number in range(arguments.first, arguments.inputs):
            kind = chosen[number % len(chosen)]
            print(json.dumps({"number": number, "kind": kind}), file=log, flush=True)
            _limit_time(PATIENCE_S)
            outcome = try_input(kind, Random(f"{arguments.seed} {kind} {number}"))
            _limit_time(0)
            line = {"number": number, "kind": kind, "result": outcome.result, "text": outcome.text}
            print(json.dumps(line), file=log, flush=True)


def _limit_time(seconds: float) -> None:
    """End this process after so many seconds of processor time, or ten times as many on a clock; 0: no more."""
    import signal

    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)


def _limit_memory() -> None:
    """Limit the memory of this process, where the system can: then a header that claims too much ends it."""
    statistics = Path("/proc/self/statm")
    if not statistics.exists():
        return
    import resource

    pages = int(statistics.read_text().split()[0])
    limit = pages * resource.getpagesize() + EXTRA_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
