"""Results as text tables: the trained space beside its baselines, what a collection holds."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from nearfield.app.widths import fits, show
from nearfield.core.words import count
from nearfield.data.faults import Problem
from nearfield.data.problems import Report
from nearfield.evaluation.result import BASELINE_NAMES, MEASURE_NAMES

NOTHING = "nothing to measure without labels or tags; go on with `nearfield index` and `nearfield explore`"
EXAMPLES = 3
"""Problems of one kind that a report tells one by one; of more it tells so many."""
LISTED = 30
"""Labels or tags that a report lists one by one."""
MEASURES = {
    name: called.replace(" ", "\n", 1)
    for name, called in MEASURE_NAMES.items()
    if name != "probe/accuracy"  # beside F1 it says little more
}
MEANINGS = {
    "probe F1": "macro F1 of a linear classifier on the vectors, taught on train",
    "R@1": "share of clips whose nearest clip has their label (from train: nearest among the train clips; in "
    "split: among the clips judged)",
    "MAP@R": "how far the clips of a label come first among the nearest, 0 to 1",
    "NMI": "agreement of clusters with labels, 0 to 1",
    "ROC-AUC": "mean over tags of the chance that a clip with the tag scores above one without",
    "PR-AUC": "mean average precision over tags",
    "tag R@K": "of the tags of a clip, the share that its K nearest carry; the mean over clips",
}
"""What the heads of the table mean."""


CHECKED = {
    "quiet_seconds": "silence at beginnings and ends, 60 dB below the clip, which data.trim_db: 60 cuts away",
    "rates": "clips by samples a second",
    "groups": "clips that stay on one side of a split together",
    "recordings": "the recordings that clips are pieces of",
    "split_from": "where train, val and test come from",
    "starts": "what the column of starts was taken for",
    "other_columns": "for filters and the map; data.label, data.tags or data.group names one to use",
    "learnable_from": "what can say which clips are alike (time: nearness in a recording; views of one clip)",
}
"""What the rows of a report mean that are not plain words."""


def show_result(console: Console, result: dict[str, Any], title: str) -> None:
    """The table of a result, turned where the terminal is too narrow, and its notes."""
    if any(name in result["metrics"] for name in MEASURES):
        table = result_table(result, title)
        show(console, table if fits(console, table) else turned(table))
        console.print(_meanings(result["metrics"]), style="dim")
    else:
        console.print(f"{title}: {NOTHING}", markup=False, soft_wrap=True)
    for note in result["notes"]:
        console.print(note, style="dim", markup=False, soft_wrap=True)


def _meanings(metrics: dict[str, float]) -> str:
    heads = [called for name, called in MEASURE_NAMES.items() if name in metrics and name in MEASURES]
    there = {head for head in MEANINGS for each in heads if each.startswith(head.removesuffix("K"))}
    return " ".join(f"{head}: {said}." for head, said in MEANINGS.items() if head in there)


def turned(table: Table) -> Table:
    """The same figures, a row a measure and a column a space."""
    other = Table(title=table.title, title_justify="left", show_edge=False, pad_edge=False)
    first, *measures = table.columns
    other.add_column("measure", no_wrap=True)
    for name, row in zip(first.cells, table.rows, strict=True):
        other.add_column("\n".join(str(name).strip().rsplit(" ", 1)), justify="right", style=row.style or "")
    for column in measures:
        other.add_row(str(column.header).replace("\n", " "), *column.cells)
    return other


def result_table(result: dict[str, Any], title: str) -> Table:
    """One row a space, one column a measure that applies; intervals under the trained space's figures."""
    metrics: dict[str, float] = result["metrics"]
    shown = {name: head for name, head in MEASURES.items() if name in metrics}
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("space", no_wrap=True)
    for head in shown.values():
        table.add_column(head, justify="right")
    plain = {f"baseline/{name}/": called for name, called in reversed(BASELINE_NAMES.items())}
    for prefix, name in ({"": "trained space"} | plain).items():
        cells = [_cell(metrics.get(prefix + measure)) for measure in shown]
        if any(cell != "–" for cell in cells):
            table.add_row(name, *cells, style="bold" if not prefix else None)
        if not prefix and result["intervals"]:
            table.add_row(
                "  95 % interval", *[_interval(result["intervals"].get(m)) for m in shown], style="dim"
            )
    return table


