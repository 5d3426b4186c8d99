"""Draws trials by Optuna, ask and tell (Akiba et al. 2019), in memory: the journal is the record.

Each draw begins from the trials that were told and from a stream of its own, so that it can be drawn again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna import distributions, samplers
from optuna.trial import FrozenTrial, TrialState, create_trial

from nearfield.core.rng import entropy
from nearfield.study.file import History, Range, SearchSettings


def draw(
    settings: SearchSettings, number: int, past: Iterable[History], whole: int, seed: int, first: int
) -> list[dict[str, Any]]:
    """`number` trials after those of the `past`, as changes; `first` is the number of the first of them.

    `whole`: updates of a whole training. A trial that was stopped, or that failed, ranks behind all others.
    """
    optuna.logging.disable_default_handler()
    chance = entropy(seed, "search", first) % 2**32
    sampler = samplers.TPESampler(seed=chance) if settings.method == "tpe" else samplers.RandomSampler(chance)
    space = {key: _distribution(values) for key, values in settings.space.items()}
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for changes, scores in past:
        study.add_trial(_told(_numbered(changes, settings.space), space, scores, whole))
    asked = [study.ask(space).params for _ in range(number)]
    return [_named(params, settings.space) for params in asked]


def _distribution(values: Range) -> distributions.BaseDistribution:
    if values.choices:
        return distributions.CategoricalDistribution(tuple(range(len(values.choices))))
    assert values.low is not None
    assert values.high is not None
    if values.whole:
        step = round(values.step) if values.step else 1
        low, high = round(values.low), round(values.high)
        return distributions.IntDistribution(low, high, log=values.log, step=step)
    return distributions.FloatDistribution(values.low, values.high, log=values.log, step=values.step)


def _numbered(changes: Mapping[str, Any], space: Mapping[str, Range]) -> dict[str, Any]:
    """Choices by their number: Optuna takes plain values alone."""
    return {k: space[k].choices.index(v) if space[k].choices else v for k, v in changes.items()}


def _named(params: Mapping[str, Any], space: Mapping[str, Range]) -> dict[str, Any]:
    return {k: space[k].choices[v] if space[k].choices else v for k, v in params.items()}


def _told(
    params: dict[str, Any],
    space: dict[str, distributions.BaseDistribution],
    scores: dict[int, float],
    whole: int,
) -> FrozenTrial:
    ended = whole in scores
    return create_trial(
        params=params,
        distributions=space,
        value=scores[whole] if ended else None,
        intermediate_values=scores,
        state=TrialState.COMPLETE if ended else TrialState.PRUNED,
    )
