"""The worker as a real process: answers, progress, refusals, cancel, crash, and exit with its parent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.geometry.transforms import AffineTransform
from LightRegistrationLib.core.geometry.volume import Segmentation, Volume
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.progress import Stage, ignore_progress
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.core.sampling.warping import warp_volume
from LightRegistrationLib.worker import task
from LightRegistrationLib.worker.client import WorkerClient
from LightRegistrationLib.worker.protocol import (
    FieldFound,
    Finished,
    PreviewField,
    ProgressMade,
    Ready,
    Refused,
    RegistrationRequest,
    WorkerExited,
)

from ..processes import PATIENCE_S, ends, paused

LIBRARY = Path(__file__).resolve().parents[3] / "LightRegistration"


def test_registers_like_the_library_and_stays_alive(watched, request_of_blobs, model_folder):
    first = watched.wait(Finished, watched.client.submit(request_of_blobs))
    process = watched.client.process_id
    second = watched.wait(Finished, watched.client.submit(request_of_blobs))

    ready = [m for m in watched.messages if isinstance(m, Ready)]
    assert len(ready) == 1
    assert "tiny" in ready[0].models
    assert watched.client.process_id == process
    assert second.request_id != first.request_id

    request = request_of_blobs
    expected = register(request.fixed, request.moving, request.settings, registry=ModelRegistry((model_folder,)))
    field = watched.field(first.request_id).result.field
    assert np.abs(field.array - expected.field.array).max() < 0.05
    warped = warp_volume(request.moving, field, request.fixed.geometry)
    assert np.array_equal(first.warped.array, warped.array)
    assert first.warped.array.dtype == np.float32
    assert first.warped_segmentation.geometry.matches(request.fixed.geometry)
    structure = first.report["structures"][0]
    assert structure["after"]["dice"] > structure["before"]["dice"] + 0.02
    assert {"network", "warping"} <= set(first.report["seconds"])


def test_the_field_is_sent_before_anything_is_warped(watched_shared, request_of_blobs):
    number = watched_shared.client.submit(request_of_blobs)
    finished = watched_shared.wait(Finished, number)

    kinds = [m.update.stage if isinstance(m, ProgressMade) else type(m) for m in watched_shared.messages]
    assert kinds.index(Stage.FIELD) < kinds.index(FieldFound) < kinds.index(Stage.WARPING) < kinds.index(Finished)
    found = watched_shared.field(number)
    assert found.report["structures"] is None
    assert {**finished.report, "seconds": 0, "structures": 0, "mean": 0} == {
        **found.report,
        "seconds": 0,
        "structures": 0,
        "mean": 0,
    }


def test_the_opposite_direction_is_registered_where_that_is_asked_for(watched_shared, request_of_blobs, model_folder):
    request = replace(request_of_blobs, check_consistency=True)
    number = watched_shared.client.submit(request)
    finished = watched_shared.wait(Finished, number)

    registry = ModelRegistry((model_folder,))
    backward = register(request.moving, request.fixed, request.settings, registry=registry).field
    points = request.fixed.geometry.points_mm.reshape(-1, 3)
    mapped = watched_shared.field(number).result.field(points)
    inside = request.moving.geometry.contains(mapped)
    distances = np.linalg.norm(backward(mapped[inside]) - points[inside], axis=1)
    found = finished.report["consistency"]
    assert found["mean_mm"] == pytest.approx(distances.mean(), rel=0.1, abs=0.05)
    assert found["percentile_95_mm"] == pytest.approx(np.percentile(distances, 95), rel=0.1, abs=0.1)
    assert finished.report["seconds"]["consistency"] > 0
    stages = [m.update.stage for m in watched_shared.messages if isinstance(m, ProgressMade)]
    assert stages.index(Stage.COMPARING) < stages.index(Stage.CONSISTENCY) < stages.index(Stage.DONE)


def test_a_result_is_kept_if_the_opposite_direction_cannot_be_measured(watched_shared, request_of_blobs):
    # So much larger, hardly any place of the fixed volume lies in the moving one, which lies wholly inside of it.
    center = request_of_blobs.moving.geometry.points_mm.reshape(-1, 3).mean(axis=0)
    enlarge = np.diag([95.0, 95.0, 95.0, 1.0])
    enlarge[:3, 3] = center - 95.0 * center
    settings = replace(request_of_blobs.settings, initial=AffineTransform(enlarge))
    number = watched_shared.client.submit(replace(request_of_blobs, settings=settings, check_consistency=True))
    finished = watched_shared.wait(Finished, number, seconds=60)

    assert "consistency" not in finished.report
    assert finished.report["warnings"][-1] == (
        "The consistency with the opposite direction could not be measured: "
        "No place of the fixed volume lies in the moving volume; the two have nothing in common."
    )


def test_the_preview_field_is_sent_before_the_refinement(watched_shared, request_of_blobs, model_folder):
    request = replace(request_of_blobs, settings=replace(request_of_blobs.settings, refine="fast"))
    number = watched_shared.client.submit(request)
    watched_shared.wait(Finished, number)

    kinds = [m.update.stage if isinstance(m, ProgressMade) else type(m) for m in watched_shared.messages]
    assert (
        kinds.index(Stage.NETWORK) < kinds.index(PreviewField) < kinds.index(Stage.REFINEMENT) < kinds.index(FieldFound)
    )
    (first,) = [m.field for m in watched_shared.messages if isinstance(m, PreviewField)]
    student = register(
        request.fixed, request.moving, request_of_blobs.settings, registry=ModelRegistry((model_folder,))
    )
    assert np.abs(first.array - student.field.array).max() < 0.05
    assert (
        np.abs(
            first(request.fixed.geometry.points_mm)
            - watched_shared.field(number).result.field(request.fixed.geometry.points_mm)
        ).max()
        > 0.5
    )
    assert not list(watched_shared.client.session_folder.glob("*-*")), "arrays are left behind"


def test_a_worker_limits_itself_to_the_threads_that_were_asked_for(request_of_blobs, model_folder, monkeypatch):
    seen = {}
    for name in ("warp_volume_and_segmentation", "compare_segmentations"):
        original = getattr(task, name)

        def watching(*arguments, name=name, original=original):
            seen[name] = torch.get_num_threads()
            return original(*arguments)

        monkeypatch.setattr(task, name, watching)
    before = torch.get_num_threads()
    settings = replace(request_of_blobs.settings, threads=before + 1)
    task.run_request(ModelRegistry((model_folder,)), replace(request_of_blobs, settings=settings), ignore_progress)
    assert len(seen) == 2
    assert set(seen.values()) == {before + 1}
    assert torch.get_num_threads() == before


def test_masks_and_structures_to_preserve_reach_the_registration(watched_shared, request_of_blobs):
    request = request_of_blobs
    mask = replace(request.fixed_segmentation, name="region to compare")
    settings = replace(request.settings, keep_volume=("1",))
    report = watched_shared.wait(
        request_id=watched_shared.client.submit(replace(request, settings=settings, fixed_mask=mask))
    ).report
    assert report["masks"] == {"fixed": "region to compare", "moving": None}
    assert report["settings"]["keep_volume"] == ["1"]
    assert [kept["name"] for kept in report["kept"]] == ["Label_1"]

    refused = watched_shared.wait(
        Refused, watched_shared.client.submit(replace(request, settings=replace(settings, keep_volume=("Tumor",))))
    )
    assert "no structure 'Tumor'" in refused.line
    assert "Label_1" in refused.line


def test_an_initial_transform_that_mirrors_is_said(watched_shared, request_of_blobs):
    for matrix, expected in ((np.diag([-1.0, 1, 1, 1]), 1), (np.diag([-1.0, -1, 1, 1]), 0)):
        settings = replace(request_of_blobs.settings, initial=AffineTransform(matrix, "flip.tfm"))
        number = watched_shared.client.submit(replace(request_of_blobs, settings=settings))
        lines = watched_shared.wait(request_id=number).report["warnings"]
        assert sum(line.startswith("flip.tfm: the initial transform mirrors the moving") for line in lines) == expected


def test_progress_rises_to_one_and_names_stages(watched_shared, request_of_blobs):
    number = watched_shared.client.submit(request_of_blobs)
    watched_shared.wait(Finished, number)

    steps = [m for m in watched_shared.messages if isinstance(m, ProgressMade)]
    fractions = [m.update.fraction for m in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(fractions) >= 5
    assert all(m.request_id == number and isinstance(m.update.stage, Stage) for m in steps)


def test_a_refusal_is_one_line_and_the_worker_continues(watched_shared, request_of_blobs):
    far = np.eye(4)
    far[:3, 3] = 10_000
    fixed = request_of_blobs.fixed
    apart = RegistrationRequest(fixed, Volume(fixed.array, far), RegistrationSettings(model="tiny", initial="none"))
    unknown = RegistrationRequest(fixed, fixed, RegistrationSettings(model="nonsense"))

    refused = watched_shared.wait((Refused, WorkerExited), watched_shared.client.submit(apart))
    assert "do not overlap" in refused.line
    assert "\n" not in refused.line
    refused = watched_shared.wait((Refused, WorkerExited), watched_shared.client.submit(unknown))
    assert "Unknown model 'nonsense'" in refused.line

    labels = (fixed.array > fixed.array.mean()).astype(np.uint8)
    first, second = (Segmentation.from_labels(labels * value, fixed.affine, f"s{value}") for value in (1, 2))
    unlike = RegistrationRequest(fixed, fixed, RegistrationSettings(model="tiny"), first, second)
    before = len(watched_shared.messages)
    refused = watched_shared.wait((Refused, WorkerExited), watched_shared.client.submit(unlike))
    assert "s1 and s2 share neither a name nor a label value" in refused.line
    assert not any(
        isinstance(m, ProgressMade) for m in watched_shared.messages[before:]
    )  # refused before any computation
    assert isinstance(watched_shared.wait(request_id=watched_shared.client.submit(request_of_blobs)), Finished)


def test_cancel_ends_a_computation_at_once_and_the_next_request_works(watched, long_request, request_of_blobs):
    number = watched.client.submit(long_request)
    watched.wait(ProgressMade, number)
    process, folder = watched.client.process_id, watched.client.session_folder

    with paused(process):
        watched.client.kill()
        assert ends(process)
    watched.clean()
    assert not folder.exists()
    assert watched.client.poll() == []

    assert isinstance(watched.wait(Finished, watched.client.submit(request_of_blobs)), Finished)


def test_a_killed_worker_is_one_line_and_recovers(watched, long_request, request_of_blobs):
    watched.wait(ProgressMade, watched.client.submit(long_request))
    folder = watched.client.session_folder
    os.kill(watched.client.process_id, signal.SIGKILL)

    exited = watched.wait(WorkerExited)
    assert "memory ran out" in exited.line
    assert "press Register again" in exited.line
    assert "\n" not in exited.line
    assert watched.client.poll() == []
    watched.clean()
    assert not folder.exists()
    assert isinstance(watched.wait(Finished, watched.client.submit(request_of_blobs)), Finished)


def test_a_programming_error_is_one_line_with_the_traceback_in_the_log(watched, request_of_blobs):
    watched.client.start()
    watched.wait(Ready)
    watched.client._session.send('{"id": 1, "value": "not json"}\n')

    exited = watched.wait(WorkerExited)
    assert "JSONDecodeError" in exited.line
    assert "\n" not in exited.line
    assert "Traceback" in exited.log


def test_without_torch_the_line_names_pytorch(tmp_path, watched):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")\n")
    client = WorkerClient(sys.executable, {**os.environ, "PYTHONPATH": str(tmp_path)})
    watched.client = client
    client.start()
    assert "PyTorch is not installed" in watched.wait(WorkerExited).line


def test_a_missing_interpreter_raises_at_once_and_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="no-such-python"):
        WorkerClient("/no-such-python").start()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("end", ["killed", "quits", "crashes"])
def test_the_worker_ends_with_its_parent_and_leaves_no_files(end, model_folder, tmp_path):
    script = textwrap.dedent(
        f"""
        import os, sys, time
        from pathlib import Path
        from LightRegistrationLib.worker.client import WorkerClient
        client = WorkerClient(sys.executable, model_folders=(Path({str(model_folder)!r}),))
        client.start()
        print(client.process_id, client.session_folder, flush=True)
        sys.stdin.readline()
        {"raise RuntimeError" if end == "crashes" else "sys.exit(0)"}
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process_id, folder = parent.stdout.readline().split()
    if end == "killed":
        time.sleep(1.0)  # in the middle of importing torch
        parent.kill()
    else:
        parent.stdin.write("\n")
        parent.stdin.close()
    parent.wait(PATIENCE_S)

    assert ends(int(process_id))
    assert not Path(folder).exists()


