"""Large arrays pass between the client and a real worker in slices, and a transfer may end in its middle."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from LightRegistrationLib.core.geometry.volume import Segment, Volume
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.scene.nodes.cropped_segmentation import CroppedSegmentation
from LightRegistrationLib.worker.array_files import SLICE_BYTES, ArrayReader, ArrayWriter
from LightRegistrationLib.worker.protocol import Finished, ProgressMade, Refused, RegistrationRequest, WorkerExited

from ..processes import ends
from .conftest import MODEL

MOVING = "2.npy"
"""The file of the moving voxels; the fixed volume, with its affine, comes before it."""


@pytest.fixture
def request_of_slices(request_of_blobs):
    """A request whose volumes need several slices each."""
    blob = request_of_blobs.fixed
    fine = np.kron(blob.array, np.ones((5, 5, 5), np.int16))
    assert fine.nbytes > SLICE_BYTES
    affine = blob.affine @ np.diag([0.2, 0.2, 0.2, 1.0])
    return RegistrationRequest(Volume(fine, affine), Volume(fine, affine), RegistrationSettings(model=MODEL))


def test_each_poll_writes_and_reads_a_bounded_number_of_bytes(watched, request_of_slices, monkeypatch):
    turns = {ArrayWriter: [], ArrayReader: []}
    for kind, method in ((ArrayWriter, "write_next"), (ArrayReader, "read_next")):
        original = getattr(kind, method)

        def counting(transfer, kind=kind, original=original):
            before = sum(data.size for *_, data in transfer._parts)
            is_done = original(transfer)
            turns[kind].append(before - sum(data.size for *_, data in transfer._parts))
            return is_done

        monkeypatch.setattr(kind, method, counting)
    client = watched.client
    number = client.submit(request_of_slices)
    assert not turns[ArrayWriter], "nothing is written before the first poll"
    assert client.is_sending
    sent = 0
    while client.is_sending:
        assert len(turns[ArrayWriter]) == sent
        assert not client.poll() or sent
        sent += 1
    arrays_bytes = 2 * request_of_slices.fixed.array.nbytes
    assert sent >= arrays_bytes / SLICE_BYTES
    finished = watched.wait(request_id=number)
    assert isinstance(finished, Finished)
    assert finished.warped.array.shape == request_of_slices.fixed.array.shape
    assert len(turns[ArrayReader]) > 2
    for sizes in turns.values():
        assert max(sizes) <= SLICE_BYTES
    assert not client.is_transferring
    assert not list(client.session_folder.glob("*-*")), "arrays are left behind"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_in_the_middle_is_one_line_and_the_worker_stays(watched, request_of_slices, request_of_blobs):
    client = watched.client
    number = client.submit(request_of_slices)
    client.poll()
    process, session = client.process_id, client.session_folder
    (session / f"request-{number}" / MOVING).symlink_to("/dev/full")
    refused = watched.wait((Refused, Finished, WorkerExited), number)
    assert isinstance(refused, Refused)
    assert "No space left on device" in refused.line
    assert str(session.parent) in refused.line
    assert "free some space" in refused.line
    assert "\n" not in refused.line
    assert not list(session.glob("request-*"))
    assert not client.is_transferring
    assert isinstance(watched.wait(request_id=client.submit(request_of_blobs)), Finished)
    assert client.process_id == process


def test_cancel_in_the_middle_of_writing_leaves_nothing(watched, request_of_slices, request_of_blobs):
    client = watched.client
    client.submit(request_of_slices)
    client.poll()
    process, session = client.process_id, client.session_folder
    client.kill()
    assert ends(process)
    watched.clean()
    assert not session.exists()
    assert not client.is_transferring
    assert client.poll() == []
    assert isinstance(watched.wait(request_id=client.submit(request_of_blobs)), Finished)


def test_a_worker_that_dies_in_the_middle_of_writing_is_noticed(watched, request_of_slices, request_of_blobs):
    client = watched.client
    client.submit(request_of_slices)
    client.poll()
    session = client.session_folder
    os.kill(client.process_id, signal.SIGKILL)
    assert "memory ran out" in watched.wait(WorkerExited).line
    watched.clean()
    assert not session.exists()
    assert not client.is_transferring
    assert isinstance(watched.wait(request_id=client.submit(request_of_blobs)), Finished)


def test_requests_are_sent_in_order(watched, request_of_slices, request_of_blobs):
    first = watched.client.submit(request_of_slices)
    second = watched.client.submit(replace(request_of_blobs, settings=RegistrationSettings(model=MODEL)))
    watched.wait(Finished, second)
    numbers = [m.request_id for m in watched.messages if isinstance(m, (ProgressMade, Finished))]
    assert numbers == sorted(numbers)
    assert first in numbers


def test_cropped_segmentations_are_completed_by_the_worker_which_says_what_is_empty(watched_shared, request_of_blobs):
    """What the panel would have to copy and to look at voxel by voxel."""
    fixed, moving = request_of_blobs.fixed_segmentation, request_of_blobs.moving_segmentation
    low, high = (find(np.nonzero(fixed.layers[0]), axis=1) for find in (np.min, np.max))
    box = tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
    segments = (*fixed.segments, Segment("absent", 7))
    shape = fixed.layers[0].shape
    cropped = {
        "fixed_segmentation": CroppedSegmentation(
            (fixed.layers[0][box],), (tuple(int(n) for n in low),), shape, fixed.affine, segments, "organs", ("bare",)
        ),
        "moving_segmentation": CroppedSegmentation(
            moving.layers, ((0, 0, 0),), moving.layers[0].shape, moving.affine, None, "label map"
        ),
    }
    request = replace(request_of_blobs, fixed_segmentation=None, moving_segmentation=None, cropped=cropped)
    complete = request.complete()
    assert (complete.fixed_segmentation.layers[0] == fixed.layers[0]).all()
    whole = watched_shared.wait(Finished, watched_shared.client.submit(request_of_blobs)).report
    report = watched_shared.wait(Finished, watched_shared.client.submit(request)).report
    assert report["structures"][0]["before"] == whole["structures"][0]["before"]
    for name in ("absent", "bare"):
        assert f"organs: the structure '{name}' is empty; it has no voxel." in report["warnings"]
    assert not any("label map" in line for line in report["warnings"])

    blank = replace(cropped["moving_segmentation"], layers=(np.zeros_like(moving.layers[0]),))
    refused = watched_shared.wait(
        Refused, watched_shared.client.submit(replace(request, cropped=cropped | {"moving_segmentation": blank}))
    )
    assert "label map: the label map is empty" in refused.line
