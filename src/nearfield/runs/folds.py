"""One recipe over all folds, official ones or a cross-validation's: a run a fold, and one table of all."""

from dataclasses import asdict, dataclass, replace
from statistics import mean, stdev
from typing import Any

from nearfield.core.errors import RequestError
from nearfield.core.files import write_json
from nearfield.data.layouts import official_folds
from nearfield.runs.events import Note, Watcher, nobody
from nearfield.runs.folder import Folder
from nearfield.runs.judge import judge
from nearfield.runs.launch import Request, launch


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


def train_folds(asked: Request, over: int | None = None, watch: Watcher = nobody) -> Folds:
    """Trains and measures what is `asked` on each fold, in `out/fold-N`, then writes `out/folds.json`.

    `over`: the folds that the clips of train and val are dealt into (`data.fold`), test being left alone;
    None asks for the official folds of the set. Each is a run like any other. Folds that are finished are not
    trained again, one that was interrupted goes on. Raises DataError where the set has no official folds, or
    too few groups for so many; RequestError where `out` was begun otherwise.
    """
    results = {}
    for number, request in (_dealt(asked, over) if over else _official(asked)).items():
        folder = Folder(request.out)
        watch(Note(f"fold {number}: {request.data}"))
        bench = launch(replace(request, resume=folder.is_started), watch)
        results[number] = folder.result() if folder.is_judged else judge(folder, watch=watch, bench=bench)
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
