"""Many registrations in one worker process: its memory stays flat, and no process, file or shared memory is left.

    .venv/bin/python Testing/Benchmarks/steady_worker.py --registrations 200

Two made-up pairs of different sizes alternate. The memory after each registration is printed; the command fails if the
last tenth holds more than `--allowed-mib` beyond the second tenth (the first one fills torch's caches), or if something
is left. Needs Linux, whose /proc it reads.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from LightRegistrationLib.commands.phantom.pair import make_phantom_pair
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.worker.client import WorkerClient
from LightRegistrationLib.worker.protocol import Finished, Refused, RegistrationRequest, WorkerExited

SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Measured:
    """Memory of the worker after each registration, MiB, and what was left: names of files and processes."""

    memory_mib: tuple[float, ...]
    left: tuple[str, ...]

    @property
    def growth_mib(self) -> float:
        """How much more the last tenth holds than the second tenth, medians."""
        part = max(len(self.memory_mib) // 10, 1)
        return median(self.memory_mib[-part:]) - median(self.memory_mib[part : 2 * part])


def measure(count: int, settings: RegistrationSettings, model_folders: tuple[Path, ...] = ()) -> Measured:
    """Register `count` times in one worker of its own."""
    with tempfile.TemporaryDirectory() as name:
        before = _list_places(Path(name))
        client = WorkerClient(sys.executable, {**os.environ, "TMPDIR": name}, model_folders=model_folders)
        earlier, tempfile.tempdir = tempfile.tempdir, name
        try:
            memory, during = _register(client, count, settings)
            processes = [client.process_id, *_list_children(client.process_id or 0)]
        finally:
            client.close()
            tempfile.tempdir = earlier
        left = [f"{what} after the first registration" for what in during]
        left += [f"process {number}" for number in processes if number and Path(f"/proc/{number}").exists()]
        left += sorted(_list_places(Path(name)) - before)
    return Measured(tuple(memory), tuple(left))


def _register(client: WorkerClient, count: int, settings: RegistrationSettings) -> tuple[list[float], list[str]]:
    requests = [
        RegistrationRequest(pair.fixed, pair.moving, settings, pair.fixed_segmentation, pair.moving_segmentation)
        for pair in (make_phantom_pair(spacing_mm=spacing) for spacing in (4.0, 5.0))
    ]
    memory: list[float] = []
    first: set[str] = set()
    for number in range(count):
        _wait(client, client.submit(requests[number % 2]))
        memory.append(_read_memory_mib(client.process_id or 0))
        assert client.session_folder is not None
        now = {path.name for path in client.session_folder.rglob("*")}
        now |= {f"child process {child}" for child in _list_children(client.process_id or 0)}
        first = first or now
    return memory, sorted(now - first)


def _wait(client: WorkerClient, request: int) -> None:
    while True:
        for message in client.poll():
            if isinstance(message, (Refused, WorkerExited)):
                raise SystemExit(f"the worker failed: {message}")
            if isinstance(message, Finished) and message.request_id == request:
                return
        time.sleep(0.01)


def _read_memory_mib(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _list_children(process: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _list_places(folder: Path) -> set[str]:
    """The files in a folder and in the system's shared memory."""
    return {str(path) for place in (folder, SHARED_MEMORY) if place.exists() for path in place.iterdir()}


def main() -> None:
    """Measure, print, and exit with status 1 if the memory grows or something is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registrations", type=int, default=200, help="default: 200")
    parser.add_argument("--model", default="abdomen-ct", help="default: abdomen-ct")
    parser.add_argument("--threads", type=int, default=2, help="default: 2")
    parser.add_argument("--allowed-mib", type=float, default=30, help="growth that is no fault (default: 30)")
    arguments = parser.parse_args()
    measured = measure(arguments.registrations, RegistrationSettings(arguments.model, threads=arguments.threads))
    print(" ".join(f"{value:.0f}" for value in measured.memory_mib), "MiB")
    print(f"growth: {measured.growth_mib:.1f} MiB; left: {', '.join(measured.left) or 'nothing'}")
    sys.exit(bool(measured.left) or measured.growth_mib > arguments.allowed_mib)


if __name__ == "__main__":
    main()
