"""`series`: frames of a known motion, followed points, the sequence for Slicer, missing frames, and wrong series."""

from __future__ import annotations

import csv
import gzip
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from LightRegistrationLib.commands.phantom.anatomy import evaluate_anatomy
from LightRegistrationLib.commands.series import register_series
from LightRegistrationLib.commands.series.frames import find_missing_values, read_frames
from LightRegistrationLib.commands.series.points import read_series_points
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.headless.application import headless_application
from LightRegistrationLib.scene.nodes.removal import remove_new_nodes
from LightRegistrationLib.scene.nodes.transforms import transform_points

from .. import quick_model
from ..command_line import QUICK, run_command
from ..core.geometries import make_geometry
from .conftest import Run, write_image

LPS = np.array([-1.0, -1.0, 1.0])
GRID = make_geometry((30, 34, 40), (4.5, 6.0, 6.0), (9, -7, 12), flips=(-1, 1, 1), center_mm=(0, -2, -6))
"""Oblique, anisotropic, left-handed."""
AMPLITUDES_MM = (0.0, 4.0, 8.0, None, 5.0)
"""Of the motion in each frame; None: the frame is empty."""
STEP_S = 0.5
POINTS_MM = np.array([[20.0, 15.0, 5.0], [-30.0, -20.0, 10.0], [0.0, 40.0, -12.0]])


def move(points_mm: np.ndarray, amplitude_mm: float) -> np.ndarray:
    """Map points of frame 0 to a frame: breathing along S and R, in place at the bottom."""
    rise = amplitude_mm / (1 + np.exp(-(points_mm[..., 2:] + 20) / 25))
    return points_mm + rise * (0.35, 0.0, 1.0)


def move_back(points_mm: np.ndarray, amplitude_mm: float) -> np.ndarray:
    found = points_mm.copy()
    for _ in range(40):
        found = points_mm - (move(found, amplitude_mm) - found)
    return found


@dataclass(frozen=True)
class SeriesFiles:
    """The same five frames as a 4-D NIfTI file and as a sequence of Slicer, and points of frame 0."""

    folder: Path
    nifti: Path
    nrrd: Path
    points: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SeriesFiles:
    folder = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(4)
    images = []
    for number, amplitude in enumerate(AMPLITUDES_MM):
        array = np.zeros(GRID.shape, np.int16)
        if amplitude is not None:
            anatomy = evaluate_anatomy(move_back(GRID.points_mm, amplitude).astype(np.float32))
            array = (800 * (anatomy.brightness + 0.02 * rng.standard_normal(GRID.shape))).clip(0).astype(np.int16)
        images.append(sitk.ReadImage(str(write_image(array, GRID.affine, folder / f"frame{number}.nii.gz"))))
    series = sitk.JoinSeries(images, 0.0, STEP_S)
    sitk.WriteImage(series, str(folder / "series.nii.gz"))
    (folder / "points.csv").write_text(
        "label,x,y,z\n" + "".join(f"P{n},{x},{y},{z}\n" for n, (x, y, z) in enumerate(POINTS_MM * LPS))
    )
    return SeriesFiles(folder, folder / "series.nii.gz", write_sequence(images, folder), folder / "points.csv")


def write_sequence(images: list[sitk.Image], folder: Path) -> Path:
    """Write frames 0, 1, 2 and 4 as Slicer does, with their times."""
    scene, path = headless_application().scene, folder / "series.seq.nrrd"
    with remove_new_nodes(scene):
        sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "series")
        sequence.SetIndexName("time")
        sequence.SetIndexUnit("s")
        for number in (0, 1, 2, 4):
            volume = slicer.vtkMRMLScalarVolumeNode()
            reader = slicer.vtkMRMLVolumeArchetypeStorageNode()
            reader.SetFileName(str(folder / f"frame{number}.nii.gz"))
            assert reader.ReadData(volume)
            sequence.SetDataNodeAtValue(volume, str(number * STEP_S))
        storage = slicer.vtkMRMLVolumeSequenceStorageNode()
        scene.AddNode(storage)
        storage.SetFileName(str(path))
        assert storage.WriteData(sequence)
    return path


