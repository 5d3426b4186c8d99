"""Probes of frozen embeddings: logistic regression, k-NN, a small network, a training curve."""

import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nearfield.core.errors import RequestError
from nearfield.core.parallel import one_torch_thread
from nearfield.core.rng import torch_stream
from nearfield.core.types import Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.classification import classification_scores, skill_scores
from nearfield.metrics.neighbors import Search, nearest

# Logistic regression solved to a tolerance, used by the probes of labels and of tags.
#
# Conventions: n clips, D dimensions, K outputs. Features are standardized with the statistics of the fitted
# clips. With inverse regularization strength C, the objective is
#
#     mean over clips of the loss + |W|^2 / (2 C n)
#
# which is scikit-learn's objective divided by C n; intercepts are not penalized. `softmax` outputs share one
# cross-entropy (classes), `sigmoid` outputs have one each, summed (tags). Optimization starts at W = 0, where
# the loss is ln K for classes.

Link = Literal["softmax", "sigmoid"]

TOLERANCE = 1e-7
"""Largest absolute gradient entry, in standardized features, of a converged solution."""

ROUGH = 1e-4
"""Tolerance while the regularization strength is chosen."""

_STEPS, _INNER, _HALVINGS = 100, 250, 40


@dataclass(frozen=True)
class Scaling:
    """Standardization with the mean and standard deviation of each dimension of train."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, vectors: Vectors) -> "Scaling":
        """Fits the scaling to (n, D) embeddings; constant dimensions are only centered."""
        wide = vectors.astype(np.float64)
        deviation = wide.std(axis=0)
        # The standard deviation of a constant float32 column is rounding noise.
        noise = 1e-7 * np.abs(wide).max(axis=0, initial=0)
        return cls(wide.mean(axis=0), np.where(deviation > noise, deviation, 1.0))

    def __call__(self, vectors: Vectors) -> Floats:
        """Standardizes (N, D) embeddings to float64."""
        return np.asarray((vectors - self.mean) / self.deviation, dtype=np.float64)


@dataclass(frozen=True)
class Logistic:
    """A fitted logistic regression on standardized features."""

    link: Link
    weights: Floats
    """(D, K)"""
    intercepts: Floats
    """(K,)"""
    loss: float
    """The objective at the solution."""
    gradient: float
    """Largest absolute gradient entry at the solution."""
    iterations: int

    @property
    def converged(self) -> bool:
        """Whether the gradient is below the tolerance."""
        return self.gradient <= TOLERANCE

    def logits(self, features: Floats) -> Floats:
        """Returns (N, K) logits of standardized features."""
        return np.asarray(features @ self.weights + self.intercepts)

    def probabilities(self, features: Floats) -> Floats:
        """Returns (N, K) probabilities; rows sum to one for `softmax`."""
        from scipy.special import expit, logsumexp  # deferred: opening a run does not need it

        logits = self.logits(features)
        if self.link == "sigmoid":
            return np.asarray(expit(logits))
        return np.asarray(np.exp(logits - logsumexp(logits, axis=1, keepdims=True)))


def fit(
    features: Floats,
    targets: Floats,
    link: Link,
    strength: float,
    clip_weights: Floats | None = None,
    start: Logistic | None = None,
    tolerance: float = TOLERANCE,
) -> Logistic:
    """Fits a logistic regression by Newton's method with conjugate gradients (Nocedal and Wright 2006, 7.1).

    Parameters
    ----------
    features
        (n, D) standardized features.
    targets
        (n, K) zeros and ones; one 1 per row for `softmax`.
    link
        `softmax` for classes, `sigmoid` for tags.
    strength
        C, the inverse regularization strength.
    clip_weights
        (n, 1) or (n, K) weights of the clips with mean one.
    start
        Solution to start from; by default W = 0.
    tolerance
        Largest absolute gradient entry at which to stop.

    Returns
    -------
    Logistic
        The solution, also if it has not converged.
    """
    problem = _Problem(features, targets, link, strength, clip_weights)
    parameters = np.zeros((features.shape[1] + 1, targets.shape[1]))
    if start is not None:
        parameters = np.vstack([start.weights, start.intercepts])
    value, probabilities = problem.value(parameters)
    gradient, steps = problem.gradient(parameters, probabilities), 0
    while steps < _STEPS and np.abs(gradient).max(initial=0) > tolerance:
        direction = _newton_direction(problem, gradient, probabilities)
        descent = problem.inner(gradient, direction)
        length = np.ones_like(descent)
        for _ in range(_HALVINGS):
            tried, probabilities = problem.value(parameters + length * direction)
            # The tolerance of 1e-14 ignores rounding of the value near the solution.
            short = tried > value + 1e-4 * length * descent + 1e-14 * np.abs(value)
            if not short.any():
                break
            length = np.where(short, length / 2, length)
        parameters, value, steps = parameters + length * direction, tried, steps + 1
        gradient = problem.gradient(parameters, probabilities)
    steepest = float(np.abs(gradient).max(initial=0))
    return Logistic(link, parameters[:-1], parameters[-1], float(value.sum()), steepest, steps)


class _Problem:
    """The objective with its gradient and Hessian. `sigmoid` outputs are K independent problems solved in
    parallel, so values that are one number for `softmax` have one entry per output."""

    def __init__(
        self, features: Floats, targets: Floats, link: Link, strength: float, weights: Floats | None
    ) -> None:
        n = len(features)
        self.features = np.hstack([features, np.ones((n, 1))])
        self.targets = targets
        self.joint = link == "softmax"
        self.weights = (np.ones((n, 1)) if weights is None else weights) / n
        self.penalty = np.full((self.features.shape[1], 1), 1 / (strength * n))
        self.penalty[-1] = 0

    def inner(self, left: Floats, right: Floats) -> Floats:
        """Returns the inner products, (1, 1) or (1, K), of parameters (D + 1, K)."""
        if self.joint:
            return np.full((1, 1), np.vdot(left, right))
        return np.asarray(np.einsum("dk,dk->k", left, right)[None])

    def value(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Returns the objective, (1, 1) or (1, K), and the probabilities (n, K)."""
        logits = self.features @ parameters
        if self.joint:
            logits -= logits.max(axis=1, keepdims=True)
            powers = np.exp(logits)
            totals = powers.sum(axis=1, keepdims=True)
            probabilities = powers / totals
            losses = np.log(totals) - (logits * self.targets).sum(axis=1, keepdims=True)
        else:
            powers = np.exp(-np.abs(logits))
            probabilities = np.where(logits >= 0, 1.0, powers) / (1 + powers)
            losses = np.maximum(logits, 0) + np.log1p(powers) - logits * self.targets
        total = (self.weights * losses).sum(axis=0, keepdims=True)
        return total + 0.5 * self.inner(self.penalty * parameters, parameters), probabilities

    def gradient(self, parameters: Floats, probabilities: Floats) -> Floats:
        """Returns the gradient (D + 1, K)."""
        error = self.weights * (probabilities - self.targets)
        return np.asarray(self.features.T @ error + self.penalty * parameters)

    def curvature(self, direction: Floats, probabilities: Floats) -> Floats:
        """Returns the Hessian times a direction, both (D + 1, K)."""
        change = self.features @ direction
        if self.joint:
            change = probabilities * (change - (probabilities * change).sum(axis=1, keepdims=True))
        else:
            change = probabilities * (1 - probabilities) * change
        return np.asarray(self.features.T @ (self.weights * change) + self.penalty * direction)


