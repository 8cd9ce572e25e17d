"""The panel in the strict Slicer host double, with the built-in pair of volumes in the scene."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from LightRegistrationLib.worker.client import WorkerClient
from slicer_host.pytest_plugin import slicer_host, slicer_host_process

from .. import quick_model
from ..processes import PATIENCE_S

__all__ = ["opened", "shifted", "slicer_host", "slicer_host_process"]


SHIFT_MM = (4.0, -3.0, 0.0)
"""The displacement, fixed to moving, of the result of `shifted`."""


@dataclass
class Opened:
    """The opened module, and the nodes of the built-in pair, which are not chosen yet.

    model: chosen together with the inputs in place of `auto`; None leaves the choice as it is. nodes: of a result.
    """

    host: Any
    panel: Any
    fixed: Any
    moving: Any
    fixed_segmentation: Any
    moving_segmentation: Any
    own_client: WorkerClient
    model: str | None = quick_model.NAME
    nodes: Any = None

    def use_own_worker(self) -> None:
        """Give the panel a worker client of its own, whose process has not started yet."""
        self.panel.logic._runner._client = self.own_client

    @property
    def ui(self):
        return self.panel.ui

    @property
    def status(self) -> str:
        return self.panel.ui.statusLabel.text

    def choose(self, segmentations: bool = True) -> None:
        self.ui.fixedSelector.setCurrentNode(self.fixed)
        self.ui.movingSelector.setCurrentNode(self.moving)
        if segmentations:
            self.ui.fixedSegmentationSelector.setCurrentNode(self.fixed_segmentation)
            self.ui.movingSegmentationSelector.setCurrentNode(self.moving_segmentation)
        parameters = self.panel.logic.getParameterNode()
        if self.model and parameters.model == "auto":
            parameters.model = self.model

    def start(self) -> None:
        """Press Register and return during the registration."""
        self.ui.registerButton.click()
        self.host.process_events(until=lambda: self.ui.progressBar.value > 0, timeout_s=PATIENCE_S)

    def finish(self) -> None:
        self.host.process_events(until=lambda: not self.panel.logic.is_busy, timeout_s=PATIENCE_S)
        self.host.raise_slot_errors()

    def registered(self, segmentations: bool = True) -> Any:
        """Register and return the nodes."""
        from LightRegistrationLib.scene.nodes.results import find_registration_nodes

        self.choose(segmentations)
        self.ui.registerButton.click()
        self.finish()
        result = self.panel.logic.getParameterNode().result
        assert result is not None, self.status
        return find_registration_nodes(result)


@pytest.fixture(scope="session")
def worker_client() -> Iterator[WorkerClient]:
    """The worker that the panels of all tests use one after the other; a test that ends it gets a new one."""
    client = WorkerClient(sys.executable)
    yield client
    client.close()


@pytest.fixture
def opened(slicer_host, worker_client):
    import slicer

    from LightRegistrationLib.panel.self_test.scenarios import phantom_pair
    from LightRegistrationLib.scene.nodes.segmentations import segmentation_node_from_segmentation
    from LightRegistrationLib.scene.nodes.volumes import volume_node_from_volume

    panel = slicer_host.create_widget("LightRegistration")
    panel.doubleClickSeconds = 0.0  # a test presses Register and Cancel faster than a person could
    runner = panel.logic._runner
    own_client, runner._client = runner._client, worker_client
    worker_client.poll()
    pair, scene = phantom_pair(), slicer.mrmlScene
    yield Opened(
        slicer_host,
        panel,
        volume_node_from_volume(scene, pair.fixed, "fixed"),
        volume_node_from_volume(scene, pair.moving, "moving"),
        segmentation_node_from_segmentation(scene, pair.fixed_segmentation, "fixed organs"),
        segmentation_node_from_segmentation(scene, pair.moving_segmentation, "moving organs"),
        own_client,
    )
    panel.logic.cancel()
    runner._client = own_client  # the panel is closed after the test, and its worker with it


@pytest.fixture
def shifted(opened):
    """The opened panel with a result whose field is a pure shift, made without the worker.

    The warped volume and segmentation are the fixed ones.
    """
    import slicer

    from LightRegistrationLib.core.geometry.transforms import DisplacementField
    from LightRegistrationLib.scene.nodes.results import publish_result
    from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node
    from LightRegistrationLib.scene.nodes.volumes import volume_from_node

    opened.choose()
    fixed = volume_from_node(opened.fixed)
    field = np.broadcast_to(np.array(SHIFT_MM, np.float32), (3, 3, 3, 3))
    box = fixed.affine @ np.diag([*(fixed.geometry.size_ijk / 2), 1.0])
    nodes = publish_result(
        slicer.mrmlScene,
        opened.fixed,
        opened.moving,
        DisplacementField(field, box),
        fixed,
        segmentation_from_node(opened.fixed_segmentation),
        fixed_segmentation=opened.fixed_segmentation,
        moving_segmentation=opened.moving_segmentation,
    )
    overlap = {"dice": 0.9, "jaccard": 0.8, "hd95_mm": 1.0, "volume_change_percent": 0.0}
    report = {
        "jacobian": {"percent_nonpositive": 0.0, "minimum": 1.0, "std_log": 0.0},
        "seconds": {"network": 1.0},
        "model": {"name": "general", "reason": "", "weights_sha256": ""},
        "warnings": [],
        "structures": [{"name": "Skull", "value": 1, "fixed_voxels": 9, "before": overlap, "after": overlap}],
        "mean": {"before": overlap, "after": overlap},
        "settings": {},
        **{role: {"name": role, "size_ijk": [2, 2, 2], "spacing_mm": [1.0, 1.0, 1.0]} for role in ("fixed", "moving")},
    }
    parameters = opened.panel.logic.getParameterNode()
    parameters.report = json.dumps(report)
    parameters.result = nodes.transform
    opened.nodes = nodes
    opened.host.raise_slot_errors()
    return opened
