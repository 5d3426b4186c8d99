"""Batch norms worked into the convolutions before them: the same vectors for less work."""

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_weights


def folded(module: nn.Module) -> nn.Module:
    """A copy in evaluation whose batch norms have become part of the convolutions they follow.

    With running statistics a norm is a scale and a shift for each channel, which a convolution's weights and
    bias can hold (Jacob et al. 2018, "Quantization and training of neural networks", section 3.2). Norms are
    found behind a convolution in an `nn.Sequential`, and as `bnX` beside `convX`, as residual networks name
    them; any other stays as it is. Results differ by rounding alone.
    """
    copied = copy.deepcopy(module).eval()
    for parent in list(copied.modules()):
        for convolution, norm, name in list(_followed(parent)):
            if (
                norm.running_mean is None
                or norm.running_var is None
                or not norm.affine
                or norm.num_features != convolution.out_channels
            ):
                continue
            fused: Any = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            convolution.weight, convolution.bias = fused
            setattr(parent, name, nn.Identity())
    return copied


def _followed(parent: nn.Module) -> Iterator[tuple[_ConvNd, _BatchNorm, str]]:
    """Each convolution of `parent` with the norm that reads it and nothing else, and the norm's name."""
    children = dict(parent.named_children())
    if isinstance(parent, nn.Sequential):
        pairs = list(pairwise(children))
    else:
        pairs = [(name, name.replace("conv", "bn", 1)) for name in children if name.startswith("conv")]
    for before, after in pairs:
        convolution, norm = children[before], children.get(after)
        if isinstance(convolution, _ConvNd) and isinstance(norm, _BatchNorm):
            yield convolution, norm, after
