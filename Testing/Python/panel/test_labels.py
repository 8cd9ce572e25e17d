"""Every stage, preset, initial alignment, end of a refinement, and kind of change has its own label in the panel."""

from __future__ import annotations

from LightRegistrationLib.core.report.definition import InitialChoice
from LightRegistrationLib.core.result.progress import ProgressUpdate, Stage
from LightRegistrationLib.core.result.result import ChangeKind, RefinementEnd
from LightRegistrationLib.core.result.settings import RefinementPreset
from LightRegistrationLib.scene.display.comparison import Comparison
from LightRegistrationLib.scene.display.deformation_grid import GridKind


def test_every_stage_has_a_label(opened):
    from LightRegistrationLib.panel.running.stage_labels import format_progress, make_stage_labels

    labels = make_stage_labels()
    assert set(labels) == set(Stage)
    assert len(set(labels.values())) == len(Stage)
    assert format_progress(ProgressUpdate(0.5, Stage.REFINEMENT, 12, 60)) == "Refining, step 12 of 60 …"


def test_every_end_of_a_refinement_has_a_reason(opened):
    from LightRegistrationLib.panel.checking.result_table import make_refinement_end_labels

    assert set(make_refinement_end_labels()) == set(RefinementEnd)


def test_every_kind_of_change_has_its_own_words(opened):
    from LightRegistrationLib.panel.checking.result_table import make_change_labels

    labels = make_change_labels()
    assert set(labels) == set(ChangeKind)
    assert len(set(labels.values())) == len(ChangeKind)


def test_every_preset_and_initial_alignment_is_offered(opened):
    from LightRegistrationLib.panel import choices
    from LightRegistrationLib.panel.views.comparisons import list_comparison_items

    assert {value for value, _name in list_comparison_items()} == set(Comparison)
    assert {value for value, _name in choices.list_grid_items()} == set(GridKind)
    assert {value for value, _name in choices.list_initial_items()} == set(InitialChoice)
    assert {value for value, _name in choices.list_refinement_items({})} == set(RefinementPreset)
