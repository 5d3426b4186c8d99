"""What `nearfield listen` found, as text tables."""

from rich.console import Console
from rich.table import Table

from nearfield.app.widths import show
from nearfield.core.words import count
from nearfield.evaluation.algebra import LabelAlgebra
from nearfield.evaluation.tag_algebra import TagAlgebra
from nearfield.space.listening.analysis import Heard


def label_arithmetic(console: Console, found: LabelAlgebra) -> None:
    """One row a formula, and how much of it is more than chance."""
    table = plain_table(("formula", "nearest"), ("angle", "lead"), ("halves agree", "expected"))
    for row in found.answers:
        lead = "–" if row.lead == float("inf") else f"{row.lead:.3f}"
        table.add_row(
            row.formula, row.nearest, f"{row.angle:.3f}", lead, _yes(row.stable), _yes(row.expected)
        )
    show(console, table)
    if found.stable_share is not None:
        console.print(
            f"Two halves of the clips give the same answer to {found.stable_share:.0%}; drawn by lot to "
            f"{found.stable_chance:.0%}."
        )
    if found.hit_rate is not None and found.hit_chance is not None and found.p is not None:
        console.print(
            f"Expected answers: {found.hit_rate:.0%}; with shuffled names {found.hit_chance:.0%} "
            f"(p {_chance(found.p)})."
        )
    else:
        console.print("What would be right nobody said: --expected FILE.", style="dim")


def tag_arithmetic(console: Console, found: TagAlgebra) -> None:
    """How often the clips at a sum or difference of tags carry what it says."""
    table = plain_table(("formula",), ("clips that carry it", "by chance"))
    table.add_row("A + B", f"{found.sum_rate:.3f}", f"{found.sum_chance:.3f}")
    table.add_row("A - B", f"{found.difference_rate:.3f}", f"{found.difference_chance:.3f}")
    show(console, table)
    console.print(f"{found.pairs} formulas of tags; p {_chance(found.p)} by shuffled vectors.")


def listening_test(console: Console, found: Heard) -> None:
    """Means of conditions, and each condition less its control."""
    table = plain_table(("condition",), ("pairs", "mean rating", "95 % interval"))
    for row in found.conditions:
        table.add_row(row.condition, str(row.pairs), f"{row.mean:.2f}", ends(row.interval))
    show(console, table)
    table = plain_table(("condition", "less its control"), ("anchors", "difference", "95 % interval", "p"))
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
    """A quiet table: columns of text, then of figures, then of text again."""
    table = Table(show_edge=False, pad_edge=False)
    for head in left:
        table.add_column(head)
    for head in right:
        table.add_column(head, justify="right")
    for head in behind:
        table.add_column(head)
    return table


def ends(interval: tuple[float, float] | None) -> str:
    """An interval in words."""
    return "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
