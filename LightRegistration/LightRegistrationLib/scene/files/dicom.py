"""Find the image series in a folder of DICOM files, by their headers (pydicom)."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from ...core.errors import InputError

_TAGS = [
    "SOPClassUID",
    "ImageType",
    "PatientID",
    "FrameOfReferenceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "Modality",
    "InstanceNumber",
    "SliceThickness",
    "EchoTime",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "GridFrameOffsetVector",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "DoseGridScaling",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_WHOLE_NUMBERS = ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")
_SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentations of bits or fractions, and label maps."""
_FLOAT_VOXELS = ("FloatPixelData", "DoubleFloatPixelData")
_UNDEFINED_LENGTH = 0xFFFFFFFF
_DAMAGE = (
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    pydicom.errors.BytesLengthException,
    struct.error,
    zlib.error,
)
"""What pydicom raises for damaged files."""
_SUFFIXES = (".dcm", ".ima")
_MAX_LISTED = 8
_MAX_PIXELS_PER_BYTE = 10_000
"""No compression of DICOM files stores more pixels in a byte. Chosen."""


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A DICOM file with an image: its path, its header without the voxels, and what identifies its series."""

    path: Path
    header: Any
    uid: str

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.header.get("NumberOfFrames") or 1)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return int(self.header.Columns), int(self.header.Rows)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return the numbers of an attribute; empty if it is missing or holds none."""
        return read_numbers(self.header, name)


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """The image files of one series of a folder. number, description: as in the headers, may be empty."""

    uid: str
    number: str
    description: str
    files: tuple[DicomFile, ...]

    @property
    def size(self) -> str:
        """Number of slices, and columns x rows of the first."""
        columns, rows = self.files[0].size
        count = sum(file.frames for file in self.files)
        return f"{count} slice{'' if count == 1 else 's'} of {columns} x {rows}"

    def describe(self) -> str:
        """Return number (without one, the UID), description and size in one line."""
        return " ".join([self.number or self.uid, f"'{self.description}'", f"({self.size})"])


def list_series(folder: Path) -> list[DicomSeries]:
    """List the DICOM image series directly in a folder, by number. Raises InputError if there is none."""
    candidates = [path for path in sorted(folder.iterdir()) if path.name.upper() != "DICOMDIR" and is_dicom(path)]
    if not candidates:
        raise InputError(f"{folder}: the folder holds no DICOM image (subfolders are not searched).")
    files = [file for path in candidates if (file := read_header(path)) is not None]
    if not files:
        raise InputError(f"{folder}: no DICOM file in the folder holds an image ({_list_modalities(candidates)}).")
    by_uid: dict[str, list[DicomFile]] = {}
    for file in files:
        by_uid.setdefault(file.uid, []).append(file)
    series = [_make_series(members) for members in by_uid.values()]
    return sorted(series, key=lambda s: (not s.number.isdigit(), int(s.number) if s.number.isdigit() else 0, s.uid))


def find_series(folder: Path, series: str | None = None) -> DicomSeries:
    """Return the DICOM series of a folder: the only one, or the one with this number or UID.

    Raises InputError if there is no such series, or several without a choice; the message lists them.
    """
    found = list_series(folder)
    series = None if series is None else series.strip()
    chosen = found if series is None else [one for one in found if series in (one.number, one.uid)]
    if len(chosen) == 1:
        return chosen[0]
    listed = "; ".join(one.describe() for one in found[:_MAX_LISTED]) + ("; ..." if len(found) > _MAX_LISTED else "")
    if series is None:
        raise InputError(f"{folder}: the folder holds {len(found)} DICOM series: {listed}; choose one with --series.")
    if chosen:
        uids = ", ".join(one.uid for one in chosen)
        raise InputError(f"{folder}: {len(chosen)} DICOM series have the number {series}; choose by UID: {uids}.")
    raise InputError(f"{folder}: there is no DICOM series {series or 'without a number'}; there are: {listed}.")


def list_left_out(folder: Path) -> list[str]:
    """List the names of files in a folder that are called DICOM files and are none: empty, damaged, or not there."""
    named = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES and path.name[0] != "."]
    return [path.name for path in named if not path.is_dir() and not is_dicom(path)]


def describe_names(names: Sequence[str]) -> str:
    """Return the first names of a list in one line."""
    return ", ".join(names[:_MAX_LISTED]) + (", ..." if len(names) > _MAX_LISTED else "")


