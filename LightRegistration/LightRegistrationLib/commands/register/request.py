"""What the command line asks for, all as files, and what can be said about it without opening them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import InputError
from ...core.models.cards import find_card, list_cards
from ...core.result.result import INITIAL_MODES, RegistrationSettings


@dataclass(frozen=True)
class FilesRequest:
    """One pair to register.

    fixed, moving: .nii, .nii.gz, .nrrd, .mha, .mhd, or a folder with one DICOM series. Segmentations: label maps in
    these formats, or .seg.nrrd; masks too: the volumes are compared where they are not 0. initial: one of
    `INITIAL_MODES` or a linear ITK transform file, fixed -> moving. settings: the rest; its own `initial` is not used.
    views: also draw pictures. compress: write images as .nii.gz instead of .nii.
    """

    fixed: Path
    moving: Path
    fixed_segmentation: Path | None = None
    moving_segmentation: Path | None = None
    fixed_mask: Path | None = None
    moving_mask: Path | None = None
    initial: str | Path = "affine"
    settings: RegistrationSettings = field(default_factory=RegistrationSettings)
    views: bool = False
    compress: bool = True

    @property
    def initial_file(self) -> Path | None:
        """The file of the initial transform; None if `initial` is a mode."""
        return None if str(self.initial) in INITIAL_MODES else Path(self.initial)

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
            "initial": self.initial_file,
        }
        return {role: path for role, path in roles.items() if path is not None}


def check_request(request: FilesRequest) -> None:
    """Raise InputError for what is wrong without a look into the files; quick, so that mistakes cost no wait."""
    for role, path in request.files.items():
        with report_path_errors(path):
            found = path.exists()
        if not found and role == "initial":
            modes = ", ".join(INITIAL_MODES)
            raise InputError(f"Unknown initial alignment '{path}': use {modes} or the file of a transform.")
        if not found:
            raise InputError(f"{path}: there is no such file or folder.")
    if request.settings.keep_volume and request.moving_segmentation is None:
        raise InputError("To keep volumes, give the moving segmentation that shows the structures.")
    find_card(request.settings.model, list_cards())


@contextlib.contextmanager
def report_path_errors(path: Path) -> Iterator[None]:
    """Turn what keeps a path from being looked up (no permission, too long a name, a loop of links) into InputError."""
    try:
        # VTK takes names as UTF-8 only.
        str(path).encode()
        yield
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: the name is not valid UTF-8; rename it.") from error
    except (OSError, RuntimeError) as error:  # Path.resolve reports a loop of links as a RuntimeError
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be looked up ({reason}).") from error
