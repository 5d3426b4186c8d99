"""A small network (256-256) as reader: does more than a linear probe find say that the space hides something?

Conventions as in `probes.py`. Trained on cross-entropy with Adam; the weights of the epoch with the lowest
loss on val are kept, or without val those after a fixed number of epochs.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nearfield.core.nouns import Ints, Vectors
from nearfield.core.seeds import torch_stream
from nearfield.evaluation.logistic import Scaling
from nearfield.evaluation.probes import Labelled

WIDTH = 256

_BATCH, _EPOCHS, _WITHOUT_VAL, _PATIENCE = 128, 40, 12, 5


def dense_predictions(train: Labelled, val: Labelled | None, vectors: Vectors, seed: int = 0) -> Ints:
    """(N,) class numbers that the network, fitted on train, gives to `vectors` (N, D)."""
    scaling = Scaling.of(train.vectors)
    classes, codes = np.unique(train.labels, return_inverse=True)

    def features(given: Vectors) -> Tensor:
        return torch.from_numpy(scaling(given).astype(np.float32))

    # A class that train lacks has no output to score against.
    judge = None
    if val is not None and (known := np.isin(val.labels, classes)).any():
        judge = features(val.vectors[known]), torch.from_numpy(np.searchsorted(classes, val.labels[known]))
    generator = torch_stream(seed, "dense probe")
    with one_torch_thread():
        network = _network(train.vectors.shape[1], len(classes), generator)
        _train(network, features(train.vectors), torch.from_numpy(codes), judge, generator)
        with torch.no_grad():
            return np.asarray(classes[network(features(vectors)).argmax(dim=1).numpy()])


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Batches this small gain nothing from a second thread, and lose much where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _network(size: int, classes: int, generator: torch.Generator) -> nn.Sequential:
    """Three linear layers, drawn from a named stream so that no global generator is touched."""
    with torch.random.fork_rng(devices=[]):
        last = nn.Linear(WIDTH, classes)
        network = nn.Sequential(nn.Linear(size, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), last)
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
                layer.bias.zero_()
        # Starts at the loss of knowing nothing, ln C.
        last.weight.zero_()
    return network


def _train(
    network: nn.Module,
    features: Tensor,
    codes: Tensor,
    judge: tuple[Tensor, Tensor] | None,
    generator: torch.Generator,
) -> None:
    """Updates in place, and goes back to the best epoch on `judge` where it is given."""
    adam = torch.optim.Adam(network.parameters(), lr=2e-3)
    best, best_loss, since = copy.deepcopy(network.state_dict()), float("inf"), 0
    for _ in range(_EPOCHS if judge else _WITHOUT_VAL):
        order = torch.randperm(len(codes), generator=generator)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            adam.zero_grad()
            cross_entropy(network(features[rows]), codes[rows]).backward()  # type: ignore[no-untyped-call]
            adam.step()
        if judge is None:
            continue
        with torch.no_grad():
            loss = float(cross_entropy(network(judge[0]), judge[1]))
        since += 1
        if loss < best_loss:
            best, best_loss, since = copy.deepcopy(network.state_dict()), loss, 0
        if since >= _PATIENCE:
            break
    if judge is not None:
        network.load_state_dict(best)
