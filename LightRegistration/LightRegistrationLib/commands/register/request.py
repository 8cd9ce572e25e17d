"""What the command line asks for, all as files, and the checks that need not open them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import InputError
from ...core.models.cards import find_card, list_cards
from ...core.result.settings import InitialAlignment, RegistrationSettings
from ...core.thread_count import check_threads
from ..files.path_errors import report_path_errors


@dataclass(frozen=True)
class FilesRequest:
    """One pair to register.

    fixed, moving: NIfTI, NRRD or MetaImage files, or a folder with a DICOM series. fixed_series, moving_series: number
    or UID of the DICOM series, where a folder holds several. Segmentations: label maps in these formats, or .seg.nrrd.
    Masks: the same; the volumes are compared where they are not 0. landmarks: CSV file of corresponding points, whose
    distance before and after is reported. initial: an InitialAlignment or a linear ITK transform file, fixed -> moving.
    settings: all others; their `initial` is not used. consistency: also register in the opposite direction, and report
    how well both agree. inverse: also write the inverse transform. views: also draw
    pictures. page: also write report.html. thumbnail: also write thumbnail.png, for a page of many pairs. compress:
    write images as .nii.gz instead of .nii.
    """

    fixed: Path
    moving: Path
    fixed_series: str | None = None
    moving_series: str | None = None
    fixed_segmentation: Path | None = None
    moving_segmentation: Path | None = None
    fixed_mask: Path | None = None
    moving_mask: Path | None = None
    landmarks: Path | None = None
    initial: str | Path = InitialAlignment.AFFINE
    settings: RegistrationSettings = field(default_factory=RegistrationSettings)
    consistency: bool = False
    inverse: bool = False
    views: bool = False
    page: bool = False
    thumbnail: bool = False
    compress: bool = True

    @property
    def initial_file(self) -> Path | None:
        """The file of the initial transform; None if `initial` is an InitialAlignment."""
        return None if str(self.initial) in list(InitialAlignment) else Path(self.initial)

    @property
    def roles(self) -> list[tuple[str, Path | None, Path | None]]:
        """The files that both volumes can have: what they are, that of the fixed volume, and that of the moving one."""
        return [
            ("volume", self.fixed, self.moving),
            ("segmentation", self.fixed_segmentation, self.moving_segmentation),
            ("mask", self.fixed_mask, self.moving_mask),
        ]

    @property
    def files(self) -> dict[str, Path]:
        """Every input that was given, by its role."""
        roles = {
            "fixed": self.fixed,
            "moving": self.moving,
            "fixed_segmentation": self.fixed_segmentation,
            "moving_segmentation": self.moving_segmentation,
            "fixed_mask": self.fixed_mask,
            "moving_mask": self.moving_mask,
            "landmarks": self.landmarks,
            "initial": self.initial_file,
        }
        return {role: path for role, path in roles.items() if path is not None}


def check_request(request: FilesRequest) -> None:
    """Raise InputError for all that can be found wrong quickly, without reading the files."""
    for role, path in request.files.items():
        with report_path_errors(path):
            is_there = path.exists()
        if not is_there and role == "initial":
            choices = ", ".join(InitialAlignment)
            raise InputError(f"Unknown initial alignment '{path}': use {choices} or the file of a transform.")
        if not is_there:
            raise InputError(f"{path}: there is no such file or folder.")
    check_threads(request.settings.threads)
    if request.settings.keep_volume and request.moving_segmentation is None:
        raise InputError("To preserve volumes, give the moving segmentation that shows the structures.")
    find_card(request.settings.model, list_cards())
