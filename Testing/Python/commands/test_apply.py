"""`apply`: stored transforms brought to images, labels, points and surfaces, compared with SimpleITK and `register`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from scipy.ndimage import gaussian_filter
from vtk.util.numpy_support import vtk_to_numpy

from LightRegistrationLib.commands.apply import apply_transforms, inverse_of
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.scene.files.saving import save_segmentation
from LightRegistrationLib.scene.nodes.segmentations import segmentation_node_from_segmentation

from ..command_line import run_command
from .conftest import Run
from .pair_files import PairFiles

LPS = np.array([-1.0, -1.0, 1.0])
INVERSE_MM = 0.02
"""Slicer inverts a displacement grid to about this."""


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def map_back(transform: sitk.Transform, points_ras: np.ndarray) -> np.ndarray:
    """Map points of the reference, RAS mm, to the input, as SimpleITK does."""
    return np.array([transform.TransformPoint((p * LPS).tolist()) for p in points_ras]) * LPS


@pytest.fixture
def points(pair_files: PairFiles) -> np.ndarray:
    """Points inside the moving volume, RAS mm."""
    geometry = pair_files.pair.moving.geometry
    return geometry.center_mm + np.random.default_rng(5).uniform(-40, 40, (30, 3))


# The transform of `register`


def test_the_result_of_register_is_repeated(registered: Run, pair_files: PairFiles, tmp_path: Path) -> None:
    transform = registered.output / "transform.h5"
    for source, name, options in (
        (pair_files.moving, "warped.nii.gz", ()),
        (pair_files.moving_segmentation, "warped_segmentation.nii.gz", ("--interpolation", "nearest")),
    ):
        arguments = (source, "--transform", transform, "--reference", pair_files.fixed, *options)
        done = run_command("apply", *arguments, "--threads", "1", "--output", tmp_path / name)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        expected = registered.image(name)
        found = sitk.ReadImage(str(tmp_path / name))
        difference = np.abs(read(tmp_path / name).astype(float) - sitk.GetArrayFromImage(expected))
        # The stored field holds the displacements relative to the alignment, in 32 bits.
        assert (difference > (1 if name == "warped.nii.gz" else 0)).mean() < 1e-4
        assert (found.GetPixelID(), found.GetOrigin()) == (expected.GetPixelID(), expected.GetOrigin())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["warped.nii.gz", "warped_segmentation.nii.gz"]


def test_points_in_a_table_stay_on_their_tissue(registered: Run, points: np.ndarray, tmp_path: Path) -> None:
    source, target = tmp_path / "points.csv", tmp_path / "moved.csv"
    rows = [{"name": f"point, {n}", "X": x, "y": y, "z": z, "side": "left"} for n, (x, y, z) in enumerate(points)]
    with source.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    transform = registered.output / "transform.h5"
    done = run_command("apply", source, "--transform", transform, "--output", target)
    assert (done.returncode, done.stderr) == (0, "")
    with target.open(newline="") as stream:
        moved = list(csv.DictReader(stream))
    assert [(row["name"], row["side"]) for row in moved] == [(row["name"], "left") for row in rows]
    found = np.array([[float(row[c]) for c in ("X", "y", "z")] for row in moved])
    assert np.linalg.norm(found - points, axis=1).min() > 1, "the transform does nothing"
    back = map_back(sitk.ReadTransform(str(transform)), found)
    assert np.abs(back - points).max() < INVERSE_MM


def test_tables_of_itk_are_lps(registered: Run, points: np.ndarray, tmp_path: Path) -> None:
    transform = registered.output / "transform.h5"
    moved = {}
    for name, sign, is_lps in (("ras", 1.0, False), ("lps", LPS, True)):
        source, target = tmp_path / f"{name}.csv", tmp_path / f"{name}_moved.csv"
        np.savetxt(source, points * sign, delimiter=",", header="x,y,z", comments="", fmt="%.9f")
        apply_transforms([transform], source, target, is_lps=is_lps)
        moved[name] = np.loadtxt(target, delimiter=",", skiprows=1)
    np.testing.assert_allclose(moved["lps"] * LPS, moved["ras"], atol=1e-5)
    np.savetxt(source, np.pad(points, ((0, 0), (0, 1))), delimiter=",", header="x,y,z,t", comments="", fmt="%.9f")
    (line,) = apply_transforms([transform], source, tmp_path / "ants.csv")
    assert "those of ANTs, with the columns x, y, z, t, are LPS mm: add --lps" in line
    assert apply_transforms([transform], source, tmp_path / "again.csv", is_lps=True) == ()


@pytest.mark.parametrize("name", ["surface.stl", "surface.ply", "surface.vtk", "surface.vtp"])
def test_surfaces_move_as_points_do(registered: Run, pair_files: PairFiles, tmp_path: Path, name: str) -> None:
    ball = vtk.vtkSphereSource()
    ball.SetCenter(*pair_files.pair.moving.geometry.center_mm)
    ball.SetRadius(30)
    ball.Update()
    node = slicer.vtkMRMLModelNode()
    node.SetAndObservePolyData(ball.GetOutput())
    storage = slicer.vtkMRMLModelStorageNode()
    storage.SetFileName(str(tmp_path / name))
    assert storage.WriteData(node)
    transform = registered.output / "transform.h5"
    assert apply_transforms([transform], tmp_path / name, tmp_path / f"moved-{name}") == ()

    def read_points(path: Path) -> np.ndarray:
        storage.SetFileName(str(path))
        result = slicer.vtkMRMLModelNode()
        assert storage.ReadData(result)
        assert result.GetPolyData().GetNumberOfCells() == ball.GetOutput().GetNumberOfCells()
        return vtk_to_numpy(result.GetPolyData().GetPoints().GetData())

    before, after = read_points(tmp_path / name), read_points(tmp_path / f"moved-{name}")
    assert np.abs(map_back(sitk.ReadTransform(str(transform)), after) - before).max() < INVERSE_MM
    back = tmp_path / f"back-{name}"
    assert apply_transforms([inverse_of(transform)], tmp_path / f"moved-{name}", back) == ()
    assert np.abs(read_points(back) - before).max() < INVERSE_MM


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_markups_move_as_points_do(registered: Run, points: np.ndarray, tmp_path: Path, system: str) -> None:
    sign = LPS if system == "LPS" else np.ones(3)
    content = {
        "markups": [
            {
                "type": "Curve",
                "coordinateSystem": system,
                "controlPoints": [{"label": f"P{n}", "position": (p * sign).tolist()} for n, p in enumerate(points)],
            }
        ]
    }
    source, target = tmp_path / "curve.mrk.json", tmp_path / "moved.mrk.json"
    source.write_text(json.dumps(content))
    transform = registered.output / "transform.h5"
    done = run_command("apply", source, "--transform", transform, "--output", target)
    assert (done.returncode, done.stderr) == (0, "")
    (moved,) = json.loads(target.read_text(encoding="utf-8"))["markups"]
    assert moved["type"] == "Curve"
    assert [p["label"] for p in moved["controlPoints"]] == [f"P{n}" for n in range(len(points))]
    found = np.array([p["position"] for p in moved["controlPoints"]])
    found = found * (LPS if moved["coordinateSystem"] == "LPS" else 1)
    assert np.abs(map_back(sitk.ReadTransform(str(transform)), found) - points).max() < INVERSE_MM


# Any transform that ITK reads, and several of them


def make_image(seed: int, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> sitk.Image:
    values = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    image = sitk.GetImageFromArray((values / values.std() * 100).astype(np.float32))
    image.SetSpacing(spacing)
    return image


def make_transforms(folder: Path) -> dict[str, Path]:
    """Write an affine, a B-spline and a displacement field with affine transforms around it."""
    rng = np.random.default_rng(6)
    affine = sitk.AffineTransform([1.05, 0.1, 0, -0.08, 0.97, 0.05, 0.02, 0.06, 1.02], [2, -3, 1.5], (25, 25, 25))
    spline = sitk.BSplineTransformInitializer(make_image(1, (40, 40, 40), (1.5, 1.5, 1.5)), [5, 5, 5], 3)
    spline.SetParameters(rng.normal(0, 1, len(spline.GetParameters())).tolist())
    vectors = np.stack([gaussian_filter(rng.normal(size=(26, 26, 26)), 3) for _ in range(3)], -1)
    field = sitk.GetImageFromArray(vectors * 40, isVector=True)
    field.SetSpacing((3, 3, 3))
    field.SetOrigin((-8, -8, -8))
    composite = sitk.CompositeTransform([affine, sitk.DisplacementFieldTransform(field)])
    files = {}
    for name, transform in (("affine.tfm", affine), ("spline.h5", spline), ("composite.h5", composite)):
        files[name] = folder / name
        sitk.WriteTransform(transform, str(files[name]))
    return files


CHAINS: dict[str, list[tuple[str, bool]]] = {
    "affine": [("affine.tfm", False)],
    "inverse affine": [("affine.tfm", True)],
    "spline": [("spline.h5", False)],
    "composite": [("composite.h5", False)],
    "spline, then affine": [("spline.h5", False), ("affine.tfm", False)],
    "affine, then spline": [("affine.tfm", False), ("spline.h5", False)],
    "composite, then inverse affine": [("composite.h5", False), ("affine.tfm", True)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_are_those_of_itk(tmp_path: Path, name: str) -> None:
    files = make_transforms(tmp_path)
    moving, reference = make_image(2, (38, 40, 42), (1.4, 1.3, 1.5)), make_image(3, (30, 34, 36), (1.6, 1.5, 1.4))
    for image, file in ((moving, "moving.nii.gz"), (reference, "reference.nrrd")):
        sitk.WriteImage(image, str(tmp_path / file))
    options, parts = [], []
    for file, is_inverted in CHAINS[name]:
        options += ["--inverse" if is_inverted else "--transform", files[file]]
        part = sitk.ReadTransform(str(files[file]))
        parts.append(part.GetInverse() if is_inverted else part)
    target = tmp_path / "result.mha"
    reference_option = ("--reference", tmp_path / "reference.nrrd")
    done = run_command("apply", tmp_path / "moving.nii.gz", *options, *reference_option, "--output", target)
    assert (done.returncode, done.stderr) == (0, "")
    # A composite of ITK applies its last transform first.
    whole = sitk.CompositeTransform(parts[::-1])
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, reference, whole, sitk.sitkLinear, -1e6))
    found = read(target)
    inside = expected > -1e5
    assert inside.mean() > 0.3
    assert np.abs(found - expected)[inside].max() < 1  # 0.01 of the standard deviation
    # Half a voxel around the outermost voxel centers the border is repeated here; ITK stops at the centers.
    assert (found[~inside] == read(tmp_path / "moving.nii.gz").min()).mean() > 0.5


def test_an_inverse_that_is_not_exact_is_told(tmp_path: Path) -> None:
    rng, vectors = np.random.default_rng(9), np.zeros((8, 8, 8, 3))
    vectors[..., 0] = -6 * np.sin(np.arange(8))  # folds
    field = sitk.GetImageFromArray(vectors, isVector=True)
    sitk.WriteTransform(sitk.DisplacementFieldTransform(field), str(tmp_path / "folded.h5"))
    points = rng.uniform(0, 7, (200, 3)) * LPS
    np.savetxt(tmp_path / "points.csv", points, delimiter=",", header="x,y,z", comments="")
    (line,) = apply_transforms([tmp_path / "folded.h5"], tmp_path / "points.csv", tmp_path / "moved.csv")
    assert "the inverse of the transforms is off" in line.lower()


# Labels and series


def test_names_and_values_of_structures_stay(scene: Any, tmp_path: Path) -> None:
    image = make_image(4, (24, 26, 28), (1.5, 1.5, 1.5))
    labels = np.digitize(sitk.GetArrayFromImage(image), [-50, 60]).astype(np.uint8)
    affine = np.diag([-1.5, -1.5, 1.5, 1.0])
    segments = (Segment("Left lung", 2), Segment("Heart", 1))
    node = segmentation_node_from_segmentation(scene, Segmentation((labels,), affine, segments), "s")
    save_segmentation(node, tmp_path / "organs.seg.nrrd")
    sitk.WriteImage(image, str(tmp_path / "image.nii.gz"))
    sitk.WriteTransform(sitk.TranslationTransform(3, (3.0, 0.0, 0.0)), str(tmp_path / "shift.tfm"))
    source, reference = tmp_path / "organs.seg.nrrd", tmp_path / "image.nii.gz"
    for name in ("moved.seg.nrrd", "moved.nii.gz"):
        assert apply_transforms([tmp_path / "shift.tfm"], source, tmp_path / name, reference=reference) == ()
        assert (read(tmp_path / name)[:, :, :-2] == labels[:, :, 2:]).all()
    stored = sitk.ReadImage(str(tmp_path / "moved.seg.nrrd"))
    assert [stored.GetMetaData(f"Segment{n}_Name") for n in range(2)] == ["Left lung", "Heart"]
    assert [stored.GetMetaData(f"Segment{n}_LabelValue") for n in range(2)] == ["2", "1"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_each_frame_of_a_series_is_transformed(tmp_path: Path, suffix: str) -> None:
    files = make_transforms(tmp_path)
    frames = [make_image(seed, (20, 22, 24), (2, 2, 2)) for seed in (5, 6, 7)]
    frames[1] = frames[1] * 0  # a frame may be empty
    series = sitk.JoinSeries(frames, 0.0, 2.5)
    sitk.WriteImage(series, str(tmp_path / "series.nii.gz"))
    sitk.WriteImage(frames[2], str(tmp_path / "last.nii.gz"))
    reference = make_image(8, (18, 18, 18), (2.2, 2.2, 2.2))
    sitk.WriteImage(reference, str(tmp_path / "reference.nii.gz"))
    result = tmp_path / f"moved{suffix}"
    options = ("--transform", files["spline.h5"], "--reference", tmp_path / "reference.nii.gz")
    done = run_command("apply", tmp_path / "series.nii.gz", *options, "--output", result)
    assert (done.returncode, done.stderr) == (0, "")
    done = run_command("apply", tmp_path / "last.nii.gz", *options, "--output", tmp_path / "last_moved.nii.gz")
    assert (done.returncode, done.stderr) == (0, "")
    image = sitk.ReadImage(str(result))
    assert image.GetSize() == (18, 18, 18, 3)
    assert image.GetSpacing() == pytest.approx((2.2, 2.2, 2.2, 2.5))
    found = sitk.GetArrayFromImage(image)
    assert (found[2] == read(tmp_path / "last_moved.nii.gz")).all()
    assert (found[1] == 0).all()
    assert np.abs(found[0]).max() > 50
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_what_is_probably_not_meant_is_told(registered: Run, pair_files: PairFiles, tmp_path: Path) -> None:
    transform = registered.output / "transform.h5"
    (line,) = apply_transforms(
        [transform], pair_files.moving_segmentation, tmp_path / "labels.nii", reference=pair_files.fixed
    )
    assert "looks like a label map" in line
    sitk.WriteTransform(sitk.TranslationTransform(3, (1000.0, 0.0, 0.0)), str(tmp_path / "far.tfm"))
    (line,) = apply_transforms(
        [tmp_path / "far.tfm"], pair_files.moving, tmp_path / "far.nii", reference=pair_files.fixed
    )
    assert "check the order" in line
    lines = apply_transforms(
        [tmp_path / "far.tfm", transform], pair_files.moving, tmp_path / "unreached.nii", reference=pair_files.fixed
    )
    assert any("transform.h5: its displacements do not reach any of the points of the reference" in s for s in lines)
    np.savetxt(tmp_path / "points.csv", np.zeros((3, 3)), delimiter=",", header="x,y,z", comments="")
    (line,) = apply_transforms(
        [tmp_path / "far.tfm"], tmp_path / "points.csv", tmp_path / "moved.csv", reference=pair_files.fixed
    )
    assert "3 of 3 points lie outside" in line
    (line,) = apply_transforms([transform, tmp_path / "far.tfm"], tmp_path / "points.csv", tmp_path / "unreached.csv")
    assert "its displacements do not reach any of the points" in line


# Bad input

NO_REFERENCE = "--reference"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


BAD = {
    "no transform": (lambda f, m: [m], "--transform FILE"),
    "missing transform": (lambda f, m: [m, "--transform", f / "absent.h5"], "absent.h5: there is no such file"),
    "transform that is text": (lambda f, m: [m, "--transform", write(f / "t.tfm", "hello")], "t.tfm: cannot be read"),
    "transform of another kind": (lambda f, m: [m, "--inverse", write(f / "t.pdf", "hello")], "t.pdf"),
    "flat transform": (lambda f, m: [m, "--transform", flat(f)], "flattens space"),
    "missing input": (lambda f, m: [f / "absent.nii", "--transform", shift(f)], "absent.nii: there is no such file"),
    "unknown input": (lambda f, m: [write(f / "a.docx", "a"), "--transform", shift(f)], "a.docx"),
    "scan as smooth labels": (
        lambda f, m: [m, "--transform", shift(f), "--interpolation", "label-smooth"],
        "looks like a scan",
    ),
    "unknown interpolation": (lambda f, m: [m, "--transform", shift(f), "--interpolation", "cubic"], "cubic"),
    "old point list": (
        lambda f, m: [write(f / "a.fcsv", "1"), "--transform", shift(f)],
        "save the list in Slicer as .mrk.json",
    ),
    "empty name": (lambda f, m: [m, "--transform", ""], "the name is empty"),
    "less than one thread": (lambda f, m: [m, "--transform", shift(f), "--threads", "-1"], "least one thread"),
    "transform of two dimensions": (lambda f, m: [m, "--transform", in_plane(f)], "not one of three dimensions"),
    "lps of an image": (lambda f, m: [m, "--transform", shift(f), "--lps"], "--lps is for points"),
}
BAD_POINTS = {
    "no column": ("a,b,c\n1,2,3\n", "line 1: the header"),
    "words": ("x,y,z\n1,2,three\n", "line 2: a point is three numbers"),
    "number of Python": ("x,y,z\n1_0,2,3\n", "line 2: a point is three numbers"),
    "digits of another script": ("x,y,z\n١,2,3\n", "line 2: a point is three numbers"),
    "infinite": ("x,y,z\n1,2,inf\n", "line 2: a coordinate"),
    "short line": ("x,y,z\n1,2\n", "line 2"),
    "no points": ("x,y,z\n", "there is no point"),
    "empty": ("", "empty"),
}


def shift(folder: Path) -> Path:
    sitk.WriteTransform(sitk.TranslationTransform(3, (3.0, 0.0, 0.0)), str(folder / "shift.tfm"))
    return folder / "shift.tfm"


def in_plane(folder: Path) -> Path:
    sitk.WriteTransform(sitk.Euler2DTransform(), str(folder / "plane.tfm"))
    return folder / "plane.tfm"


def flat(folder: Path) -> Path:
    return write(
        folder / "flat.tfm",
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        "Parameters: 1 0 0 0 1 0 0 0 0 0 0 0\nFixedParameters: 0 0 0\n",
    )


def check_refused(arguments: list[object], expected: str, output: Path) -> None:
    done = run_command("apply", *arguments, "--output", output)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    assert done.stderr.startswith("light-registration: error: ")
    assert expected in done.stderr
    assert not output.exists()
    assert not [p.name for p in output.parent.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_line(pair_files: PairFiles, tmp_path: Path, kind: str) -> None:
    make, expected = BAD[kind]
    arguments = [*make(tmp_path, pair_files.moving), "--reference", pair_files.fixed]
    check_refused(arguments, expected, tmp_path / "output.nii.gz")


@pytest.mark.parametrize("kind", BAD_POINTS)
def test_bad_points_are_one_line(tmp_path: Path, kind: str) -> None:
    text, expected = BAD_POINTS[kind]
    points = write(tmp_path / "points.csv", text)
    check_refused([points, "--transform", shift(tmp_path)], expected, tmp_path / "moved.csv")


@pytest.mark.parametrize("name", ["broken.mrk.json", "broken.stl", "broken.vtk", "broken.ply"])
def test_broken_shapes_are_one_line(tmp_path: Path, name: str) -> None:
    shape = write(tmp_path / name, "{ hello")
    check_refused([shape, "--transform", shift(tmp_path)], f"{name}: cannot be read", tmp_path / f"moved-{name}")


def test_outputs_that_do_not_fit_are_refused(pair_files: PairFiles, tmp_path: Path) -> None:
    arguments = [pair_files.moving, "--transform", shift(tmp_path)]
    check_refused(arguments, "--reference FILE", tmp_path / "a.nii")
    arguments += ["--reference", pair_files.fixed]
    check_refused(arguments, "use .nii, .nii.gz", tmp_path / "a.csv")
    points = write(tmp_path / "points.csv", "x,y,z\n1,2,3\n")
    done = run_command("apply", points, "--transform", shift(tmp_path), "--output", points, "--force")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "would replace the input" in done.stderr
    older = write(tmp_path / "older.csv", "mine")
    done = run_command("apply", points, "--transform", shift(tmp_path), "--output", older)
    assert (done.returncode, older.read_text(encoding="utf-8")) == (2, "mine")
    done = run_command("apply", points, "--transform", shift(tmp_path), "--output", older, "--force")
    assert done.returncode == 0
    assert older.read_text(encoding="utf-8").split() == ["x,y,z", "4.000000,2.000000,3.000000"]
