"""The tab that shows what is under the cursor in a result."""

from __future__ import annotations

from typing import Any

from ...scene.nodes.probe import Point, Probe, probe_registration
from ...scene.nodes.results import RegistrationNodes
from ..translation import translate

_UNKNOWN = "–"


def show_cursor(ui: Any, nodes: RegistrationNodes | None, position_mm: Point | None) -> None:
    """Show the result at a position in the widgets of the tab; dashes without a position or a result."""
    texts = dict.fromkeys(_LABELS, _UNKNOWN)
    if nodes is not None and position_mm is not None:
        texts = _describe(probe_registration(nodes, position_mm))
    for name, text in texts.items():
        getattr(ui, name).setText(text)


_LABELS = (
    "cursorPositionLabel",
    "cursorDisplacementLabel",
    "cursorJacobianLabel",
    "cursorFixedLabel",
    "cursorMovingLabel",
    "cursorWarpedLabel",
)


def _describe(probe: Probe) -> dict[str, str]:
    vector = translate("LightRegistration", "R {right}, A {anterior}, S {superior} mm")
    length = translate("LightRegistration", "{length} mm: {vector}")
    folded = translate("LightRegistration", "{jacobian} (folded)")
    jacobian = f"{probe.jacobian:.2f}"
    displacement = _format_vector(vector, probe.displacement_mm, "+.1f")
    return {
        "cursorPositionLabel": _format_vector(vector, probe.position_mm, ".1f"),
        "cursorDisplacementLabel": length.format(length=f"{probe.distance_mm:.1f}", vector=displacement),
        "cursorJacobianLabel": folded.format(jacobian=jacobian) if probe.jacobian <= 0 else jacobian,
        "cursorFixedLabel": _format_value(probe.fixed, probe.fixed_structures),
        "cursorMovingLabel": _format_value(probe.moving, probe.moving_structures),
        "cursorWarpedLabel": _format_value(probe.warped, ()),
    }


def _format_vector(line: str, vector: Point, form: str) -> str:
    right, anterior, superior = (format(value, form) for value in vector)
    return line.format(right=right, anterior=anterior, superior=superior)


def _format_value(value: float | None, structures: tuple[str, ...]) -> str:
    text = _UNKNOWN if value is None else f"{value:.6g}"
    return f"{text} ({', '.join(structures)})" if structures else text
