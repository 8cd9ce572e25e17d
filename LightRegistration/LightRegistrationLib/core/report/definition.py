"""The typed definition of report.json: its JSON Schema and its table in the documents are generated from this file.

A key that is NotRequired is not in the report of a saved scene: the command line adds it, or the panel to the report of
its page (`landmarks`, `review`). Raise SCHEMA_VERSION with every change of a key, a type or a word, and describe the
change in `Report`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NotRequired, TypedDict

from ..result.progress import Stage
from ..result.result import ChangeKind, Metric, RefinementEnd
from ..result.settings import RefinementPreset

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Key:
    """What the value of a key means, and which values are allowed beyond its type.

    text: one sentence or phrase in Markdown. low, high: bounds of numbers. shape: lengths of nested lists. words: the
    enumeration whose values are the keys of a mapping. pattern: of a string.
    """

    text: str
    low: float | None = None
    high: float | None = None
    shape: tuple[int, ...] = ()
    words: type[StrEnum] | None = None
    pattern: str = ""


class InitialChoice(StrEnum):
    """The initial alignment that was asked for; TRANSFORM: a transform of the user."""

    NONE = "none"
    CENTERS = "centers"
    RIGID = "rigid"
    AFFINE = "affine"
    TRANSFORM = "transform"


class VolumeReport(TypedDict):
    """One of the two volumes."""

    name: Annotated[str, Key("name of the file or node")]
    size_ijk: Annotated[list[int], Key("number of voxels along i, j, k", low=1, shape=(3,))]
    spacing_mm: Annotated[list[float], Key("voxel size along i, j, k, mm", low=0, shape=(3,))]
    affine_ijk_to_ras_mm: Annotated[list[list[float]], Key("maps (i, j, k, 1) to RAS mm", shape=(4, 4))]
    type: Annotated[str, Key("voxel type, such as `int16`")]


class ModelReport(TypedDict):
    """The model that was used."""

    name: Annotated[str, Key("name of the model")]
    weights_sha256: Annotated[str, Key("hash of its weights file")]
    reason: Annotated[str, Key("why this model was used, one line")]


class SettingsReport(TypedDict):
    """What was asked for."""

    model: Annotated[str, Key("name of a model, or `auto`")]
    cascades: Annotated[int | None, Key("number of cascades; `null`: as the model was trained", low=1, high=3)]
    initial: Annotated[InitialChoice, Key("initial alignment; `transform`: a transform of the user")]
    initial_transform: Annotated[str | None, Key("name of that transform: its file or node; `null`: none")]
    threads: Annotated[int | None, Key("CPU threads; `null`: all cores", low=1)]
    refine: Annotated[RefinementPreset, Key("preset of the refinement")]
    keep_volume: Annotated[list[str], Key("structures whose volume was to be preserved")]
    follow_up: Annotated[bool, Key("whether both volumes were taken as scans of one person")]


class MasksReport(TypedDict):
    """The masks in which the volumes were compared."""

    fixed: Annotated[str | None, Key("name of the mask of the fixed volume; `null`: none")]
    moving: Annotated[str | None, Key("name of the mask of the moving volume; `null`: none")]


class JacobianReport(TypedDict):
    """Jacobian determinant of the deformation, raw, at all cell corners of the field inside the fixed volume."""

    percent_nonpositive: Annotated[float | None, Key("folding: percent of the determinants that are <= 0", 0, 100)]
    minimum: Annotated[float | None, Key("least determinant")]
    std_log: Annotated[float | None, Key("standard deviation of the logarithm of the positive determinants", low=0)]
    percentile_1: Annotated[float | None, Key("1st percentile of the determinants")]
    percentile_99: Annotated[float | None, Key("99th percentile of the determinants")]


class DisplacementReport(TypedDict):
    """Lengths of the displacements beyond the initial alignment, over the fixed volume."""

    median_mm: Annotated[float, Key("median, mm", low=0)]
    percentile_95_mm: Annotated[float, Key("95th percentile, mm", low=0)]
    maximum_mm: Annotated[float, Key("largest, mm", low=0)]


class ConsistencyReport(TypedDict):
    """How far this registration and one in the opposite direction together miss the identity (inverse consistency)."""

    mean_mm: Annotated[float, Key("mean over places in the fixed volume that lie in the moving volume too, mm", low=0)]
    percentile_95_mm: Annotated[float, Key("95th percentile, mm", low=0)]
    maximum_mm: Annotated[float, Key("largest, mm", low=0)]


class RefinementReport(TypedDict):
    """The optimization of the deformation for this pair."""

    preset: Annotated[RefinementPreset, Key("preset; `none`: the coarse steps that multimodal pairs get")]
    metric: Annotated[
        Metric, Key("similarity that was maximized: `correlation` (single contrast) or `MIND` (multimodal)")
    ]
    steps: Annotated[int, Key("number of steps", low=0)]
    ended: Annotated[RefinementEnd, Key("why it ended: the similarity grew no more, or all steps were taken")]
    similarity_before: Annotated[float | None, Key("similarity before refinement, larger is better")]
    similarity_after: Annotated[float | None, Key("similarity after refinement")]


class PreservedVolumeReport(TypedDict):
    """A structure whose volume was to be preserved."""

    name: Annotated[str, Key("name of the structure")]
    change_percent_free: Annotated[float | None, Key("volume change without volume preservation, percent")]
    change_percent: Annotated[float | None, Key("volume change of the result, percent")]


class ChangedPlaceReport(TypedDict):
    """A place that changed from the fixed to the moving scan of one person.

    `brighter`, `darker`: its tissue has no counterpart, the moving scan is brighter or darker there. `larger`,
    `smaller`: its tissue has one, with more or less volume in the moving scan.
    """

    kind: Annotated[ChangeKind, Key("how it changed")]
    position_ras_mm: Annotated[
        list[float],
        Key("in the fixed volume, RAS mm: its middle; of `larger`, `smaller` where it changed most", shape=(3,)),
    ]
    volume_mm3: Annotated[
        float, Key("`brighter`, `darker`: its volume in the fixed volume; else the change of volume; mm³", low=0)
    ]


class FollowUpReport(TypedDict):
    """What changed between two scans of one person."""

    note: Annotated[str, Key("how to read the result, for the user")]
    changes: Annotated[
        list[ChangedPlaceReport], Key("places without a counterpart, the clearest first; then changes of volume")
    ]


class OverlapReport(TypedDict):
    """Agreement of a moving structure with the fixed one."""

    dice: Annotated[float | None, Key("Dice coefficient", 0, 1)]
    jaccard: Annotated[float | None, Key("Jaccard index", 0, 1)]
    mean_distance_mm: Annotated[
        float | None, Key("mean distance to agreement of the surfaces, both directions pooled, mm", low=0)
    ]
    hd95_mm: Annotated[float | None, Key("95th percentile of the surface distances, both directions pooled, mm", low=0)]
    volume_change_percent: Annotated[float | None, Key("relative to the structure's volume in the moving volume")]


class MeanReport(TypedDict):
    """Agreement, averaged over the structures; undefined values are left out."""

    before: Annotated[OverlapReport, Key("as loaded, before any alignment")]
    after: Annotated[OverlapReport, Key("after registration")]


class StructureReport(MeanReport):
    """A structure that both segmentations have: of equal name, else of equal label value."""

    name: Annotated[str, Key("name of the structure")]
    value: Annotated[int, Key("label value in the fixed segmentation")]
    fixed_voxels: Annotated[int, Key("size of the fixed structure, voxels", low=0)]


class LabelReport(TypedDict):
    """A structure in the warped segmentation."""

    value: Annotated[int, Key("label value")]
    name: Annotated[str, Key("name of the structure")]


class InputsReport(TypedDict):
    """The input files, as they were named."""

    fixed: Annotated[str, Key("fixed volume")]
    moving: Annotated[str, Key("moving volume")]
    fixed_segmentation: NotRequired[Annotated[str, Key("fixed segmentation")]]
    moving_segmentation: NotRequired[Annotated[str, Key("moving segmentation")]]
    fixed_mask: NotRequired[Annotated[str, Key("mask of the fixed volume")]]
    moving_mask: NotRequired[Annotated[str, Key("mask of the moving volume")]]
    landmarks: NotRequired[Annotated[str, Key("corresponding landmarks of both volumes")]]
    initial: NotRequired[Annotated[str, Key("transform of the initial alignment")]]


class OutputsReport(TypedDict):
    """The files that were written, relative to the output folder."""

    transform: Annotated[str, Key("the transform, ITK format")]
    inverse: NotRequired[Annotated[str, Key("with `--inverse`: its inverse, moving to fixed")]]
    warped: Annotated[str, Key("moving volume on the fixed grid")]
    warped_segmentation: NotRequired[Annotated[str, Key("moving segmentation on the fixed grid")]]
    views: NotRequired[Annotated[list[str], Key("pictures of slice views")]]
    page: NotRequired[Annotated[str, Key("pictures and numbers as one HTML page")]]


class CompositionReport(TypedDict):
    """How far one of the two transforms and then the other move random points of a volume."""

    mean_mm: Annotated[float, Key("mean distance, mm", low=0)]
    max_mm: Annotated[float, Key("largest distance, mm", low=0)]
    percent_above_tolerance: Annotated[float, Key("percent of the points that move more than the tolerance", 0, 100)]


class InverseReport(TypedDict):
    """How exact the inverse is: both compositions are compared with the identity."""

    tolerance_mm: Annotated[float, Key("half of the finest voxel spacing of both volumes, mm", low=0)]
    fixed: Annotated[CompositionReport, Key("transform, then inverse, in the fixed volume")]
    moving: Annotated[CompositionReport, Key("inverse, then transform, in the moving volume")]


class RegionErrorReport(TypedDict):
    """Lengths of the true displacements and of the remaining error in one region of the built-in pair."""

    mean_displacement_mm: Annotated[float, Key("mean true displacement, mm", low=0)]
    max_displacement_mm: Annotated[float, Key("largest true displacement, mm", low=0)]
    mean_error_mm: Annotated[float, Key("mean error after registration, mm", low=0)]
    max_error_mm: Annotated[float, Key("largest error after registration, mm", low=0)]


class KnownDeformationReport(TypedDict):
    """Comparison with the known deformation of the built-in pair."""

    brain: Annotated[RegionErrorReport, Key("in all structures of the brain")]
    head: Annotated[RegionErrorReport, Key("in the whole head")]


class LandmarkErrorsReport(TypedDict):
    """Distances of corresponding landmarks (target registration error)."""

    mean_mm: Annotated[float, Key("mean distance, mm", low=0)]
    max_mm: Annotated[float, Key("largest distance, mm", low=0)]


class LandmarksReport(TypedDict):
    """Corresponding landmarks of both volumes."""

    count: Annotated[int, Key("number of landmarks in each volume", low=1)]
    before: Annotated[LandmarkErrorsReport, Key("as loaded, before any alignment")]
    after: Annotated[LandmarkErrorsReport, Key("after registration, in the moving volume")]


class Verdict(StrEnum):
    """What a reader says of a registration; it is never set without a reader."""

    NOT_REVIEWED = "not reviewed"
    ACCEPTED = "accepted"
    ACCEPTED_WITH_LIMITS = "accepted with limits"
    REJECTED = "rejected"


class ReviewReport(TypedDict):
    """The verdict of a reader on the registration."""

    verdict: Annotated[Verdict, Key("the verdict; `not reviewed` until a reader gives one")]
    reviewer: Annotated[str, Key("name of the reader")]
    note: Annotated[str, Key("what the reader wrote, such as the limits")]


class Report(TypedDict):
    """The numbers of one registration. Undefined numbers, such as the distance to an empty structure, are `null`.

    Schema 2: the key `two contrasts` of `seconds` is now `multimodal`. Schema 3: `follow_up`, here and in the settings,
    `initial_transform` and `rigid` as `initial` in the settings, and, only where it was asked for, `inverse`,
    `landmarks`, `consistency` and `review`; `displacement`, and `mean_distance_mm` of structures; `inputs` may have
    `landmarks`, `outputs` may have `page` and `inverse`.
    """

    schema: Annotated[int, Key("version of this schema", SCHEMA_VERSION, SCHEMA_VERSION)]
    fixed: Annotated[VolumeReport, Key("the fixed volume")]
    moving: Annotated[VolumeReport, Key("the moving volume")]
    model: Annotated[ModelReport, Key("the model that was used, and why")]
    settings: Annotated[SettingsReport, Key("what was asked for")]
    masks: Annotated[MasksReport, Key("names of the masks")]
    initial_matrix_fixed_to_moving_ras_mm: Annotated[
        list[list[float]], Key("alignment before the network, RAS mm", shape=(4, 4))
    ]
    seconds: Annotated[dict[str, float], Key("wall time of each stage, seconds", low=0, words=Stage)]
    jacobian: Annotated[JacobianReport, Key("Jacobian determinant of the deformation")]
    displacement: Annotated[DisplacementReport, Key("how far the deformation moves, beyond the initial alignment")]
    refinement: Annotated[RefinementReport | None, Key("optimization for this pair; `null` without")]
    kept: Annotated[list[PreservedVolumeReport], Key("structures whose volume was to be preserved")]
    follow_up: Annotated[
        FollowUpReport | None, Key("changes between two scans of one person; `null` unless asked for and possible")
    ]
    structures: Annotated[list[StructureReport] | None, Key("structures; `null` without two segmentations")]
    mean: Annotated[MeanReport | None, Key("mean over the structures; `null` without two segmentations")]
    warnings: Annotated[list[str], Key("lines for the user")]
    inputs: NotRequired[Annotated[InputsReport, Key("input files")]]
    outputs: NotRequired[Annotated[OutputsReport, Key("written files, relative to the output folder")]]
    labels: NotRequired[
        Annotated[list[LabelReport] | None, Key("structures of the warped segmentation; `null` without")]
    ]
    inverse: NotRequired[Annotated[InverseReport, Key("with `--inverse` only: how exact the inverse is")]]
    consistency: NotRequired[
        Annotated[ConsistencyReport, Key("only where asked for: how well the opposite direction agrees")]
    ]
    landmarks: NotRequired[
        Annotated[LandmarksReport, Key("with landmarks only: target registration error before and after")]
    ]
    review: NotRequired[Annotated[ReviewReport, Key("page of the panel only: the verdict of a reader")]]
    versions: NotRequired[Annotated[dict[str, str], Key("versions of Python and of packages")]]
    known_deformation: NotRequired[Annotated[KnownDeformationReport, Key("`demo` only: error against the known truth")]]
