"""Many runs as one table: all runs below a folder, or one run a fold."""

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

# One recipe over all folds, official ones or a cross-validation's: a run a fold, and one table of all.


@dataclass(frozen=True)
class OverFolds:
    """One measure on the test part of every fold."""

    values: tuple[float, ...]
    """In the order of `Folds.folds`."""
    mean: float
    deviation: float | None
    """Standard deviation over folds (n - 1); None of a single fold. Folds share most of their training clips,
    so it understates how unsure the mean is."""


@dataclass(frozen=True)
class Folds:
    """What all folds gave."""

    data: str
    over: int | None
    """Folds that the clips of train and val were dealt into; None: these are the set's official folds."""
    folds: tuple[int, ...]
    metrics: dict[str, OverFolds]
    """The measures that every fold has, baselines too, under the names of `result.json`."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return asdict(self)


def train_folds(asked: Request, over: int | None = None, callback: Callback = ignore) -> Folds:
    """Trains and measures what is `asked` on each fold, in `out/fold-N`, then writes `out/folds.json`.

    `over`: the folds that the clips of train and val are dealt into (`data.fold`), test being left alone;
    None asks for the official folds of the set. Each is a run like any other. Folds that are finished are not
    trained again, one that was interrupted goes on. Raises DataError where the set has no official folds, or
    too few groups for so many; RequestError where `out` was begun otherwise.
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
        raise RequestError("data.fold: the recipe asks for one fold, and --over for all. Leave one out.")
    recipes = {n: asked.recipe.changed({"data.fold": {"of": over, "number": n}}) for n in range(1, over + 1)}
    return {n: replace(asked, recipe=recipe, out=asked.out / f"fold-{n}") for n, recipe in recipes.items()}


def over_folds(values: list[float]) -> OverFolds:
    """Mean and deviation of one value a fold."""
    return OverFolds(tuple(values), mean(values), stdev(values) if len(values) > 1 else None)


# All runs below a folder as one table: what they differ in, how they fared; filtered and sorted.
#
# Only recipe.yaml, environment.json and result.json are read, so that runs of other versions are listed too.

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
    """Its folder, from the folder that was looked through on."""
    data: str
    settings: Flat
    """Every setting by dotted key, and `seed`."""
    metrics: dict[str, float]
    """Empty where it was not measured yet."""

    def value(self, key: str) -> Any:
        """A setting, a metric, or `data`; None where it has none."""
        return {"data": self.data, **self.settings, **self.metrics}.get(key)


@dataclass(frozen=True)
class Overview:
    """The table."""

    runs: tuple[Listed, ...]
    differing: tuple[str, ...]
    """Settings that are not the same in all runs."""
    headlines: tuple[str, ...]
    """Metrics to show: those that some run has."""
    unread: tuple[str, ...]
    """Folders whose files could not be read."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold: of each run what differs, and all metrics."""
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
    """All runs below `folder`.

    `where`: conditions on settings, metrics, `data` or `seed`, all of which must hold, such as
    "loss.kind=circle", "loss.margin<=0.3", "probe/macro_f1>0.5". `sort`: by which of them, the largest first
    unless `ascending`; runs that have no such value come last. Raises RequestError where no run is there, or
    a condition or key is not understood.
    """
    found, unread = [], []
    for path in _folders(folder):
        try:
            found.append(_listed(folder, path))
        except (RequestError, OSError, ValueError, KeyError, TypeError):
            unread.append(str(path.relative_to(folder)))
    if not found:
        raise RequestError(f"{folder}: there is no run below it. Give a folder that holds run folders.")
    keys = sorted({key for run in found for key in (*run.settings, *run.metrics)} | {"data"})
    kept = [run for run in found if all(holds(run, each, keys) for each in where)]
    if sort is not None:
        _check_key("--sort", sort, keys)
        kept = _sorted(kept, sort, ascending)
    shown = tuple(name for name in HEADLINES if any(name in run.metrics for run in kept))
    return Overview(tuple(kept), differing_settings(kept), shown, tuple(unread))


def differing_settings(runs: Sequence[Listed]) -> tuple[str, ...]:
    """Settings that are not the same in all runs, but for what the machine chooses."""
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
    """Numbers by size, words by letters behind them, runs without a value last."""
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
    """Run folders in the order of their names; what lies inside one is its own, and copies of an encoder,
    in a space or exported for the Hugging Face Hub, are no runs."""
    if not folder.is_dir():
        raise RequestError(f"{folder} is no folder. Give the folder that holds the runs.")
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
