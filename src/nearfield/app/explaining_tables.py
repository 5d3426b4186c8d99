"""What `nearfield explain` and `compare` found, as text tables."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from nearfield.app.listening_tables import ends, plain_table
from nearfield.app.tables import figure, value_of
from nearfield.app.widths import show
from nearfield.core.words import count
from nearfield.evaluation.challenge import COLUMNS, ChallengeRow, ChallengeTable
from nearfield.evaluation.cluster_report import ClusterReport
from nearfield.evaluation.paired import LEAST_GROUPS
from nearfield.evaluation.silence import SilenceReport
from nearfield.evaluation.tag_comparison import AreaDifference, TagComparison
from nearfield.runs.compare import Comparison, Difference
from nearfield.runs.explain import Explanation, Nuisance
from nearfield.runs.explain_position import Positions

CERTAIN = 0.05

_RULES = {
    "elbow": "the number of clusters beyond which more of them explain little more",
    "silhouette": "the number whose clusters lie farthest apart for their width",
    "hdbscan": "dense regions, as many as there are; clips between them are left out",
}
"""How a number of clusters was chosen, in a clause."""

_CLUSTER_WORDS = (
    "purity: share of clips with the commonest label of their cluster. NMI, AMI: agreement of clusters with "
    "labels, 1 the same; AMI 0 by chance."
)

_WIDEST = 10
"""Clusters up to which the labels in them are listed."""


def explanation(console: Console, found: Explanation) -> None:
    """Every table that applies, and a sentence where one does not."""
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


def comparison(console: Console, found: Comparison) -> None:
    """Settings that differ, then paired differences."""
    table = plain_table(("setting", "first", "second"), ())
    for key, (one, other) in found.settings.items():
        table.add_row(key, value_of(one), value_of(other))
    show(console, table)
    console.print(
        f"\n{count(found.clips, f'{found.split} clip')} in {count(found.groups, 'group')}; "
        "second less first\n"
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
    """Without labels nothing says how good clusters are: how many there are is all there is to tell."""
    console.print("Clusters: no clip has a label to set them against.")
    for space in found.spaces:
        numbers = ", ".join(f"{each.clusters} by {each.chosen_by}" for each in space.found)
        name = space.name.replace("_", " ")
        console.print(f"  {name} ({space.variance:.0%} of variance): {numbers}", markup=False, soft_wrap=True)
    console.print(_cluster_words(found), style="dim")
    console.print()


def _cluster_words(found: ClusterReport) -> str:
    """What names of spaces and of rules mean, of those that occur."""
    spaces = "whole: all numbers of a vector; pca N: its N directions of most variance."
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
        f"first and last: {found.edge:.0%} of a recording at either end; below middle: how far the score of "
        "that part lies below that of the middle\n",
        style="dim",
    )


def _nuisance(console: Console, found: tuple[Nuisance, ...]) -> None:
    table = plain_table(("can be read",), ("macro F1", "95 %", "by guessing"))
    for row in found:
        table.add_row(row.column, figure(row.macro_f1), ends(row.interval), figure(row.chance))
    show(console, table)
    words = (
        "can be read: how well a linear classifier tells that column from the vectors; what is not to matter "
    )
    console.print(
        f"{words}should be near guessing. macro F1: mean over its values, 1 for all right.", style="dim"
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
    """Ours less theirs; one that our own interval holds decides nothing."""
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
