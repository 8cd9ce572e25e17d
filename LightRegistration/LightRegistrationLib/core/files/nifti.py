"""Checks for damaged NIfTI files, which ITK reads without an error, and conversion of those that ITK cannot read."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import InputError
from .claimed_size import check_claimed_size, list_surplus_warnings
from .nifti_header import GZIP_MAGIC, NiftiHeader, list_header_warnings, make_nifti1_header, parse_nifti_header
from .plain_file import check_plain_file, is_there, report_os_errors
from .settings import FILES

NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr")
_HEADER_BYTES = 544


def read_nifti_header(path: Path) -> NiftiHeader:
    """Read the header of a .nii, .nii.gz or .hdr file; raises InputError if it is none or is damaged."""
    with _report_damage(path), open_unpacked(path) as stream:
        header = parse_nifti_header(stream.read(_HEADER_BYTES))
    if header is None:
        raise InputError(f"{path}: this is not a NIfTI image, or its header is damaged.")
    return header


def check_nifti(path: Path) -> list[str]:
    """Raise InputError if ITK would read a .nii, .nii.gz or .hdr file wrongly, or cannot read it; returns warnings.

    That is a damaged or incomplete file, an unsupported voxel type, only NaN, or a spacing of 0. ITK reads missing and
    NaN voxels as 0, and replaces a spacing of 0 by 1.
    """
    header = read_nifti_header(path)
    if header.data_type not in header.TYPES:
        raise InputError(f"{path}: voxels of the type '{header.type_name}' are not read; save them as float or int16.")
    if min(abs(size) for size in header.spacing) == 0:
        raise InputError(f"{path}: the header gives an axis the length zero; repair its voxel spacing.")
    if not np.isfinite(header.spacing).all():
        raise InputError(f"{path}: the header gives an axis no finite length; repair its voxel spacing.")
    forms = zip(header.codes, (header.quaternion, header.rows), strict=True)
    if not all(np.isfinite(numbers).all() for code, numbers in forms if code > 0):
        raise InputError(f"{path}: the header gives a position or an orientation that is not finite; repair it.")
    if header.bits != header.TYPES_BITS[header.data_type]:
        raise InputError(f"{path}: the header is damaged (its voxel type does not have {header.bits} bits).")
    if min(header.size) < 1 or header.offset > FILES.max_offset_bytes:
        raise InputError(f"{path}: the header is damaged (its size or the place of its voxels is impossible).")
    _check_scale(path, header)
    data = find_nifti_data(path, header)
    if data == path and header.offset < header.min_offset:
        raise InputError(f"{path}: the header is damaged (the voxels would begin inside it, at byte {header.offset}).")
    if _is_compressed(data):
        check_claimed_size(data, 0, header.offset + header.length, compressed=True)
    else:
        check_claimed_size(data, header.offset, header.length)
    with _report_damage(data), open_unpacked(data) as stream:
        wrong = _count_not_finite(stream, header, data)
    warnings = list(list_header_warnings(header))
    if not _is_compressed(data):
        warnings += list_surplus_warnings(data, header.offset, header.length, header.length // header.size[-1])
    if wrong:
        warnings.append(f"{wrong} of its voxels are NaN or infinite; they are read as 0")
    return warnings


def _check_scale(path: Path, header: NiftiHeader) -> None:
    """Raise InputError for a scale of the values that is not finite: programs read it differently."""
    if not _has_no_scale(header) and not np.isfinite(header.scale).all():
        slope, offset = header.scale
        raise InputError(
            f"{path}: programs read the header's scale of the values (scl_slope {slope:g}, scl_inter {offset:g}) "
            "differently; repair it."
        )


def _has_no_scale(header: NiftiHeader) -> bool:
    """Whether the values are as stored: by nifti1.h with a slope of 0, whatever the offset; nibabel writes NaN."""
    slope = header.scale[0]
    return bool(slope == 0 or np.isnan(slope))


def _has_ignored_offset(header: NiftiHeader) -> bool:
    """Whether an offset stands beside the slope that means no scale; ITK would add it to the values."""
    return _has_no_scale(header) and header.scale[1] != 0 and not np.isnan(header.scale[1])


def holds_only_finite_numbers(path: Path) -> bool:
    """Tell whether all voxels of a sound NIfTI file are finite; ITK reads the others as 0."""
    header = read_nifti_header(path)
    if header.float_type is None:
        return True
    with open_unpacked(find_nifti_data(path, header)) as stream:
        stream.seek(header.offset)
        remaining = header.length
        while chunk := stream.read(min(FILES.read_bytes, remaining)):
            if not np.isfinite(np.frombuffer(chunk, dtype=header.float_type)).all():
                return False
            remaining -= len(chunk)
    return True


def find_nifti_data(path: Path, header: NiftiHeader) -> Path:
    """Return the file with the voxels: the .img beside a .hdr, else the file itself. Raises InputError if missing."""
    if not path.name.lower().endswith(".hdr"):
        return path
    if header.is_single_file:
        raise InputError(f"{path}: this is a whole NIfTI file; give its name the extension .nii.")
    for suffix in (".img", ".IMG", ".img.gz"):
        data = path.with_suffix(suffix)
        if is_there(data):
            with report_os_errors(data):
                check_plain_file(data, "data")
            return data
    raise InputError(f"{path}: the file with the voxels, {path.with_suffix('.img').name}, is missing beside it.")


def needs_conversion(path: Path) -> bool:
    """Tell whether ITK cannot read a sound NIfTI file: NIfTI-2, compressed although its name ends in .nii, an offset.

    The offset is one that does not count; see `_has_ignored_offset`.
    """
    name = path.name.lower()
    if name.endswith(".nii.gz") != _is_compressed(path) and not name.endswith(".hdr"):
        return True
    header = read_nifti_header(path)
    return header.version == 2 or _has_ignored_offset(header)


def convert_to_nifti1(path: Path, target: Path) -> None:
    """Write a NIfTI file as an uncompressed NIfTI-1 file `target`; voxels are copied. Raises InputError, OSError."""
    header = read_nifti_header(path)
    with _report_damage(path), open_unpacked(find_nifti_data(path, header)) as source, target.open("wb") as out:
        remaining = header.offset + header.length
        if header.version == 2 or _has_ignored_offset(header):
            scale = (0.0, 0.0) if _has_no_scale(header) else header.scale
            out.write(make_nifti1_header(replace(header, scale=scale), path))
            source.seek(header.offset)
            remaining = header.length
        while chunk := source.read(min(FILES.read_bytes, remaining)):
            out.write(chunk)
            remaining -= len(chunk)


@contextlib.contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Open a file; content that is compressed by gzip is unpacked, whatever the name of the file."""
    with gzip.GzipFile(path) if _is_compressed(path) else path.open("rb") as stream:
        yield stream


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as raw:
        return raw.read(2) == GZIP_MAGIC


