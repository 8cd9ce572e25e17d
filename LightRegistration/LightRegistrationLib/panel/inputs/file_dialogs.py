"""File dialogs of the Load buttons: choose a volume or a segmentation and load it into the scene."""

from __future__ import annotations

from typing import Any

import qt
import slicer.util

from ...core.errors import InputError
from ...scene.nodes.volumes import find_volume_problem
from ..translation import translate

IMAGE_SUFFIXES = "*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd"


def list_load_titles() -> dict[str, str]:
    """Return the title of the file dialog for each input of the parameter node, as plain text.

    The tool tips of the buttons are no titles: Slicer returns them as HTML.
    """
    return {
        "fixedVolume": translate("LightRegistration", "Load the fixed volume"),
        "movingVolume": translate("LightRegistration", "Load the moving volume"),
        "fixedSegmentation": translate("LightRegistration", "Load the fixed segmentation"),
        "movingSegmentation": translate("LightRegistration", "Load the moving segmentation"),
    }


def choose_and_load_volume(parent: Any, title: str) -> Any:
    """Ask for an image file and load it; None if the user cancels.

    Raises InputError for an unreadable file and for one that cannot be registered; the latter is loaded all the same.
    """
    node = _choose_and_load(parent, title, slicer.util.loadVolume)
    problem = None if node is None else find_volume_problem(node)
    if problem is not None:
        raise InputError(problem)
    return node


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
