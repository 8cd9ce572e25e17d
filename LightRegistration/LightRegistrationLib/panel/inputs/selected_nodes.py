"""The nodes and settings that the user chose: checked, and converted to a request to the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...core.report.definition import InitialChoice
from ...core.result.settings import RegistrationSettings
from ...scene.nodes.landmarks import is_under
from ...scene.nodes.results import RegistrationNodes
from ...scene.nodes.segmentations import cropped_segmentation_from_node, segment_names
from ...scene.nodes.transforms import affine_from_transform_node
from ...scene.nodes.volumes import find_volume_problem, volume_from_node
from ...worker.protocol import RegistrationRequest
from ..translation import translate


@dataclass(frozen=True)
class SelectedNodes:
    """Nodes of one registration; None if nothing is chosen (an output is then created).

    starts_with_transform: the initial alignment is `initial_transform`, which is None otherwise.
    """

    fixed: Any = None
    moving: Any = None
    fixed_segmentation: Any = None
    moving_segmentation: Any = None
    output_transform: Any = None
    output_volume: Any = None
    output_segmentation: Any = None
    fixed_mask: Any = None
    moving_mask: Any = None
    initial_transform: Any = None
    starts_with_transform: bool = False

    def list_inputs(self) -> list[Any]:
        """Return the chosen input nodes."""
        segmentations = (self.fixed_segmentation, self.moving_segmentation, self.fixed_mask, self.moving_mask)
        nodes = (self.fixed, self.moving, *segmentations)
        return [node for node in nodes if node is not None]

    def has_inputs_of(self, nodes: RegistrationNodes) -> bool:
        """Whether these are the volumes and segmentations of a result."""
        return (nodes.fixed, nodes.moving, nodes.fixed_segmentation, nodes.moving_segmentation) == (
            self.fixed,
            self.moving,
            self.fixed_segmentation,
            self.moving_segmentation,
        )

    def find_problem(self) -> str | None:
        """Return one line that says what is missing or impossible; None if a registration can start."""
        return self._find_input_problem() or self._find_alignment_problem() or self._find_output_problem()

    def _find_input_problem(self) -> str | None:
        if self.fixed is None:
            return translate("LightRegistration", "Choose a fixed volume: the one that stays as it is.")
        if self.moving is None:
            return translate("LightRegistration", "Choose a moving volume: the one that is deformed to match.")
        if self.fixed is self.moving:
            return translate(
                "LightRegistration", "Fixed and moving volume are the same volume: choose two different ones."
            )
        for node in (self.fixed, self.moving):
            problem = find_volume_problem(node)
            if problem is not None:
                return problem
        if self.fixed_segmentation is not None and self.fixed_segmentation is self.moving_segmentation:
            return translate(
                "LightRegistration",
                "Fixed and moving segmentation are the same: choose for each volume the segmentation drawn in it.",
            )
        return None

    def _find_alignment_problem(self) -> str | None:
        transform = self.initial_transform
        if not self.starts_with_transform:
            return None
        if transform is None:
            return translate(
                "LightRegistration", "Choose the transform of the initial alignment, or another initial alignment."
            )
        if not transform.IsTransformToWorldLinear():
            line = translate("LightRegistration", "{name} is not linear: an initial alignment must be rigid or affine.")
            return line.format(name=transform.GetName())
        if is_under(self.moving, transform):
            line = translate(
                "LightRegistration",
                "{volume} is already under {name}: choose the initial alignment None, or take it out of the transform.",
            )
            return line.format(volume=self.moving.GetName(), name=transform.GetName())
        return None

    def _find_output_problem(self) -> str | None:
        inputs = self.list_inputs()
        is_initial_output = self.output_transform is not None and self.output_transform is self.initial_transform
        if is_initial_output or any(node in (self.output_volume, self.output_segmentation) for node in inputs):
            return translate(
                "LightRegistration", "An output is also an input: choose another output. Your data is never changed."
            )
        if self.output_transform is not None and any(
            node.GetParentTransformNode() is self.output_transform for node in inputs
        ):
            return translate(
                "LightRegistration",
                "An input is under the output transform: choose another transform, or move the input out of it.",
            )
        return None

    def make_request(self, settings: RegistrationSettings, check_consistency: bool = False) -> RegistrationRequest:
        """Read the nodes in world coordinates; the segmentations are left cropped, for the worker to complete.

        The request shares the memory of the nodes: they must not change before it is sent. check_consistency: also
        register in the opposite direction. Raises InputError for nodes that cannot be registered.
        """
        drawings = {name: getattr(self, name) for name in _DRAWINGS}
        return RegistrationRequest(
            fixed=volume_from_node(self.fixed),
            moving=volume_from_node(self.moving),
            settings=settings,
            check_consistency=check_consistency,
            cropped={name: cropped_segmentation_from_node(node) for name, node in drawings.items() if node is not None},
        )


_PARAMETERS = {
    "fixed": "fixedVolume",
    "moving": "movingVolume",
    "fixed_segmentation": "fixedSegmentation",
    "moving_segmentation": "movingSegmentation",
    "output_transform": "outputTransform",
    "output_volume": "outputVolume",
    "output_segmentation": "outputSegmentation",
    "fixed_mask": "fixedMask",
    "moving_mask": "movingMask",
    "initial_transform": "initialTransform",
}
"""Fields of `SelectedNodes` and the names of their values in the parameter node."""

_DRAWINGS = ("fixed_segmentation", "moving_segmentation", "fixed_mask", "moving_mask")
"""Fields of `SelectedNodes` and of the request."""

_PAIRED_PARAMETERS = (
    ("fixedVolume", "movingVolume"),
    ("fixedSegmentation", "movingSegmentation"),
    ("fixedMask", "movingMask"),
    ("fixedLandmarks", "movingLandmarks"),
)
_VOLUME = "vtkMRMLScalarVolumeNode"

NODE_PARAMETERS = (*_PARAMETERS.values(), "fixedLandmarks", "movingLandmarks", "series", "seriesPoints")
"""The names of the node selectors' values in the parameter node."""


