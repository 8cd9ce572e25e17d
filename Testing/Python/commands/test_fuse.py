"""`fuse`: labels of atlases brought to a scan, their names, values and colors, leave-one-out, and wrong lists."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.commands.fuse import evaluate_fusion, fuse_atlases
from LightRegistrationLib.commands.phantom.pair import make_head
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.scene.files.saving import save_segmentation
from LightRegistrationLib.scene.files.segmentation_loading import load_segmentation
from LightRegistrationLib.scene.headless.application import headless_application
from LightRegistrationLib.scene.nodes.removal import remove_new_nodes
from LightRegistrationLib.scene.nodes.segmentations import segmentation_node_from_segmentation

from .. import quick_model
from ..command_line import QUICK, run_command
from .conftest import Run, write_image

HUGE = 4_000_000_000
"""Added to the label values: they need 32 bits without a sign."""
OPTIONS: dict[str, Any] = {"model": quick_model.NAME, "threads": 1}
RED = (0.9, 0.1, 0.2)


@dataclass(frozen=True)
class Heads:
    """Three phantom heads on disk, the same anatomy in different shapes; the labels are huge numbers."""

    folder: Path
    atlases: Path
    segmentations: list[Segmentation]

    @property
    def scan(self) -> Path:
        return self.folder / "head0.nii.gz"


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    folder = tmp_path_factory.mktemp("heads")
    segmentations = []
    for seed in range(3):
        scan, labels = make_head(seed, 4.0)
        segmentations.append(labels)
        write_image(scan.array, scan.affine, folder / f"head{seed}.nii.gz")
        huge = np.where(labels.layers[0] > 0, labels.layers[0].astype(np.uint32) + HUGE, 0).astype(np.uint32)
        write_image(huge, labels.affine, folder / f"labels{seed}.nii.gz")
    rows = [f"head {seed},head{seed}.nii.gz,labels{seed}.nii.gz" for seed in range(3)]
    (folder / "atlases.csv").write_text("\n".join(["id,image,labels", *rows]) + "\n", encoding="utf-8-sig")
    return Heads(folder, folder / "atlases.csv", segmentations)


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


# The command


@pytest.fixture(scope="module")
def fused(heads: Heads, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The labels of head 0 from heads 1 and 2."""
    output = tmp_path_factory.mktemp("fused") / "labels"
    arguments = ("--target", heads.scan, "--output", output, "--probabilities", "--method", "majority")
    rows = heads.atlases.read_text(encoding="utf-8-sig").splitlines()
    (heads.folder / "two.csv").write_text("\n".join([rows[0], *rows[2:]]) + "\n")
    done = run_command("fuse", heads.folder / "two.csv", *arguments, *QUICK)
    return Run(done.returncode, done.stdout, done.stderr, output)


