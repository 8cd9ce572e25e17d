from __future__ import annotations

import json
from pathlib import Path

import pytest

from LightRegistrationLib.training.data.scans import image_stem, list_scans, read_manifest, read_table
from LightRegistrationLib.training.sources import ImageSourceConfig

from ..scan_files import refusal


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def _table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "scans.csv").write_bytes(text.encode(encoding))
    return folder / "scans.csv"


@pytest.mark.parametrize("name", ["a.b.nii.gz", "a.b.nii", "a.b.NRRD", "a.b.mha"])
def test_the_stem_is_the_name_without_the_ending(name):
    assert image_stem(Path("folder") / name) == "a.b"


def test_a_folder_with_label_maps_beside_the_images(tmp_path):
    _touch(tmp_path, "b.nii.gz", "b_seg.nii.gz", "a.nii.gz", "a_seg.nii.gz", "notes.txt")
    config = ImageSourceConfig(files="*.nii.gz", labels="{stem}_seg.nii.gz", skip="*_seg.nii.gz")
    scans = config.list_scans(tmp_path)
    assert [(s.image.name, s.labels.name) for s in scans if s.labels] == [
        ("a.nii.gz", "a_seg.nii.gz"),
        ("b.nii.gz", "b_seg.nii.gz"),
    ]
    assert len({s.subject for s in scans}) == 2


def test_a_folder_for_each_subject_with_equal_file_names_holds_different_subjects(tmp_path):
    _touch(tmp_path, "sub-1/t1.nii.gz", "sub-1/seg.nii.gz", "sub-2/t1.nii.gz", "sub-2/seg.nii.gz")
    scans = ImageSourceConfig(files="*/t1.nii.gz", labels="seg.nii.gz").list_scans(tmp_path)
    assert [s.labels for s in scans] == [tmp_path / "sub-1/seg.nii.gz", tmp_path / "sub-2/seg.nii.gz"]
    assert scans[0].subject != scans[1].subject
    table = read_table(_table(tmp_path, "image\nsub-1/t1.nii.gz\nsub-2/t1.nii.gz\n"))
    assert table[0].subject != table[1].subject


def test_an_image_without_its_label_map_is_named(tmp_path):
    _touch(tmp_path, "a.nii.gz", "a_seg.nii.gz", "b.nii.gz")
    paths = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    message = refusal(list_scans, paths, "{stem}_seg.nii.gz")
    assert message.startswith(f"{tmp_path / 'b.nii.gz'}: ")
    assert " b_seg.nii.gz " in message
    assert "{case}_seg" in refusal(list_scans, paths, "{case}_seg.nii.gz")


def test_no_image_matches(tmp_path):
    message = refusal(ImageSourceConfig(files="*.mha").list_scans, tmp_path)
    assert "*.mha" in message
    assert str(tmp_path) in message


@pytest.mark.parametrize("pattern", ["/data/*.nii.gz", "a**b.nii.gz"])
def test_a_pattern_that_is_none_is_named(tmp_path, pattern):
    message = refusal(ImageSourceConfig(files=pattern).list_scans, tmp_path)
    assert message.startswith(f"{tmp_path}: files = '{pattern}'")


def test_a_table_of_another_program_with_relative_paths_and_subjects(tmp_path):
    _touch(tmp_path, "scans/a 1.nrrd", "scans/a2.nrrd", "labels/a.nrrd", "über.nrrd")
    lines = ["subject,labels,image", "anna,labels/a.nrrd,scans/a 1.nrrd", "", 'anna,,"scans/a2.nrrd"', ",,über.nrrd"]
    scans = read_table(_table(tmp_path, "\r\n".join(lines) + "\r\n", "utf-8-sig"))
    assert [s.image for s in scans] == [tmp_path / n for n in ("scans/a 1.nrrd", "scans/a2.nrrd", "über.nrrd")]
    assert [s.labels for s in scans] == [tmp_path / "labels/a.nrrd", None, None]
    assert scans[0].subject == scans[1].subject == "anna" != scans[2].subject


