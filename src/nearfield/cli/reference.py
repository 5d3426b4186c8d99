"""What `nearfield list` shows beside kinds: keys of a recipe's fixed sections and of a study; metrics."""

import math
import textwrap
from collections.abc import Iterator
from typing import Any

from nearfield.core.keys import Key, keys
from nearfield.core.settings import Settings
from nearfield.core.text import enumerated
from nearfield.metrics.registry import (
    BASELINES,
    NEEDS,
    PARAMETERS,
    MetricFamily,
    MetricRow,
    families,
    from_elsewhere,
    rows,
)

METRICS = "metrics"


def sections() -> dict[str, type[Settings]]:
    """The sections of a recipe that have no kinds, and the study file, by the names that `list` takes."""
    from nearfield.study.file import StudyFile
    from nearfield.training.recipe import Recipe

    found = {name: field.annotation for name, field in Recipe.model_fields.items()}
    fixed = {
        name: each for name, each in found.items() if isinstance(each, type) and issubclass(each, Settings)
    }
    return {**fixed, "study": StudyFile}


def listed() -> tuple[str, ...]:
    """Every name that `plain` and `text` know."""
    return (*sections(), METRICS)


def plain(name: str) -> dict[str, dict[str, Any]]:
    """Of a section {key: {"type", "range", "default", "about"}}; of the metrics
    {metric: {"about", "direction", "range", "needs", "headline", "judges", "refused"}}."""
    if name == METRICS:
        return {pattern: _metric(row) for pattern, row in rows().items()}
    return {key.name: key.plain() for key in keys(sections()[name])}


def text(name: str, width: int) -> list[str]:
    """The same as lines of at most `width` characters."""
    if name == METRICS:
        return list(_metrics(width))
    every = list(keys(sections()[name]))
    head = "study.yaml" if name == "study" else f"{name}: of a recipe"
    return [f"{head}:", *key_lines(every, width, 2)]


def key_lines(every: list[Key], width: int, indent: int) -> list[str]:
    """A line each: key, default, sentence, and what is allowed; in columns."""
    shown = {key.name: shown_default(key.default) for key in every}
    names, defaults = max(map(len, shown)), max(map(len, shown.values()))
    return [
        line
        for key in every
        for line in wrapped(
            f"{'':{indent}}{key.name:<{names}}  {shown[key.name]:<{defaults}}  ",
            f"{key.about} ({key.allowed})",
            width,
        )
    ]


def shown_default(default: Any) -> str:
    """A default in a column: of a part that has settings itself, its kind, or that they follow."""
    if isinstance(default, dict) and default:
        return str(default.get("kind", "below"))
    return str(default)


def wrapped(head: str, words: str, width: int) -> list[str]:
    """`words` behind `head`, further lines under its first word."""
    return textwrap.wrap(
        words,
        max(width, len(head) + 30),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
    ) or [head.rstrip()]


def _metric(row: MetricRow) -> dict[str, Any]:
    low, high = row.metric.range
    return {
        "about": row.metric.about,
        "direction": row.metric.direction,
        "range": [low if math.isfinite(low) else None, high if math.isfinite(high) else None],
        "needs": [NEEDS[each] for each in row.needs],
        "headline": row.is_headline,
        "judges": not row.refused,
        "refused": row.refused,
    }


def _metrics(width: int) -> Iterator[str]:
    yield from wrapped(
        "metrics, ",
        "FAMILY/NAME in result.json and metrics.jsonl; a study may be judged by those marked *, and describe "
        "all but the curves val and train",
        width,
    )
    for family in families():
        here = [row for row in rows().values() if row.family is family]
        needs = f" Needs {enumerated([NEEDS[each] for each in family.needs])}." if family.needs else ""
        refused = f" Judges no study: {family.refused}." if family.refused else ""
        yield from wrapped(f"{family.prefix}  ", f"{family.about}{needs}{refused}", width)
        yield from _rows(here, family, width)
    values = "; ".join(f"{name}: {', '.join(each)}" for name, each in PARAMETERS.items() if each)
    yield from wrapped("parameters  ", values, width)
    for sentence in from_elsewhere():
        yield from wrapped("  ", sentence, width)


def _rows(here: list[MetricRow], family: MetricFamily, width: int) -> Iterator[str]:
    if family.prefix == "baseline/{space}":
        for space in BASELINES:
            yield from wrapped(f"    {space.name:<16}  ", space.about, width)
    name = max((len(row.metric.name) for row in here), default=0)
    ends = {row.pattern: limits(row) for row in here}
    longest = max(map(len, ends.values()), default=0)
    for row in here:
        more = [NEEDS[each] for each in row.own_needs]
        needs = f" Needs {enumerated(more)}." if more else ""
        mark = "*" if not row.refused else " "
        head = f"  {mark} {row.metric.name:<{name}}  {ends[row.pattern]:<{longest}}  "
        yield from wrapped(head, f"{row.metric.about}{needs}", width)


def limits(row: MetricRow) -> str:
    """ "0 to 1, higher", "0 or more", "any number, lower"."""
    low, high = row.metric.range
    ends = (
        f"{low:g} to {high:g}" if math.isfinite(high) else "0 or more" if math.isfinite(low) else "any number"
    )
    return ends if row.metric.direction == "neither" else f"{ends}, {row.metric.direction}"