def test_the_labels_lie_on_the_grid_of_the_target_and_keep_their_values(heads: Heads, fused: Run) -> None:
    assert (fused.status, fused.stdout, fused.stderr) == (0, "", "")
    found, target = fused.image("labels.nii.gz"), sitk.ReadImage(str(heads.scan))
    assert found.GetPixelID() == sitk.sitkUInt32
    assert found.GetSize() == target.GetSize()
    np.testing.assert_allclose(found.GetOrigin(), target.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(found.GetDirection(), target.GetDirection(), atol=1e-6)
    labels, truth = sitk.GetArrayFromImage(found), read(heads.folder / "labels0.nii.gz")
    assert set(np.unique(labels)) <= {0, *(s.value + HUGE for s in heads.segmentations[0].segments)}
    brain = truth > 0
    assert (labels[brain] == truth[brain]).mean() > 0.6


def test_volumes_and_probabilities_belong_to_the_labels(fused: Run) -> None:
    labels = sitk.GetArrayFromImage(fused.image("labels.nii.gz"))
    summary = json.loads((fused.output / "fusion.json").read_text(encoding="utf-8"))
    with (fused.output / "volumes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        count = int((labels == int(row["value"])).sum())
        assert (int(row["voxels"]), float(row["volume_mm3"])) == (count, 64.0 * count)
        share = sitk.GetArrayFromImage(fused.image(f"probabilities/{row['name']}.nii.gz"))
        assert set(np.unique(share)) <= {0.0, 0.5, 1.0}
        assert share[labels == int(row["value"])].min(initial=1) >= 0.5
    assert {name for name in summary["outputs"] if not name.startswith("prob")} == {"labels.nii.gz", "volumes.csv"}
    assert len(summary["outputs"]) == len(rows) + 2
    assert [a["mean_weight"] for a in summary["atlases"]] == [0.5, 0.5]
    assert {p.name for p in fused.output.iterdir()} == {"labels.nii.gz", "volumes.csv", "fusion.json", "probabilities"}


def test_leave_one_out_compares_single_atlases_and_both_fusions(heads: Heads, tmp_path: Path) -> None:
    rows = evaluate_fusion(heads.atlases, tmp_path / "out", scans=["head 0"], **OPTIONS)
    (row,) = rows
    assert row["scan"] == "head 0"
    assert 0.3 < row["mean_single"] <= row["best_single"] < 1
    assert row["joint"] >= row["majority"] - 0.01
    assert row["joint_above_best"] == pytest.approx(row["joint"] - row["best_single"], abs=2e-4)  # of rounded numbers
    with (tmp_path / "out" / "structures.csv").open(newline="") as stream:
        structures = list(csv.DictReader(stream))
    assert np.mean([float(r["joint"]) for r in structures]) == pytest.approx(row["joint"], abs=1e-3)
    assert {int(r["value"]) for r in structures} == {s.value + HUGE for s in heads.segmentations[0].segments}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"results.csv", "structures.csv", "fusion.json"}


# Names and colors


def write_named(heads: Heads, number: int, folder: Path, shift_mm: float = 0) -> tuple[Path, Path]:
    """Write the structures of a head with names; those of head 2 are numbered in another way. Returns the atlas."""
    own = heads.segmentations[number]
    values = {s.value: s.value if number == 1 else 100 - s.value for s in own.segments}
    table = np.array([values.get(v, 0) for v in range(256)], np.uint8)
    affine = own.affine.copy()
    affine[0, 3] += shift_mm
    segments = tuple(Segment(s.name, values[s.value]) for s in own.segments)
    scene, path = headless_application().scene, folder / f"{number}.seg.nrrd"
    with remove_new_nodes(scene):
        node = segmentation_node_from_segmentation(
            scene, Segmentation((table[own.layers[0]],), affine, segments), "atlas"
        )
        find_segment(node, "Brain stem").SetColor(*RED)
        save_segmentation(node, path)
    return heads.folder / f"head{number}.nii.gz", path


def find_segment(node: Any, name: str) -> Any:
    segmentation = node.GetSegmentation()
    (found,) = (s for s in map(segmentation.GetSegment, segmentation.GetSegmentIDs()) if s.GetName() == name)
    return found


def test_names_and_colors_stay_and_an_atlas_that_fails_is_left_out(heads: Heads, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    atlases = [write_named(heads, number, tmp_path) for number in (1, 2)]
    atlases.append((heads.scan, write_named(heads, 1, tmp_path / "far", shift_mm=1000)[1]))
    summary = fuse_atlases(heads.scan, atlases, tmp_path / "out", initial="centers", method="majority", **OPTIONS)
    expected = {(s.name, s.value) for s in heads.segmentations[1].segments}
    assert {(s["name"], s["value"]) for s in summary["structures"]} == expected
    with remove_new_nodes(headless_application().scene):
        node = load_segmentation(headless_application().scene, tmp_path / "out" / "labels.seg.nrrd")
        segmentation = node.GetSegmentation()
        found = [segmentation.GetSegment(i) for i in segmentation.GetSegmentIDs()]
        assert {(s.GetName(), s.GetLabelValue()) for s in found} == expected
        assert find_segment(node, "Brain stem").GetColor() == pytest.approx(RED, abs=1e-4)
    assert [a["mean_weight"] is None for a in summary["atlases"]] == [False, False, True]
    repeated, warning = summary["warnings"]
    assert repeated.startswith(f"The target is the image of the atlas {heads.scan}")
    assert warning.startswith(f"{heads.scan} is left out: ")
    assert "wholly outside" in warning


# Wrong input, and what a failure costs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,labels\nhead1.nii.gz,\nhead2.nii.gz,labels2.nii.gz\n", "line 2: the atlas has no labels"),
        ("image,labels\nhead1.nii.gz,labels1.nii.gz\n", "2 or more atlases are needed, but there is 1"),
        ("image,labels\n", "2 or more atlases are needed, but there is none"),
        ("image,labels\nhead1.nii.gz,absent.nii\nhead2.nii.gz,labels2.nii.gz\n", "line 2: 'labels': there is no file"),
        ("image;labels\n", "line 1: the columns are separated by semicolons"),
        ("picture,labels\n", "line 1: the header lacks image"),
        ("image,labels,side\n", "has the column 'side'"),
        ("image,labels\nhead1.nii.gz,labels1.nii.gz\nhead1.nii.gz,labels1.nii.gz\n", "'head1.nii.gz' occurs twice"),
    ],
)
def test_wrong_lists_are_refused_with_their_line(heads: Heads, text: str, message: str, tmp_path: Path) -> None:
    path = heads.folder / "wrong.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        fuse_atlases(heads.scan, path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_atlases_are_refused_before_anything_is_registered(heads: Heads, tmp_path: Path) -> None:
    small = sitk.ReadImage(str(heads.folder / "labels2.nii.gz"))[2:, :, :]
    sitk.WriteImage(small, str(tmp_path / "small.nii.gz"))
    good = (heads.folder / "head1.nii.gz", heads.folder / "labels1.nii.gz")
    with pytest.raises(InputError, match=r"small\.nii\.gz: the label map is not on the grid of its volume, head2"):
        fuse_atlases(heads.scan, [good, (heads.folder / "head2.nii.gz", tmp_path / "small.nii.gz")], tmp_path / "out")
    with pytest.raises(InputError, match="To leave one out, 3 or more scans are needed, but there are 2"):
        evaluate_fusion([good, good[::-1]], tmp_path / "out")
    with pytest.raises(InputError, match=r"There is no scan 'head 9' in the list"):
        evaluate_fusion(heads.atlases, tmp_path / "out", scans=["head 9"])
    assert not (tmp_path / "out").exists()


