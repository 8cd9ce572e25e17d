from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from LightRegistrationLib.training.label_maps import CLASS_COUNT


@pytest.fixture
def toy_brains(tmp_path: Path) -> Path:
    """A data folder of three tiny subjects, 16x16x16 voxels of 6 mm, whose tissue fractions are already prepared."""
    rng = np.random.default_rng(5)
    fractions = np.zeros((3, CLASS_COUNT, 16, 16, 16), np.uint8)
    points = np.stack(np.meshgrid(*[np.arange(16) - 7.5] * 3, indexing="ij"))
    for subject in fractions:
        shift = rng.uniform(-1, 1, (3, 1, 1, 1))
        radius = np.sqrt((((points - shift) / rng.uniform(0.85, 1.15, (3, 1, 1, 1))) ** 2).sum(0))
        tissue = np.digitize(radius, [2.0, 4.5, 6.5, 7.2])
        for layer, label in enumerate((5, 0, 1, 14)):
            subject[label][tissue == layer] = 255
    data = tmp_path / "data"
    data.mkdir()
    for name in "abc":
        (data / f"{name}.nii.gz").touch()
    (tmp_path / "cache").mkdir()
    np.save(tmp_path / "cache" / "fractions_6mm_3.npy", fractions)
    return data


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