def _newton_direction(problem: _Problem, gradient: Floats, probabilities: Floats) -> Floats:
    """The inexact Newton step, with an accuracy that depends on the gradient (Eisenstat and Walker 1996)."""
    direction, rest = np.zeros_like(gradient), -gradient
    along, size = rest, problem.inner(rest, rest)
    norm = np.sqrt(size)
    goal = np.minimum(0.25, np.sqrt(norm)) * norm
    for _ in range(_INNER):
        active = np.sqrt(size) > goal
        if not active.any():
            break
        product = problem.curvature(along, probabilities)
        curvature = problem.inner(along, product)
        active &= curvature > 0
        length = np.where(active, size / np.where(active, curvature, 1), 0.0)
        direction, rest = direction + length * along, rest - length * product
        smaller = problem.inner(rest, rest)
        along = rest + np.where(active, smaller / np.where(size > 0, size, 1), 0.0) * along
        size = np.where(active, smaller, 0.0)
    return direction


# Probes of labels: linear classifier and nearest-neighbor vote.
#
# Conventions
# -----------
# Embeddings (N, D); labels are class numbers from 0, clips of unknown label are left out before. A probe is
# fitted on train only. Its C (smaller means stronger regularization) is chosen on val by macro F1; ties go to
# the stronger regularization, and without val C is 1. Classes absent from train cannot be predicted; their
# clips count as wrong.
#
# Predictions and probabilities have a C each. The C with the best macro F1 is often one whose classifier is
# too sure of itself, and jumps from one training to the next; log-loss and Brier score show little else. So
# they grade the probabilities of the C with the best log-loss on val.

