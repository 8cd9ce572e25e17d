"""A result outside of the panel: the review page as a file, the numbers as a table node, a CSV file, or copied."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt

from ...core.errors import InputError
from ...core.review.page import build_page
from ...core.review.pictures import ReviewedPair
from ...core.review.tolerances import Tolerances
from ...scene.files.png import encode_png
from ...scene.nodes.report_table import NAME_COLUMN, fill_report_table, list_report_columns
from ...scene.nodes.results import RegistrationNodes
from ...scene.nodes.segmentations import segmentation_from_node
from ...scene.nodes.transforms import field_from_transform_node
from ...scene.nodes.volumes import volume_from_node
from ..translation import translate


def choose_and_save_page(parent: Any, nodes: RegistrationNodes, report: Any, tolerances: Tolerances) -> str | None:
    """Ask for a file and write the review page of a result into it; returns its path, None if the user cancels.

    report: the numbers of the result. tolerances: that they are held against. Raises InputError if the page cannot be
    made or written.
    """
    title = translate("LightRegistration", "Save the report")
    kind = translate("LightRegistration", "Web page (*.html)")
    return _choose_and_write(
        parent,
        (title, f"{nodes.transform.GetName()}.html", kind),
        lambda: build_page(_read_pair(nodes), report, encode_png, tolerances),
    )


def choose_and_save_csv(parent: Any, nodes: RegistrationNodes, report: Any) -> str | None:
    """Ask for a file and write the numbers of a result into it; returns its path, None if the user cancels.

    Raises InputError if it cannot be written.
    """
    title = translate("LightRegistration", "Save the numbers")
    kind = translate("LightRegistration", "Table (*.csv)")
    names = (title, f"{nodes.transform.GetName()}.csv", kind)
    return _choose_and_write(parent, names, lambda: write_numbers(report, ","))


def copy_numbers(report: Any) -> None:
    """Copy the numbers of a result, so that they can be pasted into a spreadsheet."""
    qt.QApplication.clipboard().setText(write_numbers(report, "\t"))


def write_numbers(report: Any, delimiter: str) -> str:
    """Write the table of a report as text, a line for each structure; undefined numbers are empty."""
    names, columns = list_report_columns(report)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow([NAME_COLUMN, *columns])
    for row, name in enumerate(names):
        values = (column[row] for column in columns.values())
        writer.writerow([name, *("" if value is None else f"{value:.6g}" for value in values)])
    return text.getvalue()


def _choose_and_write(parent: Any, names: tuple[str, str, str], make: Callable[[], str]) -> str | None:
    """Ask for a file and write a text. names: title of the dialog, proposed file name with its suffix, kind of file."""
    title, proposed, kind = names
    path = qt.QFileDialog.getSaveFileName(parent, title, proposed, kind)
    if not path:
        return None
    suffix = Path(proposed).suffix
    file = Path(path if path.lower().endswith(suffix) else path + suffix)
    qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
    try:
        file.write_text(make(), encoding="utf-8")
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
