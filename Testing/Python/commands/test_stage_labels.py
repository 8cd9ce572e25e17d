"""Every stage of a registration has a label on the terminal."""

from __future__ import annotations

from LightRegistrationLib.commands.terminal.stage_labels import STAGE_LABELS, format_progress
from LightRegistrationLib.core.result.progress import ProgressUpdate, Stage


def test_every_stage_has_a_label_of_its_own() -> None:
    assert set(STAGE_LABELS) == set(Stage)
    assert len(set(STAGE_LABELS.values())) == len(Stage)


def test_an_iterative_stage_shows_its_step() -> None:
    assert format_progress(ProgressUpdate(0.5, Stage.REFINEMENT, 12, 60)) == "refinement, step 12 of 60"
    assert format_progress(ProgressUpdate(0.5, Stage.NETWORK)) == "network"
