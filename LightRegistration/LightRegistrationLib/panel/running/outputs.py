"""The reply of the worker as nodes of the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...scene.nodes.landmarks import is_under
from ...scene.nodes.results import OutputNodes, RegistrationNodes, find_registration_nodes, publish_result
from ...worker.protocol import RegistrationReply
from ..inputs.selected_nodes import SelectedNodes


@dataclass(frozen=True, eq=False)
class PublishedResult:
    """The result of a registration: its nodes, and its numbers as in report.json."""

    nodes: RegistrationNodes
    report: dict[str, Any]


def find_replaced(parameters: Any, selected: SelectedNodes) -> RegistrationNodes | None:
    """Return the latest result if the same inputs are registered again, so that it is replaced; None to keep it.

    It is kept if the user wants that, and if something that is registered lies under its transform or is part of it.
    """
    if parameters.keepResults or parameters.result is None:
        return None
    nodes = find_registration_nodes(parameters.result)
    if nodes is None or not selected.has_inputs_of(nodes):
        return None
    own = (nodes.transform, nodes.warped, nodes.warped_segmentation)
    inputs = selected.list_inputs()
    if any(node in own or is_under(node, nodes.transform) for node in inputs) or selected.initial_transform in own:
        return None
    return nodes


def publish_reply(
    scene: Any, selected: SelectedNodes, reply: RegistrationReply, replaced: RegistrationNodes | None = None
) -> PublishedResult:
    """Add a reply to the scene, in the chosen output nodes, in those of a replaced result, or in new ones.

    The nodes take over the memory of the reply. Raises InputError if an output node cannot take it; the scene is then
    not changed.
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
                next((node for node in nodes if node is not None and scene.IsNodePresent(node)), None)
                for nodes in _list_output_candidates(selected, replaced)
            )
        ),
        details=_make_details(reply.report),
        shared=True,
    )
    return PublishedResult(nodes, reply.report)


def _list_output_candidates(selected: SelectedNodes, replaced: RegistrationNodes | None) -> list[tuple[Any, Any]]:
    """Return for transform, volume and segmentation the chosen node and that of the replaced result; None for none."""
    chosen = (selected.output_transform, selected.output_volume, selected.output_segmentation)
    own = (None,) * 3 if replaced is None else (replaced.transform, replaced.warped, replaced.warped_segmentation)
    return list(zip(chosen, own, strict=True))


def _make_details(report: dict[str, Any]) -> dict[str, str]:
    settings = {f"settings.{name}": str(value) for name, value in report["settings"].items()}
    return {
        "model": report["model"]["name"],
        "model_reason": report["model"]["reason"],
        "weights_sha256": report["model"]["weights_sha256"],
        **settings,
        "seconds": f"{sum(report['seconds'].values()):.2f}",
    }
