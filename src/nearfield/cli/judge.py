"""`nearfield judge`: compares the arms of any table of scores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from nearfield.cli.output import AsJson, print_json, say, terminal

if TYPE_CHECKING:
    from nearfield.study.judge import Judgement

EXIT_CODES = {"better": 0, "worse": 1, "equal": 3, "undecided": 4}
"""By verdict; 2 is an invalid request, as everywhere."""


def judge(
    table: Annotated[
        Path, typer.Argument(help="CSV or Parquet: a row for each score, or a column for each arm.")
    ],
    arm: Annotated[str | None, typer.Option(help="Column of what is compared; none: arm.")] = None,
    seed: Annotated[str | None, typer.Option(help="Column of repeated trainings; none: seed.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of test groups: recordings, speakers, items; none: group.")
    ] = None,
    score: Annotated[
        list[str] | None, typer.Option(help="Column of scores; none: score. Several are several measures.")
    ] = None,
    fold: Annotated[
        str | None, typer.Option(help="Column of the fold that each group was tested in; none: fold.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Column of data sets, a sample of such sets; none: dataset.")
    ] = None,
    measure: Annotated[
        str | None, typer.Option(help="Column of measures, the first of which decides; none: measure.")
    ] = None,
    candidate: Annotated[
        str | None, typer.Option(help="Arm to judge; none: the second of two, the recommended of several.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Arm to compare it with; none: all others.")] = None,
    meaningful: Annotated[float, typer.Option(min=0, help="Smallest difference that matters.")] = 0.0,
    lower_is_better: Annotated[bool, typer.Option("--lower-is-better", help="As of a loss.")] = False,
    unpaired: Annotated[
        bool, typer.Option("--unpaired", help="Seeds of different arms have nothing in common.")
    ] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(
            help="File that records each judgement: keeps false keeps below 5 % of all that are kept."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for judge.md, judge.json and differences.svg.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Is one arm of a table of scores better, and how sure is that?

    Exit code: 0 better, 1 worse, 2 invalid request, 3 as good as, 4 not decided; with --ledger 0 keep, 4 do
    not keep.
    """
    from nearfield.study.judge import judge as compare
    from nearfield.study.judge import write
    from nearfield.study.ledger import keep

    found = compare(
        table,
        arm,
        seed,
        group,
        score or None,
        fold=fold,
        dataset=dataset,
        measure=measure,
        candidate=candidate,
        against=against,
        meaningful=meaningful,
        lower_is_better=lower_is_better,
        is_paired=not unpaired,
    )
    if out is not None:
        write(found, out)
    entry = None if ledger is None else keep(found, ledger, str(table))
    if as_json:
        print_json(found.as_json() | ({} if entry is None else {"ledger": entry}))
    else:
        _show(found)
        if entry is not None:
            say(entry["sentence"])
        if out is not None:
            say(f"{out / 'judge.md'}\n{out / 'differences.svg'}")
    if entry is not None:
        raise typer.Exit(0 if entry["kept"] else 4)
    raise typer.Exit(EXIT_CODES[found.verdict])


def _show(found: "Judgement") -> None:
    from nearfield.study.judge import all_notes, means_text

    table = Table("arm", "mean [95 % interval]", "", box=None, pad_edge=False)
    best_first = sorted(found.means, key=lambda arm: found.means[arm], reverse=not found.lower_is_better)
    for arm in best_first:
        note = "may be the best" if arm in found.candidates and len(found.candidates) > 1 else ""
        table.add_row(arm, means_text(found, arm), note, style="bold" if arm == found.candidate else "")
    terminal().print(table)
    say(f"{found.of}: {found.answer}" if found.of else found.answer)
    for each in found.others:
        say(f"{each.of}: {each.answer}")
    for note in all_notes(found):
        say(f"Note: {note}")
