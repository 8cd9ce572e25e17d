"""Transform files of text and MATLAB whose numbers do not fit their class: ITK reads them as other transforms."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.files.transform_parameters import check_transform_parameters

CENTER, SHIFT, AXIS = (10.0, 20.0, 30.0), (1.0, 2.0, 3.0), (1.0, 2.0, 2.0)
LINEAR = (
    sitk.AffineTransform([1.0, 0, 0, 0, 1, 0, 0.1, 0, 1], SHIFT, CENTER),
    sitk.Euler3DTransform(CENTER, 0.1, 0.2, 0.3, SHIFT),
    sitk.VersorTransform(AXIS, 0.1, CENTER),
    sitk.VersorRigid3DTransform(AXIS, 0.1, SHIFT, CENTER),
    sitk.Similarity3DTransform(1.5, AXIS, 0.1, SHIFT, CENTER),
    sitk.ScaleVersor3DTransform((1.0, 1, 2), AXIS, 0.1, SHIFT, CENTER),
    sitk.ScaleSkewVersor3DTransform((1.0, 1, 2), (0.0,) * 6, AXIS, 0.1, SHIFT, CENTER),
    sitk.ScaleTransform(3, (1.0, 1, 2)),
    sitk.TranslationTransform(3, SHIFT),
    sitk.Transform(3, sitk.sitkIdentity),
)
EULER = """#Insight Transform File V1.0
#Transform 0
Transform: Euler3DTransform_double_3_3
Parameters: 0.1 0.2 0.3 1 2 3
FixedParameters: 10 20 30 0
"""


@pytest.mark.parametrize("transform", LINEAR, ids=lambda t: t.GetName())
@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".mat"])
def test_what_itk_writes_is_sound(tmp_path: Path, transform: sitk.Transform, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteTransform(transform, str(path))
    check_transform_parameters(path)


def test_composites_and_grids_of_itk_are_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.tfm"
    spline = sitk.BSplineTransformInitializer(sitk.Image(8, 8, 8, sitk.sitkUInt8), [2, 2, 2])
    for transform in (sitk.CompositeTransform([LINEAR[0], LINEAR[1]]), spline):
        sitk.WriteTransform(transform, str(path))
        check_transform_parameters(path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("FixedParameters: 10 20 30 0\n", "", "lacks FixedParameters"),
        ("Parameters: 0.1 0.2 0.3 1 2 3\n", "", "lacks Parameters"),
        ("0.1 0.2 0.3", "0.1 0.2", "has 5 and 4 numbers, not 6"),
        ("0.1 0.2 0.3", "0.1 0.2 0.3 0.4", "has 7 and 4 numbers, not 6"),
        ("10 20 30 0", "10 20", "has 6 and 2 numbers"),
        ("0.1", "nan", "has what is no number"),
        ("0.1", "1e999", "has what is no number"),
        ("0.1", "1_000", "has what is no number"),
        ("0.1", "9" * 5000, "has what is no number"),
        ("0.1 ", "0,1 ", "has what is no number"),
        ("double_3_3", "double_2_2", "is not one of three dimensions"),
        ("#Transform 0\n", "what\n", "the line 'what'"),
        ("Fixed", "\xff\x00", "the line"),
        (EULER, "", "there is none"),
        ("#Transform 0", "Parameters: 1 2 3", "the line 'Parameters"),
    ],
)
def test_other_numbers_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "a.tfm"
    path.write_bytes(EULER.encode())
    check_transform_parameters(path)
    assert old in EULER
    path.write_bytes(EULER.replace(old, new).encode())
    with pytest.raises(InputError, match=says) as caught:
        check_transform_parameters(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [("VersorRigid3DTransform", "0.9 0.9 0.9 1 2 3"), ("VersorTransform", "1 1 0"),
     ("Similarity3DTransform", "0 0 2 1 2 3 1"), ("QuaternionRigidTransform", "0 0 0 2 1 2 3"),
     ("QuaternionRigidTransform", "0 0 0 0.5 1 2 3")],
)  # fmt: skip
def test_a_rotation_that_is_none_is_refused(tmp_path: Path, kind: str, numbers: str) -> None:
    path = tmp_path / "a.tfm"
    path.write_text(f"Transform: {kind}_double_3_3\nParameters: {numbers}\nFixedParameters: 0 0 0\n")
    with pytest.raises(InputError, match="has a rotation whose numbers have the length"):
        check_transform_parameters(path)


def matrix(name: str, numbers: list[float]) -> bytes:
    stored = name.encode() + b"\0"
    return struct.pack("<5i", 0, len(numbers), 1, 0, len(stored)) + stored + struct.pack(f"<{len(numbers)}d", *numbers)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (matrix("AffineTransform_double_3_3", [1.0] * 12), "lacks FixedParameters"),
        (matrix("AffineTransform_double_3_3", [1.0] * 11) + matrix("fixed", [0.0] * 3), "has 11 and 3 numbers"),
        (matrix("AffineTransform_double_3_3", [1.0] * 12) + matrix("fixed", [0.0] * 2), "has 12 and 2 numbers"),
        (matrix("AffineTransform_double_3_3", [float("inf")] * 12) + matrix("fixed", [0.0] * 3), "no number"),
        (matrix("AffineTransform_double_3_3", [1.0] * 12)[:-4], "no file of MATLAB 4"),
        (b"MATLAB 5.0 MAT-file" + bytes(200), "no file of MATLAB 4"),
        (struct.pack("<5i", 0, 1 << 30, 1 << 30, 0, 2) + b"a\0", "no file of MATLAB 4"),
    ],
)
def test_a_matlab_file_with_other_matrices_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        check_transform_parameters(path)
