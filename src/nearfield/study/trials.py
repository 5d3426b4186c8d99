"""Suggests trials with Optuna's ask-and-tell interface (Akiba et al. 2019).

The Optuna study is in memory and is rebuilt from the finished trials for each batch. Each batch has its own
random stream, so that it can be reproduced.
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
    """The changes of the next `number` trials, given the `past` ones; `first` is the number of the first.

    `whole` is the number of updates of a full training. A stopped or failed trial ranks behind all others.
    """
    optuna.logging.disable_default_handler()
    stream = entropy(seed, "search", first) % 2**32
    sampler = samplers.TPESampler(seed=stream) if settings.method == "tpe" else samplers.RandomSampler(stream)
    space = {key: _distribution(values) for key, values in settings.space.items()}
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for changes, scores in past:
        study.add_trial(_finished(_numbered(changes, settings.space), space, scores, whole))
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
    """Changes with each choice replaced by its index, because Optuna accepts plain values only."""
    return {k: space[k].choices.index(v) if space[k].choices else v for k, v in changes.items()}


def _named(params: Mapping[str, Any], space: Mapping[str, Range]) -> dict[str, Any]:
    return {k: space[k].choices[v] if space[k].choices else v for k, v in params.items()}


def _finished(
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