def test_a_table_may_have_images_only(tmp_path):
    _touch(tmp_path, "a.nrrd", "b.nrrd")
    scans = read_table(_table(tmp_path, "image\na.nrrd\nb.nrrd"))
    assert [s.image.name for s in scans] == ["a.nrrd", "b.nrrd"]
    assert {s.labels for s in scans} == {None}
    assert scans[0].subject != scans[1].subject


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "column image"),
        ("image,labels\n", "empty"),
        ("labels,subject\na.nrrd,x\n", "labels,subject"),
        ("image,sex\na.nrrd,f\n", "image,sex"),
        ("image;labels\na.nrrd;a.nrrd\n", "image;labels"),
        ("image,labels\na.nrrd,\n\nb.nrrd,\n", "line 4: there is no file b.nrrd"),
        ("image,labels\na.nrrd,c.nrrd\n", "line 2: there is no file c.nrrd"),
        ("image,labels\na.nrrd,\n,a.nrrd\n", "line 3: the image is missing"),
        ("image\na.nrrd\na.nrrd,a.nrrd\n", "line 3: it has more values"),
        ("image,subject\na.nrrd,x\n./a.nrrd,y\n", "line 3: a.nrrd is listed as two subjects"),
        ("image,image\na.nrrd,a.nrrd\n", "image,image"),
        (f"image\n{'x' * 300}\n", "line 2: there is no file xxx"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_its_line(tmp_path, text, said):
    _touch(tmp_path, "a.nrrd")
    table = _table(tmp_path, text)
    message = refusal(read_table, table)
    assert message.startswith(str(table))
    assert said in message


def test_a_table_that_is_no_text_or_missing(tmp_path):
    assert "scans.csv" in refusal(read_table, _table(tmp_path, "image\nü.nrrd\n", "utf-16"))
    assert "none.csv" in refusal(read_table, tmp_path / "none.csv")


def test_keys_of_a_folder_are_refused_beside_a_table():
    for key in ("skip", "labels"):
        with pytest.raises(ValueError, match="belong to files"):
            ImageSourceConfig(table="scans.csv", **{key: "*"})
    with pytest.raises(ValueError, match="centre"):
        ImageSourceConfig(files="*", intensity={"centre": 3})


def _records(folder: Path, **changes: str | None) -> Path:
    common = {"anatomy": "brain", "use": "train", "subject": "s", "labels": None}
    records = [
        common | {"image": "train.nrrd", "labels": "train_labels.nrrd"},
        common | {"image": "evaluate.nrrd", "use": "evaluate"},
        common | {"image": "validate.nrrd", "use": "validate"},
        common | {"image": "liver.nrrd", "anatomy": "liver"},
        common | {"image": None, "labels": "train_labels.nrrd"},
        common | {"image": "second.nrrd"} | changes,
    ]
    (folder / "manifest.json").write_text(json.dumps({"records": records}))
    return folder / "manifest.json"


def test_only_training_records_of_a_manifest_are_used(tmp_path):
    names = ("train", "evaluate", "validate", "liver", "second", "train_labels")
    _touch(tmp_path, *(f"{name}.nrrd" for name in names))
    _records(tmp_path)
    scans = ImageSourceConfig(table="manifest.json", anatomy="brain").list_scans(tmp_path)
    assert [(s.image.name, s.labels and s.labels.name) for s in scans] == [
        ("train.nrrd", "train_labels.nrrd"),
        ("second.nrrd", None),
    ]


def test_a_manifest_that_cannot_be_used(tmp_path):
    _touch(tmp_path, "train.nrrd", "train_labels.nrrd")
    assert "second.nrrd" in refusal(read_manifest, _records(tmp_path), "brain")
    assert "'knee'" in refusal(read_manifest, _records(tmp_path), "knee")
    for text in ("{}", "[]", '{"records": [{"anatomy": "brain", "use": "train", "image": 3}]}'):
        (tmp_path / "manifest.json").write_text(text)
        message = refusal(read_manifest, tmp_path / "manifest.json", "brain")
        assert message.endswith("a list 'records' of tables with anatomy, use, image, labels and subject.")
    for text in ("{", '{"records": [{"image": "train.nrrd"}]}', "\xe4", "[" * 100_000):
        (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
        assert "manifest.json" in refusal(read_manifest, tmp_path / "manifest.json", "brain")
