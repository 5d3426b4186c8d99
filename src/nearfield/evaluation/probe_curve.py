"""A linear probe while it is trained by gradient: a diagnostic beside the probe that is solved, which counts.

It starts at W = 0, as the solved probe does, and takes Adam's steps on the cross-entropy, without a penalty.
Its curves say whether a reader would still gain from longer training; where both end alike, nothing was left.

Conventions: one value an epoch; cross-entropy in nats, over clips whose class train holds;
macro F1 over all clips, as everywhere.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nearfield.core.nouns import Vectors
from nearfield.core.seeds import torch_stream
from nearfield.evaluation.classification import classification_scores
from nearfield.evaluation.dense_probe import one_torch_thread
from nearfield.evaluation.probes import Labelled, LabelProbe

EPOCHS, BATCH, RATE = 40, 64, 1e-3


@dataclass(frozen=True)
class ProbeCurve:
    """The curves, and what the solved probe reaches."""

    train_cross_entropy: tuple[float, ...]
    """Of the training clips, at the end of each epoch."""
    cross_entropy: tuple[float, ...]
    """Of the judged clips."""
    macro_f1: tuple[float, ...]
    """Of the judged clips."""
    solved_cross_entropy: float
    """Of the judged clips, by the solved probe."""
    solved_macro_f1: float
    """Of the judged clips, by the solved probe."""


def probe_curve(probe: LabelProbe, train: Labelled, here: Labelled, seed: int = 0) -> ProbeCurve | None:
    """The curves of a probe by gradient over the same standardised vectors as the solved `probe`.

    None where no judged clip is of a class that train holds.
    """
    known = np.isin(here.labels, probe.classes)
    if not known.any():
        return None

    def features(vectors: Vectors) -> Tensor:
        return torch.from_numpy(probe.scaling(vectors).astype(np.float32))

    taught, judged = features(train.vectors), features(here.vectors)
    codes = torch.from_numpy(np.searchsorted(probe.classes, train.labels))
    wanted = torch.from_numpy(np.searchsorted(probe.classes, here.labels[known]))
    at = torch.from_numpy(np.flatnonzero(known))
    curves: tuple[list[float], list[float], list[float]] = ([], [], [])
    generator = torch_stream(seed, "probe curve")
    with one_torch_thread():
        with torch.random.fork_rng(devices=[]):  # nn.Linear draws, from the global generator
            layer = nn.Linear(taught.shape[1], len(probe.classes))
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.zero_()
        adam = torch.optim.Adam(layer.parameters(), lr=RATE)
        for _ in range(EPOCHS):
            order = torch.randperm(len(codes), generator=generator)
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                adam.zero_grad()
                cross_entropy(layer(taught[rows]), codes[rows]).backward()  # type: ignore[no-untyped-call]
                adam.step()
            with torch.no_grad():
                said = layer(judged)
                found = (
                    float(cross_entropy(layer(taught), codes)),
                    float(cross_entropy(said[at], wanted)),
                    _macro_f1(here, probe, said),
                )
            for curve, value in zip(curves, found, strict=True):
                curve.append(value)
    solved = torch.from_numpy(probe.model.logits(probe.scaling(here.vectors)))
    train_loss, loss, f1 = map(tuple, curves)
    solved_loss = float(cross_entropy(solved[at], wanted))
    return ProbeCurve(train_loss, loss, f1, solved_loss, _macro_f1(here, probe, solved))


def _macro_f1(here: Labelled, probe: LabelProbe, said: Tensor) -> float:
    told = np.asarray(probe.classes[said.argmax(dim=1).numpy()])
    return float(classification_scores(here.labels, told)["macro_f1"][0])