@contextlib.contextmanager
def _report_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the file is damaged (its compressed data cannot be read to the end).") from error


def _read_to_checksum(stream: IO[bytes] | gzip.GzipFile) -> None:
    """Read on to the end, where the checksum of a compressed stream is compared, but not through bytes without end."""
    remaining = FILES.max_trailing_bytes
    while remaining > 0 and (chunk := stream.read(min(FILES.read_bytes, remaining))):
        remaining -= len(chunk)


def _count_not_finite(stream: IO[bytes] | gzip.GzipFile, header: NiftiHeader, path: Path) -> int:
    """Read all voxels, and count those that are not finite. Raises InputError if some are missing or none is finite."""
    stream.seek(header.offset)
    length = count = finite = 0
    # Not further than the header says: a small compressed file may unpack to any length.
    while chunk := stream.read(min(FILES.read_bytes, header.length - length)):
        length += len(chunk)
        if header.float_type is not None:
            values = np.frombuffer(chunk[: len(chunk) - len(chunk) % 8], dtype=header.float_type)
            count += len(values)
            finite += int(np.count_nonzero(np.isfinite(values)))
    _read_to_checksum(stream)
    if length < header.length:
        raise InputError(f"{path}: the file is cut off ({length} of {header.length} bytes); copy or download it again.")
    if count and not finite:
        raise InputError(f"{path}: the volume holds no finite value (only NaN or infinity).")
    return count - finite
