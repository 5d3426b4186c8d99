"""What `nearfield runs` found, as text tables: one for the runs that are judged by the same kind of score."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from nearfield.app.tables import MEASURES, figure, value_of
from nearfield.app.widths import fits, show
from nearfield.core.words import count
from nearfield.runs.overview import Listed, Overview, unlike
from nearfield.runs.settings_of_runs import telling

_PAIRS = 3
"""Settings of single kinds that a cell holds at most."""


def all_runs(console: Console, found: Overview) -> None:
    """A table for each kind of score: one row a run, with the settings in which these runs differ."""
    groups: dict[str, list[Listed]] = {}
    for run in found.runs:
        groups.setdefault(_judged_by(run), []).append(run)
    for title, runs in groups.items():
        there = {name for run in runs for name in run.metrics}
        heads = tuple(name for name in found.headlines if name in MEASURES and name in there)
        _group(console, runs, heads, title if len(groups) > 1 else None)
    console.print(count(len(found.runs), "run"), style="dim")
    for path in found.unread:
        console.print(f"{path}: its files cannot be read", style="yellow", markup=False)


def _judged_by(run: Listed) -> str:
    by_tags = any(name.startswith(("tagging/", "retrieval/multilabel")) for name in run.metrics)
    by_labels = "retrieval/recall_at_1" in run.metrics or "probe/macro_f1" in run.metrics
    if by_tags or by_labels:
        return "judged by " + " and ".join(["labels"] * by_labels + ["tags"] * by_tags)
    return "judged without labels and tags" if run.metrics else "not measured yet"


def _group(console: Console, runs: list[Listed], heads: tuple[str, ...], title: str | None) -> None:
    """Settings that all have in columns, those of single kinds beside them in one. Where they have no room:
    as many columns as fit, kinds first, and the names of the others."""
    differing, told = unlike(runs), telling([run.settings for run in runs])
    shared = tuple(key for key in differing if all(key in run.settings for run in runs))
    others = [{key: value for key, value in each.items() if key not in shared} for each in told]
    table = _table(runs, heads, shared, others)
    left: list[str] = []
    if max(map(len, others)) > _PAIRS or not fits(console, table):
        keys = [key for key in differing if any(key in each for each in told)]
        columns: tuple[str, ...] = ()
        for key in sorted(keys, key=lambda key: not key.endswith(".kind")):
            if fits(console, _table(runs, heads, (*columns, key))):
                columns = (*columns, key)
            else:
                left.append(key)
        table = _table(runs, heads, columns)
    table.title = title
    show(console, table)
    if left:
        words = f"{count(len(left), 'more setting')} in which they differ (values: --json): {', '.join(left)}"
        console.print(words, style="dim", markup=False)
    if title:
        console.print()


def _table(
    runs: Sequence[Listed],
    heads: tuple[str, ...],
    settings: tuple[str, ...],
    others: Sequence[Mapping[str, Any]] = (),
) -> Table:
    table = Table(title_justify="left", show_edge=False, pad_edge=False)
    more = ("other settings",) if any(others) else ()
    for name in ("run", "data", *(_broken(key) for key in settings), *more):
        table.add_column(name)
    for head in heads:
        table.add_column(MEASURES[head], justify="right")
    for at, run in enumerate(runs):
        values = [value_of(run.settings.get(key)) for key in settings]
        figures = [figure(run.metrics.get(name)) for name in heads]
        table.add_row(run.name, run.data, *values, *([_pairs(others[at])] if more else []), *figures)
    return table


def _broken(key: str) -> str:
    """A key over two lines, as the heads of measures stand: `loss.` above `margin`."""
    section, dot, name = key.rpartition(".")
    return f"{section}{dot}\n{name}" if dot else key


def _pairs(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in settings.items())
