"""Tables of many runs: all runs below a folder, or one run per fold."""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from nearfield.core.errors import RequestError, choose
from nearfield.core.files import read_json, write_json
from nearfield.core.plain_yaml import read_yaml
from nearfield.data.layouts import official_folds
from nearfield.metrics.registry import HEADLINES
from nearfield.training.evaluate_run import evaluate_run
from nearfield.training.events import Callback, Note, ignore
from nearfield.training.prepare import Request
from nearfield.training.recipe import Flat, differing, flat, read_keys
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch

# One recipe on all folds, either official folds or those of a cross-validation: one run per fold, one table.


@dataclass(frozen=True)
class OverFolds:
    """One metric on the test part of every fold."""

    values: tuple[float, ...]
    """In the order of `Folds.folds`."""
    mean: float
    deviation: float | None
    """Standard deviation over folds (n - 1); None for a single fold. Folds share most of their training
    clips, so it underestimates the uncertainty of the mean."""


@dataclass(frozen=True)
class Folds:
    """The results of all folds."""

    data: str
    over: int | None
    """Number of folds of the train and val clips; None for the official folds of the data set."""
    folds: tuple[int, ...]
    metrics: dict[str, OverFolds]
    """The metrics that every fold has, including baselines, under the names of `result.json`."""

    def plain(self) -> dict[str, Any]:
        """The results as JSON-serializable values."""
        return asdict(self)


def train_folds(asked: Request, over: int | None = None, callback: Callback = ignore) -> Folds:
    """Trains and evaluates one run per fold in `out/fold-N`, then writes `out/folds.json`.

    `over` is the number of folds for the train and val clips (`data.fold`), which leaves test unchanged; None
    uses the official folds of the data set. Finished folds are not trained again, and an interrupted fold
    continues. Raises DataError if the data set has no official folds or too few groups, and RequestError if
    `out` was started with other settings.
    """
    results = {}
    for number, request in (_dealt(asked, over) if over else _official(asked)).items():
        folder = RunFolder(request.out)
        callback(Note(f"fold {number}: {request.data}"))
        setup = launch(replace(request, resume=folder.is_started), callback)
        results[number] = (
            folder.result() if folder.is_evaluated else evaluate_run(folder, callback=callback, setup=setup)
        )
    metrics = [result["metrics"] for result in results.values()]
    shared = [name for name in metrics[0] if all(name in each for each in metrics)]
    means = {name: over_folds([each[name] for each in metrics]) for name in shared}
    found = Folds(asked.data, over, tuple(results), means)
    write_json(asked.out / "folds.json", found.plain())
    return found


def _official(asked: Request) -> dict[int, Request]:
    return {
        number: replace(asked, data=data, out=asked.out / f"fold-{number}")
        for number, data in official_folds(asked.data).items()
    }


def _dealt(asked: Request, over: int) -> dict[int, Request]:
    if asked.recipe.data.fold:
        raise RequestError("data.fold: the recipe sets one fold, but --over asks for all. Leave one out.")
    recipes = {n: asked.recipe.changed({"data.fold": {"of": over, "number": n}}) for n in range(1, over + 1)}
    return {n: replace(asked, recipe=recipe, out=asked.out / f"fold-{n}") for n, recipe in recipes.items()}


def over_folds(values: list[float]) -> OverFolds:
    """Mean and standard deviation of one value per fold."""
    return OverFolds(tuple(values), mean(values), stdev(values) if len(values) > 1 else None)


# A table of all runs below a folder, with the settings that differ and the metrics; filtered and sorted.
#
# It reads only recipe.yaml, environment.json and result.json, so that it also lists runs of other versions.

_CONDITION = re.compile(r"\s*([^=<>!\s]+)\s*(<=|>=|!=|=|<|>)\s*(.+?)\s*$")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Listed:
    """One run."""

    name: str
    """Its folder, relative to the folder of the table."""
    data: str
    settings: Flat
    """Every setting by dotted key, and `seed`."""
    metrics: dict[str, float]
    """Empty if the run is not evaluated yet."""

    def value(self, key: str) -> Any:
        """A setting, a metric, or `data`; None if the run has no such value."""
        return {"data": self.data, **self.settings, **self.metrics}.get(key)


@dataclass(frozen=True)
class Overview:
    """The table of runs."""

    runs: tuple[Listed, ...]
    differing: tuple[str, ...]
    """Settings that differ between runs."""
    headlines: tuple[str, ...]
    """Metrics to show: the headline metrics that some run has."""
    unread: tuple[str, ...]
    """Folders whose files could not be read."""

    def plain(self) -> dict[str, Any]:
        """The differing settings and all metrics of each run, as JSON-serializable values."""
        rows = [
            {
                "run": run.name,
                "data": run.data,
                "settings": {key: run.settings.get(key) for key in self.differing},
                "metrics": run.metrics,
            }
            for run in self.runs
        ]
        return {"runs": rows, "differing": list(self.differing), "unread": list(self.unread)}


