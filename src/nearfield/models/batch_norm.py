"""Batch norm's statistics: taken over all processes while training, and set from clips without training."""

from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.distributed as processes
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class GatheredBatchNorm(_BatchNorm):
    """Batch norm of (B, F, ...) whose training statistics are those of all processes' batches together.

    Parameters and buffers are named as those of `nn.BatchNorm2d`. Mean and variance are gathered one after
    the other, as one pass over squares loses digits. torch's own `SyncBatchNorm` needs CUDA.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected (B, F, ...), got {input.ndim} dimensions")

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and processes.is_initialized() and processes.get_world_size() > 1):
            return super().forward(input)
        self._check_input_dim(input)
        values = input if input.dtype == torch.float64 else input.float()
        others = [0, *range(2, values.ndim)]
        shape = [1, -1] + [1] * (values.ndim - 2)
        local = values.new_tensor([values.numel() / values.shape[1]])
        sums = _total(torch.cat([values.sum(others), local]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = values - mean.view(shape)
        variance = _total(centred.square().sum(others)) / count
        self._remember(mean.detach(), variance.detach(), float(count))
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            scaled = scaled * self.weight.view(shape) + self.bias.view(shape)
        return scaled.to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: float) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / max(count - 1, 1), share)


class _Total(torch.autograd.Function):
    """The sum over all processes; gradients are summed likewise."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        total = local.clone()
        processes.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Total.forward(ctx, gradients[0].contiguous())


def _total(local: Tensor) -> Tensor:
    return cast(Tensor, _Total.apply(local))  # type: ignore[no-untyped-call]


def gathered(module: nn.Module) -> nn.Module:
    """Replaces every batch norm inside `module`, keeping parameters and buffers; returns the module.

    Two processes with half a batch each then do what one process does with the whole. Call it before the
    optimiser or data-parallel wrapper sees the module; with one process nothing changes.
    """
    for name, child in module.named_children():
        setattr(module, name, gathered(child))
    if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        return module
    replacement = GatheredBatchNorm(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
    )
    replacement._parameters = module._parameters
    replacement._buffers = module._buffers
    return replacement.train(module.training)


@torch.no_grad()
def settle(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets every batch norm's statistics to the mean over `batches`, each given to `module`; learns nothing.

    What an untrained encoder needs before it can serve as a baseline: with statistics of 0 and 1 its maps
    would not be normalised at all. Dropout stays off; afterwards modes and momenta are as before.
    """
    modes = {layer: layer.training for layer in module.modules()}
    norms: list[Any] = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's sign for a plain mean over all batches
        norm.training = True
    try:
        for batch in batches:
            module(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for layer, mode in modes.items():
            layer.training = mode
