"""When a registration counts as failed, in every benchmark and for every method, ours included."""

from __future__ import annotations

FOLDING_PERCENT = 50.0
LOW_DICE = 0.1
LANDMARK_RATIO = 2.0
RULE = f"""\
A run counts as failed if it gives no result; if the Jacobian determinant is not positive in more than
{FOLDING_PERCENT:.0f} % of the cells (a mirrored or collapsed map); if the mean Dice is below {LOW_DICE} and below
that of the volumes as loaded (the structures were moved apart); or if the landmarks end more than
{LANDMARK_RATIO:.0f} times as far from each other as they were as loaded."""


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
    if dice is not None and loaded_dice is not None and dice < min(LOW_DICE, loaded_dice):
        return f"Dice {dice:.3f}, as loaded {loaded_dice:.3f}"
    if tre_mm is not None and loaded_tre_mm is not None and tre_mm > LANDMARK_RATIO * loaded_tre_mm:
        return f"landmark error {tre_mm:.1f} mm, as loaded {loaded_tre_mm:.1f} mm"
    return ""
