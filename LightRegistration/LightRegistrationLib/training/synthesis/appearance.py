"""What a scanner makes of the intensities of tissues, for MRI and for CT."""

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
    """Ranges of what is drawn at random for each image; a fraction of the intensity range unless said otherwise.

    noise, bias: largest standard deviations (bias: MRI). thick: chance of slices thicker than the grid's, up to
    slice_mm. cut, cut_top: chances that the image lacks its lower and its upper end, up to cut_share of its height.
    independent_contrast: chance that the two images of a pair differ in contrast where it is drawn at random.
    """

    noise: float = 0.05
    bias: float = 0.25
    thick: float = 0.2
    slice_mm: float = 6.0
    cut: float = 0.3
    cut_top: float = 0.0
    cut_share: float = 0.2
    independent_contrast: float = 1.0


@dataclass(frozen=True, kw_only=True)
class AppearanceSettings(ScannerSettings):
    """What images of an anatomy have besides.

    contrast: standard deviation of a class's intensity. other_contrast: chance of any intensity for any class, MRI or
    CT; independent_contrast counts then, and for the phase of the contrast agent in CT. couch, arms: chances that they
    are in the image, low, high: the window of HU that becomes 0 to 1 (all CT).
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


def window(hounsfield: Tensor, look: AppearanceSettings) -> Tensor:
    """Hounsfield units as the intensities 0 to 1 of a window."""
    return ((hounsfield - look.low) / (look.high - look.low)).clamp(0, 1)


def mri(image: Tensor, look: ScannerSettings, spacing_mm: float, generator: torch.Generator) -> Tensor:
    """Texture, blur, bias field, noise, gamma and the percentile rule of the models, on (1, 1, D, H, W)."""
    inside = (image > 0.02).float()
    texture = F.avg_pool3d(torch.randn(image.shape, generator=generator), 3, 1, 1)
    image = image + look.noise * 2 * uniform(generator) * texture * inside
    if uniform(generator) < 0.4:
        image = torch.lerp(image, F.avg_pool3d(image, 3, 1, 1), uniform(generator))
    image = thick_slices(image, look, spacing_mm, int(3 * uniform(generator)), generator)
    image = image * bias_field(tuple(image.shape[2:]), look.bias, generator)
    noise = look.noise * uniform(generator) * torch.randn(image.shape, generator=generator)
    keep = inside if uniform(generator) < 0.5 else torch.ones_like(inside)
    image = (image + noise * keep).clamp(min=0)
    foreground = image[image > image.mean()]
    if len(foreground):
        image = (image / torch.quantile(foreground[::7], 0.995)).clamp(0, 1)
    return image ** float(2 ** (0.6 * (uniform(generator) - 0.5) * 2))


def ct(channels: Tensor, look: AppearanceSettings, spacing_mm: float, generator: torch.Generator) -> Tensor:
    """Texture, gas, couch and arms, thick slices, a reconstruction kernel, noise and a window: (1, 1, D, H, W).

    channels: (1, 3, D, H, W): HU above that of air, standard deviation of the texture in HU, where gas may be (0 to 1).
    """
    above_air, texture, hollow = channels.split(1, dim=1)
    image = above_air + AIR_HU
    blobs = smooth_noise(tuple(image.shape[2:]), 10 / spacing_mm, generator)
    grain = F.avg_pool3d(torch.randn(image.shape, generator=generator), 3, 1, 1) * 5
    image = image + texture * (0.6 * grain + 0.6 * blobs)
    gas = hollow * torch.sigmoid(6 * (blobs - 0.6 - 2 * uniform(generator)))
    image = torch.lerp(image, torch.full_like(image, GAS_HU), gas)
    if uniform(generator) < look.couch:
        image = torch.maximum(image, _couch(image, spacing_mm, generator))
    if uniform(generator) < look.arms:
        image = torch.maximum(image, _arms(image, spacing_mm, generator))
    image = thick_slices(image, look, spacing_mm, 0, generator)
    noise = torch.randn(image.shape, generator=generator)
    if uniform(generator) < 0.5:
        noise = F.avg_pool3d(noise, (1, 3, 3), 1, (0, 1, 1)) * 2
    image = image + look.noise * (look.high - look.low) * uniform(generator) * noise
    return window(image, look)


def thick_slices(
    image: Tensor, look: ScannerSettings, spacing_mm: float, axis: int, generator: torch.Generator
) -> Tensor:
    """With a chance, average along an axis (0 to 2) over slices of up to slice_mm and interpolate between them."""
    thickness = spacing_mm + (look.slice_mm - spacing_mm) * uniform(generator)
    if uniform(generator) >= look.thick or thickness <= spacing_mm:
        return image
    size = list(image.shape[2:])
    size[axis] = max(2, round(size[axis] * spacing_mm / thickness))
    return F.interpolate(F.interpolate(image, size=size, mode="area"), size=image.shape[2:], mode="trilinear")


def cut_ends(image: Tensor, look: ScannerSettings, generator: torch.Generator) -> Tensor:
    """With their chances, set the lower and the upper end of (1, 1, D, H, W) to 0, each up to its share."""
    depth = image.shape[2]
    counts = [
        int(depth * look.cut_share * uniform(generator)) if uniform(generator) < chance else 0
        for chance in (look.cut, look.cut_top)
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
    # linear interpolation takes away about half of the variance
    return F.interpolate(coarse, size=shape, mode="trilinear") * 1.7


def _body_box(image: Tensor) -> tuple[int, int, int, int]:
    """First and last row (j) and column (i) of the body in HU (1, 1, D, H, W); the whole grid if there is none."""
    solid = image[0, 0] > -400
    rows, columns = torch.nonzero(solid.any(2).any(0)), torch.nonzero(solid.any(1).any(0))
    if not len(rows):
        return 0, image.shape[3] - 1, 0, image.shape[4] - 1
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def _couch(image: Tensor, spacing_mm: float, generator: torch.Generator) -> Tensor:
    """A curved table under the back, HU (1, 1, 1, H, W): a shell of plastic around foam."""
    back, _, left, right = _body_box(image)
    y, x = _plane(image.shape, spacing_mm)
    middle = (left + right) / 2 * spacing_mm
    gap, radius, half_width = (a + b * uniform(generator) for a, b in ((0, 15), (350, 600), (190, 60)))
    below = back * spacing_mm - gap + (x - middle).square() / (2 * radius) - y
    thickness = 12 + 15 * uniform(generator)
    shell = (below.abs() < spacing_mm) | ((below - thickness).abs() < spacing_mm / 2)
    table = torch.full_like(below, AIR_HU)
    table[(below > 0) & (below < thickness)] = GAS_HU
    table[shell & (below > -spacing_mm / 2)] = -450 + 350 * uniform(generator)
    table[(x - middle).abs() > half_width] = AIR_HU
    return table[None, None, None]


def _arms(image: Tensor, spacing_mm: float, generator: torch.Generator) -> Tensor:
    """Arms at the sides, HU (1, 1, 1, H, W): a bone in muscle in fat."""
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