def read_selected_nodes(parameters: Any) -> SelectedNodes:
    """Return the nodes that a parameter node references."""
    nodes = {field: getattr(parameters, name) for field, name in _PARAMETERS.items()}
    starts_with_transform = parameters.initial == InitialChoice.TRANSFORM
    if not starts_with_transform:
        nodes["initial_transform"] = None
    return SelectedNodes(**nodes, starts_with_transform=starts_with_transform)


def choose_only_pair(scene: Any, parameters: Any) -> None:
    """Choose the two volumes of a scene that has just two, the first as fixed; nothing where one is chosen already."""
    if parameters.fixedVolume is not None or parameters.movingVolume is not None:
        return
    volumes = [scene.GetNthNodeByClass(n, _VOLUME) for n in range(scene.GetNumberOfNodesByClass(_VOLUME))]
    found = [node for node in volumes if node.GetClassName() == _VOLUME and node.GetImageData() is not None]
    if len(found) == 2 and all(find_volume_problem(node) is None for node in found):
        parameters.fixedVolume, parameters.movingVolume = found


def swap_inputs(parameters: Any) -> None:
    """Exchange the fixed and the moving volume, with their segmentations, masks and landmarks."""
    for fixed, moving in _PAIRED_PARAMETERS:
        one, other = getattr(parameters, fixed), getattr(parameters, moving)
        setattr(parameters, fixed, other)
        setattr(parameters, moving, one)


def read_settings(parameters: Any) -> RegistrationSettings:
    """Return the settings of a parameter node.

    Raises InputError for a value that this version does not know, and for a transform that cannot be inverted.
    """
    transform = read_selected_nodes(parameters).initial_transform
    return RegistrationSettings(
        model=parameters.model,
        initial=parameters.initial if transform is None else affine_from_transform_node(transform, transform.GetName()),
        refine=parameters.refine,
        keep_volume=read_preserved_segments(parameters),
        follow_up=parameters.followUp,
        cascades=parameters.cascades or None,
        threads=parameters.threads or None,
    )


def read_preserved_segments(parameters: Any) -> tuple[str, ...]:
    """Return the structures whose volume is to be preserved; only names that the moving segmentation has."""
    chosen = parameters.keepVolume.split("\n")
    return tuple(name for name in list_preservable_segments(parameters) if name in chosen)


def list_preservable_segments(parameters: Any) -> list[str]:
    """Return the segment names of the moving segmentation: their volume can be preserved."""
    node = parameters.movingSegmentation
    return [] if node is None else segment_names(node)
