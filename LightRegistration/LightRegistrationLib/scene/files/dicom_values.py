"""Whether the stored values of DICOM files are read as their headers say; ITK's reader takes some of them otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ...core.errors import InputError
from .dicom import DicomFile, get_value

_TYPE = ("BitsAllocated", "BitsStored", "PixelRepresentation")


def check_values(files: Sequence[DicomFile], path: Path) -> Iterator[str]:
    """Yield warnings about the values of a series. Raises InputError, naming `path`, if they would be read wrongly."""
    for file in files:
        _check_type(file, path)
        if "MOSAIC" in np.atleast_1d(get_value(file.header, "ImageType") or ()):
            raise InputError(
                f"{path}: these DICOM images are mosaics, with all slices of a volume in one image; convert them by "
                "dcm2niix first."
            )
        for name in ("RescaleSlope", "RescaleIntercept"):
            check_scale(file.numbers(name).tolist(), name, path)
    if len({tuple(get_value(file.header, name) for name in _TYPE) for file in files}) > 1:
        raise InputError(f"{path}: the slices of the DICOM series have several voxel types; keep those of one type.")
    if 0 < sum(len(file.numbers("RescaleSlope")) == 0 for file in files) < len(files):
        yield "some of its slices have a scale of their values (RescaleSlope), and others have none"
    if any(str(get_value(file.header, "PhotometricInterpretation")).strip() == "MONOCHROME1" for file in files):
        yield "its values are stored with white as the lowest one (MONOCHROME1), and were read inverted"
    scale = files[0].numbers("DoseGridScaling").tolist()
    if scale not in ([], [1.0]):
        yield f"its values are read as stored, not as a dose: one step is {scale[0]:g} dose units (DoseGridScaling)"
    if any(_has_value_table(file) for file in files):
        yield "its values have a table of meanings (Modality LUT), which was not applied"


def check_scale(values: Sequence[float], name: str, path: Path) -> None:
    """Raise InputError for a slope of 0, which the reader takes for 1, and for numbers that are not finite."""
    if not np.isfinite(values).all():
        raise InputError(f"{path}: the {name} of the DICOM file is not a number; repair the header.")
    if name == "RescaleSlope" and 0 in values:
        raise InputError(f"{path}: the RescaleSlope of the DICOM file is 0, so that all voxels are equal; repair it.")


def _check_type(file: DicomFile, path: Path) -> None:
    if str(get_value(file.header, "PhotometricInterpretation")).startswith("PALETTE"):
        raise InputError(f"{path}: a scalar volume is needed, but the DICOM series holds colors (PALETTE COLOR).")
    samples, stored, high = (get_value(file.header, name) for name in ("SamplesPerPixel", "BitsStored", "HighBit"))
    if (samples or 1) != 1:
        raise InputError(f"{path}: a scalar volume is needed, but the DICOM series holds colors ({samples} channels).")
    if stored and high is not None and high != stored - 1:
        raise InputError(
            f"{path}: the bits of the DICOM voxels do not begin at the lowest one (BitsStored {stored}, HighBit "
            f"{high}), and would be read wrongly; convert the series to .nrrd first."
        )


def _has_value_table(file: DicomFile) -> bool:
    tables = get_value(file.header, "ModalityLUTSequence")
    return bool(tables) and get_value(tables[0], "LUTData") is not None