def overview(
    folder: Path, where: Sequence[str] = (), sort: str | None = None, ascending: bool = False
) -> Overview:
    """The table of all runs below `folder`.

    `where` holds conditions on settings, metrics, `data` or `seed`, such as "loss.kind=circle",
    "loss.margin<=0.3" or "probe/macro_f1>0.5"; a run must meet all of them. `sort` is the key to sort by, the
    largest first unless `ascending`; runs without the value come last. Raises RequestError if there is no
    run, or if a condition or key is invalid.
    """
    found, unread = [], []
    for path in _folders(folder):
        try:
            found.append(_listed(folder, path))
        except (RequestError, OSError, ValueError, KeyError, TypeError):
            unread.append(str(path.relative_to(folder)))
    if not found:
        raise RequestError(f"{folder}: there is no run below it. Give a folder that contains run folders.")
    keys = sorted({key for run in found for key in (*run.settings, *run.metrics)} | {"data"})
    runs = [run for run in found if all(holds(run, each, keys) for each in where)]
    if sort is not None:
        _check_key("--sort", sort, keys)
        runs = _sorted(runs, sort, ascending)
    shown = tuple(name for name in HEADLINES if any(name in run.metrics for run in runs))
    return Overview(tuple(runs), differing_settings(runs), shown, tuple(unread))


def differing_settings(runs: Sequence[Listed]) -> tuple[str, ...]:
    """Settings that differ between runs, without the precision, which the machine can choose."""
    return tuple(key for key in differing([run.settings for run in runs]) if key != "train.precision")


def holds(run: Listed, condition: str, keys: Sequence[str]) -> bool:
    """Whether a run meets a condition such as "loss.margin<=0.3"."""
    matched = _CONDITION.match(condition)
    if matched is None:
        raise RequestError(
            f"--where {condition!r}: a condition is KEY=VALUE (or !=, <, >, <=, >=), as in loss.kind=circle."
        )
    key, sign, text = matched.groups()
    _check_key("--where", key, keys)
    value, wanted = run.value(key), read_yaml(text, f"--where {condition!r}: the value")
    if sign in ("=", "!="):
        same = value == wanted or str(value) == text
        return same if sign == "=" else not same
    if not isinstance(wanted, int | float):
        raise RequestError(f"--where {condition!r}: {sign} compares numbers. Given: {text!r}.")
    return isinstance(value, int | float) and _ORDERS[sign](value, wanted)


def _check_key(option: str, key: str, keys: Sequence[str]) -> None:
    if key not in keys:
        raise RequestError(f"{option}: no run has {key!r}. {choose(key, keys)}")


def _sorted(runs: list[Listed], key: str, ascending: bool) -> list[Listed]:
    """Runs with numbers first, then those with words in alphabetical order, then those without a value."""
    numbers = [run for run in runs if _is_number(run.value(key))]
    words = [run for run in runs if not _is_number(run.value(key)) and run.value(key) is not None]
    none = [run for run in runs if run.value(key) is None]
    sign = 1 if ascending else -1
    numbers.sort(key=lambda run: sign * run.value(key))
    words.sort(key=lambda run: str(run.value(key)), reverse=not ascending)
    return [*numbers, *words, *none]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _folders(folder: Path) -> Iterator[Path]:
    """Run folders in the order of their names.

    Skips folders inside a run, and copies of an encoder (in a space, or exported for the Hugging Face Hub).
    """
    if not folder.is_dir():
        raise RequestError(f"{folder} is not a folder. Give the folder that contains the runs.")
    seen: list[Path] = []
    for file in sorted(folder.rglob("recipe.yaml")):
        path = file.parent
        if (path / "environment.json").is_file() and not any(above in path.parents for above in seen):
            seen.append(path)
            if not _is_copy(path):
                yield path


def _is_copy(path: Path) -> bool:
    return (path.parent / "space.json").is_file() or (path / "model.safetensors").is_file()


def _listed(folder: Path, path: Path) -> Listed:
    environment = read_json(path / "environment.json", "")
    result = path / "result.json"
    metrics = read_json(result, "")["metrics"] if result.is_file() else {}
    return Listed(
        name=str(path.relative_to(folder)) if path != folder else path.resolve().name,
        data=environment["data"]["name"],
        settings=flat(read_keys(path / "recipe.yaml", "recipe")) | {"seed": environment["seed"]},
        metrics={name: value for name, value in metrics.items() if _is_number(value)},
    )
