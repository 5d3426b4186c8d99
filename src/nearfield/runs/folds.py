"""One recipe over all official folds of a set: a run a fold, and one table with mean and deviation."""

from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from nearfield.core.files import write_json
from nearfield.data.layouts import official_folds
from nearfield.runs.events import Note, Watcher, nobody
from nearfield.runs.folder import Folder
from nearfield.runs.judge import judge
from nearfield.runs.launch import Request, launch
from nearfield.runs.recipe import Recipe


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
    folds: tuple[int, ...]
    metrics: dict[str, OverFolds]
    """The measures that every fold has, baselines too, under the names of `result.json`."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return asdict(self)


def train_folds(
    recipe: Recipe, data: str, out: Path, seed: int = 0, device: str = "auto", watch: Watcher = nobody
) -> Folds:
    """Trains and measures `recipe` on each official fold of `data`, in `out/fold-N`, then `out/folds.json`.

    Each is a run like any other. Folds that are finished are not trained again, one that was interrupted goes
    on. Raises DataError where the set has no official folds, RequestError where `out` was begun otherwise.
    """
    results = {}
    for number, given in official_folds(data).items():
        folder = Folder(out / f"fold-{number}")
        watch(Note(f"fold {number}: {given}"))
        bench = launch(Request(recipe, given, folder.path, seed, device, resume=folder.is_started), watch)
        results[number] = folder.result() if folder.is_judged else judge(folder, watch=watch, bench=bench)
    metrics = [result["metrics"] for result in results.values()]
    shared = [name for name in metrics[0] if all(name in each for each in metrics)]
    found = Folds(
        data, tuple(results), {name: over_folds([each[name] for each in metrics]) for name in shared}
    )
    write_json(out / "folds.json", found.plain())
    return found


def over_folds(values: list[float]) -> OverFolds:
    """Mean and deviation of one value a fold."""
    return OverFolds(tuple(values), mean(values), stdev(values) if len(values) > 1 else None)
