"""How long the panel stops Qt's event loop, during which Slicer's windows do not respond, on volumes of any size.

The command clicks in the module's real panel (on the host double), with a real worker process and Slicer's own slice
views. A row of the table is the longest stop of one kind without the redrawing of the views, the least of some runs, in
milliseconds: as it took, and its processor time. On a machine with other work only the processor time tells; a stop
that waits, as for a disk, has little of it.

    .venv/bin/python Testing/Benchmarks/event_loop.py [--size 256] [--structures 130] [--runs 3] [--only switch ...]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "SlicerHost"))

from LightRegistrationLib.commands.phantom.pair import PhantomPair, make_phantom_pair  # noqa: E402
from LightRegistrationLib.core.geometry.geometry import FloatArray  # noqa: E402
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume  # noqa: E402
from LightRegistrationLib.core.result.progress import Stage  # noqa: E402
from LightRegistrationLib.core.result.settings import RefinementPreset  # noqa: E402
from slicer_host import start_slicer_host  # noqa: E402 - found by the line above

LIMIT_S = 1800.0
SETTLE_MS = 400
LEAST_MS = 10.0
FRAMES = 4
"""Frames of the series."""
SWITCHES = (
    *("outlinesButton", "beforeButton", "afterButton", "matchButton", "beforeButton", "outlinesButton", "fixedButton"),
    *("displacementButton", "jacobianButton", "noOverlayButton", "gridBox"),
)
"""What is clicked, one after the other."""
Rows = dict[str, tuple[float, float]]
"""What the event loop was stopped by, and how long at most: milliseconds, and milliseconds of processor time."""


@dataclass(frozen=True, eq=False)
class Bench:
    """The opened panel with a pair of volumes of size³ voxels, each with a segmentation of many structures."""

    host: Any
    panel: Any
    fixed: Any
    moving: Any
    segmentations: tuple[Any, Any]
    pair: PhantomPair
    many: tuple[Segmentation, Segmentation]

    @property
    def ui(self) -> Any:
        """The widgets."""
        return self.panel.ui

    def wait(self) -> None:
        """Wait for the end of what runs, and of what is left for later turns of the event loop."""
        self.panel.logic.wait(LIMIT_S)
        self.host.raise_slot_errors()

    def describe_run(self) -> str:
        """Say what the panel is doing."""
        progress = self.panel.logic.run_state.progress
        return "idle" if progress is None else str(progress.stage)


def make_bench(host: Any, panel: Any, size: int, structures: int, refine: str = "fast", model: str = "auto") -> Bench:
    """Fill the scene with the built-in pair of volumes, enlarged, and choose it."""
    import slicer

    from LightRegistrationLib.scene.nodes.segmentations import segmentation_node_from_segmentation
    from LightRegistrationLib.scene.nodes.volumes import volume_node_from_volume

    slicer.mrmlScene.Clear()
    panel.enter()
    panel.doubleClickSeconds = 0.0
    pair = make_phantom_pair(spacing_mm=max(2.0, 200 / size))
    volumes, labels = [], []
    for role, volume in (("fixed", pair.fixed), ("moving", pair.moving)):
        large = _enlarge(volume, size)
        volumes.append(volume_node_from_volume(slicer.mrmlScene, large, role))
        labels.append(_make_blocks(large, structures))
    nodes = [segmentation_node_from_segmentation(slicer.mrmlScene, part, "structures") for part in labels]
    for name, node in zip(("fixed", "moving", "fixedSegmentation", "movingSegmentation"), volumes + nodes, strict=True):
        getattr(panel.ui, f"{name}Selector").setCurrentNode(node)
    panel._parameterNode.refine, panel._parameterNode.model = refine, model
    return Bench(host, panel, *volumes, (nodes[0], nodes[1]), pair, (labels[0], labels[1]))


def _enlarge(volume: Volume, size: int) -> Volume:
    """Repeat voxels, so that there are size³ of them."""
    nearest = [np.arange(size) * n // size for n in volume.array.shape]
    factors = np.array([n / size for n in volume.array.shape[::-1]])
    affine: FloatArray = volume.affine @ np.diag([*factors, 1.0])
    return Volume(volume.array[np.ix_(*nearest)], affine, volume.name)


def _make_blocks(volume: Volume, count: int) -> Segmentation:
    """Divide the volume into so many blocks of about one size."""
    side = int(np.ceil(count ** (1 / 3)))
    k, j, i = (np.arange(n) * side // n for n in volume.array.shape)
    blocks = (1 + k[:, None, None] * side**2 + j[:, None] * side + i).astype(np.int16)
    blocks[blocks > count] = 0
    segments = tuple(Segment(f"Structure {number}", number) for number in range(1, count + 1))
    return Segmentation((blocks,), volume.affine, segments)


def measure_registering(bench: Bench) -> Rows:
    """Register with empty views."""
    return _register(bench, "register")


def measure_registering_again(bench: Bench) -> Rows:
    """Register while the result of before is shown."""
    _register(bench, "register")
    return _register(bench, "register again")


def _register(bench: Bench, title: str) -> Rows:
    """Measure from the click on: reading, sending, pictures, the result and its outlines."""
    from LightRegistrationLib.panel.self_test.event_loop import EventLoopWatch, describe_picture, name_pictures

    with EventLoopWatch(describe_picture) as pictures, EventLoopWatch(bench.describe_run) as stages:
        stages.run(bench.ui.registerButton.click, settle_ms=0)
        bench.wait()
        stages.run(lambda: None, SETTLE_MS)
    names = name_pictures(pictures.find_longest_by_picture())
    rows = {f"{title}: {name}": (stop.own_ms, stop.own_processor_ms) for name, stop in names.items()}
    groups: dict[str, list[Any]] = {}
    for stop in stages.stops:
        name = stop.after if stop.after == stop.before else f"{stop.before} -> {stop.after}"
        groups.setdefault(f"{title}: {name}", []).append(stop)
    return rows | {name: find_longest(stops) for name, stops in groups.items()}


def measure_switching(bench: Bench) -> Rows:
    """Show a known result, and switch what the views show of it."""
    import slicer

    from LightRegistrationLib.panel.self_test.checks import _NO_NUMBERS
    from LightRegistrationLib.panel.self_test.event_loop import EventLoopWatch
    from LightRegistrationLib.scene.nodes.results import publish_result
    from LightRegistrationLib.scene.nodes.volumes import volume_from_node

    result = publish_result(
        slicer.mrmlScene,
        bench.fixed,
        bench.moving,
        bench.pair.true_field,
        volume_from_node(bench.fixed),
        bench.many[0],
        fixed_segmentation=bench.segmentations[0],
        moving_segmentation=bench.segmentations[1],
    )
    parameters = bench.panel.logic.getParameterNode()
    scores = {"dice": 0.9, "mean_distance_mm": 1.0, "hd95_mm": 2.0, "volume_change_percent": 0.0}
    both = {"before": scores, "after": scores}
    structures = [{"name": s.name, "value": s.value, **both} for s in bench.many[0].segments]
    parameters.report = json.dumps(_NO_NUMBERS | {"structures": structures, "mean": both})
    parameters.result = result.transform
    rows = {}
    bench.ui.noOverlayButton.click()
    for name in SWITCHES:
        with EventLoopWatch() as watch:
            watch.run(getattr(bench.ui, name).click, 3 * SETTLE_MS)
        row = f"switch: {name}" if f"switch: {name}" not in rows else f"switch: {name}, again"
        rows[row] = find_longest(watch.stops)
        bench.host.raise_slot_errors()
    return rows


def measure_series(bench: Bench) -> Rows:
    """Register the frames of a series, with its points and its warped frames."""
    import slicer

    from LightRegistrationLib.panel.self_test.event_loop import EventLoopWatch

    scene = slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "frames")
    for number in range(FRAMES):
        sequence.SetDataNodeAtValue(bench.moving if number % 2 else bench.fixed, str(number))
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "followed")
    points.AddControlPoint(0.0, 20.0, 10.0)
    bench.ui.seriesSelector.setCurrentNode(sequence)
    bench.ui.seriesPointsSelector.setCurrentNode(points)
    bench.panel._parameterNode.seriesWarped = True
    with EventLoopWatch(bench.describe_run) as watch:
        watch.run(bench.ui.seriesButton.click, settle_ms=0)
        bench.wait()
        watch.run(lambda: None, SETTLE_MS)
    ends = [stop for stop in watch.stops if stop.after == "idle"]
    starts = [stop for stop in watch.stops if stop.after != "idle"]
    return {"series: the end": find_longest(ends), "series: the frames": find_longest(starts)}


def measure_canceling(bench: Bench) -> Rows:
    """Cancel when all arrays are with the worker."""
    from LightRegistrationLib.panel.self_test.event_loop import EventLoopWatch

    client, logic = bench.panel.logic._runner._client, bench.panel.logic
    bench.ui.registerButton.click()
    early = (Stage.STARTING, Stage.LOAD_MODEL)
    bench.host.process_events(
        until=lambda: not client.is_transferring and logic.run_state.progress.stage not in early, timeout_s=LIMIT_S
    )
    with EventLoopWatch() as watch:
        watch.run(bench.ui.registerButton.click, 5 * SETTLE_MS)
    bench.host.raise_slot_errors()
    return {"cancel": find_longest(watch.stops)}


def find_longest(stops: Iterable[Any]) -> tuple[float, float]:
    """Return the longest milliseconds of stops, and the longest of their processor time; both without redrawing."""
    found = list(stops)
    return max((s.own_ms for s in found), default=0.0), max((s.own_processor_ms for s in found), default=0.0)


CASES: dict[str, Callable[[Bench], Rows]] = {
    "register": measure_registering,
    "again": measure_registering_again,
    "switch": measure_switching,
    "series": measure_series,
    "cancel": measure_canceling,
}


def measure(names: Iterable[str], runs: int, open_bench: Callable[[], Bench]) -> Rows:
    """Return the longest stops of some cases, the least of some runs. open_bench: called for each run."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name in names:
        for _run in range(runs):
            for row, value in CASES[name](open_bench()).items():
                found.setdefault(row, []).append(value)
    return {row: (min(v[0] for v in values), min(v[1] for v in values)) for row, values in found.items()}


def format_table(rows: Rows) -> str:
    """Return the table of what is long enough to be noticed, the longest processor time first."""
    lines = [f"| {'longest stop':<52} | ms | of processor time |", f"| {'-' * 52} | -: | -: |"]
    order = sorted((row for row in rows.items() if max(row[1]) >= LEAST_MS), key=lambda row: -row[1][1])
    return "\n".join([*lines, *(f"| {name:<52} | {wall:.0f} | {processor:.0f} |" for name, (wall, processor) in order)])


def main() -> None:
    """Measure, print the table, write event_loop.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="voxels along each side of the volumes (default: 256)")
    parser.add_argument("--structures", type=int, default=130, help="of each segmentation (default: 130)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--refine", choices=list(RefinementPreset), default="fast")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--output", type=Path, help="folder for event_loop.json")
    options = parser.parse_args()
    host = start_slicer_host([ROOT / "LightRegistration"])
    panel = host.create_widget("LightRegistration")
    size = (options.size, options.structures)
    rows = measure(options.only, options.runs, lambda: make_bench(host, panel, *size, options.refine, options.model))
    panel.logic.close()
    host.shutdown()
    print(format_table(rows))
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "event_loop.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
