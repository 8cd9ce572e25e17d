"""Trilinear sampling on the CPU, with gradients, a few times faster than torch's three-dimensional `grid_sample`.

That one walks from voxel to voxel, on one core for each batch entry. Here whole stretches of voxels, short enough for
the cache, are gathered eight times and interpolated seven times, which uses the CPU's vector units; the stretches are
shared among threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from ..threads import run_in_threads, split_range

CHUNK_VOXELS = 1 << 15
"""Voxels handled at once: what is computed for them stays in the cache."""


@dataclass(frozen=True)
class Cells:
    """The cells that n coordinates lie in: flat index of the first corner (int64), place in the cell along i, j, k.

    Coordinates outside the image are moved to its border, so that every place is between 0 and 1.
    """

    first: Tensor
    places: tuple[Tensor, Tensor, Tensor]


def find_cells(coordinates: Sequence[Tensor], shape: Sequence[int]) -> Cells:
    """Find the cells of an image of shape (k, j, i) that the coordinates i, j, k, each (n), lie in."""
    starts: list[Tensor] = []
    places: list[Tensor] = []
    for position, size in zip(coordinates, reversed(shape), strict=True):
        start = torch.floor(position).clamp_(0, max(size - 2, 0))
        places.append((position - start).clamp_(0, 1))
        starts.append(start)
    # The limit keeps what is not a number inside the image; its place carries it on into the result.
    first = _voxel_numbers(starts, shape, math.prod(shape) - 1 - sum(_steps(shape)))
    return Cells(first, (places[0], places[1], places[2]))


def find_nearest_voxels(coordinates: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Flat indices (int64) of the voxels of an image (k, j, i) nearest to the coordinates i, j, k, each (n)."""
    nearest = [
        torch.floor(position + 0.5).clamp_(0, size - 1)
        for position, size in zip(coordinates, reversed(shape), strict=True)
    ]
    return _voxel_numbers(nearest, shape, math.prod(shape) - 1)


def _voxel_numbers(indices: Sequence[Tensor], shape: Sequence[int], last: int) -> Tensor:
    # Row numbers are whole in 32-bit floating point up to 16 million; voxel numbers of a large volume would not be.
    rows = (indices[2] * shape[1] + indices[1]).int()
    if math.prod(shape) > torch.iinfo(torch.int32).max:
        rows = rows.long()
    return rows.mul_(shape[2]).add_(indices[0].int()).clamp_(0, last).long()


def _steps(shape: Sequence[int]) -> tuple[int, int, int]:
    """How far, in flat indices, the next voxel along i, j, k lies; 0 along an axis of one voxel."""
    return int(shape[2] > 1), shape[2] * (shape[1] > 1), shape[1] * shape[2] * (shape[0] > 1)


def corner_views(flat: Tensor, shape: Sequence[int]) -> list[Tensor]:
    """Views of a flat image (V) in which a cell's index finds its eight corners, i changing fastest, then j, then k."""
    i, j, k = _steps(shape)
    return [flat[c * k + b * j + a * i :] for c, b, a in product((0, 1), repeat=3)]


def interpolate(views: Sequence[Tensor], cells: Cells, out: Tensor | None = None) -> Tensor:
    """Values (n), float32, between the corners of the cells; the image may be of any type that torch gathers."""
    corners = [_gather(view, cells) for view in views]
    rows = [_between(*pair, cells.places[0]) for pair in zip(corners[::2], corners[1::2], strict=True)]
    near, far = (_between(*pair, cells.places[1]) for pair in zip(rows[::2], rows[1::2], strict=True))
    return torch.lerp(near, far, cells.places[2], out=near if out is None else out)


def _gather(view: Tensor, cells: Cells) -> Tensor:
    found = torch.index_select(view, 0, cells.first)
    return found if found.dtype == torch.float32 else found.to(torch.float32)


def _between(first: Tensor, second: Tensor, place: Tensor) -> Tensor:
    return torch.lerp(first, second, place, out=first)


def trilinear(image: Tensor, positions: Tensor, grid: Tensor | None = None, *, fade_to_zero: bool = False) -> Tensor:
    """Sample images (N, C, D, H, W) at positions (N, 3, d, h, w), components i, j, k: (N, C, d, h, w), float32.

    grid: coordinates (1, 3, d, h, w) that the positions are displacements from. The border is repeated outside;
    fade_to_zero: it falls to 0 within a voxel, as if zeros followed. Gradients flow to images and positions as from
    `grid_sample`.
    """
    result: Tensor = _Trilinear.apply(image.contiguous(), positions.contiguous(), grid, fade_to_zero)
    return result


class _Trilinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, positions: Tensor, grid: Tensor | None, fade_to_zero: bool) -> Tensor:
        ctx.save_for_backward(image, positions)
        ctx.grid, ctx.fade_to_zero = grid, fade_to_zero
        result = positions.new_empty(positions.shape[0], image.shape[1], *positions.shape[2:])
        views, shape = _channel_views(image), image.shape[2:]
        targets = result.flatten(2)

        def work(part: range) -> None:
            for batch, stretch, coordinates in _stretches(positions, part, grid):
                cells = find_cells(coordinates, shape)
                fades = _fade(coordinates, shape) if fade_to_zero else []
                for source, target in zip(views[batch], targets[batch], strict=True):
                    values = interpolate(source, cells, target[stretch])
                    for fade in fades:
                        values *= fade

        _share_out(work, positions)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        image, positions = ctx.saved_tensors
        needed = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        return *_backward(image, positions, gradients[0].contiguous(), ctx.grid, ctx.fade_to_zero, needed), None, None


