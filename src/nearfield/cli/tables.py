"""Results as text tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from nearfield.analysis.compare import AreaDifference, Difference, RunComparison, TagComparison
from nearfield.analysis.explain.challenge import COLUMNS, ChallengeRow, ChallengeTable
from nearfield.analysis.explain.clusters import ClusterReport
from nearfield.analysis.explain.explain import Explanation, Nuisance
from nearfield.analysis.explain.position import Positions
from nearfield.analysis.run_table import Listed, Overview, differing_settings
from nearfield.analysis.suspects.signals import SilenceReport
from nearfield.cli.output import fits, show
from nearfield.core.text import count
from nearfield.data.check import Report
from nearfield.data.faults import Problem
from nearfield.metrics.intervals import LEAST_GROUPS
from nearfield.metrics.registry import BASELINE_NAMES, TABLE_HEADS
from nearfield.space.listening.algebra import LabelAlgebra, TagAlgebra
from nearfield.space.listening.listening_test import ListeningResult
from nearfield.training.recipe import telling

# Results of a run with its baselines, and the report on a collection.

NOTHING = "nothing to measure without labels or tags; continue with `nearfield index` and `nearfield explore`"
EXAMPLES = 3
"""Number of problems of one kind that a report lists singly."""
LISTED = 30
"""Number of labels or tags that a report lists."""
MEASURES = {
    name: called.replace(" ", "\n", 1)
    for name, called in TABLE_HEADS.items()
    if name != "probe/accuracy"  # redundant next to F1
}
MEANINGS = {
    "probe F1": "macro F1 of a linear classifier on the vectors, trained on train",
    "R@1": "share of clips whose nearest clip has their label (from train: nearest among the train clips; in "
    "split: among the evaluated clips)",
    "MAP@R": "how far clips of the same label rank first among the nearest, 0 to 1",
    "NMI": "agreement of clusters with labels, 0 to 1",
    "ROC-AUC": "mean over tags of the probability that a clip with the tag scores above one without",
    "PR-AUC": "mean average precision over tags",
    "tag R@K": "share of the tags of a clip that its K nearest clips have; mean over clips",
}
"""Explanations of the column heads."""


CHECKED = {
    "quiet_seconds": "silence at beginnings and ends, 60 dB below the clip, which data.trim_db: 60 cuts away",
    "rates": "clips by sample rate",
    "groups": "clips that stay in one split together",
    "recordings": "the recordings that clips are parts of",
    "split_from": "where train, val and test come from",
    "starts": "how the column of starts was interpreted",
    "other_columns": "for filters and the map; data.label, data.tags or data.group names one to use",
    "learnable_from": "what can define positive pairs (time: nearness in a recording; views of one clip)",
}
"""Explanations of rows of a report."""


def show_result(console: Console, result: dict[str, Any], title: str) -> None:
    """Prints the table of a result, transposed if the terminal is too narrow, and its notes."""
    if any(name in result["metrics"] for name in MEASURES):
        table = result_table(result, title)
        show(console, table if fits(console, table) else turned(table))
        console.print(_meanings(result["metrics"]), style="dim")
    else:
        console.print(f"{title}: {NOTHING}", markup=False, soft_wrap=True)
    for note in result["notes"]:
        console.print(note, style="dim", markup=False, soft_wrap=True)


def _meanings(metrics: dict[str, float]) -> str:
    heads = [called for name, called in TABLE_HEADS.items() if name in metrics and name in MEASURES]
    there = {head for head in MEANINGS for each in heads if each.startswith(head.removesuffix("K"))}
    return " ".join(f"{head}: {said}." for head, said in MEANINGS.items() if head in there)


def turned(table: Table) -> Table:
    """The same numbers, one row per metric and one column per space."""
    other = Table(title=table.title, title_justify="left", show_edge=False, pad_edge=False)
    first, *measures = table.columns
    other.add_column("measure", no_wrap=True)
    for name, row in zip(first.cells, table.rows, strict=True):
        other.add_column("\n".join(str(name).strip().rsplit(" ", 1)), justify="right", style=row.style or "")
    for column in measures:
        other.add_row(str(column.header).replace("\n", " "), *column.cells)
    return other


def result_table(result: dict[str, Any], title: str) -> Table:
    """One row per space, one column per metric; intervals below the numbers of the trained space."""
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
    """A number in a table, or a dash."""
    return "–" if value is None else f"{value:.{decimals}f}"


def value_of(value: Any) -> str:
    """The value of a setting in a table, or a dash."""
    return "–" if value is None else str(value)


def report(console: Console, found: Report, name: str) -> None:
    """Prints the report of `nearfield check`."""
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
    """The number of problems by severity, as text."""
    if not problems:
        return "No problems found."
    fatal = sum(problem.severity == "left out" for problem in problems)
    warnings = count(len(problems) - fatal, "warning")
    if not fatal:
        return f"{warnings}; no clip is left out."
    left_out = f"{count(fatal, 'problem')} for which clips are left out"
    return f"{left_out}." if fatal == len(problems) else f"{left_out}, and {warnings}."


def _problems(console: Console, alike: list[Problem]) -> None:
    """Problems of one kind: all of them, or, if there are many, their number and some of them."""

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
    """One row per label or tag, the most frequent first, one column per split."""
    table = Table(
        title=count(len(counts), title.removesuffix("s")),
        title_justify="left",
        show_edge=False,
        pad_edge=False,
    )
    splits = list(next(iter(counts.values())))
    for head in (title, *splits):
        table.add_column(head, justify="left" if head == title else "right")
    for name, row in list(counts.items())[:LISTED]:
        table.add_row(name, *(str(row[split]) for split in splits))
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


# Tables of `nearfield runs`, one for each set of runs with the same kind of score.

_PAIRS = 3
"""Largest number of kind-specific settings in a cell."""


def all_runs(console: Console, found: Overview) -> None:
    """One table for each kind of score: one row per run, with the settings in which these runs differ."""
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
    """Settings of all runs in columns, kind-specific ones together in one more column. If they do not fit:
    as many columns as possible, kinds first, and the names of the others."""
    differing, told = differing_settings(runs), telling([run.settings for run in runs])
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
    """A key in two lines, like the heads of metrics: `loss.` above `margin`."""
    section, dot, name = key.rpartition(".")
    return f"{section}{dot}\n{name}" if dot else key


def _pairs(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in settings.items())


# Tables of `nearfield listen`.


def label_arithmetic(console: Console, found: LabelAlgebra) -> None:
    """One row per formula, and a comparison with chance."""
    table = plain_table(("formula", "nearest"), ("angle", "lead"), ("halves agree", "expected"))
    for row in found.answers:
        lead = "–" if row.lead == float("inf") else f"{row.lead:.3f}"
        table.add_row(
            row.formula, row.nearest, f"{row.angle:.3f}", lead, _yes(row.stable), _yes(row.expected)
        )
    show(console, table)
    if found.stable_share is not None:
        console.print(
            f"Two halves of the clips agree on {found.stable_share:.0%} of the answers; random answers would "
            f"on {found.stable_chance:.0%}."
        )
    if found.hit_rate is not None and found.hit_chance is not None and found.p is not None:
        console.print(
            f"Expected answers: {found.hit_rate:.0%}; with shuffled names {found.hit_chance:.0%} "
            f"(p {_chance(found.p)})."
        )
    else:
        console.print("No expected answers were given. Add them with --expected FILE.", style="dim")


def tag_arithmetic(console: Console, found: TagAlgebra) -> None:
    """How often the clips nearest to a sum or difference of tags satisfy it."""
    table = plain_table(("formula",), ("clips that satisfy it", "by chance"))
    table.add_row("A + B", f"{found.sum_rate:.3f}", f"{found.sum_chance:.3f}")
    table.add_row("A - B", f"{found.difference_rate:.3f}", f"{found.difference_chance:.3f}")
    show(console, table)
    console.print(f"{found.pairs} formulas of tags; p {_chance(found.p)} by shuffled vectors.")


def listening_test(console: Console, found: ListeningResult) -> None:
    """Means of conditions, and the difference of each condition to its control."""
    table = plain_table(("condition",), ("pairs", "mean rating", "95 % interval"))
    for row in found.conditions:
        table.add_row(row.condition, str(row.pairs), f"{row.mean:.2f}", ends(row.interval))
    show(console, table)
    table = plain_table(("condition", "minus control"), ("anchors", "difference", "95 % interval", "p"))
    for each in found.differences:
        p = "–" if each.p is None else _chance(each.p)
        table.add_row(
            each.condition, each.control, str(each.anchors), f"{each.difference:+.2f}", ends(each.interval), p
        )
    show(console, table)
    far = (
        "" if found.with_distance is None else f"; rank correlation with distance {found.with_distance:+.2f}"
    )
    console.print(f"{count(found.answers, 'answer')} of {count(len(found.raters), 'listener')}{far}.")


def plain_table(left: tuple[str, ...], right: tuple[str, ...], behind: tuple[str, ...] = ()) -> Table:
    """A table without lines: columns of text, then of numbers, then of text."""
    table = Table(show_edge=False, pad_edge=False)
    for head in left:
        table.add_column(head)
    for head in right:
        table.add_column(head, justify="right")
    for head in behind:
        table.add_column(head)
    return table


def ends(interval: tuple[float, float] | None) -> str:
    """An interval as text."""
    return "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


# Tables of `nearfield explain` and `compare`.

CERTAIN = 0.05

_RULES = {
    "elbow": "the number of clusters beyond which more clusters explain little more variance",
    "silhouette": "the number whose clusters are best separated relative to their width",
    "hdbscan": "dense regions, as many as there are; clips between them are left out",
}
"""How the number of clusters was chosen."""

_CLUSTER_WORDS = (
    "purity: share of clips with the most frequent label of their cluster. NMI, AMI: agreement of clusters "
    "with labels, 1 for equal; AMI is 0 for random clusters."
)

_WIDEST = 10
"""Largest number of clusters whose labels are listed."""


def explanation(console: Console, found: Explanation) -> None:
    """Prints every table that applies, and a sentence for each that does not."""
    console.print(f"{found.run}: {count(found.clips, f'{found.split} clip')} of {found.data}\n", markup=False)
    _clusters(console, found.clusters)
    if found.silence is not None:
        _silence(console, found.silence)
    if found.positions is not None:
        _positions(console, found.positions)
    if found.nuisance:
        _nuisance(console, found.nuisance)
    if found.apart is not None:
        names, spread = found.apart.centroids.names, found.apart.spread
        console.print(
            f"Centroids of {len(names)} labels: variation of their distances {figure(spread)} "
            f"(0 where all lie equally far apart; shuffled labels {figure(found.apart.spread_by_chance)}).\n"
        )
    if found.challenge is not None:
        _challenge(console, found.challenge)
    for note in found.notes:
        console.print(note, style="dim", markup=False, soft_wrap=True)


def comparison(console: Console, found: RunComparison) -> None:
    """Settings that differ, then paired differences."""
    table = plain_table(("setting", "first", "second"), ())
    for key, (one, other) in found.settings.items():
        table.add_row(key, value_of(one), value_of(other))
    show(console, table)
    console.print(
        f"\n{count(found.clips, f'{found.split} clip')} in {count(found.groups, 'group')}; "
        "second minus first\n"
    )
    for title, rows in (("metric", found.metrics), ("label (F1)", found.classes)):
        if rows:
            show(console, _differences(title, rows))
    for who, each in found.tags.items():
        show(console, _tags(f"tag (PR-AUC, {who})", each))
    console.print(
        "\n* p < 0.05 after Holm's correction over the table; ? fewer than 20 clips. The intervals are for "
        "these clips: whether a setting is better, a study of several seeds can say.",
        style="dim",
        soft_wrap=True,
    )


def _clusters(console: Console, found: ClusterReport) -> None:
    if not found.label_names:
        _numbers_of_clusters(console, found)
        return
    right = ("clusters", "left out", "purity", "NMI", "AMI")
    table = plain_table(("space", "chosen by"), right)
    for space in found.spaces:
        name = f"{space.name.replace('_', ' ')} ({space.variance:.0%} of variance)"
        for each in space.found:
            judged = [figure(value) for value in (each.purity, each.nmi, each.ami)]
            rule = "as many as labels" if each.chosen_by == "labels" else each.chosen_by
            table.add_row(name, rule, str(each.clusters), str(each.left_out), *judged)
            name = ""
    show(console, table)
    console.print(f"{_cluster_words(found)} {_CLUSTER_WORDS}", style="dim")
    console.print()
    chosen = next(each for each in found.spaces[0].found if each.chosen_by == "elbow")
    if (
        chosen.contingency is not None
        and len(found.label_names) <= 3 * _WIDEST
        and chosen.clusters <= _WIDEST
    ):
        table = plain_table(("label",), tuple(f"c{number}" for number in range(chosen.clusters)))
        for label, counts in zip(found.label_names, chosen.contingency.tolist(), strict=True):
            table.add_row(label, *(str(count) if count else "·" for count in counts))
        show(console, table)
        console.print()


def _numbers_of_clusters(console: Console, found: ClusterReport) -> None:
    """Without labels clusters cannot be evaluated; prints only their number."""
    console.print("Clusters: no clip has a label to compare them with.")
    for space in found.spaces:
        numbers = ", ".join(f"{each.clusters} by {each.chosen_by}" for each in space.found)
        name = space.name.replace("_", " ")
        console.print(f"  {name} ({space.variance:.0%} of variance): {numbers}", markup=False, soft_wrap=True)
    console.print(_cluster_words(found), style="dim")
    console.print()


def _cluster_words(found: ClusterReport) -> str:
    """Explains the names of spaces and rules that occur."""
    spaces = "whole: all dimensions; pca N: the first N principal components."
    used = {each.chosen_by for space in found.spaces for each in space.found}
    return " ".join([spaces, *(f"{rule}: {said}." for rule, said in _RULES.items() if rule in used)])


def _silence(console: Console, found: SilenceReport) -> None:
    quiet = found.quiet
    console.print(
        f"Quietest cluster (elbow, whole space): c{quiet.cluster}, {count(quiet.clips, 'clip')} of "
        f"{quiet.level:.0f} dB on average, {_of_silence(found)} (below {found.threshold:.0f} dB). Clusters "
        f"explain {found.explained:.0%} of the variance of level.\n",
        soft_wrap=True,
    )


def _of_silence(found: SilenceReport) -> str:
    if not found.silent_share:
        return "no clip of any cluster silent"
    return f"{found.quiet.silent} of them silent, {found.quiet.of_all_silent:.0%} of all silence"


def _positions(console: Console, found: Positions) -> None:
    table = plain_table(("score", "part"), (found.of, "mean", "95 %", "below middle", "95 %"))
    for name, parts in found.scores.items():
        for part in parts:
            less = figure(part.less)
            row = (str(part.clips), figure(part.score), ends(part.interval), less, ends(part.less_interval))
            table.add_row(name if part is parts[0] else "", part.part, *row)
    show(console, table)
    console.print(
        f"first and last: {found.edge:.0%} of a recording at either end; below middle: how much lower the "
        "score of that part is than that of the middle\n",
        style="dim",
    )


def _nuisance(console: Console, found: tuple[Nuisance, ...]) -> None:
    table = plain_table(("can be read",), ("macro F1", "95 %", "by guessing"))
    for row in found:
        table.add_row(row.column, figure(row.macro_f1), ends(row.interval), figure(row.chance))
    show(console, table)
    words = (
        "can be read: how well a linear classifier predicts that column from the vectors; for a column that "
    )
    console.print(
        f"{words}must not matter it should be near guessing. macro F1: mean over its values, 1 is perfect.",
        style="dim",
    )
    console.print()


def _challenge(console: Console, found: ChallengeTable) -> None:
    table = plain_table(("system", "reads"), ("unknown nodes", "known nodes", "all", "gap"))
    for row in (found.ours, *found.published):
        cells = [figure(getattr(row, name), 1) for name in COLUMNS]
        table.add_row(row.system, row.reading, *cells, ", ".join(_gaps(found, row)))
        if row is found.ours:
            reach = (_points(found.intervals.get(name)) for name in COLUMNS)
            table.add_row("  95 %", "", *reach, "", style="dim")
            table.add_row(
                "  clips", "", *(str(found.clips.get(name, 0)) for name in COLUMNS), "", style="dim"
            )
    show(console, table)
    for note in found.notes:
        console.print(note, style="dim", soft_wrap=True)


def _gaps(found: ChallengeTable, row: ChallengeRow) -> Iterator[str]:
    """Ours minus theirs; a difference within our own interval is not significant."""
    for name, gap in found.gaps.get(row.system, {}).items():
        low, high = found.intervals.get(name, (float("-inf"), float("inf")))
        theirs = getattr(row, name)
        yield f"{name} {gap:+.1f}" + (" (within 95 %)" if low <= theirs <= high else "")


def _points(ends: tuple[float, float] | None) -> str:
    return f"{ends[0]:.1f} to {ends[1]:.1f}" if ends else "–"


def _differences(title: str, rows: tuple[Difference, ...]) -> Table:
    table = plain_table((title,), ("clips", "first", "second", "difference", "95 %", "p"))
    for row in rows:
        p = _mark(row.p_holm)
        name = row.name + (" ?" if row.few else "")
        cells = (str(row.clips), figure(row.first), figure(row.second), f"{row.difference:+.3f}")
        table.add_row(name, *cells, _reach(row), p)
    return table


def _tags(title: str, found: TagComparison) -> Table:
    table = plain_table((title,), ("clips", "first", "second", "difference", "95 %", "p"))
    for row in (*found.tags, found.macro):
        if row.pr_auc is not None:
            area = row.pr_auc
            name = row.name + (" ?" if row.few else "")
            cells = (str(row.positives), figure(area.first), figure(area.second), f"{area.difference:+.3f}")
            table.add_row(name, *cells, _reach(area), _mark(area.p_holm))
    return table


def _reach(row: Difference | AreaDifference) -> str:
    """The interval, or that there are too few groups for one."""
    return f"too few groups ({row.groups})" if row.groups < LEAST_GROUPS else _signed(row.interval)


def _mark(p: float | None) -> str:
    if p is None:
        return "–"
    return ("< 0.001" if p < 0.001 else f"{p:.3f}") + (" *" if p < CERTAIN else "  ")


def _signed(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:+.3f} to {interval[1]:+.3f}"
