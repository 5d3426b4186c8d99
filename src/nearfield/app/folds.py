"""`nearfield folds`: one recipe over all folds, a set's own or a cross-validation, as one table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfield.app.answers import RecipeName, stoppable, terminal

if TYPE_CHECKING:
    from rich.table import Table

    from nearfield.runs.folds import Folds


UNSURE = "Folds share most of their training clips: their deviation understates how unsure the mean is."


def folds(
    recipe: RecipeName,
    data: Annotated[
        str, typer.Option(help="A collection, or a set with official folds: dcase2018_task5:PATH.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the runs, one a fold; made if missing.")],
    over: Annotated[
        int | None,
        typer.Option(min=2, max=100, help="Deal train and val into so many folds; test stays unseen."),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key: loss.margin=0.3")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes every draw of chance.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Go on where official folds have a group on two sides.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Train and measure a recipe on every fold: each fold, mean, deviation.

    The folds are the official ones of a set, or, with --over, a cross-validation over train and val.
    """
    from nearfield.app.progress import watching
    from nearfield.runs.folds import train_folds
    from nearfield.runs.launch import Request
    from nearfield.runs.recipe import Recipe

    with stoppable("the same command goes on"), watching(quiet=as_json) as watch:
        loaded = Recipe.load(recipe, changes or ())
        asked = Request(loaded, data, out, seed, device, allow_leak=allow_leak)
        found = train_folds(asked, over, watch)
    if as_json:
        print(json.dumps(found.plain(), ensure_ascii=False, allow_nan=False))
        return

    from nearfield.app.widths import show

    console = terminal()
    show(console, fold_table(found))
    console.print(UNSURE, style="dim", soft_wrap=True)


def fold_table(found: "Folds") -> "Table":
    """The headlines, and under each its baselines: a row a measure, a column a fold, mean and deviation."""
    from rich.table import Table

    from nearfield.evaluation.result import BASELINE_NAMES, MEASURE_NAMES
    from nearfield.runs.judge import HEADLINES

    judged = f"train and val in {found.over} folds" if found.over else "test part of every fold"
    table = Table(title=f"{found.data}, {judged}", title_justify="left", show_edge=False, pad_edge=False)
    for column in ("measure", *(f"fold {number}" for number in found.folds), "mean", "deviation"):
        table.add_column(column, justify="left" if column == "measure" else "right")
    for headline in HEADLINES:
        rivals = [name for name in found.metrics if _is_rival(name, headline)]
        for name in (headline, *rivals) if headline in found.metrics else ():
            over = found.metrics[name]
            rival = name.split("/")[1]
            shown = (
                MEASURE_NAMES[name]
                if name == headline
                else "  " + BASELINE_NAMES.get(rival, rival.replace("_", " "))
            )
            values = [f"{value:.3f}" for value in (*over.values, over.mean)]
            spread = "–" if over.deviation is None else f"{over.deviation:.3f}"
            table.add_row(shown, *values, spread, style="" if name == headline else "dim")
    return table


def _is_rival(name: str, headline: str) -> bool:
    """Whether `name` is a baseline's figure of the same measure."""
    return name.startswith("baseline/") and name.split("/", 2)[2] == headline