def _fade(coordinates: Sequence[Tensor], shape: Sequence[int]) -> list[Tensor]:
    """What is left of the image at the coordinates along each axis: 1 inside, 0 a voxel outside."""
    return [
        torch.minimum(position + 1, size - position).clamp_(0, 1)
        for position, size in zip(coordinates, reversed(shape), strict=True)
    ]


def _channel_views(images: Tensor) -> list[list[list[Tensor]]]:
    """The corner views of each channel of each image (N, C, D, H, W)."""
    return [[corner_views(channel, images.shape[2:]) for channel in image] for image in images.flatten(2)]


def _backward(
    image: Tensor,
    positions: Tensor,
    arriving: Tensor,
    grid: Tensor | None,
    fade_to_zero: bool,
    needed: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of images and positions (None where not needed) from what arrives at the result."""
    shape, views = image.shape[2:], _channel_views(image)
    slopes = torch.empty_like(positions).flatten(2)
    spread: dict[int, Tensor] = {}

    def work(part: range) -> None:
        if needed[0]:
            spread[part.start] = torch.zeros_like(image)
            targets = _channel_views(spread[part.start])
        for batch, stretch, coordinates in _stretches(positions, part, grid):
            cells = find_cells(coordinates, shape)
            weights = arriving[batch].flatten(1)[:, stretch]
            fades = _fade(coordinates, shape) if fade_to_zero else None
            if needed[0]:
                faded = weights if fades is None else weights * fades[0] * fades[1] * fades[2]
                for target, values in zip(targets[batch], faded, strict=True):
                    _spread(values, cells, target)
            if needed[1]:
                found = _slopes(views[batch], weights, cells)
                slopes[batch, :, stretch] = torch.stack(_beyond(found, coordinates, fades, shape))

    _share_out(work, positions)
    # In order, so that the rounding of the sum does not depend on which thread was ready first.
    total = sum(spread[start] for start in sorted(spread)) if needed[0] else None
    return total if isinstance(total, Tensor) else None, slopes.view_as(positions) if needed[1] else None


def _beyond(
    found: tuple[Tensor, ...], coordinates: Sequence[Tensor], fades: list[Tensor] | None, shape: Sequence[int]
) -> list[Tensor]:
    """Correct derivatives along i, j, k for what happens outside: nothing at all, or fade_to_zero."""
    *slopes, value = found
    result = []
    for axis, (slope, position) in enumerate(zip(slopes, coordinates, strict=True)):
        last = shape[2 - axis] - 1
        slope *= (position > 0).logical_and_(position < last).to(torch.float32)
        if fades is not None:
            rising, falling = ((position > a).logical_and_(position < b) for a, b in ((-1, 0), (last, last + 1)))
            slope.mul_(fades[axis]).addcmul_(value, rising.to(torch.float32) - falling.to(torch.float32))
            slope.mul_(fades[axis - 1]).mul_(fades[axis - 2])
        result.append(slope)
    return result


def _spread(values: Tensor, cells: Cells, views: Sequence[Tensor]) -> None:
    """Add values (n) to the corners of the cells, each in proportion to its weight: the transpose of `interpolate`."""
    amounts = [values]
    for place in reversed(cells.places):
        far = [amount * place for amount in amounts]
        amounts = [part for near, away in zip(amounts, far, strict=True) for part in (near - away, away)]
    for view, amount in zip(views, amounts, strict=True):
        view.scatter_add_(0, cells.first, amount)


def _slopes(images: Sequence[Sequence[Tensor]], weights: Tensor, cells: Cells) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Derivatives (n) along i, j, k of the weighted sum of the channels, and that sum; weights: (C, n)."""
    corners: list[Tensor] = []
    for views in zip(*images, strict=True):
        total = _gather(views[0], cells).mul_(weights[0])
        for view, weight in zip(views[1:], weights[1:], strict=True):
            total.addcmul_(_gather(view, cells), weight)
        corners.append(total)
    at_i, at_j, at_k = cells.places
    differences = [far - near for near, far in zip(corners[::2], corners[1::2], strict=True)]
    rows = [near.addcmul_(change, at_i) for near, change in zip(corners[::2], differences, strict=True)]
    along_i = _between(
        _between(differences[0], differences[1], at_j), _between(differences[2], differences[3], at_j), at_k
    )
    along_j = torch.lerp(rows[1] - rows[0], rows[3] - rows[2], at_k)
    near, far = _between(rows[0], rows[1], at_j), _between(rows[2], rows[3], at_j)
    return along_i, along_j, far - near, _between(near, far, at_k)


def _share_out(work: Callable[[range], None], positions: Tensor) -> None:
    """Call `work` in threads with stretches of voxels that together are all of them."""
    voxels = math.prod(positions.shape[2:])
    threads = min(torch.get_num_threads(), 1 + voxels // CHUNK_VOXELS)
    parts = split_range(voxels, threads)
    run_in_threads(lambda number: work(parts[number]), threads)


def _stretches(positions: Tensor, part: range, grid: Tensor | None) -> Iterator[tuple[int, slice, list[Tensor]]]:
    """Batch number, voxels and coordinates i, j, k (each (n)) of the short stretches of a part of the voxels."""
    for share in split_range(len(part), math.ceil(len(part) / CHUNK_VOXELS)):
        stretch = slice(part.start + share.start, part.start + share.stop)
        for batch in range(positions.shape[0]):
            found = positions[batch].flatten(1)[:, stretch]
            yield batch, stretch, list(found) if grid is None else list(found + grid[0].flatten(1)[:, stretch])
