"""Pairs of images synthesized from label maps that a model was not trained on, as files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from torch import Tensor

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.training import configuration, configuration_file
from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.evaluation.files import to_sitk_image
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair
from LightRegistrationLib.training.sources import LabelMapSourceConfig, SourceConfig

CONFIGS = Path(configuration.__file__).parent / "configs"
EVERY_STRUCTURE = 99
AIR_HU = -1000


def synthesized_pairs(
    config: Path, data: Path, folder: Path, group: str, count: int = 10, seed: int = 1
) -> list[EvaluationPair]:
    """Draw pairs from the [[validation]] sources of a configuration, in turn, and write them into a folder.

    The images are the network's input (with noise): in Hounsfield units where the configuration has a window of
    intensities, else from 0 to 1000. The labels are the structure with more than half of a voxel. The same seed draws
    the same pairs. Raises InputError if the configuration is missing or has no such source.
    """
    if not config.is_file():
        raise InputError(f"there is no configuration {config.name} yet.")
    settings = configuration_file.load_config(config)
    if not settings.validation:
        raise InputError(f"{config.name} has no [[validation]] source.")
    rule = IntensityNormalization(**getattr(settings, "intensity", {}))
    spacing_mm = settings.stages[-1].spacing_mm
    return write_pairs(settings.validation, rule, spacing_mm, data, folder, group, count, seed)


def write_pairs(
    sources: tuple[SourceConfig, ...],
    rule: IntensityNormalization,
    spacing_mm: float,
    data: Path,
    folder: Path,
    group: str,
    count: int,
    seed: int,
) -> list[EvaluationPair]:
    """Draw pairs from sources, in turn, and write them into a folder; see `synthesized_pairs`. Raises InputError."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = _draw(sources, data, folder / "cache", spacing_mm, count, seed)
    pairs = []
    for number, (pair, spacing_mm) in enumerate(drawn):
        images = {"fixed": with_units(pair.fixed, rule), "moving": with_units(pair.moving, rule)}
        for role, memberships in (("fixed", pair.fixed_labels), ("moving", pair.moving_labels)):
            if memberships is None:
                raise InputError("a source draws no labels.")
            images[f"{role}_labels"] = label_map(memberships)
        files = {role: _write(image, spacing_mm, folder / f"{number}_{role}.nii.gz") for role, image in images.items()}
        pairs.append(EvaluationPair(f"{group}_{number}", group=group, **files))
    return pairs


def _draw(
    sources: tuple[SourceConfig, ...], data: Path, cache: Path, spacing_mm: float, count: int, seed: int
) -> Iterator[tuple[Pair, float]]:
    """Draw pairs, each with the spacing of its grid."""
    opened = []
    for source in sources:
        every = replace(source, labels=EVERY_STRUCTURE) if isinstance(source, LabelMapSourceConfig) else source
        opened.append((every.open(data, cache, source.spacing_mm or spacing_mm), source.spacing_mm or spacing_mm))
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        source, spacing = opened[number % len(opened)]
        yield source.draw(generator), spacing


def with_units(image: Tensor, rule: IntensityNormalization) -> NDArray[np.int16]:
    """Convert an image (1, 1, D, H, W) in [0, 1] to scanner units: the inverse of an intensity rule."""
    values = image[0, 0].numpy()
    if rule.kind != "window":
        return np.round(1000 * values).astype(np.int16)
    # Voxels below the window are air nearly everywhere, and models recognize CT by its air.
    return np.where(values <= 0, AIR_HU, np.round(rule.low + values * (rule.high - rule.low))).astype(np.int16)


def label_map(memberships: Tensor) -> NDArray[np.uint8]:
    """Find the number (from 1) of the structure with more than half of each voxel, (1, L, D, H, W) -> (D, H, W)."""
    share, structure = memberships[0].max(0)
    return torch.where(share > 0.5, structure + 1, 0).numpy().astype(np.uint8)


def _write(array: NDArray, spacing_mm: float, path: Path) -> Path:
    sitk.WriteImage(to_sitk_image(Volume(array, homogeneous(spacing_mm * np.eye(3), (0, 0, 0)))), str(path))
    return path