@pytest.fixture(scope="module")
def moved(files: SeriesFiles, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The NIfTI series registered to frame 0, with points."""
    output = tmp_path_factory.mktemp("moved") / "out"
    arguments = ("--frame", "0", "--points", files.points, "--lps", "--output", output, *QUICK)
    done = run_command("series", files.nifti, *arguments)
    return Run(done.returncode, done.stdout, done.stderr, output)


def read_summary(run: Run) -> dict[str, Any]:
    return json.loads((run.output / "series.json").read_text(encoding="utf-8"))


def transform(path: Path, points_mm: np.ndarray) -> np.ndarray:
    """Map points, RAS mm, with SimpleITK."""
    read = sitk.ReadTransform(str(path))
    return np.array([read.TransformPoint(p) for p in (points_mm * LPS).tolist()]) * LPS


def brain_points() -> np.ndarray:
    return GRID.points_mm[evaluate_anatomy(GRID.points_mm.astype(np.float32)).labels > 0][::20]


def test_every_frame_is_brought_to_the_chosen_one(moved: Run) -> None:
    assert moved.status == 0, moved.stderr
    assert moved.stdout.startswith("4 of 5 frames are registered")
    summary = read_summary(moved)
    points = brain_points()
    for amplitude, frame in zip(AMPLITUDES_MM, summary["frames"], strict=True):
        assert frame["value"] == frame["number"] * STEP_S
        if amplitude is None:
            assert (frame["transform"], frame["problem"]) == (
                None,
                "The frame is empty; all its voxels have the value 0.",
            )
            continue
        found = transform(moved.output / frame["transform"], points)
        errors = np.linalg.norm(found - move(points, amplitude), axis=1)
        if amplitude:
            motion = np.linalg.norm(move(points, amplitude) - points, axis=1)
            assert errors.mean() < 0.7 * motion.mean(), frame["number"]
        else:
            assert errors.max() < 1e-4, "the chosen frame stays where it is"
    assert "frame 3: The frame is empty" in moved.stderr


def test_the_warped_series_keeps_grid_type_and_time(moved: Run, files: SeriesFiles) -> None:
    series, warped = sitk.ReadImage(str(files.nifti)), moved.image("warped.nii.gz")
    assert (warped.GetSize(), warped.GetPixelID()) == (series.GetSize(), series.GetPixelID())
    np.testing.assert_allclose(warped.GetSpacing(), series.GetSpacing(), rtol=1e-5)
    np.testing.assert_allclose(warped.GetOrigin(), series.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(warped.GetDirection(), series.GetDirection(), atol=1e-5)
    before, after = (sitk.GetArrayFromImage(image).astype(float) for image in (series, warped))
    np.testing.assert_array_equal(after[0], before[0])
    assert not after[3].any()
    for number in (1, 2, 4):
        assert np.abs(after[number] - before[0]).mean() < 0.8 * np.abs(before[number] - before[0]).mean()


def test_slicer_loads_the_transforms_as_a_sequence(moved: Run) -> None:
    scene = headless_application().scene
    with remove_new_nodes(scene):
        sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "loaded")
        storage = slicer.vtkMRMLSequenceStorageNode()
        scene.AddNode(storage)
        storage.SetFileName(str(moved.output / "transforms.seq.mrb"))
        assert storage.ReadData(sequence)
        values = [sequence.GetNthIndexValue(n) for n in range(sequence.GetNumberOfDataNodes())]
        assert [float(v) for v in values] == [0.0, 0.5, 1.0, 2.0]
        assert (sequence.GetIndexName(), sequence.GetIndexUnit()) == ("time", "s")
        points = brain_points()
        for number, frame in enumerate((0, 1, 2, 4)):
            found = transform_points(sequence.GetNthDataNode(number).GetTransformFromParent(), points)
            expected = transform(moved.output / f"transforms/frame_00{frame}.h5", points)
            # Slicer interpolates loaded grids by cubic splines.
            np.testing.assert_allclose(found, expected, atol=0.6)
            assert np.abs(found - expected).mean() < 0.1


def test_points_are_followed_over_time(moved: Run) -> None:
    with (moved.output / "points.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * len(AMPLITUDES_MM)
    for n, start in enumerate(POINTS_MM):
        own = [row for row in rows if row["point"] == f"P{n}"]
        assert [row["x"] == "" for row in own] == [a is None for a in AMPLITUDES_MM]
        for row in own[:3]:
            place = np.array([float(row[c]) for c in "xyz"])
            expected = transform(moved.output / f"transforms/frame_00{row['frame']}.h5", start[None])[0]
            np.testing.assert_allclose(place, expected, atol=1e-3)
            np.testing.assert_allclose(place - start, [float(row[f"d{c}"]) for c in "xyz"], atol=1e-3)
            assert float(row["distance_mm"]) == pytest.approx(np.linalg.norm(place - start), abs=1e-3)
        assert float(own[4]["time"]) == 2.0
    plot = ElementTree.fromstring((moved.output / "points.svg").read_text(encoding="utf-8"))
    kinds = [element.tag.rpartition("}")[2] for element in plot.iter()]
    assert (kinds.count("polyline"), kinds.count("circle")) == (6, 12), "a line ends where a frame is missing"
    texts = [element.text for element in plot.iter() if element.tag.endswith("text")]
    assert {"P0", "P1", "P2", "time, s", "distance, mm"} <= set(texts)


def test_a_sequence_of_slicer_goes_to_its_mean(files: SeriesFiles, tmp_path: Path) -> None:
    summary = register_series(files.nrrd, tmp_path / "out", rounds=1, model=quick_model.NAME, threads=1)
    assert [frame["value"] for frame in summary["frames"]] == [0.0, 0.5, 1.0, 2.0]
    assert "There is no frame at time 1.5 s." in summary["warnings"]
    mean = sitk.ReadImage(str(tmp_path / "out" / "mean.nii.gz"))
    assert mean.GetSize() == tuple(reversed(GRID.shape))
    points = brain_points()
    maps = [transform(tmp_path / "out" / frame["transform"], points) for frame in summary["frames"]]
    back = [move_back(m, a) for m, a in zip(maps, (0.0, 4.0, 8.0, 5.0), strict=True)]
    spread = np.linalg.norm(np.array(back) - np.mean(back, axis=0), axis=-1).mean()
    loaded = [move_back(points, a) for a in (0.0, 4.0, 8.0, 5.0)]
    assert spread < 0.6 * np.linalg.norm(np.array(loaded) - np.mean(loaded, axis=0), axis=-1).mean()


def test_points_of_ants_are_said_unless_the_user_calls_them_lps(tmp_path: Path) -> None:
    path, lines = tmp_path / "points.csv", []
    path.write_text("x,y,z,t,label\n1,2,3,0,a\n")
    scene = headless_application().scene
    assert read_series_points(scene, path, True, lines.append).positions_mm.tolist() == [[-1, -2, 3]]
    assert lines == []
    assert read_series_points(scene, path, False, lines.append).positions_mm.tolist() == [[1, 2, 3]]
    (line,) = lines
    assert line.startswith(f"{path}: points were read as RAS mm; those of ANTs")


def read_series(path: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Read the frames of a series: their values, and warnings."""
    lines: list[str] = []
    folder.mkdir()
    found = read_frames(headless_application().scene, [path], folder, lines.append)
    return [frame.value for frame in found.frames], lines


def test_what_the_header_of_a_series_says_of_its_frames_is_heeded(files: SeriesFiles, tmp_path: Path) -> None:
    content = bytearray(gzip.decompress(files.nifti.read_bytes()))
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(content) + bytes(GRID.shape[0] * GRID.shape[1] * GRID.shape[2] * 2))
    assert any("a.nii holds" in line for line in read_series(path, tmp_path / "surplus")[1])
    struct.pack_into("<f", content, 92, float("inf"))  # the time between frames
    path.write_bytes(content)
    assert read_series(path, tmp_path / "time")[0] == ["0", "1", "2", "3", "4"]
    struct.pack_into("<f", content, 112, 1e-30)  # the scale
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"frames that can be used, but there is none\. Frame 0: .*so small a scale"):
        read_series(path, tmp_path / "scale")
    path = path.rename(tmp_path / "a.mha")
    with pytest.raises(InputError, match="a series is one 4-D file"):
        read_series(path, tmp_path / "kind")


