"""`batch` with BIDS: which scans of a folder are paired, and the names that the results get."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.commands.batch.bids import list_bids_pairs, name_derivatives, write_derivatives
from LightRegistrationLib.commands.batch.plan import Shape, arrange_pairs
from LightRegistrationLib.commands.batch.task import KEY_FILE, Task
from LightRegistrationLib.commands.files.bids_names import make_derivative_names, parse_bids_name
from LightRegistrationLib.commands.main import build_parser
from LightRegistrationLib.commands.register.request import FilesRequest
from LightRegistrationLib.core.errors import InputError

from ..command_line import QUICK, run_command
from .conftest import Run, check_schema
from .pair_files import PairFiles


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Two persons, one with two sessions; a T2w scan, a mask and a note that are no T1w scans."""
    names = [
        "dataset_description.json",
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.json",
        "sub-02/anat/sub-02_T1w.nii",
        "sub-02/anat/notes.nii",
        "sub-02/func/sub-02_task-rest_bold.nii.gz",
        "template.nii.gz",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def list_names(folder: Path, shape: Shape, *filters: str, fixed: Path | None = None) -> list[str]:
    listed = list_bids_pairs(folder, filters or ("suffix=T1w",), fixed, shape)
    return [
        f"{pair.moving.name.split('.')[0]} {pair.fixed.name.split('.')[0]}" for pair in arrange_pairs(listed, shape)
    ]


def test_scans_of_a_folder_are_paired_by_the_shape(data_set: Path) -> None:
    assert list_names(data_set, Shape.PAIRS) == ["sub-01_ses-2_T1w sub-01_ses-1_T1w"]
    assert list_names(data_set, Shape.ALL_TO_ONE) == [
        "sub-01_ses-2_T1w sub-01_ses-1_T1w",
        "sub-02_T1w sub-01_ses-1_T1w",
    ]
    to_template = list_names(data_set, Shape.ALL_TO_ONE, fixed=data_set / "template.nii.gz")
    assert to_template == [f"{n} template" for n in ("sub-01_ses-1_T1w", "sub-01_ses-2_T1w", "sub-02_T1w")]
    assert len(list_names(data_set, Shape.ALL_TO_ALL)) == 6
    assert list_names(data_set, Shape.PAIRS, "subject=01", "session=1") == ["sub-01_ses-1_T2w sub-01_ses-1_T1w"]
    assert list_names(data_set, Shape.PAIRS, "sub=sub-01", "session=ses-1") == ["sub-01_ses-1_T2w sub-01_ses-1_T1w"]


def test_filters_that_are_given_one_by_one_all_count() -> None:
    words = ["batch", "--bids", "data", "--output", "out", "--filter", "suffix=T1w", "--filter", "session=1"]
    assert build_parser().parse_args(words).filter == ["suffix=T1w", "session=1"]


def test_folders_without_what_is_asked_for_are_refused(data_set: Path) -> None:
    for filters, message in (
        (("suffix=FLAIR",), "no scan in it has suffix=FLAIR"),
        (("T1w",), "The filter 'T1w' is not made as KEY=VALUE"),
        (("suffix=T2w",), "nobody in it has two scans with suffix=T2w"),
        (("suffix=T1w", "suffix=T2w"), "The filters ask for two values of suffix, T1w and T2w; choose one of them"),
    ):
        with pytest.raises(InputError, match=message):
            list_bids_pairs(data_set, filters, None, Shape.PAIRS)
    with pytest.raises(InputError, match="--fixed needs --shape all-to-one"):
        list_bids_pairs(data_set, ["suffix=T1w"], data_set / "template.nii.gz", Shape.PAIRS)
    (data_set / "dataset_description.json").unlink()
    with pytest.raises(InputError, match=r"there is no dataset_description\.json in it"):
        list_bids_pairs(data_set, ["suffix=T1w"], None, Shape.PAIRS)


@pytest.mark.parametrize(
    ("fixed", "moving", "expected"),
    [
        (
            "tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz",
            "sub-01_T1w.nii.gz",
            "sub-01/anat/sub-01_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5",
        ),
        (
            "sub-01_ses-1_T1w.nii.gz",
            "sub-01_ses-2_acq-mprage_run-2_T1w.nii",
            "sub-01/ses-2/anat/sub-01_ses-2_acq-mprage_run-2_from-T1w_to-ses1T1w_mode-image_xfm.h5",
        ),
        ("sub-01_T2w.nii.gz", "sub-01_T1w.nii.gz", "sub-01/anat/sub-01_from-T1w_to-T2w_mode-image_xfm.h5"),
        ("sub-02_T1w.nii.gz", "sub-01_T1w.nii.gz", "sub-01/anat/sub-01_from-T1w_to-sub02T1w_mode-image_xfm.h5"),
        (
            "my template.nii.gz",
            "sub-01_space-x_desc-preproc_T1w.nii.gz",
            "sub-01/anat/sub-01_from-T1w_to-mytemplate_mode-image_xfm.h5",
        ),
    ],
)
def test_transforms_are_named_as_fmriprep_names_them(fixed: str, moving: str, expected: str) -> None:
    names = make_derivative_names(Path(fixed), Path("any") / moving)
    assert names.transform == expected
    start, _, space = expected.removesuffix("_mode-image_xfm.h5").partition("_from-T1w_to-")
    assert names.inverse == f"{start}_from-{space}_to-T1w_mode-image_xfm.h5"
    assert names.segmentation == f"{start}_space-{space}_dseg"
    assert parse_bids_name(Path(f"{Path(names.warped).name}.nii.gz")) is not None


def test_names_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(InputError, match=r"scan7\.nii: the layout bids needs moving volumes with names such as sub-01"):
        make_derivative_names(Path("sub-01_T1w.nii"), Path("scan7.nii"))
    with pytest.raises(InputError, match="has letters or digits"):
        make_derivative_names(Path("___.nii"), Path("sub-01_T1w.nii"))


# The derivative data set


@pytest.fixture
def done(registered: Run, tmp_path: Path) -> Task:
    """The result of `register`, with an inverse, as that of a pair of a batch."""
    folder = tmp_path / "pairs" / "one"
    shutil.copytree(registered.output, folder)
    shutil.copy(folder / "transform.h5", folder / "inverse.h5")
    (folder / KEY_FILE).write_text('{"key": "k"}')
    request = FilesRequest(Path("tpl-A_T1w.nii.gz"), Path("sub-01_T1w.nii.gz"))
    return Task("one", request, folder, tmp_path / "failed" / "one.json", "k")


def test_a_derivative_data_set_holds_the_results_once(done: Task, tmp_path: Path) -> None:
    failed = replace(done, name="two", key="other", request=replace(done.request, moving=Path("sub-02_T1w.nii.gz")))
    folder = tmp_path / "bids"
    for _ in range(2):
        write_derivatives(folder, [done, failed])
    start = "sub-01/anat/sub-01"
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
        "dataset_description.json",
        f"{start}_from-T1w_to-A_mode-image_xfm.h5",
        f"{start}_from-T1w_to-A_mode-image_xfm.json",
        f"{start}_from-A_to-T1w_mode-image_xfm.h5",
        f"{start}_space-A_T1w.nii.gz",
        f"{start}_space-A_dseg.nii.gz",
        f"{start}_space-A_dseg.tsv",
    }
    assert os.path.samefile(folder / f"{start}_from-T1w_to-A_mode-image_xfm.h5", done.folder / "transform.h5")
    description = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
    assert (description["DatasetType"], description["GeneratedBy"][0]["Name"]) == ("derivative", "LightRegistration")
    rows = [
        line.split("\t") for line in (folder / f"{start}_space-A_dseg.tsv").read_text(encoding="utf-8").splitlines()
    ]
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{start}_space-A_dseg.nii.gz")))
    assert rows[0] == ["index", "name"]
    assert set(np.unique(labels)) - {0} <= {int(value) for value, _ in rows[1:]}


