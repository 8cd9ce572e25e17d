"""Points in CSV files: rows that decimal commas have cut and points of another coordinate system are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from LightRegistrationLib.commands.apply.shapes import read_points
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.files.landmark_table import LANDMARK_COLUMNS, read_landmarks

HEADER = ",".join(LANDMARK_COLUMNS)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "a.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("row", ["1,5,2,5,3,5,4,5,5,5,6,5", "1,2,3,4,5,6,7"])
def test_rows_longer_than_the_header_are_refused(tmp_path: Path, row: str) -> None:
    with pytest.raises(InputError, match=r"line 2: (12|7) fields where the header has 6 columns"):
        read_landmarks(write(tmp_path, HEADER, row))
    with pytest.raises(InputError, match=r"line 3: 6 fields where the header has 3 columns"):
        read_points(write(tmp_path, "x,y,z", "1,2,3", "1,5,2,5,3,5"))


def test_empty_fields_at_the_end_of_a_row_are_none(tmp_path: Path) -> None:
    assert read_landmarks(write(tmp_path, HEADER, "1,2,3,4,5,6,,")).tolist() == [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize("column", ["space", "coordinateSystem", "Coordinate System", "fixed_space"])
def test_points_of_another_coordinate_system_are_refused(tmp_path: Path, column: str) -> None:
    path = write(tmp_path, f"{HEADER},{column}", "1,2,3,4,5,6,ras", "1,2,3,4,5,6,LPS")
    with pytest.raises(InputError, match="line 3: the coordinate system is LPS, but points are read as RAS mm"):
        read_landmarks(path)
    path = write(tmp_path, f"x,y,z,{column}", "1,2,3,LPS")
    with pytest.raises(InputError, match="line 2: the coordinate system is LPS"):
        read_points(path)
    assert read_points(path, is_lps=True)[2].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("system", ["PIR", "asl", "LAI"])
def test_any_order_of_axes_names_a_coordinate_system(tmp_path: Path, system: str) -> None:
    with pytest.raises(InputError, match=f"the coordinate system is {system.upper()}, but points are read as RAS mm"):
        read_landmarks(write(tmp_path, f"{HEADER},space", f"1,2,3,4,5,6,{system}"))


def test_another_column_of_that_name_is_none_of_a_coordinate_system(tmp_path: Path) -> None:
    assert len(read_landmarks(write(tmp_path, f"{HEADER},system", "1,2,3,4,5,6,nervous"))) == 1
    assert len(read_landmarks(write(tmp_path, f"{HEADER},system", "1,2,3,4,5,6,RRS"))) == 1


def test_points_in_another_unit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3: the unit is cm, but points are read as mm; convert them"):
        read_landmarks(write(tmp_path, f"{HEADER},Unit", "1,2,3,4,5,6,mm", "1,2,3,4,5,6,cm"))
    with pytest.raises(InputError, match="line 2: the unit is µm"):
        read_points(write(tmp_path, "x,y,z,length_unit", "1,2,3,µm"))
    assert len(read_points(write(tmp_path, "x,y,z,units", "1,2,3,Millimeter", "1,2,3,"))[2]) == 2
