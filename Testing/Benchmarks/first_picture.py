"""Measure the time from the click on Register to the first picture, and to the whole result, in a warm panel.

The command clicks in the module's real panel (on the host double) with a real worker process and Slicer's own slice
views, on synthetic pairs of clinical size: a 256³ head MRI, and a trunk CT of 512 x 512 x 200. The table shows the
milliseconds of each part, the median of some runs; the first run in a fresh worker is listed on its own. With
--segmentations both volumes come with their structures, which are warped, compared and outlined as well. With --refine
the student's picture comes before the refinement.

    .venv/bin/python Testing/Benchmarks/first_picture.py --segmentations
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "SlicerHost"))

from LightRegistrationLib.commands.phantom.pair import make_phantom_pair  # noqa: E402
from LightRegistrationLib.core.geometry.geometry import homogeneous  # noqa: E402
from LightRegistrationLib.core.geometry.volume import Segmentation, Volume  # noqa: E402
from LightRegistrationLib.core.result.settings import RefinementPreset  # noqa: E402
from slicer_host import start_slicer_host  # noqa: E402 - found by the line above

Row = dict[str, float]
Labelled = tuple[Volume, Segmentation]
TOTALS = ("first picture", "whole result")


def mr_pair() -> tuple[Labelled, Labelled]:
    """Make two phantom heads of 256³ voxels, 0.9 mm, and their structures."""
    pair = make_phantom_pair(spacing_mm=2.0)
    shape = (256, 256, 256)
    return (
        (_resized(pair.fixed, shape), _resized_labels(pair.fixed_segmentation, shape)),
        (_resized(pair.moving, shape), _resized_labels(pair.moving_segmentation, shape)),
    )


def ct_pair() -> tuple[Labelled, Labelled]:
    """Make two synthetic trunks of 200 slices of 512 x 512 voxels, Hounsfield units; the second is wider and bent."""
    shape = (200, 512, 512)
    fixed, moving = (_trunk(width, bend) for width, bend in ((1.0, 0.0), (1.07, 9.0)))
    return (
        (_resized(fixed[0], shape), _resized_labels(fixed[1], shape)),
        (_resized(moving[0], shape), _resized_labels(moving[1], shape)),
    )


def _trunk(width: float, bend_mm: float, spacing_mm: float = 5.0) -> Labelled:
    """Make a trunk: fat around muscle, a spine, two lungs in the upper part, a liver; the first two have no label."""
    shape = (80, 88, 88)
    z, y, x = np.meshgrid(*(np.arange(n) * spacing_mm - n * spacing_mm / 2 for n in shape), indexing="ij")
    x, y = x / width + bend_mm * np.sin(z / 60), y / width
    organs = [
        (_ball(x / 175, y / 120), -100),
        (_ball(x / 155, y / 102), 55),
        (_ball(x / 20, (y + 75) / 20), 700),
        (_ball((x - 75) / 58, (y - 5) / 78, (z - 90) / 110), -830),
        (_ball((x + 75) / 58, (y - 5) / 78, (z - 90) / 110), -830),
        (_ball((x - 50) / 80, (y - 10) / 70, (z + 80) / 60), 110),
    ]
    values, labels = np.full(shape, -1000.0), np.zeros(shape, np.uint8)
    for number, (where, intensity) in enumerate(organs, 1):
        values[where] = intensity
        labels[where] = max(0, number - 2)  # nobody segments fat and muscle
    values += np.random.default_rng(0).normal(scale=20, size=shape)
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    return Volume(values.astype(np.float32), affine, "trunk"), Segmentation.from_labels(labels, affine)


def _ball(*radii: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(sum(radius**2 for radius in radii) < 1)


def _resized(volume: Volume, shape: tuple[int, int, int]) -> Volume:
    array = _zoomed(volume.array.astype(np.float32), shape, order=1)
    return Volume(np.round(array).astype(np.int16), _affine_of(volume, shape), volume.name)


def _resized_labels(segmentation: Segmentation, shape: tuple[int, int, int]) -> Segmentation:
    layers = tuple(_zoomed(layer, shape, order=0) for layer in segmentation.layers)
    return Segmentation(layers, _affine_of(segmentation, shape), segmentation.segments, segmentation.name)


def _zoomed(array: NDArray, shape: tuple[int, int, int], order: int) -> NDArray:
    return zoom(array, np.array(shape) / array.shape, order=order, grid_mode=True, mode="nearest")


def _affine_of(image: Volume | Segmentation, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Compute the affine of a resized image whose edges, not its outermost voxel centers, stay in place."""
    factors = np.array(image.geometry.shape[::-1]) / np.array(shape[::-1])
    return np.asarray(image.affine @ homogeneous(np.diag(factors), (factors - 1) / 2))


class Stopwatch:
    """Seconds of the calls between the click and the picture, by name."""

    def __init__(self) -> None:
        self.seconds: Row = {}

    @contextmanager
    def around(self, owner: Any, method: str, name: str) -> Iterator[None]:
        """Time every call of a method in the block."""
        original: Callable[..., Any] = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

        with mock.patch.object(owner, method, timed):
            yield


