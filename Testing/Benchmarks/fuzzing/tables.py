"""Made-up lists of pairs for `batch` and `evaluate`, point lists, and lists of structures."""

from __future__ import annotations

import contextlib
import csv
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from LightRegistrationLib.commands.apply.shapes import read_points, write_points
from LightRegistrationLib.commands.batch.bids import list_bids_pairs
from LightRegistrationLib.commands.batch.plan import Shape, arrange_pairs
from LightRegistrationLib.commands.files.bids_names import make_derivative_names
from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.files.landmark_table import LANDMARK_COLUMNS, read_landmarks
from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.scene.files.shapes import load_markups, read_control_points
from LightRegistrationLib.scene.headless.application import headless_application
from LightRegistrationLib.training.evaluation.pairs import read_pairs
from LightRegistrationLib.worker.guidance import select_segments

from .damage import STRANGE_NUMBERS, damage_text, damage_values
from .judging import Wrong

_NAMES = (
    "a.nii", "b.nii.gz", "c d.mha", "é.nrrd", "e/f.nii", "x" * 200 + ".nii", "漢" * 60 + ".nii", "...nii", "-.nii",
    "a;b.nii", "a,b.nii", "a'b\".nii", "CON.nii", "sub-01_T1w.nii.gz", "sub-01_ses-2_T1w.nii", "f.NII", ".hidden.nii",
)  # fmt: skip
_IDS = (
    "", "a", "..", "../../x", "/etc/x", "...", ".", "a/b", "a\\b", "漢" * 200, "x" * 300, "a\nb", "\x1b[31m", "-rf",
    "~", "%s", "CON", " ", "é", "a:b",
)  # fmt: skip
_OTHER_COLUMNS = ((), ("id",), ("group",), ("id", "group"), ("fixed_labels", "moving_labels"), ("fixed_labels",))


def read_list_of_pairs(random: Random, folder: Path) -> None:
    """A list for `batch` and `evaluate`: each pair has a folder of its own, which lies in that of the results."""
    chosen = random.sample(_NAMES, 4)
    for name in chosen:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    columns = ["fixed", "moving", *random.choice(_OTHER_COLUMNS)]
    rows = [columns]
    for _ in range(random.randint(1, 4)):
        cells = {"id": random.choice(_IDS), "group": random.choice(_IDS)}
        rows.append([cells.get(column) or random.choice(chosen) for column in columns])
    path = _write_rows(random, folder, rows)
    for shape in Shape:
        pairs = arrange_pairs(read_pairs(path), shape)
        _check_folders(folder / "results", [pair.name for pair in pairs])
    for pair in pairs:
        with contextlib.suppress(InputError):  # most names are not made as BIDS has them
            _check_inside(folder, make_derivative_names(pair.fixed, pair.moving).transform)


def read_bids_folder(random: Random, folder: Path) -> None:
    """A BIDS folder with strange names: what is written for each pair lies in the folder of the results."""
    (folder / "dataset_description.json").write_text("{}")
    strange = ("..", "a-b", "é", "", "x" * 90, "a.b", "01_ses-..")
    for _ in range(random.randint(2, 6)):
        subject, label = ("01" if random.random() < 0.7 else random.choice(strange) for _ in range(2))
        entities = random.choice(("", "_ses-2", "_acq-a", "_acq-A", "_run-1_run-2", "_space-x", "_x"))
        place = folder / f"sub-{subject}" / random.choice(("anat", "anat", "ses-2/anat", "func"))
        place.mkdir(parents=True, exist_ok=True)
        suffix = random.choice(("_T1w", "_T1w", "_T2w", "", "_é"))
        (place / f"sub-{label}{entities}{suffix}{random.choice(('.nii.gz', '.nii', ''))}").touch()
    filters = [random.choice(("suffix=T1w", "suffix=T1w", "session=2", "=", "acq=a", "suffix", "x=y", "sub=01"))]
    shape = random.choice(list(Shape))
    pairs = arrange_pairs(list_bids_pairs(folder, filters, None, shape), shape)
    _check_folders(folder / "results", [pair.name for pair in pairs])
    for pair in pairs:
        _check_inside(folder / "results", make_derivative_names(pair.fixed, pair.moving).transform)


def read_point_table(random: Random, folder: Path) -> None:
    """A CSV file of points for `apply`, or of landmarks: read as it is, written again as it was, or refused."""
    is_apply = random.random() < 0.5
    columns = ["x", "y", "z"] if is_apply else list(LANDMARK_COLUMNS)
    others = ["label", "note"][: random.randrange(3)] if is_apply else []
    points = [[random.uniform(-1000, 1000) for _ in columns] for _ in range(random.randint(1, 5))]
    rows = [columns + others, *([*map(repr, point), *(["a, b"] * len(others))] for point in points)]
    order = random.sample(range(len(rows[0])), len(rows[0])) if random.random() < 0.5 else list(range(len(rows[0])))
    rows = [[row[n] for n in order] for row in rows]
    if random.random() < 0.4:
        path = folder / "p.csv"
        _write_csv(path, rows)
        _compare(_read_points(path, is_apply, folder), points)
        return
    row = random.choice(rows)
    row[random.randrange(len(row))] = random.choice((*STRANGE_NUMBERS, "1,5", "1;5", "٣", "1 2"))
    found = _read_points(_write_rows(random, folder, rows), is_apply, folder)
    if not np.isfinite(found).all():
        raise Wrong("points that are not finite")


