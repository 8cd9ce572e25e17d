"""The `[[source]]` tables of a training configuration: where training pairs come from; checked and opened here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..core.errors import InputError
from .atlas.source import AtlasSettings, AtlasSource
from .data.pairs import Mixture, PairSource
from .data.scans import Scan, list_scans, read_manifest, read_table
from .images.settings import ImageSettings
from .images.source import ImageSource
from .synthesis.anatomies import Anatomy, build_anatomy
from .synthesis.label_maps import prepare_label_maps
from .synthesis.pair_synthesizer import PairSynthesizer, SynthesisConfig
from .synthesis.shapes import ShapeSettings, ShapeSynthesizer, check_size


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Settings of all sources.

    weight: how often the source is drawn from, relative to the others. spacing_mm: of its grid; 0: that of the stage.
    """

    weight: float = 1.0
    spacing_mm: float = 0.0

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ValueError(f"weight has to be positive, got {self.weight}")
        if self.spacing_mm < 0:
            raise ValueError(f"spacing_mm has to be 0 or more, got {self.spacing_mm}")

    def open(self, data: Path, cache: Path, spacing_mm: float) -> PairSource:
        """Prepare the source on a grid with this spacing; slow results are cached in a folder. Raises InputError."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LabelMapSourceConfig(SourceConfig):
    """Images synthesized from label maps. files, skip: patterns below the data folder, to use and to leave out.

    anatomy: `brain` (label values of FreeSurfer), `abdomen` (of TotalSegmentator), `upper-abdomen` (eight organs) or
    `own`. classes: your own label values, a list for each class name. means: usual intensity of classes (MRI: 0 to 1;
    CT: HU). modality: `mri` or `ct`, for the anatomy `own`. extent_mm: size of the field of view along S, A, R.
    ignore: label values that are background. labels: number of classes that each pair has as labels, for the Dice loss.
    """

    kind: ClassVar[str] = "label-maps"
    files: str
    skip: str = ""
    anatomy: str = "brain"
    classes: dict[str, Any] = field(default_factory=dict)
    means: dict[str, Any] = field(default_factory=dict)
    modality: str = ""
    extent_mm: tuple[float, ...] = ()
    ignore: tuple[int, ...] = ()
    labels: int = 0
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.build_anatomy()
        if self.labels < 0:
            raise ValueError(f"labels has to be 0 or more, got {self.labels}")

    def build_anatomy(self) -> Anatomy:
        """The anatomy with the settings of this table; ValueError names the key that cannot be used."""
        return build_anatomy(self.anatomy, self.classes, self.means, self.extent_mm, self.modality)

    def open(self, data: Path, cache: Path, spacing_mm: float) -> PairSource:
        """Prepare tissue fractions; InputError if fewer than two label maps are found or they do not fit together."""
        anatomy = self.build_anatomy()
        maps = prepare_label_maps(find_files(data, self.files, self.skip), anatomy, spacing_mm, cache, self.ignore)
        return PairSynthesizer(maps, anatomy, spacing_mm, self.synthesis, self.labels)


@dataclass(frozen=True, kw_only=True)
class ShapeSourceConfig(SourceConfig):
    """Images of random shapes, for a model that depends on no anatomy and no contrast.

    size_voxels: the grid along S, A, R. labels: number of classes that each pair has as labels, for the Dice loss.
    """

    kind: ClassVar[str] = "shapes"
    size_voxels: tuple[int, ...] = (64, 64, 64)
    labels: int = 0
    synthesis: ShapeSettings = field(default_factory=ShapeSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.size_voxels)
        if self.labels < 0:
            raise ValueError(f"labels has to be 0 or more, got {self.labels}")

    def open(self, data: Path, cache: Path, spacing_mm: float) -> PairSource:
        """Build the synthesizer; nothing has to be prepared."""
        d, h, w = self.size_voxels
        return ShapeSynthesizer((d, h, w), spacing_mm, self.synthesis, self.labels)


@dataclass(frozen=True, kw_only=True)
class ImageSourceConfig(SourceConfig, ImageSettings):
    """Real images, from a folder or a table; its further keys: see ImageSettings.

    files: pattern of images below the data folder. labels: name of the label map of an image, with {stem} for the
    name of the image without endings. skip: pattern of files to leave out. table, instead of these: a CSV file below
    the data folder with the columns image, labels, subject (the last two may be empty or missing), paths relative to
    the CSV file; or a manifest.json of records, from which those of `anatomy` are used whose `use` is `train`.
    """

    kind: ClassVar[str] = "images"
    files: str = ""
    labels: str = ""
    skip: str = ""
    table: str = ""
    anatomy: str = ""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if bool(self.files) == bool(self.table):
            raise ValueError("give either files or table")
        if self.table and (self.labels or self.skip):
            raise ValueError("labels and skip belong to files; a table lists the images and label maps itself")
        if bool(self.anatomy) != self.table.endswith(".json"):
            raise ValueError("anatomy belongs to a table that is a manifest (.json), and is needed there")
        ImageSettings.__post_init__(self)

    def open(self, data: Path, cache: Path, spacing_mm: float) -> PairSource:
        """Read, align and resample the images, or read them from the cache."""
        return ImageSource.open(self, self.list_scans(data), cache, spacing_mm)

    def list_scans(self, data: Path) -> list[Scan]:
        """The scans of the files or the table; InputError if there are none or one is missing."""
        if self.anatomy:
            return read_manifest(data / self.table, self.anatomy)
        if self.table:
            return read_table(data / self.table)
        return list_scans(find_files(data, self.files, self.skip, least=1), self.labels)


@dataclass(frozen=True, kw_only=True)
class AtlasSourceConfig(SourceConfig, AtlasSettings):
    """Images synthesized from one labeled atlas and unlabeled scans; for the keys see AtlasSettings."""

    kind: ClassVar[str] = "atlas"

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        AtlasSettings.__post_init__(self)

    def open(self, data: Path, cache: Path, spacing_mm: float) -> PairSource:
        """Learn the transforms, or read them from the cache."""
        return AtlasSource.open(self, data, cache, spacing_mm)


SOURCES: dict[str, type[SourceConfig]] = {
    c.kind: c for c in (LabelMapSourceConfig, ImageSourceConfig, ShapeSourceConfig, AtlasSourceConfig)
}


def find_files(data: Path, pattern: str, skip: str = "", least: int = 2) -> list[Path]:
    """The files that match a pattern below the data folder, sorted; InputError if fewer than `least`."""
    try:
        skipped = set(data.glob(skip)) if skip else set()
        paths = [p for p in sorted(data.glob(pattern)) if p not in skipped]
    except (NotImplementedError, ValueError) as error:  # an absolute path, or ** inside of a name
        raise InputError(f"{data}: files = '{pattern}', skip = '{skip}': {error}; patterns start there.") from error
    if len(paths) < least:
        needed = "a pair needs two different subjects" if least == 2 else "check the pattern and the data folder"
        raise InputError(f"{data}: {len(paths)} files match files = '{pattern}'; {needed}.")
    return paths


def open_mixture(configs: Sequence[SourceConfig], data: Path, cache: Path, spacing_mm: float) -> Mixture:
    """Open all sources of a run for a stage with this grid spacing."""
    opened = [config.open(data, cache, config.spacing_mm or spacing_mm) for config in configs]
    return Mixture(opened, [config.weight for config in configs])
