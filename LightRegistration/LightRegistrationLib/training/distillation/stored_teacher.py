"""A teacher of files: deformations that any tool computed for the pairs of a store."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core.errors import InputError
from ...core.files.plain_file import read_plain_bytes
from ..data.pairs import Pair
from .lesson import Lesson


class StoredFieldsTeacher:
    """Reads the deformation of pair n of a store from `folder`/<n, five digits>.npy.

    Each file holds one array (3, D, H, W) on the grid of the pair: displacements fixed -> moving in voxels, components
    i, j, k. The identity is the hash of all files. Raises InputError if the folder has none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = sorted(folder.glob("*.npy")) if folder.is_dir() else []
        if not files:
            raise InputError(f"{folder}: there are no fields (00000.npy and so on) in this folder.")
        self.identity: dict[str, Any] = {"kind": "stored", "sha256": _hash_files(files)}

    def teach(self, pair: Pair, number: int | None = None) -> Lesson:
        """Read the field of a pair of the store; InputError if there is no store, no such file, or another content."""
        if number is None:
            raise InputError(f"{self.folder}: stored fields belong to the pairs of a store; give the run a store.")
        file = self.folder / f"{number:05d}.npy"
        try:
            array = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"{file}: this field cannot be read; the store needs one for each of its pairs."
            ) from error
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise InputError(f"{file}: a field is one array of numbers.")
        lesson = Lesson.of(torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None])
        lesson.check(pair, str(file))
        return Lesson(lesson.flow.to(pair.fixed.device), lesson.is_taught.to(pair.fixed.device))


def _hash_files(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(read_plain_bytes(file, "field"))
    return digest.hexdigest()
