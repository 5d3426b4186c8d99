"""The two calls behind `nearfield train` and `nearfield evaluate`."""

from pathlib import Path
from typing import Any

from nearfield.data.arrays import as_data
from nearfield.learning.together import world
from nearfield.runs.events import Watcher, nobody
from nearfield.runs.folder import Folder
from nearfield.runs.judge import judge
from nearfield.runs.launch import Request, launch
from nearfield.runs.recipe import Recipe
from nearfield.runs.run import Run


def train(
    recipe: Recipe | str | Path,
    data: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    allow_leak: bool = False,
    watch: Watcher = nobody,
) -> Run:
    """Learns a space from `data` into the folder `out`, measures it on test, and opens the run.

    `data` is a folder, a table, "NAME:PATH" or "synthetic:NAME". Raises RequestError (DataError) for what
    cannot work, before anything is trained; WorkError where training itself fails.
    """
    settled = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    request = Request(settled, as_data(data), Path(out), seed, device, resume, allow_leak)
    bench = launch(request, watch)
    if world()[0] == 0:
        judge(Folder(request.out), watch=watch, bench=bench)
    return Run.load(request.out)


def evaluate(
    run: str | Path,
    data: str | Path | None = None,
    *,
    split: str = "test",
    allow_leak: bool = False,
    watch: Watcher = nobody,
) -> dict[str, Any]:
    """Measures a finished run on its own data or on other clips; the plain form of result.json, which is
    written where these are the test clips of the run's own data."""
    given = None if data is None else as_data(data)
    return judge(Folder.existing(run), given, split, allow_leak, watch)
