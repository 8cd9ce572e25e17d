"""Brings atlases onto the grid of a target; what is kept of each lies in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.geometry.volume import Volume
from ...core.label_fusion.fusion import make_image
from ...core.models.registry import ModelRegistry
from ...core.result.progress import ignore_progress
from ...core.result.settings import RegistrationSettings
from ...worker.protocol import RegistrationRequest
from ...worker.task import run_request
from .request import MIN_ATLASES
from .scans import LabeledScans, map_array

OnAtlas = Callable[[int], None]
"""Called with the number of atlases that have been registered."""


@dataclass(frozen=True, eq=False)
class WarpedAtlas:
    """An atlas on the target's grid: its index in the list, image and numbers of structures (k, j, i), memory-mapped.

    model: with which it was registered. warnings: of the registration.
    """

    index: int
    image: NDArray[np.float32]
    labels: NDArray
    model: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class WarpedAtlases:
    """The atlases that could be registered, and why others could not, by their index."""

    atlases: tuple[WarpedAtlas, ...]
    failures: dict[int, str]

    @property
    def images(self) -> list[NDArray[np.float32]]:
        """The warped images."""
        return [atlas.image for atlas in self.atlases]

    @property
    def labels(self) -> list[NDArray]:
        """The warped labels, as numbers of structures."""
        return [atlas.labels for atlas in self.atlases]


def warp_atlases(
    target: Volume,
    scans: LabeledScans,
    chosen: Sequence[int],
    settings: RegistrationSettings,
    registry: ModelRegistry,
    folder: Path,
    on_atlas: OnAtlas,
) -> WarpedAtlases:
    """Register the chosen scans to the target, and warp their images and labels.

    An atlas that cannot be registered is left out. Raises InputError if fewer than two are left.
    """
    warped, failures = [], {}
    for done, index in enumerate(chosen, 1):
        try:
            warped.append(_warp(target, scans, index, settings, registry, folder))
        except InputError as error:
            failures[index] = str(error)
        on_atlas(done)
    if len(warped) < MIN_ATLASES:
        reason = next(iter(failures.values()))
        what = "none" if not warped else "only one"
        raise InputError(
            f"Of {len(chosen)} atlases {what} could be registered to {target.name}; the first error: {reason}"
        )
    return WarpedAtlases(tuple(warped), failures)


def _warp(
    target: Volume,
    scans: LabeledScans,
    index: int,
    settings: RegistrationSettings,
    registry: ModelRegistry,
    folder: Path,
) -> WarpedAtlas:
    request = RegistrationRequest(
        target, scans.scans[index].image, settings, moving_segmentation=scans.number_labels(index)
    )
    reply = run_request(registry, request, ignore_progress)
    assert reply.warped_segmentation is not None
    image = map_array(make_image(reply.warped.array), folder / f"{index}-image.npy")
    labels = map_array(reply.warped_segmentation.layers[0], folder / f"{index}-labels.npy")
    return WarpedAtlas(index, image, labels, reply.result.model, tuple(reply.report["warnings"]))