def figure(value: float | None, decimals: int = 3) -> str:
    """A number in a table; a dash where there is none."""
    return "–" if value is None else f"{value:.{decimals}f}"


def value_of(value: Any) -> str:
    """The value of a setting in a table; a dash where there is none."""
    return "–" if value is None else str(value)


def report(console: Console, found: Report, name: str) -> None:
    """What `nearfield check` says to people."""
    plain = found.as_json()
    del plain["problems"]
    table = Table(title=name, title_justify="left", show_header=False, show_edge=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    marked = {key: plain.pop(key) for key in ("labels", "tags")}
    for key, value in plain.items():
        if value not in ({}, [], ()):
            table.add_row(key.replace("_", " "), _plain(value))
    show(console, table)
    told = [
        f"{key.replace('_', ' ')}: {CHECKED[key]}" for key, value in plain.items() if key in CHECKED and value
    ]
    console.print(f"{'. '.join(told)}.", style="dim", markup=False)
    for key, counts in marked.items():
        if counts:
            show(console, _counts(key, counts))
    alike: dict[tuple[str, str], list[Problem]] = {}
    for problem in found.problems:
        alike.setdefault((problem.kind, problem.severity), []).append(problem)
    for several in alike.values():
        _problems(console, several)
    console.print(f"\n{_summary(found.problems)}")


def _summary(problems: Sequence[Problem]) -> str:
    """How many problems of which weight."""
    if not problems:
        return "No problems found."
    fatal = sum(problem.severity == "left out" for problem in problems)
    warnings = count(len(problems) - fatal, "warning")
    if not fatal:
        return f"{warnings}; no clip is left out."
    left_out = f"{count(fatal, 'problem')} for which clips are left out"
    return f"{left_out}." if fatal == len(problems) else f"{left_out}, and {warnings}."


def _problems(console: Console, alike: list[Problem]) -> None:
    """Problems of one kind: each by itself, or, where there are many, how many, and some of them."""

    def say(head: str, *lines: str) -> None:
        console.print(f"\n{head}: {alike[0].kind}, {alike[0].severity}", style="yellow", markup=False)
        for line in lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)

    if len(alike) <= EXAMPLES:
        for each in alike:
            say(_place(each), each.reason, each.cure)
        return
    cures = {each.cure for each in alike}
    shown = [f"{_place(each)}: {each.reason}" for each in alike[:EXAMPLES]]
    if len(cures) > 1:
        shown = [f"{line} {each.cure}" for line, each in zip(shown, alike, strict=False)]
    more = f"and {len(alike) - EXAMPLES:,} more: see --json"
    say(f"{len(alike):,} times", *shown, more, *(cures if len(cures) == 1 else ()))


def _place(problem: Problem) -> str:
    return problem.path if problem.row is None else f"{problem.path} (row {problem.row})"


def _counts(title: str, counts: dict[str, dict[str, int]]) -> Table:
    """One row a label or tag, the most usual first, one column a side of the split."""
    table = Table(
        title=count(len(counts), title.removesuffix("s")),
        title_justify="left",
        show_edge=False,
        pad_edge=False,
    )
    sides = list(next(iter(counts.values())))
    for head in (title, *sides):
        table.add_column(head, justify="left" if head == title else "right")
    for name, row in list(counts.items())[:LISTED]:
        table.add_row(name, *(str(row[side]) for side in sides))
    if len(counts) > LISTED:
        table.add_row(f"and {len(counts) - LISTED} more: see --json")
    return table


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(ends: list[float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.2f}–{ends[1]:.2f}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        shown = [f"{key} {_plain(inner)}" for key, inner in list(value.items())[:30]]
        return ", ".join(shown) + (f", and {len(value) - 30} more" if len(value) > 30 else "")
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
