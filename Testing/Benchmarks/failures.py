"""When a registration counts as failed, in every benchmark and for every method, ours included."""

from __future__ import annotations

FOLDING_PERCENT = 50.0
RATIO_TO_LOADED = 2.0
"""Chosen, not measured: a run that makes the overlap or the distance this many times worse has gone astray."""
RULE = f"""\
A run counts as failed if it gives no result; if the Jacobian determinant is not positive in more than
{FOLDING_PERCENT:.0f} % of the cells (a mirrored or collapsed map); or if it moves the structures apart: the mean Dice
is less than 1/{RATIO_TO_LOADED:.0f} of that of the volumes as loaded, or the landmark error more than
{RATIO_TO_LOADED:.0f} times."""


def failure_reason(
    *,
    error: str = "",
    dice: float | None = None,
    tre_mm: float | None = None,
    folding_percent: float | None = None,
    loaded_dice: float | None = None,
    loaded_tre_mm: float | None = None,
) -> str:
    """Return why a run counts as failed; empty if it does not. loaded_*: the same measure of the volumes as loaded."""
    if error:
        return error
    if folding_percent is not None and folding_percent > FOLDING_PERCENT:
        return f"the map is mirrored or collapsed: {folding_percent:.0f} % of the cells are folded"
    if dice is not None and loaded_dice is not None and dice < loaded_dice / RATIO_TO_LOADED:
        return f"Dice {dice:.3f}, as loaded {loaded_dice:.3f}"
    if tre_mm is not None and loaded_tre_mm is not None and tre_mm > RATIO_TO_LOADED * loaded_tre_mm:
        return f"landmark error {tre_mm:.1f} mm, as loaded {loaded_tre_mm:.1f} mm"
    return ""
