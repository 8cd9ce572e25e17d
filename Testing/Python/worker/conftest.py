"""A worker process on a tiny, untrained model: a real process, but without accuracy."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from safetensors.torch import save

from LightRegistrationLib.core.geometry.volume import Segmentation, Volume
from LightRegistrationLib.core.network.cascade import CascadeConfig, RecursiveCascade
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.worker.client import WorkerClient
from LightRegistrationLib.worker.protocol import (
    FieldFound,
    Finished,
    Message,
    Refused,
    RegistrationRequest,
    WorkerExited,
)

from ..processes import PATIENCE_S

MODEL = "tiny"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A folder with one model that was never trained."""
    folder = tmp_path_factory.mktemp("models")
    target = folder / MODEL
    target.mkdir()
    torch.manual_seed(0)
    config = CascadeConfig(cascades=1)
    weights = save({k: v.contiguous() for k, v in RecursiveCascade(config).state_dict().items()})
    (target / "weights.safetensors").write_bytes(weights)
    card = {
        "title": "Untrained",
        "modality": "MRI",
        "summary": "for tests",
        "sha256": hashlib.sha256(weights).hexdigest(),
        "network": config.to_dict(),
        "grid": {"spacing_mm": 4.0},
        "intensity": {},
    }
    (target / "card.json").write_text(json.dumps(card))
    return folder


@dataclass
class WatchedClient:
    """A client with all messages so far."""

    client: WorkerClient
    messages: list[Message] = field(default_factory=list)

    def wait(self, kinds=(Finished, Refused, WorkerExited), request_id=None, seconds=PATIENCE_S):
        """Poll until a message of these kinds comes (for this request) and return it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for message in self.client.poll():
                self.messages.append(message)
                if isinstance(message, kinds) and request_id in (None, getattr(message, "request_id", None)):
                    return message
            time.sleep(0.02)
        raise AssertionError(f"nothing came in {seconds} s; so far: {self.messages}")

    def clean(self, seconds=PATIENCE_S):
        """Poll until the files of killed processes are removed."""
        deadline = time.monotonic() + seconds
        while self.client.is_cleaning and time.monotonic() < deadline:
            assert self.client.poll() == []
            time.sleep(0.02)

    def field(self, request_id):
        """The one FieldFound message of a request that came before it was done."""
        (found,) = [m for m in self.messages if isinstance(m, FieldFound) and m.request_id == request_id]
        return found


@pytest.fixture
def watched(model_folder):
    """A client whose worker process no other test uses."""
    client = WorkerClient(sys.executable, model_folders=(model_folder,))
    yield WatchedClient(client)
    client.close()


@pytest.fixture(scope="session")
def shared_client(model_folder):
    client = WorkerClient(sys.executable, model_folders=(model_folder,))
    yield client
    client.close()


@pytest.fixture
def watched_shared(shared_client):
    """A client whose worker process has answered other tests before and must be alive at the end."""
    yield WatchedClient(shared_client)
    assert shared_client.is_running


def blob(shape, spacing, center_mm, dtype=np.int16, name="volume"):
    """A bright ball of 20 mm radius around `center_mm` in a grid centered on the origin."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(shape[::-1]) - 1) / 2 * spacing
    k, j, i = np.indices(shape)
    points = np.stack([i, j, k], -1) * spacing + affine[:3, 3]
    distance = np.linalg.norm(points - center_mm, axis=-1)
    image = 900 / (1 + np.exp((distance - 20) / 2)) + 50
    labels = (distance < 20).astype(np.uint8)
    return Volume(image.astype(dtype), affine, name), Segmentation.from_labels(labels, affine)


@pytest.fixture(scope="session")
def request_of_blobs():
    """Fixed and moving of different size, spacing and type, both segmented."""
    fixed, fixed_labels = blob((40, 44, 48), (2.0, 2.0, 2.5), (0, 0, 0), np.int16, "fixed")
    moving, moving_labels = blob((30, 36, 33), (3.0, 3.0, 3.0), (4, -3, 2), np.float32, "moving")
    settings = RegistrationSettings(model=MODEL)
    return RegistrationRequest(fixed, moving, settings, fixed_labels, moving_labels)


@pytest.fixture(scope="session")
def long_request():
    """A request that takes many seconds, so that it can be interrupted."""
    labels = np.zeros((330, 330, 330), np.uint8)
    labels[80:250, 60:200, 90:240] = 1
    affine = np.diag([0.5, 0.5, 0.5, 1])
    volume, segmentation = Volume(labels.astype(np.float32), affine), Segmentation.from_labels(labels, affine)
    return RegistrationRequest(volume, volume, RegistrationSettings(model=MODEL), segmentation, segmentation)
