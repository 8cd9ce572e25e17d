"""A finished registration as nodes of the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..scene.nodes.results import OutputNodes, RegistrationNodes, publish_result
from ..worker.protocol import RegistrationReply
from .inputs import Choice


@dataclass(frozen=True, eq=False)
class Registered:
    """What a registration gave: its nodes, and its numbers as in report.json."""

    nodes: RegistrationNodes
    report: dict[str, Any]


def publish(scene: Any, choice: Choice, reply: RegistrationReply) -> Registered:
    """Put a reply into the scene, into the outputs that were chosen or into new nodes.

    Raises InputError where an output cannot take it; the scene is then as it was.
    """
    nodes = publish_result(
        scene,
        choice.fixed,
        choice.moving,
        reply.result.field,
        reply.warped,
        reply.warped_segmentation,
        fixed_segmentation=choice.fixed_segmentation,
        moving_segmentation=choice.moving_segmentation,
        outputs=OutputNodes(
            *(
                node if node is not None and scene.IsNodePresent(node) else None
                for node in (choice.output_transform, choice.output_volume, choice.output_segmentation)
            )
        ),
        details=_details(reply.report),
    )
    return Registered(nodes, reply.report)


def _details(report: dict[str, Any]) -> dict[str, str]:
    settings = {f"settings.{name}": str(value) for name, value in report["settings"].items()}
    return {
        "model": report["model"]["name"],
        "model_reason": report["model"]["reason"],
        "weights_sha256": report["model"]["weights_sha256"],
        **settings,
        "seconds": f"{sum(report['seconds'].values()):.2f}",
    }
