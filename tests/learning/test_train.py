"""One update at a time: which weights it changes, and how its gradient is clipped."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nearfield.core.types import Batch, BatchIndices, Pairs
from nearfield.learning.build import loss as make_loss
from nearfield.learning.losses import PairLoss
from nearfield.learning.losses.tagging import BCESettings
from nearfield.learning.train import Step, TrainSettings, TrainState, train

SIGNALS = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(40) % 4


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def batches(updates: int) -> Iterator[tuple[BatchIndices, Batch]]:
    for update in range(updates):
        indices = BatchIndices(np.random.default_rng(update).permutation(40)[:12], np.zeros(12))
        yield indices, Batch(SIGNALS[torch.from_numpy(indices.rows)], indices)


def run(
    model: nn.Module, loss: PairLoss, settings: TrainSettings, penalty: Callable[[], Tensor] | None = None
) -> list[Step]:
    def related(indices: BatchIndices) -> Pairs:
        labels = LABELS[torch.from_numpy(indices.rows)]
        pairs = Pairs.from_labels(labels)
        return Pairs(
            pairs.positive, pairs.negative, labels=labels, tags=nn.functional.one_hot(labels, 4).float()
        )

    learning = [weight for weight in [*model.parameters(), *loss.parameters()] if weight.requires_grad]
    parts = TrainState(
        encode=lambda batch, update: model(batch.signal),
        relation=related,
        miner=lambda vectors, pairs, generator: pairs,
        loss=loss,
        penalty=penalty,
        model=model,
        optimizer=torch.optim.SGD(learning, lr=0.1),
        rate=lambda update: 1.0,
    )
    return list(train(parts, batches(settings.updates), settings, seed=0))


@pytest.mark.parametrize("kind", ["triplet", "ProxyAnchorLoss"])
@pytest.mark.parametrize("largest", [1e-3, 1e6])
def test_the_whole_gradient_is_clipped_as_torch_does_it(kind: str, largest: float) -> None:
    torch.manual_seed(3)
    model, loss = network(), make_loss(kind, size=4, classes=4)
    torch.manual_seed(3)
    twin, other = network(), make_loss(kind, size=4, classes=4)
    (step,) = run(model, loss, TrainSettings(updates=1, clip_gradient=largest))

    ((indices, batch),) = batches(1)
    other(twin(batch.signal), LABELS[torch.from_numpy(indices.rows)]).backward()
    learning = [*twin.parameters(), *other.parameters()]
    norm = nn.utils.clip_grad_norm_(learning, largest)
    torch.optim.SGD(learning, lr=0.1).step()
    assert step.measured["train/gradient_norm"] == pytest.approx(float(norm), rel=1e-5)
    for mine, wanted in zip([*model.parameters(), *loss.parameters()], learning, strict=True):
        torch.testing.assert_close(mine, wanted)


def test_a_loss_learns_beside_a_network_that_does_not() -> None:
    model, loss = network().requires_grad_(False), BCESettings().build(4, 4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    steps = run(model, loss, TrainSettings(updates=60))
    assert steps[-1].measured["train/loss"] < steps[0].measured["train/loss"]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_penalty_that_counts_no_weights_costs_nothing() -> None:
    (step,) = run(network(), make_loss("triplet"), TrainSettings(updates=1), lambda: torch.zeros(()))
    assert step.measured["train/loss_penalty"] == 0
