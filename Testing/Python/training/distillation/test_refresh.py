"""Fields that are refined anew from the better student: what is taught then, and that a stopped refresh goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.network.cascade import CascadeConfig
from LightRegistrationLib.training.configuration import DistillationConfig, DistillationStage
from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.distillation.aldk import KnowledgeConfig
from LightRegistrationLib.training.distillation.lesson import Lesson, hash_weights
from LightRegistrationLib.training.distillation.refinement_teacher import RefinementTeacher
from LightRegistrationLib.training.distillation.store import PAIRS_PER_SHARD, StoreConfig
from LightRegistrationLib.training.distillation.teaching import TeachingConfig
from LightRegistrationLib.training.export import build_card
from LightRegistrationLib.training.loop.trainer import make_generator
from LightRegistrationLib.training.state import load_state
from LightRegistrationLib.training.trainers.distillation import _STORE, DistillationTrainer
from LightRegistrationLib.training.trainers.teachers import open_teacher

from ..toy import SOURCES, losses_of, mixture

PAIRS = PAIRS_PER_SHARD + 2
FIRST = DistillationStage(steps=2, spacing_mm=6, rate=1e-2, final_rate=1e-2)
STAGES = (FIRST, replace(FIRST, steps=3, refresh=True))
TEACHING = TeachingConfig(kind="refinement", coarsest=2)


class Killed(BaseException):
    """Replaces the end of the process."""


def config(**changes: object) -> DistillationConfig:
    base = {
        "name": "toy",
        "seed": 3,
        "sources": SOURCES,
        "stages": STAGES,
        "student": CascadeConfig(cascades=1),
        "teacher": TEACHING,
        "knowledge": KnowledgeConfig(kind="distance", every=1, gamma=0.0),
        "store": StoreConfig(PAIRS, "full"),
        "bfloat16": False,
    }
    return DistillationConfig(**(base | changes))


def trainer(folder: Path, output: str = "run", store: str = "store", **changes: object) -> DistillationTrainer:
    teacher = open_teacher(TEACHING, None)
    return DistillationTrainer(config(**changes), teacher, folder, folder / output, store=folder / store)


def copy_teachers_fields(whole: Path, store: Path) -> None:
    """Copy the fields of the teacher into another store: they take the most of a test's time."""
    (store / "6mm").mkdir(parents=True)
    for file in (whole / "store" / "6mm").iterdir():
        if file.is_file():
            shutil.copy(file, store / "6mm")


def refreshed_folder(folder: Path) -> Path:
    """The only refreshed fields of a store."""
    (found,) = (folder / "store" / "6mm").glob("refreshed-*")
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    """A folder with an unbroken run and its store, and the losses of the run."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, losses_of(trainer(folder))


def test_a_refreshed_stage_is_taught_by_the_refinement_of_the_student_that_begins_it(whole, tmp_path):
    folder, _ = whole
    copy_teachers_fields(folder, tmp_path / "store")
    student = trainer(tmp_path, stages=(FIRST,))
    student.run()
    name = hash_weights(student.student)
    assert refreshed_folder(folder).name == f"refreshed-{name[:12]}"
    taught = trainer(folder)
    assert taught.resume()
    taught.step -= 1
    taught.start_stage(STAGES[1], mixture())
    expected = RefinementTeacher(student.student, TEACHING.refinement_settings(), 1)
    for number in (0, PAIRS - 1):
        pair, lesson = taught.store.read(number)
        source = mixture().draw(make_generator(3, _STORE, number))
        torch.testing.assert_close(pair.fixed, source.fixed, atol=1e-3, rtol=0)
        right = expected.teach(source)
        assert torch.equal(lesson.is_taught, right.is_taught)
        torch.testing.assert_close(lesson.flow, right.flow, atol=1e-2, rtol=0)
        before = student.store.read(number)[1].flow
        assert (lesson.flow - before).abs().max() > 0.1  # not the fields of before
    card = build_card(config(), load_state(taught.state_file), b"")["training"]
    assert card["store"]["refreshed_from"] == name
    assert card["teacher"]["student"] == "identity"


def test_a_refresh_that_is_killed_goes_on_with_the_same_student(whole, tmp_path, monkeypatch):
    folder, losses = whole
    copy_teachers_fields(folder, tmp_path / "store")
    teach, asked = RefinementTeacher.teach, []

    def fragile(self: RefinementTeacher, pair: Pair, number: int | None = None) -> Lesson:
        if self.student is not None:
            asked.append(number)
            if len(asked) == PAIRS:
                raise Killed
        return teach(self, pair, number)

    monkeypatch.setattr(RefinementTeacher, "teach", fragile)
    # The state of before the refresh is the only one: no checkpoint is due in such a short run.
    with pytest.raises(Killed):
        trainer(tmp_path).run()
    again = trainer(tmp_path)
    assert again.resume()
    assert again.step == FIRST.steps
    assert losses_of(again) == losses[FIRST.steps :]
    assert asked == [*range(PAIRS), *range(PAIRS_PER_SHARD, PAIRS)]
    for file in ("00000.safetensors", "00001.safetensors"):
        assert (refreshed_folder(tmp_path) / file).read_bytes() == (refreshed_folder(folder) / file).read_bytes()


def test_a_run_that_is_stopped_after_the_refresh_keeps_its_fields(whole, tmp_path):
    folder, losses = whole
    for store in ("store", "other"):
        copy_teachers_fields(folder, tmp_path / store)
    begun = trainer(tmp_path)
    step = begun.train_step
    begun.train_step = lambda *a: step(*a) if begun.step < 4 else stop()  # stops in the refreshed stage

    def stop() -> dict[str, float]:
        begun.save()
        raise Killed

    with pytest.raises(Killed):
        begun.run()
    again = trainer(tmp_path)
    assert again.resume()
    assert losses_of(again) == losses[4:]
    refreshed_folder(tmp_path)  # still the only one

    elsewhere = trainer(tmp_path, store="other")
    assert elsewhere.resume()
    elsewhere.step -= 1
    with pytest.raises(InputError, match="the fields that this run was taught by are not complete") as caught:
        elsewhere.start_stage(STAGES[1], mixture())
    assert "\n" not in str(caught.value)


def test_fields_of_another_student_are_refused(whole, tmp_path):
    copy_teachers_fields(whole[0], tmp_path / "store")
    short = trainer(tmp_path, stages=(FIRST,))
    short.run()
    folder = tmp_path / "store" / "6mm" / f"refreshed-{hash_weights(short.student)[:12]}"
    folder.mkdir()
    index = json.loads((tmp_path / "store" / "6mm" / "index.json").read_text(encoding="utf-8"))
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(InputError, match=r"refreshed-.*index\.json: this store was computed with another .*teacher"):
        trainer(tmp_path, output="second").run()
    assert [file.name for file in folder.iterdir()] == ["index.json"]


@pytest.mark.parametrize("changes", [{"teacher": TeachingConfig(kind="stored")}, {}], ids=["stored", "no store"])
def test_only_the_refinement_with_a_store_can_be_refreshed(tmp_path, changes):
    store = tmp_path / "store" if changes else None
    with pytest.raises(InputError, match=r"refresh in .* needs a store and .* kind = 'refinement'"):
        DistillationTrainer(config(**changes), RefinementTeacher(), tmp_path, tmp_path / "run", store=store)
