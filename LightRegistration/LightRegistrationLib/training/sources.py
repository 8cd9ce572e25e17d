"""Where pairs come from: the `[[source]]` tables of a training configuration, checked and opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..core.errors import InputError
from .images import ImageSource, ImageVariation, Scan, read_manifest, read_table, scans_of
from .label_maps import prepare
from .pairs import Mixture, PairSource
from .synthesis import PairSynthesizer, SynthesisConfig


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """What all sources have: weight is how often it is drawn from, beside the others; spacing_mm 0 is the stage's."""

    weight: float = 1.0
    spacing_mm: float = 0.0

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ValueError(f"weight has to be positive, got {self.weight}")

    def open(self, data: Path, cache: Path, spacing_mm: float) -> PairSource:
        """Prepare the source at a spacing; what takes long is kept in the cache folder. Raises InputError."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LabelMapSourceConfig(SourceConfig):
    """Images synthesized from label maps; files: a pattern below the data folder."""

    kind: ClassVar[str] = "label-maps"
    files: str
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)

    def open(self, data: Path, cache: Path, spacing_mm: float) -> PairSource:
        """Prepare tissue fractions; InputError if fewer than two label maps are found or the spacing is not whole."""
        paths = find_files(data, self.files)
        if spacing_mm != int(spacing_mm):
            raise InputError(f"[[source]] {self.kind}: spacing_mm has to be a whole number, got {spacing_mm}.")
        return PairSynthesizer(prepare(paths, int(spacing_mm), cache), spacing_mm, self.synthesis)


@dataclass(frozen=True, kw_only=True)
class ImageSourceConfig(SourceConfig):
    """Real images, from a folder or a table.

    files: a pattern of images below the data folder; labels: what to put for {stem} to find the label map of an image
    (its name without endings). table: instead of both, a CSV file below the data folder with columns image, labels,
    subject (the last two may be empty or missing), paths relative to the CSV; or a manifest.json of records, of which
    those of `anatomy` are taken whose `use` is `train`. skip: a pattern of files to leave out.
    pairs: `between` different subjects, `within` a subject (follow-up, breathing), or `self` (one image, two
    deformations). structures: label values to use; all that at least two scans have if empty. intensity: the rule of
    the model (`percentile` or `window`, low, high). reference: name of the scan that the others are aligned to.
    """

    kind: ClassVar[str] = "images"
    files: str = ""
    labels: str = ""
    skip: str = ""
    table: str = ""
    anatomy: str = ""
    pairs: str = "between"
    structures: tuple[int, ...] = ()
    reference: str = ""
    intensity: dict[str, Any] = field(default_factory=dict)
    variation: ImageVariation = field(default_factory=ImageVariation)

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.files) == bool(self.table):
            raise ValueError("give either files or table")
        if bool(self.anatomy) != self.table.endswith(".json"):
            raise ValueError("anatomy belongs to a table that is a manifest (.json), and is needed there")
        if self.pairs not in ("between", "within", "self"):
            raise ValueError(f"pairs has to be between, within or self, got {self.pairs!r}")

    def open(self, data: Path, cache: Path, spacing_mm: float) -> PairSource:
        """Read, align and resample the images, or take them from the cache."""
        return ImageSource.open(self, self.scans(data), cache, spacing_mm)

    def scans(self, data: Path) -> list[Scan]:
        """The scans that the files or the table name; InputError if there are none or one is missing."""
        if self.anatomy:
            return read_manifest(data / self.table, self.anatomy)
        if self.table:
            return read_table(data / self.table)
        return scans_of(find_files(data, self.files, self.skip, least=1), self.labels)


SOURCES: dict[str, type[SourceConfig]] = {c.kind: c for c in (LabelMapSourceConfig, ImageSourceConfig)}


def find_files(data: Path, pattern: str, skip: str = "", least: int = 2) -> list[Path]:
    """The files that match a pattern below the data folder, sorted; InputError if fewer than `least`."""
    skipped = set(data.glob(skip)) if skip else set()
    paths = [p for p in sorted(data.glob(pattern)) if p not in skipped]
    if len(paths) < least:
        needed = "a pair needs two different subjects" if least == 2 else "check the pattern and the data folder"
        raise InputError(f"{data}: {len(paths)} files match files = '{pattern}'; {needed}.")
    return paths


def open_mixture(configs: Sequence[SourceConfig], data: Path, cache: Path, spacing_mm: float) -> Mixture:
    """Open all sources of a run for a stage whose grid has this spacing."""
    opened = [config.open(data, cache, config.spacing_mm or spacing_mm) for config in configs]
    return Mixture(opened, [config.weight for config in configs])
