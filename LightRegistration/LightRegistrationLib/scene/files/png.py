"""Writes RGB pixels as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkIOImage import vtkPNGWriter

from ...core.errors import InputError
from .messages import capture_messages


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return the bytes of a PNG file with RGB pixels (height, width, 3)."""
    writer = _make_writer(pixels)
    writer.WriteToMemoryOn()
    writer.Write()
    return bytes(vtk_to_numpy(writer.GetResult()))


def save_png(pixels: NDArray[np.uint8], path: str | Path) -> None:
    """Write RGB pixels (height, width, 3). Raises InputError if the file cannot be written."""
    if not Path(path).parent.is_dir():
        raise InputError(f"{path}: the picture cannot be written (the folder does not exist).")
    writer = _make_writer(pixels)
    writer.SetFileName(str(path))
    with capture_messages():
        writer.Write()
    if writer.GetErrorCode() or not Path(path).is_file():
        raise InputError(f"{path}: the picture cannot be written.")


def _make_writer(pixels: NDArray[np.uint8]) -> Any:
    height, width, _ = pixels.shape
    image = vtkImageData()
    image.SetDimensions(width, height, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(pixels[::-1]).reshape(-1, 3), deep=True))
    writer = vtkPNGWriter()
    writer.SetInputData(image)
    return writer
