"""CT phantoms of a trunk and of head and neck, and model folders whose cards have coverage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models.cards import BUNDLED_MODELS_FOLDER, CARD_FILE

SPACING_MM = 5.0
AIR, LUNG, FAT, MUSCLE, ORGAN, BONE = -1000, -830, -100, 55, 90, 700

COVERS: dict[str, list[dict[str, Any]]] = {
    "abdomen-ct": [
        {
            "modality": "CT",
            "anatomy": "abdomen or pelvis",
            "narrow_mm": [150, 500],
            "narrowing_percent": [0, 35],
            "air_percent": [0, 18],
        }
    ],
    "lung-ct": [
        {
            "modality": "CT",
            "anatomy": "chest",
            "narrow_mm": [120, 450],
            "narrowing_percent": [0, 35],
            "air_percent": [10, 65],
        }
    ],
    "head-neck-ct": [
        {
            "modality": "CT",
            "anatomy": "head and neck",
            "narrow_mm": [80, 210],
            "narrowing_percent": [12, 75],
            "air_percent": [1, 25],
        }
    ],
    "general": [{"modality": "any", "anatomy": "any part of the body"}],
}


def add_model(folder: Path, name: str, **changes: object) -> Path:
    """A model folder with the bundled student's weights; `None` leaves a key of its card out."""
    target = folder / name
    shutil.copytree(BUNDLED_MODELS_FOLDER / "brain-mri", target)
    card = {**json.loads((target / CARD_FILE).read_text(encoding="utf-8")), **changes}
    (target / CARD_FILE).write_text(json.dumps({key: value for key, value in card.items() if value is not None}))
    return target


def trunk(height_mm: float, lung_share: float, size: float = 1.0, seed: int = 0) -> Volume:
    """A trunk on a couch: fat around muscle, a spine, bowel gas, and lungs in the upper part of the height."""
    z, y, x = _grid(height_mm, 450)
    x, y = x / size, y / size
    values = np.full(z.shape, AIR, np.float32)
    values[_ellipse(x, y, 175, 120)] = FAT
    values[_ellipse(x, y, 155, 102)] = MUSCLE
    values[_ellipse(x, y + 75, 20, 20)] = BONE
    values[_ellipse(x - 30, y - 30, 14, 14) & (z < 60)] = AIR
    is_chest = z > height_mm * (1 - lung_share)
    for side in (-75, 75):
        values[_ellipse(x - side, y - 5, 58, 78) & is_chest] = LUNG
    values[(np.abs(y * size + 150) < 6) & (np.abs(x) < 200)] = -300
    return _scan(values, seed)


def head_and_neck(seed: int = 0) -> Volume:
    """Shoulders with the tips of the lungs, a neck with an airway, and a head with skull and sinuses."""
    z, y, x = _grid(340, 520)
    values = np.full(z.shape, AIR, np.float32)
    width = np.interp(z, [0, 90, 120, 170, 200, 290, 340], [215, 200, 62, 62, 78, 78, 30])
    depth = np.interp(z, [0, 90, 120, 170, 200, 290, 340], [105, 100, 65, 70, 98, 98, 40])
    values[(x / width) ** 2 + (y / depth) ** 2 < 1] = FAT
    values[(x / (width - 10)) ** 2 + (y / (depth - 10)) ** 2 < 1] = MUSCLE
    skull = ((x / 72) ** 2 + (y / 90) ** 2 + ((z - 260) / 72) ** 2) ** 0.5
    values[(skull < 1) & (skull > 0.92)] = BONE
    values[_ellipse(x, y - 15, 10, 10) & (z < 230)] = AIR
    values[_ellipse(x, y - 60, 25, 18) & (z > 200) & (z < 235)] = AIR
    for side in (-70, 70):
        values[(((x - side) / 45) ** 2 + (y / 55) ** 2 + (z / 70) ** 2) < 1] = LUNG
    return _scan(values, seed)


def _grid(height_mm: float, width_mm: float) -> tuple[np.ndarray, ...]:
    across = np.arange(-width_mm / 2, width_mm / 2, SPACING_MM)
    return tuple(np.meshgrid(np.arange(0, height_mm, SPACING_MM), across[10:-10], across, indexing="ij"))


def _ellipse(x: np.ndarray, y: np.ndarray, a: float, b: float) -> np.ndarray:
    return (x / a) ** 2 + (y / b) ** 2 < 1


def _scan(values: np.ndarray, seed: int) -> Volume:
    noise = np.random.default_rng(seed).normal(scale=25, size=values.shape)
    return Volume(
        np.clip(values + noise, -1024, 3071).astype(np.int16), np.diag([SPACING_MM] * 3 + [1.0]), f"ct {seed}"
    )