def is_dicom(path: Path) -> bool:
    """Tell whether a file is marked as DICOM, or begins as one without the mark (older than DICOM 3.0 files)."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        start = stream.read(132)
    return start[128:] == b"DICM" or (start[:2] == b"\x08\x00" and start[3:4] == b"\x00")


def read_header(path: Path) -> DicomFile | None:
    """Read the header of a DICOM file; None if it holds no image. Raises InputError for a damaged file."""
    content = path.read_bytes()
    with _quiet_pydicom():
        try:
            # From memory: a file object would reserve what a damaged header claims.
            header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=_TAGS, force=True)
            has_image = bool(header.get("Rows") and header.get("Columns"))
            file = DicomFile(path, header, str(header.get("SeriesInstanceUID") or "").strip())
            values = {name: header.get(name) for name in _TAGS}
            _ = file.frames, file.size if has_image else None, [int(values[name] or 0) for name in _WHOLE_NUMBERS]
            is_segmentation = header.get("SOPClassUID") in _SEGMENTATION_CLASSES
        except _DAMAGE as error:
            raise InputError(f"{path}: the DICOM header is damaged; copy or download the file again.") from error
    if not has_image:
        return None
    if is_segmentation:
        raise InputError(f"{path}: this is a DICOM segmentation, not an image; save it as .seg.nrrd in Slicer first.")
    if file.frames < 1 or file.frames * file.size[0] * file.size[1] > len(content) * _MAX_PIXELS_PER_BYTE:
        raise InputError(f"{path}: the DICOM header is damaged (it claims more pixels than the file can hold).")
    _check_voxels(content, file)
    return file


def get_value(dataset: Any, name: str) -> Any:
    """Return the value of an attribute of a dataset; None if it is missing or damaged."""
    with _quiet_pydicom():
        try:
            return dataset.get(name)
        except _DAMAGE:
            return None


def read_numbers(dataset: Any, name: str) -> NDArray[np.float64]:
    """Return the numbers of an attribute of a dataset; empty if it is missing or holds none."""
    value = get_value(dataset, name)
    try:
        return np.array([] if value is None else np.ravel(value), dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        return np.array([], dtype=np.float64)


@contextlib.contextmanager
def _quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's remarks on unusual values away from the terminal."""
    log = logging.getLogger("pydicom")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _list_modalities(paths: Sequence[Path]) -> str:
    """Name what files without an image hold, such as RTSTRUCT or SR, by their modality."""
    found: set[str] = set()
    for path in paths:
        with _quiet_pydicom(), contextlib.suppress(*_DAMAGE):
            header = pydicom.dcmread(io.BytesIO(path.read_bytes()), specific_tags=["Modality"], force=True)
            found.add(str(header.get("Modality") or ""))
    return ", ".join(sorted(found - {""})) or "their modality is not given"


def _make_series(files: list[DicomFile]) -> DicomSeries:
    header = files[0].header
    values = (get_value(header, name) for name in ("SeriesNumber", "SeriesDescription"))
    number, description = ("" if value is None else str(value).strip() for value in values)
    return DicomSeries(files[0].uid, number, " ".join(description.split()), tuple(files))


def _check_voxels(content: bytes, file: DicomFile) -> None:
    """Raise InputError without voxels, or if those that are not compressed are not what the header describes.

    The reader would return random values.
    """
    bits, samples = (get_value(file.header, name) for name in ("BitsAllocated", "SamplesPerPixel"))
    is_subsampled = str(get_value(file.header, "PhotometricInterpretation")).startswith("YBR")
    with _quiet_pydicom():
        try:
            dataset = pydicom.dcmread(io.BytesIO(content), specific_tags=["PixelData", *_FLOAT_VOXELS], force=True)
            element = dataset.get_item("PixelData")
            has_floats = any(dataset.get_item(name) is not None for name in _FLOAT_VOXELS)
            needed = file.frames * file.size[0] * file.size[1] * int(bits or 0) * int(samples or 1) // 8
        except _DAMAGE:
            return
    if has_floats:
        raise InputError(f"{file.path}: the voxels of this DICOM file are floating-point numbers; save it as .nrrd.")
    if element is None or not element.value:
        raise InputError(
            f"{file.path}: this DICOM file describes an image, but holds no voxels (PixelData), or is cut off in them."
        )
    stored = element.length
    if stored == _UNDEFINED_LENGTH:
        return
    if stored > len(element.value):
        raise InputError(f"{file.path}: the file is cut off; copy or download it again.")
    if needed and not is_subsampled and not needed <= stored < 2 * needed:
        raise InputError(
            f"{file.path}: the DICOM header is damaged (it describes {needed} bytes of voxels, but there are {stored})."
        )