def read_markups(random: Random, folder: Path) -> None:
    """A .mrk.json file of Slicer, sound or damaged: its points are read as they are, or it is refused."""
    points = [[random.uniform(-1000, 1000) for _ in range(3)] for _ in range(random.randint(1, 4))]
    system = random.choice(("LPS", "RAS"))
    value: Any = {
        "@schema": "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
        "markups-schema-v1.0.3.json#",
        "markups": [
            {
                "type": random.choice(("Fiducial", "Curve", "ClosedCurve")),
                "coordinateSystem": system,
                "coordinateUnits": "mm",
                "locked": False,
                "labelFormat": "%N-%d",
                "lastUsedControlPointNumber": len(points),
                "controlPoints": [
                    {
                        "id": str(n),
                        "label": f"F-{n}",
                        "description": "",
                        "associatedNodeID": "",
                        "position": point,
                        "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
                        "selected": True,
                        "locked": False,
                        "visibility": True,
                        "positionStatus": "defined",
                    }
                    for n, point in enumerate(points)
                ],
                "measurements": [{"name": "length", "enabled": False, "units": "mm", "printFormat": "%-#4.4g%s"}],
                "display": {"visibility": True, "opacity": 1.0, "color": [0.4, 1.0, 1.0], "glyphType": "Sphere3D"},
            }
        ],
    }
    path = folder / random.choice(("p.mrk.json", "p.mrk.json", "p.mrk.json", "p.fcsv", "p.json"))
    is_sound = random.random() < 0.3 and path.name == "p.mrk.json"
    if is_sound:
        content = json.dumps(value).encode()
    else:
        content = b"[" * 100_000 if random.random() < 0.01 else json.dumps(damage_values(value, random)).encode()
        content = damage_text(content, random, len(content)) if random.random() < 0.4 else content
    path.write_bytes(content)
    found = read_control_points(load_markups(headless_application().scene, path))
    if is_sound:
        _compare(found, np.array(points) * ([-1, -1, 1] if system == "LPS" else [1, 1, 1]))
    elif not np.isfinite(found).all() or (np.abs(found).sum(1) == 0).any():
        raise Wrong(f"points that the file does not have: {found.tolist()}")


def choose_structures(random: Random, folder: Path) -> None:
    """A list of structures to preserve: each name or value means the one structure that has it, or is refused."""
    names = ["liver", "Liver", "1", "2", "", "a\nb", "\x1b[31m", "x" * 300, "é"]
    values = random.sample([1, 2, 3, 255, -1, (1 << 31) - 1], 4)
    segments = tuple(Segment(random.choice(names), value) for value in values)
    labels = np.array(values, np.int64).reshape(1, 2, 2).repeat(2, 0)
    segmentation = Segmentation((labels,), np.eye(4), segments, "s")
    wanted = [random.choice([*names, *map(str, values), "nan", "-", "0", "+1", " 1"]) for _ in range(3)]
    for segment in select_segments(segmentation, wanted).segments:
        if segment.name not in wanted and str(segment.value) not in wanted:
            raise Wrong(f"{segment} is not in {wanted}")


def _write_rows(random: Random, folder: Path, rows: list[list[str]]) -> Path:
    """Write a table as CSV, sometimes damaged, or now and then as JSON."""
    if random.random() < 0.2:
        path = folder / "p.json"
        path.write_text(json.dumps({"pairs": [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]}))
        return path
    path = folder / "p.csv"
    _write_csv(path, rows)
    if random.random() < 0.3:
        content = path.read_bytes()
        path.write_bytes(damage_text(content, random, len(content)))
    return path


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)


def _read_points(path: Path, is_apply: bool, folder: Path) -> np.ndarray:
    """Read points (n, 3) or landmarks (n, 6); points are also written again and compared."""
    if not is_apply:
        return read_landmarks(path).reshape(-1, 6)
    header, rows, points = read_points(path)
    write_points(folder / "again.csv", header, rows, points)
    again = read_points(folder / "again.csv")
    if again[0] != header or len(again[1]) != len(rows) or np.abs(again[2] - points).max() > 1e-5:
        raise Wrong("points are written otherwise than they were read")
    return points


def _compare(found: np.ndarray, points: Any) -> None:
    if found.shape != np.shape(points) or np.abs(found - points).max() > 1e-4:
        raise Wrong(f"{found.tolist()} instead of {points}")


def _check_folders(results: Path, names: list[str]) -> None:
    """Raise Wrong unless each name can be made a folder of its own in the folder of the results."""
    if len({name.casefold() for name in names}) < len(names):
        raise Wrong(f"two pairs with one name: {names}")
    for name in names:
        _check_inside(results, name)
        if (results / name).parent != results:
            raise Wrong(f"{name!r} is not one name")
        (results / name).mkdir(parents=True)
    for name in names:
        (results / name).rmdir()


def _check_inside(folder: Path, name: str) -> None:
    if not name or not (folder / name).resolve().is_relative_to(folder.resolve()) or (folder / name) == folder:
        raise Wrong(f"{name!r} does not lie in the folder of the results")
