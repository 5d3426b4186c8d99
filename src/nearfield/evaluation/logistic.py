"""Logistic regression solved to tolerance: the engine under the probes of labels and of tags.

Conventions: n clips, D dimensions, K outputs. Features are standardised by the statistics of the clips that
are fitted. With strength C the objective is

    mean over clips of the loss + |W|^2 / (2 C n)

which is scikit-learn's objective divided by C n; the intercepts are free. `softmax` outputs share one
cross-entropy (classes), `sigmoid` outputs have one each, summed (tags). The start is W = 0, where the loss is
ln K for classes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nearfield.core.nouns import Floats, Vectors

Link = Literal["softmax", "sigmoid"]

TOLERANCE = 1e-7
"""Largest entry of the gradient, in standardised features, at which a solution is called converged."""

ROUGH = 1e-4
"""The tolerance that is enough to compare strengths by."""

_STEPS, _INNER, _HALVINGS = 100, 250, 40


@dataclass(frozen=True)
class Scaling:
    """Mean and deviation of every dimension, as fitted on train."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, vectors: Vectors) -> "Scaling":
        """Of (n, D) vectors; a dimension that does not vary keeps its scale."""
        wide = vectors.astype(np.float64)
        deviation = wide.std(axis=0)
        # A constant column in float32 has a deviation of rounding noise only.
        noise = 1e-7 * np.abs(wide).max(axis=0, initial=0)
        return cls(wide.mean(axis=0), np.where(deviation > noise, deviation, 1.0))

    def __call__(self, vectors: Vectors) -> Floats:
        """(N, D) float64, standardised."""
        return np.asarray((vectors - self.mean) / self.deviation, dtype=np.float64)


@dataclass(frozen=True)
class Logistic:
    """A fitted model over standardised features."""

    link: Link
    weights: Floats
    """(D, K)"""
    intercepts: Floats
    """(K,)"""
    loss: float
    """The objective at the solution."""
    gradient: float
    """The largest entry of the gradient there."""
    iterations: int

    @property
    def converged(self) -> bool:
        """Whether the gradient is below the tolerance."""
        return self.gradient <= TOLERANCE

    def logits(self, features: Floats) -> Floats:
        """(N, K)"""
        return np.asarray(features @ self.weights + self.intercepts)

    def probabilities(self, features: Floats) -> Floats:
        """(N, K); rows sum to one for `softmax`."""
        from scipy.special import expit, logsumexp  # not where a run is only opened

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
    """Solves the objective by Newton steps, each by conjugate gradients (Nocedal and Wright 2006, ch. 7.1).

    `features` (n, D) standardised; `targets` (n, K) of zeros and ones, one a row for `softmax`;
    `clip_weights` (n, 1) or (n, K) with mean one; `start` is a solution to begin from.
    """
    problem = _Problem(features, targets, link, strength, clip_weights)
    parameters = np.zeros((features.shape[1] + 1, targets.shape[1]))
    if start is not None:
        parameters = np.vstack([start.weights, start.intercepts])
    value, chances = problem.value(parameters)
    gradient, steps = problem.gradient(parameters, chances), 0
    while steps < _STEPS and np.abs(gradient).max(initial=0) > tolerance:
        direction = _newton_direction(problem, gradient, chances)
        descent = problem.inner(gradient, direction)
        length = np.ones_like(descent)
        for _ in range(_HALVINGS):
            tried, chances = problem.value(parameters + length * direction)
            # Near the solution the last bits of the value decide nothing.
            short = tried > value + 1e-4 * length * descent + 1e-14 * np.abs(value)
            if not short.any():
                break
            length = np.where(short, length / 2, length)
        parameters, value, steps = parameters + length * direction, tried, steps + 1
        gradient = problem.gradient(parameters, chances)
    steepest = float(np.abs(gradient).max(initial=0))
    return Logistic(link, parameters[:-1], parameters[-1], float(value.sum()), steepest, steps)


class _Problem:
    """The objective, its gradient and curvature. The outputs of `sigmoid` are separate problems, solved side
    by side: what is one number for `softmax` is one for each output there."""

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
        """(1, 1) or (1, K) inner products of parameters (D + 1, K)."""
        if self.joint:
            return np.full((1, 1), np.vdot(left, right))
        return np.asarray(np.einsum("dk,dk->k", left, right)[None])

    def value(self, parameters: Floats) -> tuple[Floats, Floats]:
        """The objective, (1, 1) or (1, K), and the probabilities (n, K)."""
        logits = self.features @ parameters
        if self.joint:
            logits -= logits.max(axis=1, keepdims=True)
            powers = np.exp(logits)
            totals = powers.sum(axis=1, keepdims=True)
            chances = powers / totals
            losses = np.log(totals) - (logits * self.targets).sum(axis=1, keepdims=True)
        else:
            powers = np.exp(-np.abs(logits))
            chances = np.where(logits >= 0, 1.0, powers) / (1 + powers)
            losses = np.maximum(logits, 0) + np.log1p(powers) - logits * self.targets
        total = (self.weights * losses).sum(axis=0, keepdims=True)
        return total + 0.5 * self.inner(self.penalty * parameters, parameters), chances

    def gradient(self, parameters: Floats, chances: Floats) -> Floats:
        """(D + 1, K)"""
        error = self.weights * (chances - self.targets)
        return np.asarray(self.features.T @ error + self.penalty * parameters)

    def curvature(self, direction: Floats, chances: Floats) -> Floats:
        """The Hessian times a direction, both (D + 1, K)."""
        change = self.features @ direction
        if self.joint:
            change = chances * (change - (chances * change).sum(axis=1, keepdims=True))
        else:
            change = chances * (1 - chances) * change
        return np.asarray(self.features.T @ (self.weights * change) + self.penalty * direction)


def _newton_direction(problem: _Problem, gradient: Floats, chances: Floats) -> Floats:
    """The Newton step to the accuracy that the size of the gradient deserves (Eisenstat and Walker 1996)."""
    direction, rest = np.zeros_like(gradient), -gradient
    along, size = rest, problem.inner(rest, rest)
    norm = np.sqrt(size)
    goal = np.minimum(0.25, np.sqrt(norm)) * norm
    for _ in range(_INNER):
        active = np.sqrt(size) > goal
        if not active.any():
            break
        bent = problem.curvature(along, chances)
        bend = problem.inner(along, bent)
        active &= bend > 0
        length = np.where(active, size / np.where(active, bend, 1), 0.0)
        direction, rest = direction + length * along, rest - length * bent
        smaller = problem.inner(rest, rest)
        along = rest + np.where(active, smaller / np.where(size > 0, size, 1), 0.0) * along
        size = np.where(active, smaller, 0.0)
    return direction