def test_an_atlas_under_two_names_is_refused(heads: Heads, tmp_path: Path) -> None:
    for name in ("head1.nii.gz", "labels1.nii.gz"):
        (tmp_path / name).write_bytes((heads.folder / name).read_bytes())
    atlases = [(folder / "head1.nii.gz", folder / "labels1.nii.gz") for folder in (heads.folder, tmp_path)]
    with pytest.raises(InputError, match=r"head1.nii.gz are the same image with the same labels, which would count"):
        fuse_atlases(heads.scan, atlases, tmp_path / "out", **OPTIONS)


def test_an_image_that_counts_twice_and_a_target_among_the_atlases_are_said(heads: Heads, tmp_path: Path) -> None:
    """As where two readers have drawn the structures of one image."""
    labels = sitk.ReadImage(str(heads.folder / "labels0.nii.gz"))
    sitk.WriteImage(sitk.Cast(labels != HUGE + 2, sitk.sitkUInt32) * labels, str(tmp_path / "other.nii.gz"))
    atlases = [(heads.scan, heads.folder / "labels0.nii.gz"), (heads.scan, tmp_path / "other.nii.gz")]
    rows = "".join(f"reader {n},{image},{drawn}\n" for n, (image, drawn) in enumerate(atlases))
    (tmp_path / "atlases.csv").write_text(f"id,image,labels\n{rows}", encoding="utf-8")
    warnings = fuse_atlases(heads.scan, tmp_path / "atlases.csv", tmp_path / "out", **OPTIONS)["warnings"]
    assert warnings == [
        "reader 0 and reader 1 are the same image; it counts twice.",
        "The target is the image of the atlas reader 0, whose labels it gets back.",
        "The target is the image of the atlas reader 1, whose labels it gets back.",
    ]


def test_atlases_without_a_common_structure_are_named(heads: Heads, tmp_path: Path) -> None:
    labels = sitk.ReadImage(str(heads.folder / "labels2.nii.gz"))
    sitk.WriteImage(sitk.Cast(labels, sitk.sitkUInt16) * 1000, str(tmp_path / "other.nii.gz"))
    atlases = [(heads.folder / f"head{n}.nii.gz", heads.folder / f"labels{n}.nii.gz") for n in (0, 1)]
    atlases.append((heads.folder / "head2.nii.gz", tmp_path / "other.nii.gz"))
    with pytest.raises(InputError, match=r"other\.nii\.gz: none of its structures is in another scan"):
        evaluate_fusion(atlases, tmp_path / "out", **OPTIONS)
    rows = evaluate_fusion(atlases, tmp_path / "out", scans=[str(atlases[0][0])], **OPTIONS)
    assert rows[0]["best_atlas"] == str(atlases[1][0])
    warnings = json.loads((tmp_path / "out" / "fusion.json").read_text(encoding="utf-8"))["warnings"]
    assert [w for w in warnings if "other.nii.gz" in w]


def test_one_atlas_alone_is_not_fused(heads: Heads, tmp_path: Path) -> None:
    atlases = [write_named(heads, number, tmp_path, shift_mm=1000 * (number - 1)) for number in (1, 2)]
    with pytest.raises(InputError, match=r"Of 2 atlases only one could be registered to head0.*wholly outside"):
        fuse_atlases(heads.scan, atlases, tmp_path / "out", initial="centers", **OPTIONS)
    assert {p.name for p in tmp_path.iterdir()} == {"1.seg.nrrd", "2.seg.nrrd"}, "voxels of the atlases are left behind"
