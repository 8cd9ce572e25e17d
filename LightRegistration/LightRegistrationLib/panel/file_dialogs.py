"""Load a volume or a segmentation from a file right beside the selector it is meant for."""

from __future__ import annotations

from typing import Any

import qt
import slicer.util
from slicer.i18n import tr as _

from ..core.errors import InputError

IMAGE_SUFFIXES = "*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd"


def choose_and_load_volume(parent: Any, title: str) -> Any:
    """Ask for an image file and load it; None if the user changed their mind. Raises InputError."""
    return _choose_and_load(parent, title, slicer.util.loadVolume)


def choose_and_load_segmentation(parent: Any, title: str) -> Any:
    """Ask for a label map or .seg.nrrd file and load it; None if the user changed their mind. Raises InputError."""
    return _choose_and_load(parent, title, slicer.util.loadSegmentation)


def _choose_and_load(parent: Any, title: str, load: Any) -> Any:
    kinds = _("Images ({suffixes});;All files (*)").format(suffixes=IMAGE_SUFFIXES)
    path = qt.QFileDialog.getOpenFileName(parent, title, "", kinds)
    if not path:
        return None
    try:
        return load(path)
    except RuntimeError as error:  # what slicer.util raises for a file that no reader takes
        raise InputError(_("{path} cannot be read as an image.").format(path=path)) from error
