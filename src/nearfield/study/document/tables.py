"""Tables of the document of a study."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from nearfield.core.text import count
from nearfield.study.claims import (
    PLAIN_SPACES,
    between,
    called,
    chance,
    digits,
    label,
    listed,
    mean_and_interval,
    mean_text,
    measure,
    plain,
    signed,
)
from nearfield.study.document.content import Row, Table
from nearfield.study.document.figures import shown_tags, spread
from nearfield.study.records import ArmFacts, Comparison, StudyFacts, TagArea

BLOCKS = {
    "data": ("data",),
    "feature": ("feature", "normalize", "augment"),
    "network": ("backbone", "embedding"),
    "learning": ("relation", "sampler", "miner", "loss", "penalty", "optimizer", "schedule", "train"),
}
"""Sections of the recipe by block of the table of hyperparameters; other sections are in the last block."""

WORDS = {
    "best": "best",
    "as_good": "as good as the best",
    "worse": "worse",
    "undecided": "not decided",
    "not_comparable": "not comparable",
}
"""The fixed words of verdicts."""

LISTED = 40
"""Largest number of classes in a table; those with the lowest scores are shown."""
COLUMNS = 3
"""Number of metrics, or of arms with ranges, that fit on a printed page."""


def verdict_table(facts: StudyFacts) -> Table:
    """Creates the table of the answer, one row per arm: judge, verdict and difference from the recommended
    arm."""
    chosen = facts.conclusion.recommended
    head = ("arm", measure(facts.judge), "verdict")
    rows = [Row((*row.cells, _from(facts, verdict.arm)) if chosen else row.cells, row.style)
            for row, verdict in zip(arm_rows(facts), facts.conclusion.verdicts, strict=True)]  # fmt: skip
    differences = "; differences with simultaneous 95 % intervals" if chosen else ""
    return Table(
        "verdicts",
        f"Every arm by {measure(facts.judge)}: means over seeds with 95 % intervals{differences}.",
        (*head, f"difference from {called(facts, chosen)}") if chosen else head,
        tuple(rows),
    )


def _from(facts: StudyFacts, arm: str) -> str:
    """Formats the difference of an arm from the recommended one; a dash for itself."""
    found = between(facts, arm, facts.conclusion.recommended or "")
    return "—" if found is None else difference(facts, found)


def arm_rows(facts: StudyFacts) -> list[Row]:
    """Creates one row per arm: name, judge and verdict."""
    rows = []
    for verdict in facts.conclusion.verdicts:
        cells = (label(facts, verdict.arm), mean_text(facts, verdict.arm), WORDS[verdict.word])
        rows.append(Row(cells, _style(facts, verdict.arm)))
    return rows


def _style(facts: StudyFacts, arm: str) -> Literal["", "marked"]:
    """Returns the style of the row of an arm; the recommended arm is marked."""
    return "marked" if arm == facts.conclusion.recommended else ""


def difference(facts: StudyFacts, comparison: Comparison) -> str:
    """Formats a difference with its simultaneous interval: "+0.012 [−0.003, +0.027]"."""
    n = digits(facts)
    ends = f"{signed(comparison.low, n)}, {signed(comparison.high, n)}"
    return f"{signed(comparison.difference, n)} [{ends}]"


def _p(value: float) -> str:
    return chance(value).removeprefix("= ")


def settings_table(facts: StudyFacts) -> Table:
    """Creates the table of all hyperparameters in blocks, as in the source studies; varied ones are
    marked."""
    rows = [Row(("general",), "block"), *(Row(cells) for cells in _general(facts))]
    flat = dict.fromkeys(facts.varied) | flatten(facts.recipe)
    listed_in = {section: block for block, sections in BLOCKS.items() for section in sections}
    for block in BLOCKS:
        rows.append(Row((block,), "block"))
        keys = [key for key in flat if listed_in.get(key.partition(".")[0], "learning") == block]
        for section in sorted({key.partition(".")[0] for key in keys}, key=_order):
            rows += [_setting(facts, key, flat) for key in keys if key.partition(".")[0] == section]
    return Table(
        "settings",
        "Hyperparameters. Varied settings are bold and in square brackets; all others hold for all arms.",
        ("setting", "value"),
        tuple(rows),
        words=2,
    )


def _order(section: str) -> tuple[int, str]:
    known = [section for sections in BLOCKS.values() for section in sections]
    return (known.index(section) if section in known else len(known), section)


def _general(facts: StudyFacts) -> Iterator[tuple[str, str]]:
    yield "data set", str(facts.data.get("name", "not recorded"))
    yield "seeds", f"{listed([str(seed) for seed in facts.seeds])} (planned: {facts.planned_seeds})"
    yield "held equal", facts.held
    yield "judge", facts.judge
    yield "smallest difference that matters", f"{facts.meaningful:g}"
    yield "plan", facts.plan_hash[:16]


def _setting(facts: StudyFacts, key: str, flat: Mapping[str, Any]) -> Row:
    if key not in facts.varied:
        return Row((key, value_text(flat[key])))
    values = [flatten(each.arm.changes).get(key, flat.get(key)) for each in facts.arms]
    texts = list(dict.fromkeys(value_text(value) for value in values))
    return Row((key, f"[{', '.join(texts)}]"), "marked")


def flatten(plain_values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Flattens nested values to dotted keys; `kind` and `name` first, without `kind` if it repeats its
    section."""
    flat: dict[str, Any] = {}
    for key in sorted(plain_values, key=lambda key: (key not in ("kind", "name"), key)):
        value, name = plain_values[key], f"{before}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            flat |= {f"{name}.{i}": _one_line(each) for i, each in enumerate(value)}
        elif name != f"{value}.kind":
            flat[name] = value
    return flat


