"""Simulates scanners: renders MRI and CT images from the intensities of tissues."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.augmentation import bias_field, uniform

AIR_HU = -1000.0
GAS_HU = -900.0


@dataclass(frozen=True, kw_only=True)
class ScannerSettings:
    """Ranges of the random scanner effects of an image, as fractions of the intensity range if not stated otherwise.

    noise, bias: largest standard deviations (bias: MRI). thick: probability of slices thicker than those of the grid,
    up to slice_mm. cut, cut_top: probabilities that the lower and the upper end are missing, up to cut_share of the
    height. blur: probability of a slight blur (MRI). gamma: largest power of two of the gamma, up or down (MRI).
    independent_contrast: probability that the two images of a pair have different random contrasts.
    """

    noise: float = 0.05
    bias: float = 0.25
    thick: float = 0.2
    slice_mm: float = 6.0
    cut: float = 0.3
    cut_top: float = 0.0
    cut_share: float = 0.2
    blur: float = 0.4
    gamma: float = 0.6
    independent_contrast: float = 1.0


@dataclass(frozen=True, kw_only=True)
class AppearanceSettings(ScannerSettings):
    """Ranges of further random effects, for images of an anatomy.

    contrast: standard deviation of the intensity of a class. other_contrast: probability of random intensities for all
    classes, MRI or CT; independent_contrast applies to these, and to the contrast phase in CT. couch, arms:
    probabilities that they are in the image; low, high: window of HU that is mapped to 0 to 1 (all CT).
    """

    contrast: float = 0.05
    other_contrast: float = 0.15
    couch: float = 0.5
    arms: float = 0.1
    low: float = -160.0
    high: float = 240.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low has to be below high, got {self.low} and {self.high}")


def apply_window(hounsfield: Tensor, settings: AppearanceSettings) -> Tensor:
    """Map Hounsfield units to the intensities 0 to 1 of a window."""
    return ((hounsfield - settings.low) / (settings.high - settings.low)).clamp(0, 1)


def render_mri(image: Tensor, settings: ScannerSettings, spacing_mm: float, generator: torch.Generator) -> Tensor:
    """Render an MR image (1, 1, D, H, W) in [0, 1]: texture, blur, thick slices, bias field, noise, percentile, gamma.

    image: tissue intensities, 0 is background. The percentile normalization is that of the models.
    """
    inside = (image > 0.02).float()
    texture = F.avg_pool3d(torch.randn(image.shape, generator=generator), 3, 1, 1)
    image = image + settings.noise * 2 * uniform(generator) * texture * inside
    if uniform(generator) < settings.blur:
        image = torch.lerp(image, F.avg_pool3d(image, 3, 1, 1), uniform(generator))
    image = simulate_thick_slices(image, settings, spacing_mm, int(3 * uniform(generator)), generator)
    image = image * bias_field(tuple(image.shape[2:]), settings.bias, generator)
    noise = settings.noise * uniform(generator) * torch.randn(image.shape, generator=generator)
    mask = inside if uniform(generator) < 0.5 else torch.ones_like(inside)
    image = (image + noise * mask).clamp(min=0)
    foreground = image[image > image.mean()]
    if len(foreground):
        image = (image / torch.quantile(foreground[::7], 0.995)).clamp(0, 1)
    return image ** float(2 ** (settings.gamma * (uniform(generator) - 0.5) * 2))


def render_ct(channels: Tensor, settings: AppearanceSettings, spacing_mm: float, generator: torch.Generator) -> Tensor:
    """Render a CT image (1, 1, D, H, W) in [0, 1]: texture, gas, couch and arms, thick slices, noise, window.

    channels: (1, 3, D, H, W): HU above air, standard deviation of the texture in HU, share of tissue that may contain
    gas (0 to 1).
    """
    above_air, texture, hollow = channels.split(1, dim=1)
    image = above_air + AIR_HU
    blobs = smooth_noise(tuple(image.shape[2:]), 10 / spacing_mm, generator)
    fine_noise = F.avg_pool3d(torch.randn(image.shape, generator=generator), 3, 1, 1) * 5
    image = image + texture * (0.6 * fine_noise + 0.6 * blobs)
    gas = hollow * torch.sigmoid(6 * (blobs - 0.6 - 2 * uniform(generator)))
    image = torch.lerp(image, torch.full_like(image, GAS_HU), gas)
    if uniform(generator) < settings.couch:
        image = torch.maximum(image, _couch(image, spacing_mm, generator))
    if uniform(generator) < settings.arms:
        image = torch.maximum(image, _arms(image, spacing_mm, generator))
    image = simulate_thick_slices(image, settings, spacing_mm, 0, generator)
    noise = torch.randn(image.shape, generator=generator)
    if uniform(generator) < 0.5:
        noise = F.avg_pool3d(noise, (1, 3, 3), 1, (0, 1, 1)) * 2
    image = image + settings.noise * (settings.high - settings.low) * uniform(generator) * noise
    return apply_window(image, settings)


def simulate_thick_slices(
    image: Tensor, settings: ScannerSettings, spacing_mm: float, axis: int, generator: torch.Generator
) -> Tensor:
    """With probability `thick`, average along an axis (0 to 2) over slices of up to slice_mm and interpolate again."""
    thickness = spacing_mm + (settings.slice_mm - spacing_mm) * uniform(generator)
    if uniform(generator) >= settings.thick or thickness <= spacing_mm:
        return image
    size = list(image.shape[2:])
    size[axis] = max(2, round(size[axis] * spacing_mm / thickness))
    return F.interpolate(F.interpolate(image, size=size, mode="area"), size=image.shape[2:], mode="trilinear")


def cut_ends(image: Tensor, settings: ScannerSettings, generator: torch.Generator) -> Tensor:
    """With probabilities `cut` and `cut_top`, set the lower and the upper end of (1, 1, D, H, W) to 0."""
    depth = image.shape[2]
    counts = [
        int(depth * settings.cut_share * uniform(generator)) if uniform(generator) < probability else 0
        for probability in (settings.cut, settings.cut_top)
    ]
    if any(counts):
        image = image.clone()
        image[:, :, : counts[0]] = 0
        image[:, :, depth - counts[1] :] = 0
    return image


def smooth_noise(shape: tuple[int, ...], node_voxels: float, generator: torch.Generator) -> Tensor:
    """Noise (1, 1, D, H, W) of about unit variance that changes over `node_voxels`."""
    nodes = [max(2, round(n / node_voxels)) for n in shape]
    coarse = torch.randn(1, 1, *nodes, generator=generator)
    # Linear interpolation removes about two thirds of the variance.
    return F.interpolate(coarse, size=shape, mode="trilinear") * 1.7


def _body_box(image: Tensor) -> tuple[int, int, int, int]:
    """First and last row (j) and column (i) of the body in (1, 1, D, H, W), HU; the whole grid without a body."""
    solid = image[0, 0] > -400
    rows, columns = torch.nonzero(solid.any(2).any(0)), torch.nonzero(solid.any(1).any(0))
    if not len(rows):
        return 0, image.shape[3] - 1, 0, image.shape[4] - 1
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def _couch(image: Tensor, spacing_mm: float, generator: torch.Generator) -> Tensor:
    """A curved scanner couch under the back, HU (1, 1, 1, H, W): a plastic shell around foam."""
    back, _, left, right = _body_box(image)
    y, x = _plane(image.shape, spacing_mm)
    center = (left + right) / 2 * spacing_mm
    gap, radius, half_width = (a + b * uniform(generator) for a, b in ((0, 15), (350, 600), (190, 60)))
    below = back * spacing_mm - gap + (x - center).square() / (2 * radius) - y
    thickness = 12 + 15 * uniform(generator)
    shell = (below.abs() < spacing_mm) | ((below - thickness).abs() < spacing_mm / 2)
    table = torch.full_like(below, AIR_HU)
    table[(below > 0) & (below < thickness)] = GAS_HU
    table[shell & (below > -spacing_mm / 2)] = -450 + 350 * uniform(generator)
    table[(x - center).abs() > half_width] = AIR_HU
    return table[None, None, None]


def _arms(image: Tensor, spacing_mm: float, generator: torch.Generator) -> Tensor:
    """Arms at the sides, HU (1, 1, 1, H, W): bone inside muscle inside fat."""
    back, front, left, right = _body_box(image)
    y, x = _plane(image.shape, spacing_mm)
    arms = torch.full_like(y, AIR_HU)
    radius = 32 + 14 * uniform(generator)
    for side in (left * spacing_mm - radius, right * spacing_mm + radius):
        level = (back + (front - back) * (0.2 + 0.3 * uniform(generator))) * spacing_mm
        distance = torch.sqrt((y - level).square() + (x - side).square())
        for share, value in ((1.0, -100.0), (0.8, 50.0), (0.3, 500.0)):
            arms[distance < share * radius] = value
    return arms[None, None, None]


def _plane(shape: torch.Size, spacing_mm: float) -> tuple[Tensor, Tensor]:
    """Coordinates (H, W) in mm of a slice: along j and along i."""
    j, i = (torch.arange(n, dtype=torch.float32) * spacing_mm for n in shape[3:])
    y, x = torch.meshgrid(j, i, indexing="ij")
    return y, x