def test_a_busy_worker_ends_with_its_parent(watched, long_request):
    watched.wait(ProgressMade, watched.client.submit(long_request))
    process, folder = watched.client.process_id, watched.client.session_folder
    with open(folder / "messages.jsonl") as messages:
        watched.client._session._process.stdin.close()  # what the system does when a parent dies
        assert ends(process)
        kinds = [json.loads(line)["kind"] for line in messages]
    assert "progress" in kinds
    assert "finished" not in kinds
    assert not folder.exists()


def test_a_model_added_later_is_used_and_a_damaged_one_is_refused(
    watched, model_folder, request_of_blobs, tmp_path, monkeypatch
):
    monkeypatch.setenv("LIGHTREG_MODELS", str(tmp_path))
    shutil.copytree(model_folder / "tiny", tmp_path / "bad")
    (tmp_path / "bad" / "weights.safetensors").write_bytes(b"")
    watched.client = WorkerClient(sys.executable)
    watched.client.start()
    watched.wait(Ready)
    assert any(isinstance(m, Refused) and "'bad'" in m.line and "damaged" in m.line for m in watched.messages)

    shutil.copytree(model_folder / "tiny", tmp_path / "late")
    late, bad = (replace(request_of_blobs, settings=RegistrationSettings(model=name)) for name in ("late", "bad"))
    report = watched.wait(request_id=watched.client.submit(late)).report
    assert (report["model"]["name"], report["model"]["reason"]) == ("late", "chosen by name")
    assert "damaged" in watched.wait(request_id=watched.client.submit(bad)).line


def test_finished_requests_leave_no_files_behind(watched_shared, request_of_blobs):
    watched_shared.wait(Finished, watched_shared.client.submit(request_of_blobs))
    assert sorted(p.name for p in watched_shared.client.session_folder.iterdir()) == ["messages.jsonl", "worker.log"]


def test_the_client_needs_neither_torch_nor_qt():
    code = "import sys, LightRegistrationLib.worker.client; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not {"torch", "qt", "PySide6", "slicer"} & set(shown.stdout.split())
