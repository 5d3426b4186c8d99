"""`nearfield folds`: one recipe over all official folds of a set, as one table."""

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
    data: Annotated[str, typer.Option(help="A set with official folds, such as dcase2018_task5:PATH.")],
    out: Annotated[Path, typer.Option(help="Folder for the runs, one a fold; made if missing.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key: loss.margin=0.3")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixes every draw of chance.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Train and measure a recipe on every official fold of a set: each fold, mean, deviation."""
    from nearfield.app.progress import watching
    from nearfield.runs.folds import train_folds
    from nearfield.runs.recipe import Recipe

    with stoppable("the same command goes on"), watching(quiet=as_json) as watch:
        found = train_folds(Recipe.load(recipe, changes or ()), data, out, seed, device, watch)
    if as_json:
        print(json.dumps(found.plain(), ensure_ascii=False, allow_nan=False))
        return
    from rich.console import Console

    from nearfield.app.widths import show

    show(Console(highlight=False), fold_table(found))


def fold_table(found: "Folds") -> "Table":
    """The headlines, and under each its baselines: a row a measure, a column a fold, mean and deviation."""
    from rich.table import Table

    from nearfield.runs.judge import HEADLINES

    table = Table(title=f"{found.data}, test part of every fold")
    for column in ("measure", *(f"fold {number}" for number in found.folds), "mean", "deviation"):
        table.add_column(column, justify="left" if column == "measure" else "right")
    for headline in HEADLINES:
        rivals = [name for name in found.metrics if _is_rival(name, headline)]
        for name in (headline, *rivals) if headline in found.metrics else ():
            over = found.metrics[name]
            shown = name if name == headline else "  " + name.split("/")[1].replace("_", " ")
            values = [f"{value:.3f}" for value in (*over.values, over.mean)]
            spread = "–" if over.deviation is None else f"{over.deviation:.3f}"
            table.add_row(shown, *values, spread, style="" if name == headline else "dim")
    return table


def _is_rival(name: str, headline: str) -> bool:
    """Whether `name` is a baseline's figure of the same measure."""
    return name.startswith("baseline/") and name.split("/", 2)[2] == headline
