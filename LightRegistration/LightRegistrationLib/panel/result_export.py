"""A result outside of the panel: the review page as a file, the numbers as a table node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt

from ..core.errors import InputError
from ..core.review.page import build_page
from ..core.review.pictures import ReviewedPair
from ..core.review.tolerances import Tolerances
from ..scene.files.png import encode_png
from ..scene.nodes.report_table import fill_report_table
from ..scene.nodes.results import RegistrationNodes
from ..scene.nodes.segmentations import segmentation_from_node
from ..scene.nodes.transforms import field_from_transform_node
from ..scene.nodes.volumes import volume_from_node
from .translation import translate

_SUFFIX = ".html"


def choose_and_save_page(parent: Any, nodes: RegistrationNodes, report: Any, tolerances: Tolerances) -> str | None:
    """Ask for a file and write the review page of a result into it; returns its path, None if the user cancels.

    report: the numbers of the result. tolerances: that they are held against. Raises InputError if the page cannot be
    made or written.
    """
    title = translate("LightRegistration", "Save the report")
    kind = translate("LightRegistration", "Web page (*.html)")
    path = qt.QFileDialog.getSaveFileName(parent, title, f"{nodes.transform.GetName()}{_SUFFIX}", kind)
    if not path:
        return None
    file = Path(path if path.lower().endswith(_SUFFIX) else path + _SUFFIX)
    qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
    try:
        file.write_text(build_page(_read_pair(nodes), report, encode_png, tolerances), encoding="utf-8")
    except OSError as error:
        line = translate("LightRegistration", "{path} cannot be written ({reason}); choose another place.")
        raise InputError(line.format(path=file, reason=error.strerror or error)) from error
    finally:
        qt.QApplication.restoreOverrideCursor()
    return str(file)


def add_table_node(nodes: RegistrationNodes, report: Any) -> Any:
    """Add the numbers of a result to the scene as a table node; returns the node."""
    name = translate("LightRegistration", "{transform} numbers").format(transform=nodes.transform.GetName())
    node = nodes.transform.GetScene().AddNewNodeByClass("vtkMRMLTableNode", name)
    fill_report_table(node, report)
    return node


def _read_pair(nodes: RegistrationNodes) -> ReviewedPair:
    both = nodes.fixed_segmentation is not None and nodes.warped_segmentation is not None
    return ReviewedPair(
        fixed=volume_from_node(nodes.fixed),
        moving=volume_from_node(nodes.moving),
        field=field_from_transform_node(nodes.transform),
        fixed_segmentation=segmentation_from_node(nodes.fixed_segmentation) if both else None,
        warped_segmentation=segmentation_from_node(nodes.warped_segmentation) if both else None,
    )
