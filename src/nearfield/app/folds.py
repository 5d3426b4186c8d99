"""`nearfield folds`: one recipe over all folds, a set's own or a cross-validation, as one table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfield.app.answers import stoppable

if TYPE_CHECKING:
    from rich.table import Table

    from nearfield.runs.folds import Folds


def folds(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML).")],
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
        asked = Request(Recipe.load(recipe, changes or ()), data, out, seed, device)
        found = train_folds(asked, over, watch)
    if as_json:
        print(json.dumps(found.plain(), ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console

    from nearfield.app.widths import show

    show(Console(highlight=False), fold_table(found))


def fold_table(found: "Folds") -> "Table":
    """The headlines, and under each its baselines: a row a measure, a column a fold, mean and deviation."""
    from rich.table import Table

    from nearfield.evaluation.result import BASELINE_NAMES
    from nearfield.runs.judge import HEADLINES

    judged = f"train and val in {found.over} folds" if found.over else "test part of every fold"
    table = Table(title=f"{found.data}, {judged}")
    for column in ("measure", *(f"fold {number}" for number in found.folds), "mean", "deviation"):
        table.add_column(column, justify="left" if column == "measure" else "right")
    for headline in HEADLINES:
        rivals = [name for name in found.metrics if _is_rival(name, headline)]
        for name in (headline, *rivals) if headline in found.metrics else ():
            over = found.metrics[name]
            rival = name.split("/")[1]
            shown = name if name == headline else "  " + BASELINE_NAMES.get(rival, rival.replace("_", " "))
            values = [f"{value:.3f}" for value in (*over.values, over.mean)]
            spread = "–" if over.deviation is None else f"{over.deviation:.3f}"
            table.add_row(shown, *values, spread, style="" if name == headline else "dim")
    return table


def _is_rival(name: str, headline: str) -> bool:
    """Whether `name` is a baseline's figure of the same measure."""
    return name.startswith("baseline/") and name.split("/", 2)[2] == headline
