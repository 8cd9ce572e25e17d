from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import apply_affine
from LightRegistrationLib.training.data.scans import image_stem, list_scans, read_image, read_manifest, read_table
from LightRegistrationLib.training.sources import ImageSourceConfig

from ..scan_files import header, to_itk, write


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def _table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "scans.csv").write_bytes(text.encode(encoding))
    return folder / "scans.csv"


def _ramp(shape: tuple[int, ...] = (6, 5, 4)) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def _refusal(call, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


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
    message = _refusal(list_scans, paths, "{stem}_seg.nii.gz")
    assert message.startswith(f"{tmp_path / 'b.nii.gz'}: ")
    assert " b_seg.nii.gz " in message
    assert "{case}_seg" in _refusal(list_scans, paths, "{case}_seg.nii.gz")


def test_no_image_matches(tmp_path):
    message = _refusal(ImageSourceConfig(files="*.mha").list_scans, tmp_path)
    assert "*.mha" in message
    assert str(tmp_path) in message


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
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_its_line(tmp_path, text, said):
    _touch(tmp_path, "a.nrrd")
    table = _table(tmp_path, text)
    message = _refusal(read_table, table)
    assert message.startswith(str(table))
    assert said in message


def test_a_table_that_is_no_text_or_missing(tmp_path):
    assert "scans.csv" in _refusal(read_table, _table(tmp_path, "image\nü.nrrd\n", "utf-16"))
    assert "none.csv" in _refusal(read_table, tmp_path / "none.csv")


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
    assert "second.nrrd" in _refusal(read_manifest, _records(tmp_path), "brain")
    assert "'knee'" in _refusal(read_manifest, _records(tmp_path), "knee")
    for text in ("{", "{}", "[]", '{"records": [{"image": "train.nrrd"}]}'):
        (tmp_path / "manifest.json").write_text(text)
        assert "manifest.json" in _refusal(read_manifest, tmp_path / "manifest.json", "brain")


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    "affine",
    [
        header((12, -20, 7), (1.0, 2.0, 3.5), (6, 5, 4), (120, -40, 900)),
        header((0, 0, 0), (1.5, 1.0, 4.0), (6, 5, 4), (-3, 8, 2), (-2, 3, 1)),
        header((5, 4, -9), (2.0, 2.0, 2.0), (6, 5, 4), (0, 0, 0), (-1, 2, 3)),
    ],
    ids=["oblique", "permuted", "left-handed"],
)
def test_an_image_has_the_geometry_of_its_header(tmp_path, affine, ending):
    volume = read_image(write(tmp_path / f"scan{ending}", _ramp(), affine))
    assert volume.name == f"scan{ending}"
    np.testing.assert_array_equal(volume.array, _ramp())
    indices = [(0, 0, 0), (3, 0, 0), (0, 4, 0), (1, 2, 5)]
    itk = sitk.ReadImage(str(tmp_path / f"scan{ending}"))
    expected = np.array([itk.TransformIndexToPhysicalPoint(index) for index in indices]) * [-1, -1, 1]
    np.testing.assert_allclose(apply_affine(volume.affine, indices), expected, atol=1e-3)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-3)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("share", [0.5, 0.98])
def test_a_file_that_is_cut_off_is_refused(tmp_path, ending, share):
    noise = np.random.default_rng(1).normal(size=(12, 12, 12)).astype(np.float32)
    path = write(tmp_path / f"scan{ending}", noise, header(shape=(12, 12, 12)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert str(path) in _refusal(read_image, path)


def test_other_data_than_a_scalar_volume_are_refused(tmp_path):
    four = sitk.GetImageFromArray(np.zeros((3, 4, 4, 4), np.float32), isVector=False)
    vector = sitk.GetImageFromArray(np.zeros((4, 4, 4, 3), np.float32), isVector=True)
    flat = sitk.GetImageFromArray(np.zeros((4, 4), np.float32))
    for name, image, said in (("four", four, "4 dimensions"), ("vector", vector, "3 comp"), ("flat", flat, "2 dim")):
        path = tmp_path / f"{name}.nii.gz"
        sitk.WriteImage(image, str(path))
        message = _refusal(read_image, path)
        assert str(path) in message
        assert said in message


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "scan.nii.gz").write_text("not an image")
    (tmp_path / "scan.nrrd").mkdir()
    for name in ("scan.nii.gz", "scan.nrrd", "absent.nii.gz"):
        assert name in _refusal(read_image, tmp_path / name)


def test_not_a_number_is_named(tmp_path):
    sitk.WriteImage(to_itk(np.full((6, 5, 4), np.nan, np.float32), header(shape=(6, 5, 4))), str(tmp_path / "a.nii.gz"))
    assert "a.nii.gz" in _refusal(read_image, tmp_path / "a.nii.gz")
