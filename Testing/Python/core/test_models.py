"""Bundled models are complete and what their cards say; damaged or foreign ones are refused with a reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from LightRegistrationLib.core.cards import CARD_FILE, DEFAULT_FOLDER, WEIGHTS_FILE, list_cards
from LightRegistrationLib.core.errors import ModelError
from LightRegistrationLib.core.models import ModelRegistry


@pytest.fixture
def models(tmp_path: Path) -> Path:
    shutil.copytree(DEFAULT_FOLDER / "brain-mri", tmp_path / "mine")
    return tmp_path


def change_card(folder: Path, **changes: object) -> None:
    file = folder / "mine" / CARD_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize("name", list_cards())
def test_every_bundled_model_loads_and_its_card_is_complete(name):
    student = ModelRegistry().load(name)
    assert sum(p.numel() for p in student.network.parameters()) < 5e6
    assert student.card.weights_file.stat().st_size < 8e6
    for key in ("data", "data_license", "license", "training", "limits", "intended_use", "results"):
        assert student.card.details[key], key
    for key in ("steps", "seed", "configuration"):
        assert key in student.card.details["training"], key


def test_a_model_is_loaded_once():
    registry = ModelRegistry()
    assert registry.load("brain-mri") is registry.load("auto")


def test_an_unknown_model_is_answered_with_the_known_ones():
    with pytest.raises(ModelError, match="Unknown model 'liver': use auto or one of brain-mri"):
        ModelRegistry().load("liver")


def test_changed_weights_are_refused(models):
    file = models / "mine" / WEIGHTS_FILE
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ModelError, match="damaged or was exchanged"):
        ModelRegistry((models,)).load("mine")


def test_missing_weights_are_named(models):
    (models / "mine" / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=r"weights\.safetensors is missing"):
        ModelRegistry((models,)).load("mine")


def test_weights_of_another_network_are_refused(models):
    import hashlib

    file = models / "mine" / WEIGHTS_FILE
    save_file({"networks.0.flow.weight": torch.zeros(3, 3)}, file)
    change_card(models, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(ModelError, match="do not fit its network"):
        ModelRegistry((models,)).load("mine")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"cascades": 9}}, "its card is wrong .*1 to 3 cascades"),
        ({"network": {"widgets": 9}}, "its card is wrong .*widgets"),
        ({"intensity": {"kind": "magic"}}, "Unknown intensity rule 'magic'"),
    ],
)
def test_a_wrong_card_is_refused_with_the_reason(models, changes, words):
    change_card(models, **changes)
    with pytest.raises(ModelError, match=words):
        ModelRegistry((models,)).load("mine")


def test_a_card_that_is_not_json_or_lacks_a_key_is_named(models):
    (models / "mine" / CARD_FILE).write_text("{}")
    with pytest.raises(ModelError, match=r"card\.json: the model card lacks title"):
        list_cards((models,))
    (models / "mine" / CARD_FILE).write_text("no json")
    with pytest.raises(ModelError, match="cannot be read as a model card"):
        list_cards((models,))


def test_an_added_folder_adds_to_the_bundled_models(models):
    assert ModelRegistry((DEFAULT_FOLDER, models)).names() == ["brain-mri", "mine"]
