"""The reply of the worker as nodes of the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..scene.nodes.results import OutputNodes, RegistrationNodes, publish_result
from ..worker.protocol import RegistrationReply
from .inputs import SelectedNodes


@dataclass(frozen=True, eq=False)
class PublishedResult:
    """The result of a registration: its nodes, and its numbers as in report.json."""

    nodes: RegistrationNodes
    report: dict[str, Any]


def publish_reply(scene: Any, selected: SelectedNodes, reply: RegistrationReply) -> PublishedResult:
    """Add a reply to the scene, in the chosen output nodes or in new ones.

    Raises InputError if an output node cannot take it; the scene is then not changed.
    """
    nodes = publish_result(
        scene,
        selected.fixed,
        selected.moving,
        reply.result.field,
        reply.warped,
        reply.warped_segmentation,
        fixed_segmentation=selected.fixed_segmentation,
        moving_segmentation=selected.moving_segmentation,
        outputs=OutputNodes(
            *(
                node if node is not None and scene.IsNodePresent(node) else None
                for node in (selected.output_transform, selected.output_volume, selected.output_segmentation)
            )
        ),
        details=_make_details(reply.report),
    )
    return PublishedResult(nodes, reply.report)


def _make_details(report: dict[str, Any]) -> dict[str, str]:
    settings = {f"settings.{name}": str(value) for name, value in report["settings"].items()}
    return {
        "model": report["model"]["name"],
        "model_reason": report["model"]["reason"],
        "weights_sha256": report["model"]["weights_sha256"],
        **settings,
        "seconds": f"{sum(report['seconds'].values()):.2f}",
    }
