"""`auto` chooses the model that covers both volumes, with a reason, and warns if there is none."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from LightRegistrationLib.commands.phantom.pair import make_head
from LightRegistrationLib.core.errors import ModelError
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models.cards import BUNDLED_MODELS_FOLDER, CARD_FILE, Cards, list_cards
from LightRegistrationLib.core.models.coverage import STATISTICS
from LightRegistrationLib.core.models.image_statistics import ImageStatistics, measure_image_statistics
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.models.selection import check_model, choose_model
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.settings import RegistrationSettings

from ..body_phantoms import COVERS, add_model, head_and_neck, trunk

DATA = os.environ.get("LIGHTREG_DATA")
HEADS = [make_head(seed, 3.0)[0] for seed in (1, 2)]
T1 = tuple(measure_image_statistics(head) for head in HEADS)
FLAIR = dataclasses.replace(T1[1], values={**T1[1].values, "calm_rank_percent": 58.0})
PARTS = tuple(
    measure_image_statistics(dataclasses.replace(head, array=head.array[5:55, 12:60, 10:50], name="part"))
    for head in HEADS
)
CROP = ImageStatistics("crop", "MRI", {"longest_mm": 51.0, "cut_percent": 90.0})
CHEST, ABDOMEN, NECK = (
    measure_image_statistics(trunk(350, 0.7)),
    measure_image_statistics(trunk(350, 0.15)),
    measure_image_statistics(head_and_neck()),
)
ODD = ImageStatistics("slab", "MRI", {"longest_mm": 268.0, "cut_percent": 44.0, "calm_rank_percent": 59.0})
VESSELS = ImageStatistics("angiography", "MRI", {"longest_mm": 159.0, "cut_percent": 0.0})
OFFSET = measure_image_statistics(
    Volume(np.maximum(trunk(350, 0.3).array.astype(int) + 1024, 0), np.diag([5, 5, 5, 1.0]), "raw")
)


@pytest.fixture(scope="module")
def all_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models for CT and for everything, with the weights of the bundled one."""
    folder = tmp_path_factory.mktemp("models")
    for name, covers in COVERS.items():
        add_model(folder, name, covers=covers, modality=covers[0]["modality"], grid={"spacing_mm": 6.0})
    return folder


@pytest.fixture(scope="module")
def all_cards(all_folder: Path) -> Cards:
    return list_cards((BUNDLED_MODELS_FOLDER, all_folder))


@pytest.mark.parametrize(
    ("pair", "name", "words"),
    [
        (T1, "brain-mri", "both volumes look like MRI, brain or whole head in T1"),
        ((CROP, CROP), "brain-mri", "both volumes look like MRI, a small crop"),
        (PARTS, "brain-mri", "both volumes look like MRI, a part of a head in T1"),
        ((T1[0], PARTS[0]), "brain-mri", "the fixed volume looks like MRI, brain .* the moving one like MRI, a part"),
        ((T1[0], CROP), "brain-mri", "the fixed volume looks like MRI, brain .* the moving one like MRI, a small crop"),
        ((CHEST, CHEST), "lung-ct", r"both volumes look like CT \(Hounsfield units\), chest .*% of the body is air"),
        ((ABDOMEN, ABDOMEN), "abdomen-ct", "abdomen or pelvis"),
        ((NECK, NECK), "head-neck-ct", "head and neck .*mm wide where it is narrow"),
        ((NECK, T1[0]), "general", "one of the volumes looks like CT .* the other does not"),
        ((T1[0], FLAIR), "general", "but no special model covers them"),
        ((ODD, ODD), "general", "but no special model covers them .268 mm long"),
        ((VESSELS, VESSELS), "general", "but no special model covers them .159 mm long"),
        ((CHEST, NECK), "general", "no special model covers them"),
    ],
)
def test_the_model_that_covers_both_volumes_is_chosen_with_a_reason(all_cards, pair, name, words):
    for order in (pair, pair[::-1]):
        choice = choose_model(all_cards, order)
        assert (choice.card.name, choice.warnings) == (name, ())
        assert "\n" not in choice.reason
    assert re.search(words, choose_model(all_cards, pair).reason)


@pytest.mark.parametrize(
    ("pair", "rivals"),
    [
        ((T1[0], FLAIR), {"brain-mri"}),
        ((ODD, ODD), set()),
        ((ODD, T1[0]), {"brain-mri"}),
        ((CHEST, NECK), {"lung-ct", "head-neck-ct"}),
        ((NECK, T1[0]), set()),
    ],
)
def test_where_no_special_model_covers_both_those_that_cover_one_are_tried_too(all_cards, pair, rivals):
    for order in (pair, pair[::-1]):
        choice = choose_model(all_cards, order)
        assert choice.card.name == "general"
        assert {card.name for card in choice.rivals} == rivals


