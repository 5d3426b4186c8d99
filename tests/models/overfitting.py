"""That a network can learn at all: 32 clips by heart; and how many weights a convolution has, by hand."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nearfield.core.settings import make
from nearfield.models.backbones import BackboneSettings
from nearfield.models.layers import pooling


def convolution(given: int, wanted: int, *sizes: int, bias: bool = True) -> int:
    """Weights of a convolution, from its definition."""
    area = 1
    for size in sizes:
        area *= size
    return given * wanted * area + (wanted if bias else 0)


def weights_of(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


class WithHead(nn.Module):
    """A backbone, its own pooling and a linear layer to unit vectors."""

    def __init__(self, backbone: nn.Module, picture: Tensor) -> None:
        super().__init__()
        self.backbone, self.pool = backbone, pooling(backbone.pooling)  # type: ignore[arg-type]
        with torch.no_grad():
            size = self.pool(backbone.eval()(picture)).shape[1]
        self.head = nn.Linear(size, 16)

    def forward(self, picture: Tensor) -> Tensor:
        return F.normalize(self.head(self.pool(self.backbone(picture))), dim=1)


def prove(settings: dict[str, Any], size: tuple[int, int], steps: int) -> None:
    """Trains on 32 pictures of noise of `size`, 4 to each of 8 labels, towards 8 fixed directions.

    The loss must fall to a fifth, nearest neighbours be right in evaluation, and the outputs' mean and spread
    be alike in training and evaluation; a layer between dropout and batch norm would move the spread.
    """
    torch.manual_seed(3)
    pictures, labels = torch.randn(32, 1, *size), torch.arange(32) % 8
    network = WithHead(make(BackboneSettings, "backbone", settings).build(1, *size), pictures).train()
    directions = torch.eye(16)[:8]
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(10 * network(pictures) @ directions.T, labels)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    with torch.no_grad():
        for _ in range(30):  # running statistics arrive where the batch's are
            network(pictures)
        trained = torch.stack([network(pictures) for _ in range(30)])
        evaluated = network.eval()(pictures)
    distances = torch.cdist(evaluated, evaluated).fill_diagonal_(9.0)
    assert torch.equal(labels[distances.argmin(1)], labels)
    assert (trained.mean((0, 1)) - evaluated.mean(0)).abs().max() < 0.06
    assert (trained.std(1).mean(0) - evaluated.std(0)).abs().max() < 0.1  # a little dropout's own noise
