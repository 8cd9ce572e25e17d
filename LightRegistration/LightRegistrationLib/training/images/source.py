"""Source of training pairs of real images: two aligned scans, in random poses and with random variation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...core.errors import InputError
from ...core.network.flows import sample, voxel_grid
from ..data.augmentation import bias_field, cut_field_of_view, elastic_flow, random_gamma, random_matrix, uniform
from ..data.pairs import Pair
from ..data.scans import Scan
from .preparation import PreparedScan, prepare_images
from .settings import ImageSettings, ImageVariation

_LARGEST_CUT = 0.2
"""Largest share of an axis that a cut removes; chosen, not measured."""


class ImageSource:
    """Draws pairs of affinely aligned real images, each with a random pose and a random elastic deformation.

    The labels of a pair are one-hot in the order of `structures`; a structure that a scan lacks is 0 everywhere.
    """

    def __init__(
        self,
        scans: Sequence[PreparedScan],
        structures: Sequence[int],
        shape: tuple[int, int, int],
        spacing_mm: float,
        pairs: str,
        variation: ImageVariation,
    ) -> None:
        self.scans = tuple(scans)
        self.structures = tuple(structures)
        self.shape = shape
        self.spacing_mm = spacing_mm
        self.variation = variation
        self.partners = _partners([scan.subject for scan in scans], pairs)

    @classmethod
    def open(cls, settings: ImageSettings, scans: Sequence[Scan], cache: Path, spacing_mm: float) -> ImageSource:
        """Prepare the scans, or read them from the cache where settings and files are unchanged.

        Raises InputError, naming the file, for scans that cannot be used together.
        """
        if not any(_partners([scan.subject for scan in scans], settings.pairs)):
            raise InputError(f"{scans[0].image.parent}: no two scans make a pair with pairs = '{settings.pairs}'.")
        images = prepare_images(settings, scans, cache, spacing_mm)
        return cls(images.scans, images.structures, images.shape, images.spacing_mm, settings.pairs, settings.variation)

    def draw(self, generator: torch.Generator) -> Pair:
        """Draw a pair (N = 1); all that is random comes from the generator."""
        v = self.variation
        candidates = [n for n, partners in enumerate(self.partners) if partners]
        first = candidates[int(torch.randint(len(candidates), (), generator=generator))]
        partners = self.partners[first]
        second = partners[int(torch.randint(len(partners), (), generator=generator))]
        pose = random_matrix(v.rotation, v.scaling, v.shift_mm, generator)
        residual = random_matrix(v.residual_rotation, v.residual_scaling, v.residual_shift_mm, generator)
        if uniform(generator) < v.flip:
            pose = pose @ torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
        fixed = self._render(self.scans[first], pose, generator)
        moving = self._render(self.scans[second], pose @ residual, generator)
        return Pair(fixed[0], moving[0], fixed[1], moving[1], fixed[2], moving[2])

    def _render(
        self, scan: PreparedScan, pose: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The network's input, the image without noise, and the one-hot labels."""
        v = self.variation
        points = self._sampling_points(pose, generator)
        clean = _sample_at(scan.image.float(), scan.to_image, points)
        image = random_gamma(clean, v.gamma, generator) * bias_field(self.shape, v.bias, generator)
        image = image + v.noise * uniform(generator) * torch.randn(clean.shape, generator=generator)
        image = cut_field_of_view(image.clamp(0, 1), v.cut, _LARGEST_CUT, generator)
        if not self.structures:
            return image, clean, None
        if scan.labels is None:
            return image, clean, torch.zeros(1, len(self.structures), *self.shape)
        one_hot = torch.stack([scan.labels == value for value in self.structures]).float()[None]
        return image, clean, _sample_at(one_hot, scan.to_labels, points)

    def _sampling_points(self, pose: Tensor, generator: torch.Generator) -> Tensor:
        """Where to sample for each voxel of the grid, (1, 3, D, H, W), voxels of the grid."""
        grid = voxel_grid(self.shape, torch.device("cpu"))
        center = ((torch.tensor(self.shape[::-1], dtype=torch.float32) - 1) / 2).view(1, 3, 1, 1, 1)
        moved = torch.einsum("ab,nbdhw->nadhw", pose[:3, :3], grid - center)
        shift = (pose[:3, 3] / self.spacing_mm).view(1, 3, 1, 1, 1)
        return (
            moved
            + shift
            + center
            + elastic_flow(self.shape, self.spacing_mm, self.variation.elastic_mm, self.variation.node_mm, generator)
        )


def _sample_at(image: Tensor, matrix: Tensor, points: Tensor) -> Tensor:
    coordinates = torch.einsum("ab,nbdhw->nadhw", matrix[:3, :3], points) + matrix[:3, 3].view(1, 3, 1, 1, 1)
    return sample(image, coordinates, padding="zeros")


def _partners(subjects: Sequence[str], pairs: str) -> list[list[int]]:
    """For each scan, the indices of the scans that make a pair with it."""
    count = range(len(subjects))
    if pairs == "self":
        return [[n] for n in count]
    same = pairs == "within"
    return [[m for m in count if m != n and (subjects[m] == subjects[n]) == same] for n in count]
