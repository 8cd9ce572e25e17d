from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.training.data.image_files import read_image
from LightRegistrationLib.training.images.settings import ImageVariation
from LightRegistrationLib.training.sources import ImageSourceConfig

from ..scan_files import (
    NO_VARIATION,
    WINDOW,
    anatomy,
    config_of,
    header,
    make_generator,
    pairs_of,
    write,
    write_scan,
)


def test_no_two_scans_make_a_pair(tmp_path):
    for name, folder in (("a", "one"), ("a", "two"), ("b", "two")):
        write_scan(tmp_path / folder, name)
    for pairs, folder in (("within", tmp_path / "two"), ("between", tmp_path / "one")):
        with pytest.raises(InputError, match=f"pairs = '{pairs}'"):
            config_of(pairs=pairs).open(folder, tmp_path / "cache", 4.0)
    assert not (tmp_path / "cache").exists()


def _copy_of_two(tmp_path: Path, **second: object) -> ImageSourceConfig:
    write_scan(tmp_path, "a", header(shape=(20, 20, 20), spacing_mm=(4, 4, 4)), shape=(20, 20, 20))
    affine = header((5, 0, 0), (4, 4, 4), (20, 20, 20))
    image, labels = anatomy(affine, (20, 20, 20))
    write(tmp_path / "b.nii.gz", second.get("image", image), second.get("image_affine", affine))
    write(tmp_path / "b_seg.nii.gz", second.get("labels", labels), second.get("labels_affine", affine))
    return config_of()


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}


def test_the_cache_is_used_until_files_or_settings_change(tmp_path):
    cache = tmp_path / "cache"
    config = _copy_of_two(tmp_path)
    first = config.open(tmp_path, cache, 4.0).draw(make_generator())
    kept = _files(cache)
    again = replace(config, pairs="self", variation=ImageVariation()).open(tmp_path, cache, 4.0)
    second = config.open(tmp_path, cache, 4.0).draw(make_generator())
    assert _files(cache) == kept
    assert len(again.scans) == 2
    assert torch.equal(first.fixed, second.fixed)
    darker = replace(config, intensity=WINDOW | {"high": 2.0}).open(tmp_path, cache, 4.0).draw(make_generator())
    torch.testing.assert_close(darker.fixed, first.fixed / 2, atol=1e-3, rtol=0)
    for name in "ab":
        volume = read_image(tmp_path / f"{name}.nii.gz")
        write(tmp_path / f"{name}.nii.gz", volume.array * 0.5, volume.affine)
    changed = config.open(tmp_path, cache, 4.0).draw(make_generator())
    torch.testing.assert_close(changed.fixed, first.fixed / 2, atol=1e-3, rtol=0)
    assert kept.items() < _files(cache).items()


def test_two_preparations_at_once_do_not_harm_each_other(tmp_path):
    config = _copy_of_two(tmp_path)
    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(lambda _: config.open(tmp_path, tmp_path / "cache", 4.0), range(3)))
    drawn = [source.draw(make_generator()).fixed for source in opened]
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    assert [name.partition(".")[2] for name in os.listdir(tmp_path / "cache")] == ["pt"]