def test_a_result_that_is_replaced_is_linked_anew(done: Task, tmp_path: Path) -> None:
    write_derivatives(tmp_path / "bids", [done])
    shutil.copy(done.folder / "transform.h5", done.folder / "new.h5")
    (done.folder / "new.h5").replace(done.folder / "transform.h5")
    (done.folder / "inverse.h5").unlink()
    write_derivatives(tmp_path / "bids", [done])
    anat = tmp_path / "bids" / "sub-01" / "anat"
    assert os.path.samefile(anat / "sub-01_from-T1w_to-A_mode-image_xfm.h5", done.folder / "transform.h5")
    assert not (anat / "sub-01_from-A_to-T1w_mode-image_xfm.h5").exists()


def test_two_pairs_of_one_name_are_refused(done: Task) -> None:
    other = replace(done, name="two", request=replace(done.request, moving=Path("elsewhere") / "sub-01_T1w.nii.gz"))
    with pytest.raises(InputError, match="The pairs one and two would both be written as sub-01/anat/sub-01_from-T1w"):
        name_derivatives([done, other])


# register --layout bids


def test_register_adds_a_pair_to_a_derivative_data_set(pair_files: PairFiles, tmp_path: Path) -> None:
    fixed, moving = tmp_path / "tpl-A_T1w.nii.gz", tmp_path / "sub-01_ses-2_T1w.nii.gz"
    labels = tmp_path / "labels.nii.gz"
    for source, target in (
        (pair_files.fixed, fixed),
        (pair_files.moving, moving),
        (pair_files.moving_segmentation, labels),
    ):
        image = sitk.ReadImage(str(source))
        part = tuple(slice(3 * n // 8, 5 * n // 8) for n in image.GetSize())  # its inverse takes less time
        sitk.WriteImage(image[part], str(target))
    output = tmp_path / "out"
    (output / ".unfinished-0").mkdir(parents=True)  # of a run that was killed
    volumes = (fixed, moving, "--moving-segmentation", labels, "--initial", "centers")
    arguments = ("register", *volumes, "--layout", "bids", "--output", output, *QUICK)
    done = run_command(*arguments)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    start = "sub-01/ses-2/anat/sub-01_ses-2"
    files = {p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()}
    assert files == {
        "dataset_description.json",
        f"{start}_from-T1w_to-A_mode-image_xfm.h5",
        f"{start}_from-T1w_to-A_mode-image_xfm.json",
        f"{start}_from-A_to-T1w_mode-image_xfm.h5",
        f"{start}_space-A_T1w.nii.gz",
        f"{start}_space-A_dseg.nii.gz",
        f"{start}_space-A_dseg.tsv",
    }
    report = json.loads((output / f"{start}_from-T1w_to-A_mode-image_xfm.json").read_text(encoding="utf-8"))
    check_schema(report)
    assert set(report["outputs"].values()) < files
    forward, back = (sitk.ReadTransform(str(output / report["outputs"][key])) for key in ("transform", "inverse"))
    point = (5.0, -8.0, 12.0)
    np.testing.assert_allclose(back.TransformPoint(forward.TransformPoint(point)), point, atol=0.3)
    assert [p.name for p in output.iterdir() if p.is_dir()] == ["sub-01"], "no unfinished folder is left"
    again = run_command(*arguments)
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)
    assert "exists already; choose another folder or add --force" in again.stderr


@pytest.mark.parametrize(
    ("moving", "options", "message"),
    [
        ("scan7.nii", (), "the layout bids needs moving volumes with names such as sub-01"),
        ("sub-01_T1w.nii", ("--views",), "The layout bids has no place for pictures and pages"),
        ("sub-01_T1w.nii", ("--report",), "The layout bids has no place for pictures and pages"),
        ("sub-01_T1w.nii", (), "the folder is not a BIDS derivative data set"),
    ],
)
def test_what_no_derivative_data_set_can_hold_is_refused(
    moving: str, options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    for name in ("tpl-A_T1w.nii", moving):
        (tmp_path / name).touch()
    (tmp_path / "dataset_description.json").write_text('{"DatasetType": "raw"}')
    volumes = (tmp_path / "tpl-A_T1w.nii", tmp_path / moving)
    done = run_command("register", *volumes, "--layout", "bids", "--output", tmp_path, *options)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert message in done.stderr
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="NOT TESTED: Dask is not installed")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name a list of pairs, PAIRS, or a BIDS folder"),
        (("list.csv", "--bids", "."), "and not both"),
        (("list.csv", "--fixed", "a.nii"), "--fixed goes with --bids"),
    ],
)
def test_wrong_combinations_are_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = run_command("batch", *arguments, "--output", tmp_path / "out")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert message in done.stderr
