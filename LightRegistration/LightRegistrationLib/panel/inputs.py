"""What the user chose: input and output nodes, checked, and turned into a request to the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from ..core.result import RegistrationSettings
from ..scene.segmentations import segmentation_from_node
from ..scene.volumes import volume_from_node
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

    def inputs(self) -> list[Any]:
        """The chosen input nodes."""
        nodes = (self.fixed, self.moving, self.fixed_segmentation, self.moving_segmentation)
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
        fixed, moving = self.fixed_segmentation, self.moving_segmentation
        return RegistrationRequest(
            fixed=volume_from_node(self.fixed),
            moving=volume_from_node(self.moving),
            settings=settings,
            fixed_segmentation=None if fixed is None else segmentation_from_node(fixed),
            moving_segmentation=None if moving is None else segmentation_from_node(moving),
        )