def test_points_that_were_not_placed_are_left_out_and_said(tmp_path: Path) -> None:
    """Slicer writes a position, mostly 0, 0, 0, for a point of a list that still waits for one."""
    points = [
        {"label": label, "position": place, "positionStatus": status}
        for label, place, status in (("a", [1, 2, 3], "defined"), ("b", [0, 0, 0], "undefined"))
    ]
    path, lines = tmp_path / "points.mrk.json", []
    markups = {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": points}
    path.write_text(json.dumps({"markups": [markups]}))
    found = read_series_points(headless_application().scene, path, False, lines.append)
    assert (found.names, found.positions_mm.tolist()) == (("a",), [[1, 2, 3]])
    assert lines == [f"{path}: 1 of 2 points were not placed, and are left out."]
    del points[0]
    path.write_text(json.dumps({"markups": [markups]}))
    with pytest.raises(InputError, match="there is no point that was placed in this file"):
        read_series_points(headless_application().scene, path, False, lines.append)


# Wrong series


def test_missing_frames_and_time_points_are_named(files: SeriesFiles, tmp_path: Path) -> None:
    assert find_missing_values([0, 1, 2, 5, 6]) == [3, 4]
    assert find_missing_values([0, 0.1, 0.2, 0.3]) == []
    assert find_missing_values([3, 1, 2]) == []
    frames = [files.folder / name for name in ("frame0.nii.gz", "frame7.nii.gz", "frame9.nii.gz")]
    with pytest.raises(InputError, match=r"frame 1: there is no file .*frame7.nii.gz; frame 2: there is no file"):
        register_series(frames, tmp_path / "out", frame=0)
    for series, options, message in (
        ([files.nifti], {"frame": 9}, "--frame 9: the series has the frames 0 to 4"),
        ([files.nifti], {"frame": 3}, "--frame 3: The frame is empty.* Choose another one"),
        ([files.nifti], {"frame": -1}, "frames are counted from 0"),
        ([files.folder / "frame0.nii.gz"], {"frame": 0}, "there is only one frame in it; name a 4-D file with more"),
        ([files.folder / "frame0.nii.gz", files.folder / "frame3.nii.gz"], {"frame": 0}, "a series needs 2 or more"),
        ([files.nifti], {"frame": 0, "is_lps": True}, "--lps is for the points of a CSV file"),
        ([files.nifti], {"frame": 0, "points": files.nifti}, r"points are read from \.csv or \.mrk\.json"),
        ([files.nifti], {"frame": 0, "rounds": 0}, "0 rounds are out of range"),
    ):
        with pytest.raises(InputError, match=message):
            register_series(series, tmp_path / "out", model=quick_model.NAME, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_frames_of_different_voxel_types_become_one_series(files: SeriesFiles, tmp_path: Path) -> None:
    """As a DICOM reader makes them: each frame has the type that its own values need."""
    image = sitk.ReadImage(str(files.folder / "frame1.nii.gz"))
    sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32) + 0.25, str(tmp_path / "float.nii.gz"))
    frames = [files.folder / "frame0.nii.gz", tmp_path / "float.nii.gz", files.folder / "frame0.nii.gz"]
    options: dict[str, Any] = {"model": quick_model.NAME, "threads": 1, "refine": "none"}
    summary = register_series(frames, tmp_path / "out", frame=0, **options)
    warped = sitk.ReadImage(str(tmp_path / "out" / "warped.nii.gz"))
    assert warped.GetPixelID() == sitk.sitkFloat32
    still, *_ = sitk.GetArrayFromImage(warped)
    np.testing.assert_array_equal(still, sitk.GetArrayFromImage(sitk.ReadImage(str(frames[0]))))
    assert summary["warnings"] == [f"{frames[0].resolve()}: this is named as the frames 0, 2."]