STRENGTHS = tuple(10.0**power for power in range(-4, 3))
"""The grid of C, from the strongest to the weakest regularization."""

NEIGHBOURS = 5
"""Number of neighbors in the nearest-neighbor probe."""


@dataclass(frozen=True)
class Labelled:
    """Embeddings of clips with one label each."""

    vectors: Vectors
    """(N, D)"""
    labels: Ints
    """(N,) class numbers, none negative."""

    def __post_init__(self) -> None:
        check_vectors("vectors", self.vectors)
        check_lengths(len(self.vectors), labels=self.labels)
        if (self.labels < 0).any():
            raise RequestError("labels: a negative class number means unknown. Leave such clips out.")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LabelProbe:
    """A fitted linear probe of labels."""

    scaling: Scaling
    model: Logistic
    classes: Ints
    """The class number of each output."""
    strength: float
    """C"""
    chosen: bool
    """Whether C was chosen on val."""
    calibrated: Logistic
    """The model whose C is chosen on val by log-loss."""

    def probabilities(self, vectors: Vectors) -> Floats:
        """Returns probabilities (N, classes of train) of `calibrated`; rows sum to one."""
        return self.calibrated.probabilities(self.scaling(vectors))

    def predict(self, vectors: Vectors) -> Ints:
        """Returns the predicted class numbers (N,)."""
        return np.asarray(self.classes[self.model.logits(self.scaling(vectors)).argmax(axis=1)])