@pytest.mark.parametrize(("lung_share", "name"), [(0.25, "abdomen-ct"), (0.35, "abdomen-ct"), (0.7, "lung-ct")])
def test_an_abdomen_with_the_lower_ends_of_the_lungs_is_not_tried_as_a_chest(lung_share, name):
    """Both can have as much air; a chest has it in most of its slices."""
    statistics = measure_image_statistics(trunk(350, lung_share))
    choice = choose_model(list_cards((BUNDLED_MODELS_FOLDER,)), (statistics, statistics))
    assert choice.card.name == name
    assert "lung-ct" not in {rival.name for rival in choice.rivals}


def test_a_large_body_with_little_lung_in_most_slices_is_a_chest():
    values = {"longest_mm": 420.0, "air_percent": 12.0, "median_air_percent": 13.0}
    statistics = ImageStatistics("large", "CT", {**values, "narrow_mm": 330.0, "narrowing_percent": 6.0})
    choice = choose_model(list_cards((BUNDLED_MODELS_FOLDER,)), (statistics, statistics))
    assert "lung-ct" in {choice.card.name, *(rival.name for rival in choice.rivals)}


def test_the_reason_has_the_numbers_of_both_volumes(all_cards):
    shares = [ImageStatistics("a", "CT", {**CHEST.values, "air_percent": share}) for share in (31.4, 27.0)]
    assert "31 and 27 % of the body is air" in choose_model(all_cards, tuple(shares)).reason
    assert "31 % of the body is air" in choose_model(all_cards, (shares[0], shares[0])).reason


def test_ct_in_another_unit_goes_to_the_general_model_with_a_warning(all_cards):
    choice = choose_model(all_cards, (OFFSET, OFFSET))
    assert choice.card.name == "general"
    assert choice.warnings[0].startswith("raw looks like CT without its offset")


def test_without_a_general_model_the_nearest_is_taken_with_a_warning_for_each_volume(all_cards):
    special = {name: card for name, card in all_cards.items() if name != "general"}
    choice = choose_model(special, (ODD, T1[0]))
    assert choice.card.name == "brain-mri"
    assert "nearest of the installed models" in choice.reason
    (warning,) = choice.warnings
    assert warning.startswith("slab is not like what the model 'brain-mri' was trained on, brain or whole head in T1")
    assert "the body covers 44 % of the surface of the field of view (not 0 to 32)" in warning
    far = ImageStatistics(
        "knee", "CT", {"longest_mm": 200.0, "air_percent": 0.0, "narrow_mm": 130.0, "narrowing_percent": 5.0}
    )
    assert choose_model(special, (far, far)).card.modality == "CT"


def test_an_own_model_is_chosen_if_its_card_covers_the_volumes(all_folder, tmp_path):
    """It is preferred to a bundled one that covers them as well, and to the general one always."""
    add_model(tmp_path, "slabs", covers=[{"modality": "MRI", "anatomy": "slabs", "cut_percent": [30, 60]}])
    cards = list_cards((BUNDLED_MODELS_FOLDER, all_folder, tmp_path))
    assert choose_model(cards, (ODD, ODD)).card.name == "slabs"
    ours = json.loads((BUNDLED_MODELS_FOLDER / "brain-mri" / CARD_FILE).read_text(encoding="utf-8"))["covers"]
    add_model(tmp_path, "own-brain", covers=ours)
    assert choose_model(list_cards((BUNDLED_MODELS_FOLDER, tmp_path)), T1).card.name == "own-brain"


def test_of_two_covering_models_the_one_with_the_nearer_middle_is_chosen(tmp_path):
    for name, limits in (("wide", [0, 100]), ("narrow", [20, 40]), ("other", [28, 90])):
        entry = {"modality": "CT", "anatomy": name, "longest_mm": [100, 500], "narrow_mm": [v * 10 for v in limits]}
        add_model(tmp_path, name, covers=[entry])
    statistics = ImageStatistics("a", "CT", {"longest_mm": 300.0, "narrow_mm": 300.0})
    assert choose_model(list_cards((tmp_path,)), (statistics, statistics)).card.name == "narrow"


def test_a_model_without_coverage_is_never_chosen(tmp_path):
    add_model(tmp_path, "silent", covers=None)
    with pytest.raises(ModelError, match="choose one by its name"):
        choose_model(list_cards((tmp_path,)), T1)
    assert choose_model(list_cards((tmp_path, BUNDLED_MODELS_FOLDER)), T1).card.name == "brain-mri"