def _one_line(values: Mapping[str, Any]) -> str:
    rest = [f"{key} {value_text(value)}" for key, value in sorted(values.items()) if key != "kind"]
    return f"{values.get('kind', '')} ({', '.join(rest)})"


def value_text(value: Any) -> str:
    """Formats the value of a setting."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value_text(each) for each in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def results_tables(facts: StudyFacts) -> Iterator[Table]:
    """Creates the tables of arms and baselines, with three metrics per table."""
    names = sorted({name for each in facts.arms for name in each.measures} - {facts.judge})
    groups = [names[i : i + COLUMNS] for i in range(0, len(names), COLUMNS)] or [[]]
    for position, group in enumerate(groups):
        rows = [_arm_row(facts, each, group) for each in facts.arms]
        rows += [_baseline_row(facts, name, group) for name in baseline_names(facts)]
        yield Table(
            f"results-{position + 1}",
            f"Arms and baselines on {listed([measure(name) for name in (facts.judge, *group)])}: means over "
            "seeds with 95 % intervals; n is trainings. What stands beside the judge is described, not "
            "compared. "
            f"{seeds_of_baselines(facts)}",
            ("arm", "n", *(measure(name) for name in (facts.judge, *group))),
            tuple(rows),
        )


def _arm_row(facts: StudyFacts, each: ArmFacts, measures: Sequence[str]) -> Row:
    done = sum(run.state == "done" for run in each.runs)
    further = (mean_and_interval(found) if (found := each.measures.get(name)) else "—" for name in measures)
    failed = len(each.runs) - done
    n = f"{done} ({failed} failed)" if failed else str(done)
    return Row(
        (label(facts, each.arm.id), n, mean_text(facts, each.arm.id), *further), _style(facts, each.arm.id)
    )


def seeds_of_baselines(facts: StudyFacts) -> str:
    """States which baselines depend on the seed."""
    if "random_encoder" not in facts.baselines:
        return "Baselines have no seeds."
    return (
        f"Baselines are not trained: {label(facts, 'baseline/random_encoder')} is drawn anew with each seed "
        "and stands with its mean over seeds; the others have no seeds."
    )


def _baseline_row(facts: StudyFacts, name: str, measures: Sequence[str]) -> Row:
    row, full = facts.baselines.get(name, {}), f"baseline/{name}"
    judge = mean_text(facts, full)
    if judge == "—" and facts.judge in row:
        judge = plain(row[facts.judge], digits(facts))
    further = (plain(row[measure]) if measure in row else "—" for measure in measures)
    return Row((label(facts, full), "—", judge, *further), "baseline")


def baseline_names(facts: StudyFacts) -> list[str]:
    """Returns the baselines of the study, chance first."""
    known = [name for name in PLAIN_SPACES if name in facts.baselines]
    return known + sorted(set(facts.baselines) - set(known))


def comparison_table(facts: StudyFacts, with_baselines: bool) -> Table | None:
    """Creates the table of all pairs of arms, or of arms and baselines; None if there are none."""
    rows = []
    for each in facts.conclusion.comparisons:
        if ("baseline/" in each.one + each.other) != with_baselines:
            continue
        proof = (difference(facts, each), _p(each.p), _p(each.p_alone), str(each.seeds), str(each.groups))
        rows.append(Row((label(facts, each.one), label(facts, each.other), *proof, each.claim)))
    if not rows:
        return None
    pair = "Every arm against every baseline" if with_baselines else "Every pair of arms"
    return Table(
        "baselines" if with_baselines else "comparisons",
        f"{pair} on {measure(facts.judge)}. Differences are the first minus the second, with simultaneous "
        "95 % intervals; p is corrected for all comparisons of this study, p alone for none. "
        "The last column is what may be claimed of the first.",
        ("arm", "against", "difference [simultaneous]", "corrected p", "p alone", "seeds", "groups", "claim"),
        tuple(rows),
        words=2,
    )


def class_tables(facts: StudyFacts) -> Iterator[Table]:
    """Creates the tables of F1 of every class and arm, median and range over seeds; at most four arms per
    table."""
    arms = [each for each in facts.arms if each.classes]
    tables = math.ceil(len(arms) / (COLUMNS + 1))
    total = len({found.name for each in arms for found in each.classes})
    for position in range(tables):
        group = arms[position * len(arms) // tables : (position + 1) * len(arms) // tables]
        cells = [{found.name: found for found in each.classes} for each in group]
        rows = []
        for name in _listed(arms):
            support = max(found.support for each in arms for found in each.classes if found.name == name)
            texts = (
                f"{plain(f.f1, 2)} ({plain(f.f1_range[0], 2)}–{plain(f.f1_range[1], 2)})"
                if (f := found.get(name))
                else "—"
                for found in cells
            )
            rows.append(Row((name, f"{support:,}", *texts)))
        yield Table(
            f"classes-{position + 1}",
            "F1 by class: median over seeds, and the range over seeds in brackets; support is test clips. "
            + (f"The {LISTED} hardest of {total}; facts.json has all. " if total > LISTED else "")
            + "Described, not compared.",
            ("class", "support", *(label(facts, each.arm.id) for each in group)),
            tuple(rows),
        )


def _listed(arms: Sequence[ArmFacts]) -> list[str]:
    """Returns the shown classes in order: all, or those with the lowest mean F1 over arms."""
    scores: dict[str, list[float]] = {}
    for each in arms:
        for found in each.classes:
            scores.setdefault(found.name, []).append(found.f1)
    hardest = sorted(scores, key=lambda name: sum(scores[name]) / len(scores[name]))[:LISTED]
    return [name for name in scores if name in set(hardest)]


def tag_table(facts: StudyFacts) -> Table:
    """Creates the table of ROC-AUC and PR-AUC of each tag and arm, with differences from the reference."""
    arms = [each for each in facts.arms if any(each.arm.id in tag.areas["roc_auc"] for tag in facts.tags)]
    head = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC"}
    # The number of columns that fit on a page.
    areas = tuple(head) if len(arms) <= 2 else (facts.judge.partition("/")[2],)
    rows = []
    for tag in shown_tags(facts):
        cells = [_tag_cell(tag.areas[area].get(each.arm.id)) for area in areas for each in arms]
        rows.append(Row((tag.name, f"{tag.positives:,}", *cells)))
    names = [f"{head[area]} {label(facts, each.arm.id)}" for area in areas for each in arms]
    return Table(
        "tags",
        "Each tag under each arm: mean over seeds, and in brackets its difference from the reference arm, "
        "with a star for a p under 0.05, corrected over all tags and arms (Holm). Clips are test clips that "
        "have the tag. Described, not compared.",
        ("tag", "clips", *names),
        tuple(rows),
    )


def _tag_cell(area: TagArea | None) -> str:
    if area is None:
        return "—"
    gap = "" if area.gap is None else f" ({signed(area.gap, 2)})"
    return f"{plain(area.mean, 2)}{gap}{'*' if area.p_holm is not None and area.p_holm < 0.05 else ''}"


def speed_table(facts: StudyFacts) -> Table | None:
    """Creates the table of when each arm reached the target on the validation clips; None without a
    target."""
    if facts.target is None:
        return None
    rows = []
    for each in facts.speeds:
        found = sorted(update for update in each.updates if update is not None)
        span = f"{found[0]:,} to {found[-1]:,}" if found else "—"
        middle = "—" if each.median_updates is None else f"{each.median_updates:,.0f}"
        seconds = "—" if each.median_seconds is None else f"{each.median_seconds:,.1f}"
        never = f"{each.never} of {len(each.updates)}"
        rows.append(Row((label(facts, each.arm), middle, span, seconds, never)))
    return Table(
        "speed",
        f"Updates until the validation score was {facts.target:g}, at the first validation to show it, and "
        "seconds of training on the machine at hand, validations left out. A training that never got there "
        "counts as slowest; an arm of which half never got there has no median. Described, not compared.",
        ("arm", "updates, median", "range", "seconds, median", "never"),
        tuple(rows),
    )


def centroid_table(facts: StudyFacts) -> Table:
    """Creates the table of the variation of distances between centroids for each arm."""
    rows = []
    for each in facts.arms:
        table = each.centroid_distances
        values = sorted(table[i][j] for i in range(len(table)) for j in range(i))
        variation = spread(each)
        if values and variation is not None:
            cells = (plain(values[0]), plain(values[-1]), plain(variation))
            rows.append(Row((label(facts, each.arm.id), *cells)))
    return Table(
        "centroids",
        "Distances between the centroids of classes, mean over seeds: the smallest, the largest and the "
        "coefficient of variation (0 where none differs).",
        ("arm", "smallest", "largest", "coefficient of variation"),
        tuple(rows),
    )


def fact_table(name: str, caption: str, values: Mapping[str, Any]) -> Table:
    """Creates a table of two columns from nested values; long lists are shortened."""
    rows = []
    for key, value in flatten(values).items():
        text = value_text(value)
        if isinstance(value, list | tuple) and len(value) > 12:
            text = f"{len(value)}: {value_text(value[:12])} …"
        rows.append(Row((key.replace("_", " ").replace(".", ": "), text)))
    return Table(name, caption, ("what", "value"), tuple(rows), words=2)


def failure_table(facts: StudyFacts) -> Table | None:
    """Creates the table of diverged trainings; None if none diverged."""
    rows = [
        Row(
            (
                label(facts, each.arm),
                f"{each.diverged} of {each.trained}",
                f"{each.diverged / each.trained:.2f} [{each.low:.2f}, {each.high:.2f}]",
                _p(each.p),
            )
        )
        for each in facts.failures
    ]
    caption = (
        "Trainings that diverged: an outcome of their arm. Shares with exact 95 % intervals; p against the "
        "arm whose trainings diverge least (Fisher), corrected (Holm)."
    )
    head = ("arm", "diverged", "share", "corrected p")
    return Table("failures", caption, head, tuple(rows)) if rows else None


def search_table(facts: StudyFacts) -> Table | None:
    """Creates the table of the trials of a search; None if there was none, or no table was stored."""
    trials = next(
        (v for v in facts.search.values() if isinstance(v, list | tuple) and v and isinstance(v[0], Mapping)),
        None,
    )
    if trials is None:
        return None
    rows = [flatten(trial) for trial in trials]
    head = tuple(dict.fromkeys(key for row in rows for key in row))
    return Table(
        "trials",
        f"The search: {count(len(rows), 'trial')}, scored on val. These scores served for choosing only.",
        head,
        tuple(Row(tuple(value_text(row.get(key)) for key in head)) for row in rows),
    )
