"""Batch norm, 2 x 2 max pooling and ReLU in one operation, for training on a CPU in bf16.

As separate operations, these three read and write the largest maps of a network a dozen times, which took
half of the time of a step of a small convnet. The maximum of four values remains the maximum under batch norm
with a positive weight (and becomes the minimum with a negative one). The map is therefore pooled while its
mean and variance are summed, and only the pooled map is scaled, shifted and passed through the ReLU. In the
backward pass, the gradient of batch norm (Ioffe and Szegedy 2015, section 3) is written once, with the
gradient of the pooling added. In total, the map is read twice and its gradient written once. The kernels read
bf16 as the upper half of a float32.

Maps are channels last, (N, H, W, C) in memory; a pooled map has height ceil(H / 2) and width ceil(W / 2).
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nearfield.core.compiled import compiled

Bits = npt.NDArray[np.uint16]
Choice = npt.NDArray[np.uint8]
Sums = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.float32]

CUT = np.uint8(4)
"""Index of the maximum where the ReLU is 0, instead of 0 to 3."""


def fits(map: Tensor, norm: nn.BatchNorm2d) -> bool:
    """Returns whether `pooled_norm` can replace the three layers for this map (N, C, H, W)."""
    return (
        norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and map.device.type == "cpu"
        and map.dtype == torch.bfloat16
        and map.is_contiguous(memory_format=torch.channels_last)
    )


def pooled_norm(map: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Computes relu(max_pool(norm(map))): (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2)).

    Updates the running statistics like the batch norm. The map and weight and bias of the batch norm get
    gradients,
    which cannot be differentiated again.
    """
    pooled, mean, variance = PooledNorm.apply(map, norm.weight, norm.bias, norm.eps)  # type: ignore[no-untyped-call]
    count = map.numel() // map.shape[1]
    statistics = ((norm.running_mean, mean), (norm.running_var, variance * (count / max(count - 1, 1))))
    with torch.no_grad():
        for kept, new in statistics:
            assert kept is not None
            assert norm.momentum is not None
            kept.lerp_(new, norm.momentum)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1
    result: Tensor = pooled
    return result


class Context(Protocol):
    """The context that torch passes from forward to backward."""

    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Stores tensors for the backward pass."""

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Marks tensors as having no gradient."""


