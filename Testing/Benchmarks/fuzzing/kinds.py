"""The kinds of inputs: each makes one input in a folder and gives it to the library."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from LightRegistrationLib.core.files.landmark_table import read_landmarks
from LightRegistrationLib.core.models.cards import BUNDLED_MODELS_FOLDER, list_cards, read_card
from LightRegistrationLib.core.models.registry import load_student
from LightRegistrationLib.scene.files.segmentation_loading import load_mask, load_segmentation
from LightRegistrationLib.scene.files.volume_loading import load_volume
from LightRegistrationLib.scene.headless.application import headless_application
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node
from LightRegistrationLib.scene.nodes.volumes import volume_from_node
from LightRegistrationLib.training import configuration, configuration_file
from LightRegistrationLib.training.evaluation.pairs import COLUMNS, read_pairs

from .damage import STRANGE_NUMBERS, damage_binary, damage_text, damage_values
from .dicom import make_series
from .images import (  # fmt: skip
    META_TYPES,
    NIFTI_TYPES,
    MadeVolume,
    make_affine,
    make_shape,
    make_volume,
    meta_bytes,
    nifti_bytes,
    nrrd_bytes,
)
from .judging import Make, Wrong, check_line
from .shapes import read_damaged_segmentation, read_damaged_surface
from .tables import choose_structures, read_bids_folder, read_list_of_pairs, read_markups, read_point_table
from .transforms import read_damaged_transform, read_sound_transform

CONFIGS = Path(configuration.__file__).parent / "configs"
POSITION_TOLERANCE_MM = 0.01
"""NIfTI-1 holds seven digits, and positions are up to 10 m away."""


Writer = Callable[[MadeVolume, Random], bytes]
_WRITERS: dict[str, tuple[Writer, tuple[str, ...]]] = {
    "nii": (nifti_bytes, tuple(NIFTI_TYPES)),
    "nrrd": (nrrd_bytes, tuple(NIFTI_TYPES)),
    "mha": (meta_bytes, tuple(META_TYPES)),
}


def read_sound_volume(random: Random, folder: Path) -> None:
    """A volume as its file says: the same voxels and positions."""
    suffix = random.choice(list(_WRITERS))
    write, types = _WRITERS[suffix]
    volume = make_volume(random, types)
    content = write(volume, random)
    name = f"a.{suffix}"
    if suffix == "nii" and random.random() < 0.4:
        content, name = gzip.compress(content, 1), random.choice(("a.nii.gz", "a.nii"))
    (folder / name).write_bytes(content)
    if suffix == "nii":  # ITK reads what is not finite in a NIfTI file as 0
        volume = MadeVolume(np.nan_to_num(volume.array, nan=0, posinf=0, neginf=0), volume.affine)
    _compare(_load(folder / name), volume)


def read_sound_labels(random: Random, folder: Path) -> None:
    """A label map with values up to 2^32, as integers or floating-point numbers."""
    kind = random.choice(("uint8", "int16", "uint32", "int64", "uint64", "float64"))
    shape = tuple(max(n, 2) for n in make_shape(random))
    high = 1 << random.choice((3, 7, 15, 31, 32))
    if kind in ("uint8", "int16"):
        high = min(high, np.iinfo(kind).max)
    labels = np.zeros(shape, np.int64)
    labels[: shape[0] // 2 + 1, : shape[1] // 2 + 1] = random.randint(1, high)
    labels[:, :, 0] = random.randint(1, high)
    volume = MadeVolume(labels.astype(kind), make_affine(random))
    (folder / "a.nrrd").write_bytes(nrrd_bytes(volume, random))
    node = load_segmentation(headless_application().scene, folder / "a.nrrd", on_warning=check_line)
    found = segmentation_from_node(node)
    values = {segment.value for segment in found.segments}
    if values != set(np.unique(labels).tolist()) - {0}:
        raise Wrong(f"label values {sorted(values)} instead of {np.unique(labels)}")
    total = sum(int(found.mask(segment).sum()) for segment in found.segments)
    if total != int((labels != 0).sum()):
        raise Wrong(f"{total} labeled voxels instead of {(labels != 0).sum()}")


def read_damaged(suffix: str) -> Make:
    """Return a kind: a damaged image file, read as a volume, a segmentation or a mask."""

    def make(random: Random, folder: Path) -> None:
        write, types = _WRITERS[suffix]
        content = write(make_volume(random, types), random)
        if suffix == "nii":
            content = damage_binary(content, random, 352)
        else:
            mark = b"\n\n" if suffix == "nrrd" else b"LOCAL\n"
            content = damage_text(content, random, content.find(mark) + len(mark))
        name = f"a.{suffix}"
        if suffix == "nii" and random.random() < 0.3:
            content, name = gzip.compress(content, 1), "a.nii.gz"
            if random.random() < 0.3:
                content = damage_binary(content, random, len(content))
        (folder / name).write_bytes(content)
        _load_somehow(folder / name, random)

    return make


def read_sound_dicom(random: Random, folder: Path) -> None:
    """A DICOM series of slices, or one multi-frame file, as its headers say."""
    volume = MadeVolume(
        np.random.default_rng(random.getrandbits(32)).integers(-999, 999, (4, 5, 6), np.int16), _affine(random)
    )
    make_series(volume, random, folder / "s")
    _compare(_load(folder / "s"), volume)


def read_damaged_dicom(random: Random, folder: Path) -> None:
    """A DICOM series one of whose files is damaged."""
    volume = MadeVolume(np.random.default_rng(0).integers(-999, 999, (3, 4, 5), np.int16), _affine(random))
    file = random.choice(make_series(volume, random, folder / "s"))
    content = file.read_bytes()
    damage = damage_binary if random.random() < 0.7 else damage_text
    file.write_bytes(damage(content, random, len(content)))
    _load(folder / "s" if random.random() < 0.8 else file)


def read_card_file(random: Random, folder: Path) -> None:
    """A model whose card is damaged."""
    source = BUNDLED_MODELS_FOLDER / "general"
    content = (source / "card.json").read_bytes()
    if random.random() < 0.7:
        content = json.dumps(damage_values(json.loads(content), random)).encode()
    elif random.random() < 0.1:
        content = b"[" * 100_000
    else:
        content = damage_text(content, random, len(content))
    model = folder / "m"
    model.mkdir()
    (model / "card.json").write_bytes(content)
    (model / "weights.safetensors").symlink_to(source / "weights.safetensors")
    list_cards((folder,))
    load_student(read_card(model))


def read_table(random: Random, folder: Path) -> None:
    """A list of pairs or of landmarks, damaged."""
    for name in ("a.nii", "b.nii"):
        (folder / name).touch()
    kind = random.choice(("csv", "json", "landmarks"))
    values: Any = [dict(zip(COLUMNS, ("a.nii", "b.nii", "", "", "", f"x{n}", "g"), strict=True)) for n in range(3)]
    if kind == "json":
        deep = b'{"pairs":' + b"[" * 100_000 if random.random() < 0.03 else b""
        content = deep or json.dumps(damage_values({"pairs": values}, random)).encode()
        if random.random() < 0.3:
            content = damage_text(content, random, len(content))
        (folder / "p.json").write_bytes(content)
        read_pairs(folder / "p.json")
        return
    columns = [f"{role}_{axis}" for role in ("fixed", "moving") for axis in "xyz"]
    rows = [columns, *[["1", "2.5", "-3", "1e1", "0", "7"]] * 3]
    if kind == "csv":
        rows = [list(values[0]), *[list(map(str, row.values())) for row in values]]
    rows = [list(row) for row in rows]
    row = random.choice(rows)
    row[random.randrange(len(row))] = random.choice((*STRANGE_NUMBERS, "x" * 300, "..", "/", "a\nb", '"a'))
    content = "\n".join(",".join(row) for row in rows).encode()
    if random.random() < 0.5:
        content = damage_text(content, random, len(content))
    (folder / "p.csv").write_bytes(content)
    _ = read_pairs(folder / "p.csv") if kind == "csv" else read_landmarks(folder / "p.csv")


def read_configuration(random: Random, folder: Path) -> None:
    """A training configuration, damaged."""
    content = random.choice(sorted(CONFIGS.glob("*.toml"))).read_bytes()
    if random.random() < 0.5:
        lines = list(re.finditer(rb"(?m)^(\w+) = .*$", content))
        line = random.choice(lines)
        value = random.choice(
            ("nan", "inf", "-1", "0", "9" * 30, "true", "[]", "{}", '""', '"a\\u001b"', "[[]]", "[1, 'a']", "{a = 1}",
             "1979-05-27", "'../..'", "[" * 100_000)
        )  # fmt: skip
        content = content[: line.start()] + line[1] + b" = " + value.encode() + content[line.end() :]
    else:
        content = damage_text(content, random, len(content))
    (folder / "c.toml").write_bytes(content)
    configuration_file.load_config(folder / "c.toml")


KINDS: dict[str, Make] = {
    "sound volume": read_sound_volume,
    "sound labels": read_sound_labels,
    "sound DICOM": read_sound_dicom,
    "damaged NIfTI": read_damaged("nii"),
    "damaged NRRD": read_damaged("nrrd"),
    "damaged MetaImage": read_damaged("mha"),
    "damaged DICOM": read_damaged_dicom,
    "model card": read_card_file,
    "CSV or JSON table": read_table,
    "TOML configuration": read_configuration,
    "sound transform": read_sound_transform,
    "damaged transform": read_damaged_transform,
    "damaged segmentation": read_damaged_segmentation,
    "damaged surface": read_damaged_surface,
    "list of pairs": read_list_of_pairs,
    "BIDS folder": read_bids_folder,
    "point table": read_point_table,
    "markups": read_markups,
    "list of structures": choose_structures,
}


def _affine(random: Random) -> np.ndarray:
    """A geometry whose handedness a DICOM series can have."""
    affine = make_affine(random)
    return affine if np.linalg.det(affine[:3, :3]) > 0 else affine * (1, 1, -1, 1)


def _load(path: Path) -> MadeVolume:
    scene = headless_application().scene
    volume = volume_from_node(load_volume(scene, path, on_warning=check_line))
    return MadeVolume(volume.array, volume.affine)


def _load_somehow(path: Path, random: Random) -> None:
    scene = headless_application().scene
    kind = random.random()
    if kind < 0.8:
        _load(path)
    else:
        (load_segmentation if kind < 0.9 else load_mask)(scene, path, on_warning=check_line)


def _compare(found: MadeVolume, made: MadeVolume) -> None:
    """Raise Wrong if voxels or positions differ."""
    if found.array.shape != made.array.shape:
        raise Wrong(f"shape {found.array.shape} instead of {made.array.shape}")
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], [1], indexing="ij"), -1).reshape(-1, 4)
    corners = corners * [*(np.array(made.array.shape[::-1]) - 1), 1]
    distance = np.abs(corners @ (found.affine - made.affine).T).max()
    if distance > POSITION_TOLERANCE_MM:
        raise Wrong(f"up to {distance:.3f} mm away from its position")
    if not np.array_equal(found.array.astype(np.float64), made.array.astype(np.float64), equal_nan=True):
        raise Wrong("other voxel values")
