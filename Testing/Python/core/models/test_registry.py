"""Bundled models load and match their cards; damaged or foreign models are refused with a reason."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from LightRegistrationLib.core.errors import ModelError
from LightRegistrationLib.core.models.cards import BUNDLED_MODELS_FOLDER, CARD_FILE, WEIGHTS_FILE, list_cards
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.refinement.settings import RefinementSettings


@pytest.fixture
def models(tmp_path: Path) -> Path:
    shutil.copytree(BUNDLED_MODELS_FOLDER / "brain-mri", tmp_path / "mine")
    return tmp_path


def change_card(folder: Path, **changes: object) -> None:
    file = folder / "mine" / CARD_FILE
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}))


@pytest.mark.parametrize("name", list_cards((BUNDLED_MODELS_FOLDER,)))
def test_every_bundled_model_loads_and_its_card_is_complete(name):
    student = ModelRegistry().load(name)
    assert sum(p.numel() for p in student.network.parameters()) < 5e6
    assert student.card.weights_file.stat().st_size < 8e6
    for key in ("data", "data_license", "license", "training", "limits", "intended_use", "results"):
        assert student.card.details[key], key
    for key in ("steps", "seed", "configuration"):
        assert key in student.card.details["training"], key


def test_a_model_is_loaded_once(models):
    registry = ModelRegistry((models,))
    first = registry.load("mine")
    registry.refresh()
    assert registry.load("mine") is first
    change_card(models, grid={"spacing_mm": 3.0})
    registry.refresh()
    assert registry.load("mine").grid.spacing_mm == 3.0


def test_added_and_removed_models_are_noticed_on_refresh(models):
    registry = ModelRegistry((models,))
    registry.load("mine")
    (models / "mine").rename(models / "yours")
    registry.refresh()
    assert registry.names() == ["yours"]
    with pytest.raises(ModelError, match="Unknown model 'mine'"):
        registry.load("mine")


def test_the_error_for_an_unknown_model_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"Unknown model 'liver': use auto or one of abdomen-ct, .*brain-mri"):
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
    with pytest.raises(ModelError, match=r"weights\.safetensors: there is no such file; add the model again"):
        ModelRegistry((models,)).load("mine")


def test_weights_of_another_network_are_refused(models):
    file = models / "mine" / WEIGHTS_FILE
    save_file({"networks.0.flow.weight": torch.zeros(3, 3)}, file)
    change_card(models, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(ModelError, match="do not fit the card's network"):
        ModelRegistry((models,)).load("mine")


def test_weights_in_another_format_are_refused(models):
    file = models / "mine" / WEIGHTS_FILE
    file.write_bytes(b"not weights")
    change_card(models, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(ModelError, match=r"weights\.safetensors: the weights do not fit"):
        ModelRegistry((models,)).load("mine")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"cascades": 9}}, r"card\.json: network: .*1 to 3 cascades"),
        ({"network": {"widgets": 9}}, r"card\.json: network\.widgets: unknown; use cascades"),
        ({"network": {"cascades": "two"}}, r"card\.json: network\.cascades: a whole number is needed, not 'two'"),
        ({"network": {"shared": 1}}, r"card\.json: network\.shared: true or false is needed"),
        ({"network": {"widths": [16, 32]}}, r"card\.json: network: widths have to be 4 numbers from 1 to 1024"),
        ({"network": {"head": "third", "symmetric": False}}, r"card\.json: network\.head: half or full is needed"),
        ({"grid": {"spacing_mm": 0}}, r"card\.json: grid\.spacing_mm: a number from 0\.001 to 100"),
        ({"grid": {"spacing_mm": 1e-9}}, r"card\.json: grid\.spacing_mm: a number from 0\.001 to 100"),
        ({"grid": {"spacing_mm": float("inf")}}, r"card\.json: grid\.spacing_mm: a number is needed, not inf"),
        ({"grid": {"max_voxels": 10**30}}, r"card\.json: grid\.max_voxels: at most the cube of 1024"),
        ({"grid": {"multiple": 8}}, r"card\.json: grid\.multiple: a multiple of 16"),
        ({"grid": {"max_voxels": 1000}}, r"card\.json: grid\.max_voxels"),
        ({"intensity": {"kind": "magic"}}, "Unknown intensity normalization 'magic'"),
        ({"refinement": {"coarsest": 3}}, r"card\.json: refinement\.coarsest: 1, 2, 4 or 8 is needed"),
        ({"refinement": {"finest": 2}}, r"card\.json: refinement\.finest: a number from 0\.25 to 1"),
        ({"refinement": {"multimodal_update_voxels": 0.1}}, r"card\.json: refinement\.multimodal_update_voxels: 0\.7"),
        ({"refinement": {"damping": 0.1}}, r"card\.json: refinement\.damping: unknown; use spacing_mm"),
        (
            {"refinement": {"optimizer": {}}},
            r"card\.json: refinement\.optimizer: unknown; use spacing_mm",
        ),
        ({"grid": {"max_growth_percent": -1}}, r"card\.json: grid\.max_growth_percent: a number from 0 to 100"),
    ],
)
def test_a_wrong_card_is_refused_with_the_reason(models, changes, words):
    change_card(models, **changes)
    with pytest.raises(ModelError, match=words):
        ModelRegistry((models,)).load("mine")


def test_a_card_sets_what_depends_on_the_anatomy_and_the_rest_has_its_default(models):
    change_card(models, refinement={"coarsest": 8, "multimodal_update_voxels": 3.0})
    settings = ModelRegistry((models,)).load("mine").refinement
    assert settings == RefinementSettings(coarsest=8, multimodal_update_voxels=3.0)


def test_a_card_without_refinement_has_the_defaults(models):
    """As the cards of models that were trained before there was a refinement."""
    file = models / "mine" / CARD_FILE
    card = json.loads(file.read_text(encoding="utf-8"))
    del card["refinement"]
    file.write_text(json.dumps(card))
    assert ModelRegistry((models,)).load("mine").refinement == RefinementSettings()


def test_an_added_folder_adds_to_the_bundled_models(models):
    assert ModelRegistry((BUNDLED_MODELS_FOLDER, models)).names() == [
        *ModelRegistry((BUNDLED_MODELS_FOLDER,)).names(),
        "mine",
    ]
