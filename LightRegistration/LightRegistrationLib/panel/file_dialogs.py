"""File dialogs of the Load buttons: choose a volume or a segmentation and load it into the scene."""

from __future__ import annotations

from typing import Any

import qt
import slicer.util

from ..core.errors import InputError
from .translation import translate

IMAGE_SUFFIXES = "*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd"


def choose_and_load_volume(parent: Any, title: str) -> Any:
    """Ask for an image file and load it; None if the user cancels. Raises InputError for an unreadable file."""
    return _choose_and_load(parent, title, slicer.util.loadVolume)


def choose_and_load_segmentation(parent: Any, title: str) -> Any:
    """Ask for a label map or .seg.nrrd file and load it; None if the user cancels. Raises InputError."""
    return _choose_and_load(parent, title, slicer.util.loadSegmentation)


def _choose_and_load(parent: Any, title: str, load: Any) -> Any:
    kinds = translate("LightRegistration", "Images ({suffixes});;All files (*)").format(suffixes=IMAGE_SUFFIXES)
    path = qt.QFileDialog.getOpenFileName(parent, title, "", kinds)
    if not path:
        return None
    try:
        return load(path)
    except RuntimeError as error:  # raised by slicer.util for a file that no reader accepts
        line = translate("LightRegistration", "{path} cannot be read as an image.")
        raise InputError(line.format(path=path)) from error
