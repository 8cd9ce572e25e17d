"""Values refuse wrong input in one line, and are immutable."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation, Volume
from LightRegistrationLib.core.result.settings import RegistrationSettings

SHEARED = np.array([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Volume(np.zeros((4, 4)), np.eye(4), "scan"), r"scan: a 3-D scalar volume is needed.*\(4, 4\)"),
        (lambda: Volume(np.zeros((4, 0, 4)), np.eye(4), "scan"), r"scan: .*shape \(4, 0, 4\)"),
        (lambda: Volume(np.full((2, 2, 2), np.nan), np.eye(4), "scan"), "scan: .*no finite value"),
        (lambda: Volume(np.zeros((2, 2, 2)), np.diag([1, 0, 1, 1]), "scan"), "scan: .*zero spacing"),
        (lambda: Volume(np.zeros((2, 2, 2)), np.ones((4, 4)), "scan"), "scan: .*same way"),
        (lambda: Volume(np.zeros((2, 2, 2), complex), np.eye(4), "scan"), "scan: .*complex"),
        (lambda: Segmentation.from_labels(np.full((2, 2, 2), 0.5), np.eye(4), "labels"), "labels: not a label map"),
        (lambda: Segmentation((), np.eye(4), (), "labels"), "labels: the segmentation is empty"),
        (lambda: Segmentation((np.zeros((2, 2, 2), int),), np.eye(4), (Segment("a", 1, 3),)), "layer"),
        (lambda: AffineTransform(np.diag([1, 1, 0, 1])), "flattens"),
        (lambda: DisplacementField(np.zeros((2, 2, 2)), np.eye(4)), r"\(k, j, i, 3\)"),
        (lambda: DisplacementField(np.zeros((2, 2, 2, 3)), SHEARED), "orthogonal"),
        (lambda: DisplacementField(np.full((2, 2, 2, 3), np.inf), np.eye(4)), "not finite"),
        (lambda: RegistrationSettings(cascades=4), "1 to 3 cascades, not 4"),
        (lambda: RegistrationSettings(initial="magic"), "Unknown initial alignment 'magic'"),
        (lambda: RegistrationSettings(threads=0), "one thread"),
    ],
)
def test_wrong_input_is_refused_in_one_line(make, words):
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_values_are_read_only():
    volume = Volume(np.zeros((2, 3, 4)), np.eye(4))
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 0] = 2


def test_corners_are_the_outer_edges_of_the_voxels():
    geometry = Geometry((2, 3, 4), np.diag([2.0, 3.0, 4.0, 1.0]))
    corners = geometry.corners_mm
    assert corners.min(0).tolist() == [-1, -1.5, -2]
    assert corners.max(0).tolist() == [7, 7.5, 6]


def test_voxel_centers_are_contained_and_points_beyond_the_edges_are_not():
    geometry = Geometry((2, 3, 4), np.diag([2.0, 3.0, 4.0, 1.0]))
    points = geometry.points_mm
    assert points.shape == (2, 3, 4, 3)
    assert points[1, 2, 3].tolist() == [6, 6, 4]
    assert geometry.contains(points).all()
    assert geometry.contains([[6.9, 0, 0], [7.1, 0, 0], [-0.9, 0, 0], [0, 0, -2.1]]).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_a_field_maps_points_between_its_nodes_and_repeats_its_border():
    array = np.zeros((2, 2, 2, 3))
    array[:, :, 1, 0] = 4.0
    field = DisplacementField(array, np.diag([10.0, 10.0, 10.0, 1.0]))
    mapped = field([[0, 0, 0], [5, 5, 5], [10, 0, 0], [50, 0, 0]])
    assert mapped[:, 0].tolist() == [0, 7, 14, 54]


def test_modules_for_the_slicer_process_do_not_import_torch():
    modules = [
        "errors",
        "geometry.geometry",
        "geometry.volume",
        "geometry.transforms",
        "result.result",
        "report.build",
        "models.cards",
    ]
    code = "import sys\n" + "".join(f"import LightRegistrationLib.core.{m}\n" for m in modules)
    code += "assert not [m for m in sys.modules if m.split('.')[0] == 'torch']"
    subprocess.run([sys.executable, "-c", code], check=True)
