"""What the user chose: input and output nodes, checked, and turned into a request to the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from ..core.geometry.volume import Segmentation
from ..core.result.settings import RegistrationSettings
from ..scene.nodes.segmentations import segment_names, segmentation_from_node
from ..scene.nodes.volumes import volume_from_node
from ..worker.protocol import RegistrationRequest


@dataclass(frozen=True)
class Choice:
    """Nodes of one registration; None where the user chose nothing (an output is then created)."""

    fixed: Any = None
    moving: Any = None
    fixed_segmentation: Any = None
    moving_segmentation: Any = None
    output_transform: Any = None
    output_volume: Any = None
    output_segmentation: Any = None
    fixed_mask: Any = None
    moving_mask: Any = None

    def inputs(self) -> list[Any]:
        """The chosen input nodes."""
        segmentations = (self.fixed_segmentation, self.moving_segmentation, self.fixed_mask, self.moving_mask)
        nodes = (self.fixed, self.moving, *segmentations)
        return [node for node in nodes if node is not None]

    def problem(self) -> str | None:
        """One line that says what is missing or cannot be, None if a registration can start."""
        if self.fixed is None:
            return _("Choose a fixed volume: the one that stays as it is.")
        if self.moving is None:
            return _("Choose a moving volume: the one that is deformed to match.")
        if self.fixed is self.moving:
            return _("Fixed and moving are the same volume: choose two different ones.")
        if self.fixed_segmentation is not None and self.fixed_segmentation is self.moving_segmentation:
            return _("Fixed and moving segmentation are the same: choose the one drawn in each volume.")
        if any(node in (self.output_volume, self.output_segmentation) for node in self.inputs()):
            return _("An output is also an input: choose another output, your data is never changed.")
        if self.output_transform is not None and any(
            node.GetParentTransformNode() is self.output_transform for node in self.inputs()
        ):
            return _("An input is under the output transform: choose another transform or take the input out of it.")
        return None

    def request(self, settings: RegistrationSettings) -> RegistrationRequest:
        """Read the nodes as they lie in the world. Raises InputError for nodes that cannot be registered."""
        return RegistrationRequest(
            fixed=volume_from_node(self.fixed),
            moving=volume_from_node(self.moving),
            settings=settings,
            fixed_segmentation=_segmentation(self.fixed_segmentation),
            moving_segmentation=_segmentation(self.moving_segmentation),
            fixed_mask=_segmentation(self.fixed_mask),
            moving_mask=_segmentation(self.moving_mask),
        )


def read_selected_nodes(parameters: Any) -> Choice:
    """The nodes that a parameter node refers to."""
    return Choice(
        fixed=parameters.fixedVolume,
        moving=parameters.movingVolume,
        fixed_segmentation=parameters.fixedSegmentation,
        moving_segmentation=parameters.movingSegmentation,
        output_transform=parameters.outputTransform,
        output_volume=parameters.outputVolume,
        output_segmentation=parameters.outputSegmentation,
        fixed_mask=parameters.fixedMask,
        moving_mask=parameters.movingMask,
    )


def read_settings(parameters: Any) -> RegistrationSettings:
    """The settings of a parameter node. Raises InputError for a value of another version."""
    return RegistrationSettings(
        model=parameters.model,
        initial=parameters.initial,
        refine=parameters.refine,
        keep_volume=read_preserved_segments(parameters),
    )


def read_preserved_segments(parameters: Any) -> tuple[str, ...]:
    """The chosen structures that the moving segmentation has; another one may have been chosen since."""
    chosen = parameters.keepVolume.split("\n")
    return tuple(name for name in list_preservable_segments(parameters) if name in chosen)


def list_preservable_segments(parameters: Any) -> list[str]:
    """The names of the moving segments, whose volume can be kept."""
    node = parameters.movingSegmentation
    return [] if node is None else segment_names(node)


def _segmentation(node: Any) -> Segmentation | None:
    return None if node is None else segmentation_from_node(node)