def fit_label_probe(
    train: Labelled, val: Labelled | None = None, balanced: bool = False, strength: float | None = None
) -> LabelProbe:
    """Fits a multinomial logistic regression on standardized embeddings.

    Parameters
    ----------
    train
        Clips to fit.
    val
        Clips that choose C from `STRENGTHS`: by macro F1 for predictions, by log-loss for probabilities.
        Without them C is 1.
    balanced
        Whether clips are weighted so that all classes have equal total weight.
    strength
        A fixed C.

    Returns
    -------
    LabelProbe
        The fitted probe.

    Raises
    ------
    RequestError
        If train has fewer than two classes.
    """
    classes, codes, counts = np.unique(train.labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise RequestError(
            f"probe: train must have two classes or more; given: {len(classes)}. Add clips of other classes."
        )
    scaling = Scaling.of(train.vectors)
    features, targets = scaling(train.vectors), np.eye(len(classes))[codes]
    weights = (len(codes) / (len(classes) * counts))[codes][:, None] if balanced else None
    if strength is not None or val is None or not len(val):
        model = fit(features, targets, "softmax", strength or 1.0, weights)
        return LabelProbe(scaling, model, classes, strength or 1.0, chosen=False, calibrated=model)

    held_out, frequencies = scaling(val.vectors), counts / counts.sum()
    path: list[Logistic] = []
    f1s, skills = [], []
    for candidate in STRENGTHS:
        start = path[-1] if path else None
        path.append(fit(features, targets, "softmax", candidate, weights, start, ROUGH))
        probabilities = path[-1].probabilities(held_out)
        predicted = classes[probabilities.argmax(axis=1)]
        f1s.append(float(classification_scores(val.labels, predicted)["macro_f1"][0]))
        graded = skill_scores(val.labels, classes, probabilities, frequencies)
        skills.append(float(graded["log_loss_skill"].mean()))
    # The first of equal ones has the strongest regularization.
    best = [int(np.argmax(scores)) for scores in (f1s, skills)]
    model, calibrated = (
        fit(features, targets, "softmax", STRENGTHS[number], weights, path[number]) for number in best
    )
    return LabelProbe(scaling, model, classes, STRENGTHS[best[0]], chosen=True, calibrated=calibrated)


def vote(search: Search, gallery_labels: Ints, neighbours: int = NEIGHBOURS) -> Ints:
    """Predicts labels by a majority vote of the nearest gallery clips.

    Parameters
    ----------
    search
        The queries, the gallery and what each query may return.
    gallery_labels
        (N,) class numbers of the gallery.
    neighbours
        Number of neighbors that vote.

    Returns
    -------
    ndarray
        (Q,) class numbers; ties go to the label of the nearest clip. -1 for a query that may return no clip.
    """
    index, _ = nearest(search, neighbours)
    padded = np.append(gallery_labels, -1)[index]
    votes = (padded[:, :, None] == padded[:, None, :]).sum(axis=2)
    votes[index < 0] = 0
    winner = votes.argmax(axis=1)
    return np.asarray(padded[np.arange(len(padded)), winner])


# A network with two hidden layers of 256 as probe: does it find more than a linear probe?
#
# It is trained on cross-entropy with Adam. The weights of the epoch with the lowest loss on val are used, or,
# without val, those after a fixed number of epochs.

WIDTH = 256

_BATCH, _EPOCHS, _WITHOUT_VAL, _PATIENCE = 128, 40, 12, 5


def dense_predictions(train: Labelled, val: Labelled | None, vectors: Vectors, seed: int = 0) -> Ints:
    """Fits the network on train and predicts labels.

    Parameters
    ----------
    train
        Clips to fit.
    val
        Clips that choose the best epoch.
    vectors
        (N, D) embeddings to predict.
    seed
        Seed of weights and batches.

    Returns
    -------
    ndarray
        (N,) class numbers.
    """
    scaling = Scaling.of(train.vectors)
    classes, codes = np.unique(train.labels, return_inverse=True)

    def features(given: Vectors) -> Tensor:
        return torch.from_numpy(scaling(given).astype(np.float32))

    # Classes absent from train have no output.
    val_data = None
    if val is not None and (known := np.isin(val.labels, classes)).any():
        val_data = features(val.vectors[known]), torch.from_numpy(np.searchsorted(classes, val.labels[known]))
    generator = torch_stream(seed, "dense probe")
    with one_torch_thread():
        network = _network(train.vectors.shape[1], len(classes), generator)
        _train(network, features(train.vectors), torch.from_numpy(codes), val_data, generator)
        with torch.no_grad():
            return np.asarray(classes[network(features(vectors)).argmax(dim=1).numpy()])


def _network(size: int, classes: int, generator: torch.Generator) -> nn.Sequential:
    """Three linear layers, initialized with `generator` so that no global generator is used."""
    with torch.random.fork_rng(devices=[]):
        last = nn.Linear(WIDTH, classes)
        network = nn.Sequential(nn.Linear(size, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), last)
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
                layer.bias.zero_()
        # With zero weights the initial loss is that of uniform probabilities, ln C.
        last.weight.zero_()
    return network


def _train(
    network: nn.Module,
    features: Tensor,
    codes: Tensor,
    val: tuple[Tensor, Tensor] | None,
    generator: torch.Generator,
) -> None:
    """Trains in place; with `val` (features and class codes), restores the weights of the best epoch."""
    adam = torch.optim.Adam(network.parameters(), lr=2e-3)
    best, best_loss, since = copy.deepcopy(network.state_dict()), float("inf"), 0
    for _ in range(_EPOCHS if val else _WITHOUT_VAL):
        order = torch.randperm(len(codes), generator=generator)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            adam.zero_grad()
            cross_entropy(network(features[rows]), codes[rows]).backward()  # type: ignore[no-untyped-call]
            adam.step()
        if val is None:
            continue
        with torch.no_grad():
            loss = float(cross_entropy(network(val[0]), val[1]))
        since += 1
        if loss < best_loss:
            best, best_loss, since = copy.deepcopy(network.state_dict()), loss, 0
        if since >= _PATIENCE:
            break
    if val is not None:
        network.load_state_dict(best)


# Training curve of a linear probe, a diagnostic only; reported scores are those of the solved probe.
#
# It starts at W = 0, like the solved probe, and minimizes the unpenalized cross-entropy with Adam. The curves
# show whether a probe would gain from longer training; if they end at the solved probe, it would not.
#
# Conventions: one value per epoch; cross-entropy in nats, over clips with classes of train; macro F1 over all
# clips.

EPOCHS, BATCH, RATE = 40, 64, 1e-3


@dataclass(frozen=True)
class ProbeCurve:
    """Scores per epoch, and those of the solved probe."""

    train_cross_entropy: tuple[float, ...]
    """On train, at the end of each epoch."""
    cross_entropy: tuple[float, ...]
    """On the evaluated clips."""
    macro_f1: tuple[float, ...]
    """On the evaluated clips."""
    solved_cross_entropy: float
    """On the evaluated clips, by the solved probe."""
    solved_macro_f1: float
    """On the evaluated clips, by the solved probe."""


def probe_curve(probe: LabelProbe, train: Labelled, here: Labelled, seed: int = 0) -> ProbeCurve | None:
    """Trains a linear probe by gradient on the standardized embeddings of the solved `probe`.

    Parameters
    ----------
    probe
        The solved probe.
    train, here
        Clips to fit and clips to evaluate.
    seed
        Seed of the batches.

    Returns
    -------
    ProbeCurve or None
        None if no evaluated clip has a class of train.
    """
    known = np.isin(here.labels, probe.classes)
    if not known.any():
        return None

    def features(vectors: Vectors) -> Tensor:
        return torch.from_numpy(probe.scaling(vectors).astype(np.float32))

    fitted, evaluated = features(train.vectors), features(here.vectors)
    codes = torch.from_numpy(np.searchsorted(probe.classes, train.labels))
    wanted = torch.from_numpy(np.searchsorted(probe.classes, here.labels[known]))
    at = torch.from_numpy(np.flatnonzero(known))
    curves: tuple[list[float], list[float], list[float]] = ([], [], [])
    generator = torch_stream(seed, "probe curve")
    with one_torch_thread():
        with torch.random.fork_rng(devices=[]):  # nn.Linear uses the global generator
            layer = nn.Linear(fitted.shape[1], len(probe.classes))
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.zero_()
        adam = torch.optim.Adam(layer.parameters(), lr=RATE)
        for _ in range(EPOCHS):
            order = torch.randperm(len(codes), generator=generator)
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                adam.zero_grad()
                cross_entropy(layer(fitted[rows]), codes[rows]).backward()  # type: ignore[no-untyped-call]
                adam.step()
            with torch.no_grad():
                logits = layer(evaluated)
                found = (
                    float(cross_entropy(layer(fitted), codes)),
                    float(cross_entropy(logits[at], wanted)),
                    _macro_f1(here, probe, logits),
                )
            for curve, value in zip(curves, found, strict=True):
                curve.append(value)
    solved = torch.from_numpy(probe.model.logits(probe.scaling(here.vectors)))
    train_loss, loss, f1 = map(tuple, curves)
    solved_loss = float(cross_entropy(solved[at], wanted))
    return ProbeCurve(train_loss, loss, f1, solved_loss, _macro_f1(here, probe, solved))


def _macro_f1(here: Labelled, probe: LabelProbe, logits: Tensor) -> float:
    predicted = np.asarray(probe.classes[logits.argmax(dim=1).numpy()])
    return float(classification_scores(here.labels, predicted)["macro_f1"][0])
