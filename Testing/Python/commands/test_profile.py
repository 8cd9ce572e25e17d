"""The `profile` command: its numbers add up, and it leaves the library unchanged."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch

from LightRegistrationLib.commands.main import main
from LightRegistrationLib.commands.profile import measure
from LightRegistrationLib.commands.profile.machine import count_multiply_adds
from LightRegistrationLib.commands.profile.measure import FUNCTIONS
from LightRegistrationLib.commands.profile.tracing import Trace
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.network import cascade, flows, grid
from LightRegistrationLib.core.network.light_network import LightNetwork

from .. import quick_model


def numpy_product_gflops(size: int = 1000) -> float:
    """The yardstick on this machine: the fastest of three matrix products, 10^9 operations a second."""
    a, times = np.ones((size, size), np.float32), []
    for _ in range(3):
        started = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times) / 1e9


def test_a_small_pair_is_profiled(tmp_path, capsys):
    before = [vars(module).copy() for module in (flows, cascade, grid)], cascade.RecursiveCascade.predict
    file = tmp_path / "profile.json"
    options = ("--model", quick_model.NAME, "--size", "40", "--repeat", "1", "--threads", "1")
    assert main(["profile", *options, "--json", str(file)]) == 0
    assert ([vars(module) for module in (flows, cascade, grid)], cascade.RecursiveCascade.predict) == before
    printed, report = capsys.readouterr().out, json.loads(file.read_text(encoding="utf-8"))
    steps = {step["name"]: step for step in report["steps"]}
    stages = [s for s in report["steps"] if s["depth"] == 0 and not s["name"].startswith("write")]
    assert sum(s["wall_ms"] for s in stages) == pytest.approx(report["whole_ms"])
    assert 0 < report["first_picture_ms"] < report["whole_ms"]
    assert steps["average blocks"]["calls"] == 2
    network = ModelRegistry().card(report["model"]).network
    cascades = network["cascades"] + len(network["coarse_factors"])
    assert steps["convolutions"]["calls"] == cascades
    for name in ("affine", "squarings", "warp", "compare", "write .nii.gz"):
        assert steps[name]["wall_ms"] > 0
        assert name in printed
    assert report["threads"] == 1
    assert 100 < report["peak_memory_mb"] < 20_000
    machine = report["machine"]
    assert 0.05 < machine["matrix_product_gflops"]["float32"] / numpy_product_gflops() < 50
    assert machine["least_ms"] < machine["convolutions_ms"]


def test_every_step_names_a_function_that_exists():
    with Trace().time_functions(FUNCTIONS):
        assert flows.warp.__wrapped__ is not None
        assert cascade.warp is flows.warp
    assert not hasattr(flows.warp, "__wrapped__")


def test_nested_steps_and_stages_are_timed_once():
    trace = Trace()
    started = time.perf_counter()
    trace.enter("first")
    with trace.step("part"):
        time.sleep(0.1)
    trace.enter("second")
    trace.enter(None)
    elapsed = time.perf_counter() - started
    assert [(depth, span.name) for depth, span in trace.root.walk()] == [(0, "first"), (1, "part"), (0, "second")]
    first, second = trace.root.parts.values()
    assert first.wall >= first.parts["part"].wall >= 0.1
    assert first.wall + second.wall <= elapsed
    assert trace.root.total("part").calls == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_multiply_adds_are_those_of_the_convolutions(channels):
    """Written out: output voxels x kernel x channels in x channels out, of each layer."""
    shape = (32, 48, 32)
    voxels = shape[0] * shape[1] * shape[2]
    down = sum(
        voxels // 8**n * 64 * a * b for n, a, b in ((1, 2 * channels, 16), (2, 16, 32), (3, 32, 64), (4, 64, 128))
    )
    up = sum(voxels // 8**n * 64 * a * b for n, a, b in ((4, 128, 64), (3, 128, 32), (2, 64, 16)))
    last = voxels // 8 * 27 * 32 * 3
    image, network = torch.zeros(1, channels, *shape), LightNetwork(channels=channels)
    assert count_multiply_adds(lambda: network(image, image)) == down + up + last


def test_a_file_for_the_numbers_that_cannot_be_written_is_refused_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(measure, "profile_request", None)
    volume = tmp_path / "a.nii"
    volume.touch()
    for file, volumes, message in (
        (tmp_path, [], "this is a folder"),
        (tmp_path / "absent" / "a.json", [], "there is no folder"),
        (volume, [volume, tmp_path / "b.nii"], "would replace the input"),
    ):
        assert main(["profile", *map(str, volumes), "--json", str(file)]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["only_one.nii"], "Name two volumes"),
        (["--size", "4"], "--size"),
        (["--fixed-segmentation", "labels.nii"], "Segmentations need volumes"),
        (["--initial", "matrix.tfm"], "aligned by one of"),
    ],
)
def test_wrong_options_are_one_line(arguments, message, capsys):
    assert main(["profile", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