def test_a_damaged_model_is_named_in_a_warning(all_folder, tmp_path):
    add_model(tmp_path, "lung-ct", title=None)
    choice = choose_model(list_cards((BUNDLED_MODELS_FOLDER, all_folder, tmp_path)), (CHEST, CHEST))
    assert choice.card.name == "general"
    assert choice.warnings[0].startswith("Not considered, because damaged: lung-ct")


def test_a_model_chosen_by_name_warns_of_what_it_was_not_trained_on(all_cards):
    assert check_model(all_cards["lung-ct"], (CHEST, CHEST)).warnings == ()
    assert check_model(all_cards["general"], (CHEST, ODD)).warnings == ()
    (warning,) = check_model(all_cards["lung-ct"], (CHEST, ABDOMEN)).warnings
    assert warning.startswith("ct 0 is not like what the model 'lung-ct' was trained on, chest:")
    (warning,) = check_model(all_cards["lung-ct"], (T1[0], CHEST)).warnings
    assert warning.startswith("head 1 does not look like CT (no Hounsfield units), but the model 'lung-ct' was trained")
    (warning,) = check_model(all_cards["brain-mri"], (T1[0], NECK)).warnings
    assert warning.startswith("ct 0 looks like CT, but the model 'brain-mri' was trained on MRI")
    (warning,) = check_model(all_cards["brain-mri"], (FLAIR, T1[0])).warnings
    assert "brighter than 58 % of the rest (not 67 to 100)" in warning
    doubt, warning = check_model(all_cards["lung-ct"], (CHEST, OFFSET)).warnings
    assert "Hounsfield" in doubt
    assert "raw looks like CT, but the model 'lung-ct' was trained on CT in Hounsfield units" in warning


def test_a_result_has_the_model_and_the_reason(all_folder):
    registry = ModelRegistry((BUNDLED_MODELS_FOLDER, all_folder))
    body = trunk(300, 0.7)
    result = register(body, body, RegistrationSettings(initial="none"), registry=registry)
    assert result.model == "lung-ct"
    assert "look like CT (Hounsfield units), chest" in result.model_reason
    result = register(body, body, RegistrationSettings(model="abdomen-ct", initial="none"), registry=registry)
    assert (result.model, result.model_reason) == ("abdomen-ct", "chosen by name")
    assert any("is not like what the model 'abdomen-ct' was trained on" in warning for warning in result.warnings)


def test_every_bundled_card_has_coverage_and_every_statistic_has_a_text():
    cards = list_cards((BUNDLED_MODELS_FOLDER,))
    assert [name for name, card in cards.items() if not card.covers] == ["abdomen-ct-intensity", "brain-mri-intensity"]
    assert all("{0}" in words for words in STATISTICS.values())


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="LIGHTREG_DATA is not set: models were NOT chosen for real volumes")
def test_real_volumes_get_the_model_of_their_anatomy(all_cards):
    """All pairs of the manifest, and pairs of two kinds that no special model covers."""
    expected = {"brain_t1": "brain-mri", "hippocampus_t1": "brain-mri", "headneck_ct": "head-neck-ct"}
    expected |= {"lung_ct": "lung-ct", "liver_mri": "general", "abdomen_ct": "abdomen-ct"}
    seen: dict[str, list[ImageStatistics]] = {}
    for record in json.loads((Path(DATA) / "manifest.json").read_text(encoding="utf-8"))["records"]:
        if record["image"] and record.get("role") == "val":
            kind = next((name for name in ("flair", "t2w") if name in record["id"]), record["anatomy"])
            seen.setdefault(kind, []).append(measure_image_statistics(read(Path(DATA) / record["image"])))
    for kind, name in (expected | {"brain_followup": "brain-mri", "flair": "general", "t2w": "general"}).items():
        pairs = list(permutations(seen[kind], 2)) or [(seen[kind][0],) * 2]
        chosen = [choose_model(all_cards, pair) for pair in pairs]
        assert {c.card.name for c in chosen} == {name}, kind
        assert not any(c.warnings for c in chosen)
    for kinds in (("brain_followup", "flair"), ("brain_t1", "headneck_ct"), ("liver_mri", "abdomen_ct")):
        assert choose_model(all_cards, tuple(seen[kind][0] for kind in kinds)).card.name == "general", kinds


def read(path: Path) -> Volume:
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image), np.diag([-1, -1, 1, 1]) @ affine, path.name)