def _refusal(config: ImageSourceConfig, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        config.open(folder, folder / "cache", 4.0)
    message = str(caught.value)
    assert "\n" not in message
    assert not list((folder / "cache").glob("*"))
    return message


def test_a_label_map_on_another_grid_is_refused(tmp_path):
    config = _copy_of_two(tmp_path, labels_affine=header((5, 0, 0), (4, 4, 4), (20, 20, 20), (4, 0, 0)))
    assert f"{tmp_path / 'b_seg.nii.gz'}: " in _refusal(config, tmp_path)
    write(tmp_path / "b_seg.nii.gz", np.ones((20, 20, 19), np.uint8), header())
    assert "b.nii.gz" in _refusal(config, tmp_path)


@pytest.mark.parametrize("wrong", [0.5, -1.0, 300.0])
def test_label_values_that_are_none_are_refused(tmp_path, wrong):
    labels = np.ones((20, 20, 20), np.float32)
    labels[4, 5, 6] = wrong
    assert f"{tmp_path / 'b_seg.nii.gz'}: " in _refusal(_copy_of_two(tmp_path, labels=labels), tmp_path)


def test_a_damaged_scan_among_others_is_named(tmp_path):
    config = _copy_of_two(tmp_path)
    path = tmp_path / "b.nii.gz"
    path.write_bytes(path.read_bytes()[:-800])
    assert str(path) in _refusal(config, tmp_path)


def test_a_scan_that_shows_nothing_is_named(tmp_path):
    config = _copy_of_two(tmp_path, image=np.zeros((20, 20, 20), np.float32))
    assert f"{tmp_path / 'b.nii.gz'}: " in _refusal(config, tmp_path)
    message = _refusal(replace(config, intensity={"kind": "window", "low": 100, "high": 300}), tmp_path)
    assert "window, 100 to 300" in message


def _labeled(folder: Path, **values: Sequence[int]) -> ImageSourceConfig:
    affine = header(shape=(20, 20, 20), spacing_mm=(4, 4, 4))
    image, labels = anatomy(affine, (20, 20, 20))
    for name, own in values.items():
        write(folder / f"{name}.nii.gz", image, affine)
        write(folder / f"{name}_seg.nii.gz", np.array([0, *own], np.uint8)[labels], affine)
    return config_of()


def test_one_label_map_of_another_set_is_refused(tmp_path):
    message = _refusal(_labeled(tmp_path, a=(1, 2, 3), b=(1, 2, 3), c=(41, 42, 43)), tmp_path)
    assert str(tmp_path / "c_seg.nii.gz") in message
    assert "[41, 42, 43]" in message
    assert "[1, 2, 3]" in message


def test_two_label_sets_that_share_nothing_are_refused(tmp_path):
    config = _labeled(tmp_path, a=(1, 2, 3), b=(1, 2, 3), c=(41, 42, 43), d=(41, 42, 43))
    message = _refusal(config, tmp_path)
    assert "_seg.nii.gz: none of its label values" in message
    opened = replace(config, structures=(3, 43)).open(tmp_path, tmp_path / "cache", 4.0)
    assert opened.structures == (3, 43)
    assert "c_seg.nii.gz" in _refusal_of_structures(config, tmp_path)


def _refusal_of_structures(config: ImageSourceConfig, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        replace(config, structures=(1,)).open(folder, folder / "cache", 4.0)
    return str(caught.value)


def test_structures_that_two_scans_have_are_used(tmp_path):
    source = _labeled(tmp_path, a=(1, 2, 7), b=(2, 2, 4), c=(4, 9, 9)).open(tmp_path, tmp_path / "cache", 4.0)
    assert source.structures == (2, 4)
    for pair in pairs_of(source, 6):
        assert pair.fixed_labels.shape[1] == 2


def test_one_labeled_scan_is_enough_for_pairs_with_itself(tmp_path):
    source = replace(_labeled(tmp_path, a=(1, 5, 7)), pairs="self").open(tmp_path, tmp_path / "cache", 4.0)
    assert source.structures == (1, 5, 7)
    assert (source.draw(make_generator()).fixed_labels.sum((0, 2, 3, 4)) > 10).all()


def test_a_scan_without_labels_among_labeled_ones_has_no_structure(tmp_path):
    _labeled(tmp_path, a=(1, 2, 3), b=(1, 2, 3), c=(1, 2, 3))
    (tmp_path / "scans.csv").write_text("image,labels\na.nii.gz,a_seg.nii.gz\nb.nii.gz,b_seg.nii.gz\nc.nii.gz,\n")
    config = ImageSourceConfig(table="scans.csv", intensity=WINDOW, variation=NO_VARIATION)
    pairs = pairs_of(config.open(tmp_path, tmp_path / "cache", 4.0), 12)
    empty = [float(labels.sum()) == 0 for p in pairs for labels in (p.fixed_labels, p.moving_labels)]
    assert 0 < sum(empty) < len(empty)
    assert {tuple(p.fixed_labels.shape) for p in pairs} == {(1, 3, *pairs[0].fixed.shape[2:])}


def test_the_reference_has_to_be_one_of_the_images(tmp_path):
    config = _labeled(tmp_path, a=(1, 2, 3), b=(1, 2, 3))
    assert "reference = 'c'" in _refusal(replace(config, reference="c"), tmp_path)
    for folder in ("x", "y"):
        write_scan(tmp_path / "deep" / folder, "t", header(spacing_mm=(4, 4, 4)))
    deep = config_of(files="*/t.nii.gz")
    assert "names 2" in _refusal(replace(deep, reference="t"), tmp_path / "deep")
    assert replace(deep, reference="y/t").open(tmp_path / "deep", tmp_path / "cache", 4.0).structures == (1, 2, 3)


@pytest.mark.parametrize(
    "wrong", [{"node_mm": 0.0}, {"flip": 1.5}, {"cut": -0.1}, {"scaling": 1.0}, {"elastic_mm": -2.0}]
)
def test_an_invalid_variation_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ImageVariation(**wrong)