class PooledNorm(torch.autograd.Function):
    """(map, weight (C,), bias (C,), epsilon) to (pooled map, mean (C,), variance (C,))."""

    @staticmethod
    def forward(
        ctx: Context, map: Tensor, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the result of the three layers, and mean and (biased) variance of the batch."""
        batch, channels, height, width = map.shape
        sizes = (batch, channels, -(-height // 2), -(-width // 2))
        largest = torch.empty(sizes, dtype=map.dtype, memory_format=torch.channels_last)
        choice = torch.empty(sizes, dtype=torch.uint8, memory_format=torch.channels_last)
        sums = np.zeros((2, batch, channels))
        signs = torch.where(weight < 0, -1.0, 1.0).numpy()
        # Deviations from a value near the mean are summed, because a large mean would hide the variance.
        near = map[0, :, 0].float().mean(1).numpy()
        _share(_pool_and_sum, batch, (_bits(map), _bits(largest), _last(choice), *sums), (signs, near))
        count = batch * height * width
        beyond, squares = sums.sum(1) / count
        mean, variance = near + beyond, np.maximum(squares - beyond * beyond, 0.0)
        scale = weight.detach().double().numpy() / np.sqrt(variance + epsilon)
        shift = bias.detach().double().numpy() - scale * mean
        result = torch.empty_like(largest)
        _share(
            _scale_and_cut,
            batch,
            (_bits(largest), _last(choice), _bits(result)),
            (scale.astype(np.float32), shift.astype(np.float32)),
        )
        means, variances = (torch.from_numpy(each.astype(np.float32)) for each in (mean, variance))
        spread = torch.from_numpy(np.sqrt(variance + epsilon))
        ctx.save_for_backward(map, weight, largest, choice, torch.from_numpy(mean), spread)
        ctx.mark_non_differentiable(means, variances)
        return result, means, variances

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        """Returns the gradients of map, weight and bias."""
        map, weight, largest, choice, mean, spread = ctx.saved_tensors
        batch, channels, height, width = map.shape
        gradient = gradient.to(map.dtype).contiguous(memory_format=torch.channels_last)
        sums = np.zeros((2, batch, channels))
        _share(_sum_gradients, batch, (_bits(gradient), _bits(largest), _last(choice), *sums))
        plain, weighted = sums.sum(1)
        # The sum of gradient times standardized map, from the sum of gradient times map.
        weighted = (weighted - mean.numpy() * plain) / spread.numpy()
        of_weight, of_bias = (torch.from_numpy(each.astype(np.float32)) for each in (weighted, plain))
        if not ctx.needs_input_grad[0]:
            return None, of_weight, of_bias, None
        count = batch * height * width
        scale = weight.detach().double().numpy() / spread.numpy()
        slope = -scale * weighted / count / spread.numpy()
        level = -scale * plain / count - slope * mean.numpy()
        result = torch.empty_like(map, memory_format=torch.channels_last)
        lines = np.stack([scale, level, slope]).astype(np.float32)
        _share(_spread, batch, (_bits(map), _last(choice), _bits(gradient), _bits(result)), (lines,))
        return result, of_weight, of_bias, None


def _last(map: Tensor) -> npt.NDArray[Any]:
    """Returns a channels-last map (N, C, H, W) as (N, H, W, C), without a copy."""
    return map.detach().permute(0, 2, 3, 1).numpy()


def _bits(map: Tensor) -> Bits:
    """Returns a channels-last bf16 map as (N, H, W, C) 16-bit integers, without a copy."""
    return _last(map.view(torch.uint16))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "pooled-norm")


def _share(kernel: Any, batch: int, arrays: tuple[Any, ...], whole: tuple[Any, ...] = ()) -> None:
    """Calls `kernel` on one part of the batch per thread of torch; the result does not depend on the
    number."""
    parts = min(torch.get_num_threads(), batch)
    if parts <= 1:
        kernel(*arrays, *whole)
        return
    cuts = [batch * part // parts for part in range(parts + 1)]
    slices = [slice(first, last) for first, last in pairwise(cuts)]
    pool = _threads(parts - 1)
    others = [pool.submit(kernel, *(array[part] for array in arrays), *whole) for part in slices[1:]]
    kernel(*(array[slices[0]] for array in arrays), *whole)
    for other in others:
        other.result()


@compiled
def _pool_and_sum(
    maps: Bits, largest: Bits, choice: Choice, sums: Sums, squares: Sums, signs: Numbers, near: Numbers
) -> None:
    """Computes the maximum of each 2 x 2 (the minimum where the sign is -1), its index, and, for each clip,
    the sums
    of x - near and of its square."""
    batch, height, width, channels = maps.shape
    words = np.empty((4, channels), np.uint32)
    four = words.view(np.float32)
    best = np.empty(channels, np.float32)
    bits = best.view(np.uint32)
    half = np.uint32(16)
    for clip in range(batch):
        for row in range(largest.shape[1]):
            total, square = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
            below = min(2 * row + 1, height - 1)
            for column in range(largest.shape[2]):
                beside = min(2 * column + 1, width - 1)
                a, b = maps[clip, 2 * row, 2 * column], maps[clip, 2 * row, beside]
                c, d = maps[clip, below, 2 * column], maps[clip, below, beside]
                # At an odd edge, the value replaces its missing neighbor but counts once.
                two = np.float32(beside - 2 * column)
                three = np.float32(below - 2 * row)
                four_of = two * three
                for i in range(channels):
                    words[0, i] = np.uint32(a[i]) << half
                    words[1, i] = np.uint32(b[i]) << half
                    words[2, i] = np.uint32(c[i]) << half
                    words[3, i] = np.uint32(d[i]) << half
                chosen = choice[clip, row, column]
                for i in range(channels):
                    p, q, r, s = four[0, i], four[1, i], four[2, i], four[3, i]
                    sign = signs[i]
                    top, which = p * sign, np.uint8(0)
                    which = np.uint8(1) if q * sign > top else which
                    top = q * sign if q * sign > top else top
                    which = np.uint8(2) if r * sign > top else which
                    top = r * sign if r * sign > top else top
                    which = np.uint8(3) if s * sign > top else which
                    top = s * sign if s * sign > top else top
                    best[i] = top * sign
                    chosen[i] = which
                    p, q, r, s = p - near[i], q - near[i], r - near[i], s - near[i]
                    total[i] += p + two * q + three * r + four_of * s
                    square[i] += p * p + two * q * q + three * r * r + four_of * s * s
                kept = largest[clip, row, column]
                for i in range(channels):
                    kept[i] = np.uint16(bits[i] >> half)
            for i in range(channels):
                sums[clip, i] += total[i]
                squares[clip, i] += square[i]


@compiled
def _scale_and_cut(largest: Bits, choice: Choice, result: Bits, scale: Numbers, shift: Numbers) -> None:
    """Computes max(0, scale x + shift) of the pooled map; where this is 0, the index is set to CUT."""
    batch, height, width, channels = largest.shape
    words = np.empty(channels, np.uint32)
    numbers = words.view(np.float32)
    half, rest, one = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)
    for clip in range(batch):
        for row in range(height):
            for column in range(width):
                kept, chosen = largest[clip, row, column], choice[clip, row, column]
                put = result[clip, row, column]
                for i in range(channels):
                    words[i] = np.uint32(kept[i]) << half
                for i in range(channels):
                    number = scale[i] * numbers[i] + shift[i]
                    # This comparison keeps NaN, like a ReLU.
                    chosen[i] = CUT if number <= np.float32(0) else chosen[i]
                    numbers[i] = np.float32(0) if number <= np.float32(0) else number
                for i in range(channels):
                    put[i] = np.uint16((words[i] + rest + ((words[i] >> half) & one)) >> half)


@compiled
def _sum_gradients(gradient: Bits, largest: Bits, choice: Choice, sums: Sums, weighted: Sums) -> None:
    """Computes, for each clip, the sum of the gradient where the ReLU is above 0, and of gradient times
    value."""
    batch, height, width, channels = gradient.shape
    words = np.empty((2, channels), np.uint32)
    two = words.view(np.float32)
    half = np.uint32(16)
    for clip in range(batch):
        for row in range(height):
            total, product = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
            for column in range(width):
                came, kept = gradient[clip, row, column], largest[clip, row, column]
                chosen = choice[clip, row, column]
                for i in range(channels):
                    words[0, i] = np.uint32(came[i]) << half
                    words[1, i] = np.uint32(kept[i]) << half
                for i in range(channels):
                    through = two[0, i] if chosen[i] != CUT else np.float32(0)
                    total[i] += through
                    product[i] += through * two[1, i]
            for i in range(channels):
                sums[clip, i] += total[i]
                weighted[clip, i] += product[i]


@compiled
def _spread(maps: Bits, choice: Choice, gradient: Bits, result: Bits, lines: Numbers) -> None:
    """Computes level + slope x for each position of the map, plus scale times gradient at the maxima."""
    batch, height, width, channels = maps.shape
    scale, level, slope = lines[0], lines[1], lines[2]
    words = np.empty((5, channels), np.uint32)
    numbers = words.view(np.float32)
    half, rest, one, none = np.uint32(16), np.uint32(0x7FFF), np.uint32(1), np.float32(0)
    for clip in range(batch):
        for row in range(choice.shape[1]):
            below = min(2 * row + 1, height - 1)
            for column in range(choice.shape[2]):
                beside = min(2 * column + 1, width - 1)
                a, b = maps[clip, 2 * row, 2 * column], maps[clip, 2 * row, beside]
                c, d = maps[clip, below, 2 * column], maps[clip, below, beside]
                came, chosen = gradient[clip, row, column], choice[clip, row, column]
                for i in range(channels):
                    words[0, i] = np.uint32(a[i]) << half
                    words[1, i] = np.uint32(b[i]) << half
                    words[2, i] = np.uint32(c[i]) << half
                    words[3, i] = np.uint32(d[i]) << half
                    words[4, i] = np.uint32(came[i]) << half
                for i in range(channels):
                    more = scale[i] * numbers[4, i]
                    which = chosen[i]
                    numbers[0, i] = level[i] + slope[i] * numbers[0, i] + (more if which == 0 else none)
                    numbers[1, i] = level[i] + slope[i] * numbers[1, i] + (more if which == 1 else none)
                    numbers[2, i] = level[i] + slope[i] * numbers[2, i] + (more if which == 2 else none)
                    numbers[3, i] = level[i] + slope[i] * numbers[3, i] + (more if which == 3 else none)
                # At an odd edge, the first of equal positions is written last, because only it can be the
                # maximum.
                put = result[clip, below, beside]
                for i in range(channels):
                    put[i] = np.uint16((words[3, i] + rest + ((words[3, i] >> half) & one)) >> half)
                put = result[clip, below, 2 * column]
                for i in range(channels):
                    put[i] = np.uint16((words[2, i] + rest + ((words[2, i] >> half) & one)) >> half)
                put = result[clip, 2 * row, beside]
                for i in range(channels):
                    put[i] = np.uint16((words[1, i] + rest + ((words[1, i] >> half) & one)) >> half)
                put = result[clip, 2 * row, 2 * column]
                for i in range(channels):
                    put[i] = np.uint16((words[0, i] + rest + ((words[0, i] >> half) & one)) >> half)