def click(host: Any, panel: Any) -> Row:
    """Register once; return the seconds of each part."""
    from LightRegistrationLib.panel import logic as logic_module
    from LightRegistrationLib.panel.views.slice_views import ResultViews
    from LightRegistrationLib.worker import client, protocol

    watch, logic = Stopwatch(), panel.logic
    found: list[float] = []
    runner = logic._runner
    handle = runner._handle

    def handle_and_render(message: Any) -> None:
        handle(message)
        if isinstance(message, protocol.FieldFound):
            watch.seconds.update({f"core: {name}": value for name, value in message.result.seconds.items()})
        if isinstance(message, protocol.PreviewField | protocol.FieldFound) and not found:
            drawing = time.perf_counter()
            _render()
            found.append(time.perf_counter())
            watch.seconds["first render"] = found[0] - drawing

    with (
        watch.around(client.WorkerClient, "_write_some", "copy to the worker"),
        watch.around(ResultViews, "show_preview", "publish the preview"),
        watch.around(logic_module, "publish_reply", "then: publish the result"),
        watch.around(ResultViews, "replace_preview", "then: show the result"),
        mock.patch.object(runner, "_handle", handle_and_render),
    ):
        started = time.perf_counter()
        panel.ui.registerButton.click()
        host.process_events(until=lambda: not logic.is_busy, timeout_s=600)
        ended = time.perf_counter()
    host.raise_slot_errors()
    row = watch.seconds
    row["first picture"], row["whole result"] = found[0] - started, ended - started
    return row


def _render() -> None:
    """Render the three slice views, in software here; a graphics card takes less."""
    import slicer

    manager = slicer.app.layoutManager()._native
    for name in manager.sliceViewNames():
        manager.sliceWidget(name).sliceView().offscreen().render()


def measure(
    host: Any,
    panel: Any,
    pair: tuple[Labelled, Labelled],
    runs: int,
    refine: str,
    with_segmentations: bool,
    model: str = "auto",
) -> list[Row]:
    """Register a pair several times; return one row for each run, the first one in a fresh worker."""
    import slicer

    from LightRegistrationLib.scene.nodes.segmentations import segmentation_node_from_segmentation
    from LightRegistrationLib.scene.nodes.volumes import volume_node_from_volume

    slicer.mrmlScene.Clear()
    panel.logic._runner._client.kill()  # an idle worker would stay for the next pair
    panel.enter()
    for role, (volume, segmentation) in zip(("fixed", "moving"), pair, strict=True):
        node = volume_node_from_volume(slicer.mrmlScene, volume, role)
        getattr(panel.ui, f"{role}Selector").setCurrentNode(node)
        if with_segmentations:
            labels = segmentation_node_from_segmentation(slicer.mrmlScene, segmentation, f"{role} structures")
            getattr(panel.ui, f"{role}SegmentationSelector").setCurrentNode(labels)
    panel._parameterNode.refine, panel._parameterNode.model = refine, model
    _render()
    wait_until_warm(host, panel)
    return [click(host, panel) for _run in range(runs + 1)]


def wait_until_warm(host: Any, panel: Any) -> None:
    """Wait until the worker that the panel started is ready."""
    from LightRegistrationLib.worker import protocol

    runner, ready = panel.logic._runner, []
    while not ready:
        ready = [m for m in runner._client.poll() if isinstance(m, protocol.Ready)]
        time.sleep(0.05)


def table(rows: list[Row]) -> str:
    """Write the median milliseconds of each part, and those of the first run."""
    names = sorted((name for name in rows[-1] if name not in TOTALS), key=lambda name: name.startswith("then"))
    lines = [f"| {'part':<32} | median ms | first run |", f"| {'-' * 32} | --------: | --------: |"]
    for name in [*names, *TOTALS]:
        values = [1000 * row.get(name, 0.0) for row in rows]
        lines.append(f"| {name:<32} | {statistics.median(values[1:]):9.0f} | {values[0]:9.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="besides the first one (default: 3)")
    parser.add_argument("--pairs", nargs="+", choices=("mr", "ct"), default=["mr", "ct"])
    parser.add_argument("--refine", choices=list(RefinementPreset), default="none")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--segmentations", action="store_true", help="both volumes come with their structures")
    options = parser.parse_args()
    host = start_slicer_host([ROOT / "LightRegistration"])
    panel = host.create_widget("LightRegistration")
    titles = {"mr": ("256³ MRI", mr_pair), "ct": ("512 x 512 x 200 CT", ct_pair)}
    for name in options.pairs:
        title, pair = titles[name]
        rows = measure(host, panel, pair(), options.runs, options.refine, options.segmentations, options.model)
        print(f"\n{title}\n\n{table(rows)}", flush=True)
    panel.logic.close()
    host.shutdown()


if __name__ == "__main__":
    main()
