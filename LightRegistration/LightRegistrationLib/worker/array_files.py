"""Arrays as .npy files, written and read a bounded number of bytes at a time, so that no call takes long."""

from __future__ import annotations

import io
from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SLICE_BYTES = 8 << 20
"""Bytes that are written or read in one call. Chosen: ten to thirty milliseconds of processor time."""

_Bytes = NDArray[np.uint8]


class ArrayWriter:
    """Arrays on their way into .npy files of one folder; they must stay as they are until all is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._parts: deque[tuple[Path, _Bytes]] = deque()

    def add(self, array: NDArray) -> str:
        """Add an array; returns the name of its file. Raises TypeError for an array of objects."""
        if array.dtype.hasobject:
            raise TypeError("an array of objects cannot be sent between the panel and the worker")
        values = np.asarray(array, order="C")
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(values))
        path = self._folder / f"{self._count}.npy"
        self._count += 1
        self._parts += [(path, np.frombuffer(header.getvalue(), np.uint8)), (path, _view_bytes(values))]
        return path.name

    def write_next(self, max_bytes: int = SLICE_BYTES) -> bool:
        """Write the next bytes; returns whether all is written. Raises OSError, as for a full disk."""
        while self._parts and max_bytes > 0:
            path, data = self._parts.popleft()
            with open(path, "ab") as file:
                file.write(data[:max_bytes].data)
            if data.size > max_bytes:
                self._parts.appendleft((path, data[max_bytes:]))
            max_bytes -= data.size
        return not self._parts


class ArrayReader:
    """The arrays that an `ArrayWriter` wrote into a folder, on their way into memory.

    They are read from their ends, and the files become shorter with it: removing a large file at once takes long, too.
    """

    def __init__(self, folder: Path) -> None:
        self.arrays: dict[str, NDArray] = {}
        self._parts: deque[tuple[Path, int, _Bytes]] = deque()
        for path in sorted(folder.glob("*.npy")):
            with open(path, "rb") as file:
                np.lib.format.read_magic(file)
                shape, _is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
                self.arrays[path.name] = np.empty(shape, dtype)
                self._parts.append((path, file.tell(), _view_bytes(self.arrays[path.name])))

    def read_next(self, max_bytes: int = SLICE_BYTES) -> bool:
        """Read the next bytes; returns whether all is in `arrays`. Raises ValueError for a file that is too short."""
        while self._parts and max_bytes > 0:
            path, offset, data = self._parts.popleft()
            rest, end = np.split(data, [max(data.size - max_bytes, 0)])
            with open(path, "r+b") as file:
                file.seek(offset + rest.size)
                if file.readinto(end.data) < end.size:
                    raise ValueError(f"{path.name} is too short")
                file.truncate(offset + rest.size)
            if rest.size:
                self._parts.appendleft((path, offset, rest))
            max_bytes -= end.size
        return not self._parts


def _view_bytes(array: NDArray) -> _Bytes:
    """Return a view of a contiguous array as bytes (n,)."""
    return array.reshape(-1).view(np.uint8)
