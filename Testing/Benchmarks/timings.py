"""Times that a user notices: how fast mistakes are answered, and work is canceled.

The tests hold what makes these fast (how many voxels are read, what is imported, that no call waits for the worker),
but no time: a time depends on the machine. Here they are measured, the median of some runs. How long windows do not
respond is measured by `event_loop.py`.

    python Testing/Benchmarks/timings.py [--runs 5] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "SlicerHost"))

from LightRegistrationLib.commands.phantom.pair import make_head, make_phantom_pair  # noqa: E402
from LightRegistrationLib.core.geometry.volume import Volume  # noqa: E402
from LightRegistrationLib.core.models.image_statistics import measure_image_statistics  # noqa: E402
from LightRegistrationLib.core.result.result import RegistrationSettings  # noqa: E402
from LightRegistrationLib.worker.client import WorkerClient  # noqa: E402
from LightRegistrationLib.worker.protocol import ProgressMade, Ready, RegistrationRequest  # noqa: E402
from slicer_host import start_slicer_host  # noqa: E402 - found by the line above

SHAPES = ((256, 256, 256), (200, 512, 512))
LIMIT_S = 600.0


def milliseconds(work: Callable[[], Any]) -> float:
    """The wall time of one call."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def time_image_statistics(shape: tuple[int, int, int]) -> float:
    """Measure the image statistics of a head of this shape (k, j, i)."""
    head, _ = make_head(3, 3.0)
    zoom = [np.linspace(0, n - 1, m).astype(int) for n, m in zip(head.array.shape, shape, strict=True)]
    volume = Volume(head.array[np.ix_(*zoom)], np.diag([200 / n for n in shape[::-1]] + [1.0]))
    return milliseconds(lambda: measure_image_statistics(volume))


def time_missing_file() -> float:
    """Run the `register` command on a file that does not exist, until the process has ended."""
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("absent.nii", "absent too.nii")]
        command = [sys.executable, "-m", "LightRegistrationLib.commands", "register", *files, "--output", folder]
        return milliseconds(lambda: subprocess.run(command, capture_output=True, check=False))


def time_worker() -> dict[str, float]:
    """Start a worker process until it is ready, then cancel it in the middle of a large registration."""
    client = WorkerClient(sys.executable)
    ready = milliseconds(lambda: (client.start(), _await(client, Ready)))
    volume = Volume(np.tile(np.hanning(330).astype(np.float32), (330, 330, 1)), np.diag([0.5, 0.5, 0.5, 1.0]))
    client.submit(RegistrationRequest(volume, volume, RegistrationSettings()))
    _await(client, ProgressMade)
    return {"worker: start until ready": ready, "worker: cancel": milliseconds(client.kill)}


def _await(client: WorkerClient, kind: type) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not any(isinstance(message, kind) for message in client.poll()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {kind.__name__} within {LIMIT_S} s")
        time.sleep(0.005)


def time_panel(host: Any, panel: Any) -> dict[str, float]:
    """Register the built-in pair in the panel, and cancel."""
    panel.ui.registerButton.click()
    host.process_events(until=lambda: panel.ui.progressBar.value > 0, timeout_s=LIMIT_S)
    return {"panel: cancel": milliseconds(panel.ui.registerButton.click)}


def open_panel() -> tuple[Any, Any]:
    """The panel on the host double, with the built-in pair chosen."""
    import slicer

    from LightRegistrationLib.scene.nodes.volumes import volume_node_from_volume

    host = start_slicer_host([ROOT / "LightRegistration"])
    panel = host.create_widget("LightRegistration")
    pair = make_phantom_pair(spacing_mm=2.0)
    for role, volume in (("fixed", pair.fixed), ("moving", pair.moving)):
        getattr(panel.ui, f"{role}Selector").setCurrentNode(volume_node_from_volume(slicer.mrmlScene, volume, role))
    return host, panel


def measure(runs: int) -> dict[str, list[float]]:
    """The milliseconds of each run, by what was measured."""
    host, panel = open_panel()
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        row = {f"image statistics of {shape}": time_image_statistics(shape) for shape in SHAPES}
        row |= {"command: missing file": time_missing_file(), **time_worker(), **time_panel(host, panel)}
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    panel.logic.close()
    host.shutdown()
    return found


def main() -> None:
    """Measure, print the table, write timings.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, help="folder for timings.json")
    options = parser.parse_args()
    found = measure(options.runs)
    print(f"| {'what':<40} | median ms | slowest |\n| {'-' * 40} | --------: | ------: |")
    for name, values in found.items():
        print(f"| {name:<40} | {statistics.median(values):9.0f} | {max(values):7.0f} |")
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "timings.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
