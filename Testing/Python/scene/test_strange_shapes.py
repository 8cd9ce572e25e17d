"""Damaged point lists and transforms that ended the process, or were read as others, before they were checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.files.saving import save_node
from LightRegistrationLib.scene.files.shapes import load_markups, read_control_points
from LightRegistrationLib.scene.files.transform_loading import load_linear_transform, load_transform_node

POINT = {"id": "1", "label": "F-1", "position": [1.0, 2.0, 3.0], "positionStatus": "defined"}
LIST = {"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": [POINT]}


def change(**values: Any) -> dict[str, Any]:
    return {"markups": [{**LIST, **values}]}


def change_point(**values: Any) -> dict[str, Any]:
    return change(controlPoints=[POINT, {**POINT, **values}])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"markups": [2]}, "no list 'markups' of tables"),
        ({"markups": []}, "no list 'markups' of tables"),
        ([], "no list 'markups' of tables"),
        ({"markups": [LIST, LIST]}, "2 lists of markups"),
        (change(type=0), "'type' has a wrong value"),
        ({"markups": [{"controlPoints": [POINT]}]}, "which type they have"),
        (change(controlPoints=None), "'controlPoints' has a wrong value"),
        (change(controlPoints=[3]), "'controlPoints' has a wrong value"),
        (change(coordinateSystem="XYZ"), "'XYZ', neither LPS nor RAS"),
        (change(coordinateUnits="cm"), "unit of length is 'cm'"),
        (change(display=[1]), "'display' has a wrong value"),
        (change(measurements=[{"name": 3}]), "'name' has a wrong value"),
        (change_point(position=[1.0, [], 3.0]), "'position' has a wrong value"),
        (change_point(position=[1.0, 2.0]), "'position' has a wrong value"),
        (change_point(position=[1.0, 2.0, 10**400]), "'position' has a wrong value"),
        (change_point(position=[1.0, 2.0, float("nan")]), "NaN is no number"),
        (change_point(label={}), "'label' has a wrong value"),
        (change_point(selected=1), "'selected' has a wrong value"),
        (change_point(orientation=[1.0]), "'orientation' has a wrong value"),
        (change_point(positionStatus="lost"), "point 2 has the status 'lost'"),
        (change(controlPoints=[{"id": "1"}]), "point 1 has no position"),
        (change(controlPoints=[]), "no point in this file"),
    ],
)
def test_markups_of_other_types_are_refused(scene, tmp_path: Path, content: Any, says: str) -> None:
    path = tmp_path / "a.mrk.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=says) as caught:
        load_markups(scene, path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"markups": [], "markups": []}', "\xff", '{"markups": [NaN]}'])
def test_markups_that_are_no_json_are_refused(scene, tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.mrk.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match="cannot be read as markups; it is damaged"):
        load_markups(scene, path)


@pytest.mark.parametrize("kind", ["Fiducial", "Line", "Angle", "Curve", "ClosedCurve", "Plane", "ROI"])
def test_markups_that_slicer_writes_are_read(scene, tmp_path: Path, kind: str) -> None:
    node = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", kind)
    for point in [(1, 2, 3), (4, -5, 6)][: 1 if kind in ("Plane", "ROI") else 2]:
        node.AddControlPoint(point)
    node.CreateDefaultDisplayNodes()
    save_node(node, tmp_path / "a.mrk.json")
    found = load_markups(scene, tmp_path / "a.mrk.json")
    np.testing.assert_allclose(read_control_points(found), read_control_points(node), atol=1e-6)


def test_a_cut_off_transform_is_not_read_as_the_identity(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.tfm"
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(path))
    path.write_text(path.read_text(encoding="utf-8").split("FixedParameters")[0])
    with pytest.raises(InputError, match=r"a\.tfm: the transform is damaged .* lacks FixedParameters"):
        load_linear_transform(scene, path)


@pytest.mark.parametrize("suffix", [".h5", ".nrrd", ".mha"])
def test_a_displacement_field_with_nan_is_refused(scene, tmp_path: Path, suffix: str) -> None:
    array = np.zeros((4, 4, 4, 3))
    array[1, 1, 1] = np.nan
    image = sitk.GetImageFromArray(array, isVector=True)
    path = tmp_path / f"a{suffix}"
    if suffix == ".h5":
        sitk.WriteTransform(sitk.DisplacementFieldTransform(image), str(path))
    else:
        sitk.WriteImage(image, str(path))
    with pytest.raises(InputError, match="not finite"):
        load_transform_node(scene, path)


def test_a_flat_initial_transform_names_its_file(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.tfm"
    sitk.WriteTransform(sitk.ScaleTransform(3, (1.0, 1.0, 0.0)), str(path))
    with pytest.raises(InputError, match=r"a\.tfm: .*flattens space"):
        load_linear_transform(scene, path)


def test_a_message_that_is_no_utf8_does_not_hide_the_error(scene, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    sitk.WriteTransform(sitk.AffineTransform(3), str(path))
    path.write_bytes(path.read_bytes().replace(b"AffineTransform_d", b"AffineTran\xff\xfeorm_d"))
    with pytest.raises(InputError, match=r"a\.mat: cannot be read as a transform"):
        load_transform_node(scene, path)
