"""The inverse of a finished registration, checked and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...core.deformation.inverse import invert_for_volume
from ...core.deformation.inverse_check import list_inverse_warnings, measure_inverse
from ...core.geometry.transforms import DisplacementField
from ...core.report.definition import CompositionReport, Report
from ...core.result.result import CompositionErrors, InverseAccuracy
from ...core.threads import limit_threads
from ...scene.files.saving import save_node
from ...scene.nodes.transforms import transform_node_from_field
from ...worker.protocol import RegistrationReply
from ..files.output_folder import INVERSE_FILE
from .inputs import LoadedInputs

_DIGITS = 6


@dataclass(frozen=True, eq=False)
class CheckedInverse:
    """The inverse, moving -> fixed, and how exact it is."""

    field: DisplacementField
    accuracy: InverseAccuracy

    def add_to(self, report: Report) -> Report:
        """Return a report with the accuracy, and with warnings where it is not within the tolerance."""
        return {
            **report,
            "inverse": {
                "tolerance_mm": self.accuracy.tolerance_mm,
                "fixed": _report_errors(self.accuracy.fixed),
                "moving": _report_errors(self.accuracy.moving),
            },
            "warnings": [*report["warnings"], *list_inverse_warnings(self.accuracy)],
        }


def invert_checked(inputs: LoadedInputs, reply: RegistrationReply) -> CheckedInverse:
    """Invert the field of a reply and measure both compositions. Raises InputError for a field that folds."""
    fixed, moving = inputs.request.fixed.geometry, inputs.request.moving.geometry
    field = reply.result.field
    with limit_threads(inputs.request.settings.threads):
        inverse = invert_for_volume(field, fixed)
        return CheckedInverse(inverse, measure_inverse(field, inverse, fixed, moving))


def write_inverse(inputs: LoadedInputs, inverse: CheckedInverse, folder: Path) -> str:
    """Write the inverse as a file; returns its name. Raises InputError if it cannot be written."""
    node = transform_node_from_field(inputs.application.scene, inverse.field, "inverse")
    save_node(node, folder / INVERSE_FILE)
    return INVERSE_FILE


def _report_errors(errors: CompositionErrors) -> CompositionReport:
    return {
        "mean_mm": round(errors.mean_mm, _DIGITS),
        "max_mm": round(errors.max_mm, _DIGITS),
        "percent_above_tolerance": round(errors.percent_above, _DIGITS),
    }
