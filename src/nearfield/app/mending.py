"""The commands that mend a collection: what looks wrong (suspects), and what mending it gained (mend)."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nearfield.app.answers import AsJson, RecipeName, print_json, say
from nearfield.core.errors import RequestError, WorkError
from nearfield.core.shipped import located
from nearfield.core.words import count

SHOWN = 10
"""Suspects that are printed where a table holds them all."""


def suspects(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Other clips; default: those the run was trained on.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="labels, tags, signals or duplicates; default: all. Repeatable.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Most suspects of one kind.")] = 100,
    out: Annotated[
        Path | None, typer.Option(help="A CSV table to decide in; it is a patch table (data.patch).")
    ] = None,
    accept: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Accept, unheard, labels and tags that are wrong with at least this chance (their score).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Clips whose labels, tags or samples look wrong, and near-duplicates across the split."""
    from nearfield.app.progress import watching
    from nearfield.runs.run import Run
    from nearfield.runs.suspects import find_suspects

    if accept is not None and out is None:
        raise RequestError("--accept: decisions need a table to stand in. Give --out.")
    with watching(quiet=as_json) as watch:
        sorts: Any = tuple(dict.fromkeys(kind or ()))
        found = find_suspects(Run.load(run), data, sorts, top, watch)
    accepted = found.save(out, accept) if out is not None else 0
    if as_json:
        print_json({**found.plain(), "accepted": accepted})
        return
    for each in found.suspects[: None if out is None else SHOWN]:
        say(f"{each.score:.3f}  {each.kind:<11}  {each.id}")
        other = f" [{each.other}]" if each.other else ""
        say(f"       {each.reason} {each.suggestion}{other}")
    listed = count(len(found.suspects), "suspect")
    if found.count > len(found.suspects):
        listed = f"the first {len(found.suspects):,} of {found.count:,} suspects, at most {top:,} of a kind,"
    say(f"{found.name}: {listed} among {count(found.clips, 'clip')}", err=True)
    if out is not None:
        shown = f"the first {SHOWN} are above" if len(found.suspects) > SHOWN else "all are above"
        say(
            f"{out}: {count(len(found.suspects), 'suspect')}, {shown}; {accepted} accepted. Decide on the "
            "others in the column `decision`.",
            err=True,
        )


def mend(
    recipe: RecipeName,
    data: Annotated[str, typer.Option("--data", help="The collection as it is.")],
    patch: Annotated[Path, typer.Option(help="The table of decisions.")],
    out: Annotated[Path, typer.Option(help="Folder of the study; made if missing.")],
    seeds: Annotated[
        int, typer.Option(min=3, help="Trainings of each of the two; fewer decide nothing.")
    ] = 5,
    judge: Annotated[str, typer.Option(help="The measure that decides.")] = "probe/macro_f1",
    keep_test: Annotated[
        bool, typer.Option("--keep-test", help="Judge by test as it is, not by test as mended.")
    ] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on a collection as it is and as mended, and say what mending gained, with its interval."""
    import yaml

    from nearfield.app.studies import watching_study
    from nearfield.core.files import write_text
    from nearfield.study.run import Study

    file = out.with_name(out.name + ".yaml")
    write_text(file, yaml.safe_dump(mending_study(recipe, patch, seeds, judge, keep_test), sort_keys=False))
    begun = Study.begin(file, data, out, changes or ())
    with watching_study(out, quiet=as_json) as (watch, progress):
        facts = begun.run(watch=watch, progress=progress)
    found = gain(facts)
    if as_json:
        print_json(found)
        return
    say(
        f"{found['judge']}: as it is {found['as_it_is']:.3f}, mended {found['mended']:.3f}; gained "
        f"{found['gained']:+.3f} (95 % interval {found['low']:+.3f} to {found['high']:+.3f}, "
        f"{found['seeds']} seeds, {found['groups']} test groups): {found['claim']}"
    )
    say(f"{out / 'study.html'}")


def mending_study(
    recipe: Path, patch: Path, seeds: int, judge: str = "probe/macro_f1", keep_test: bool = False
) -> dict[str, Any]:
    """The study file, as plain values, of a collection as it is against the same mended by `patch`.

    Both arms are judged by the same test clips: mended ones, or, with `keep_test`, as they are.
    """
    sides = ["train", "val"] if keep_test else ["train", "val", "test"]
    before: dict[str, Any] = (
        {} if keep_test else {"data.patch": str(patch.resolve()), "data.patch_sides": ["test"]}
    )
    return {
        "title": "A collection as it is and mended",
        "question": "What does mending the collection gain?",
        "recipe": str(located(recipe, "recipes").resolve()),
        "arms": {
            "as it is": before,
            "mended": {"data.patch": str(patch.resolve()), "data.patch_sides": sides},
        },
        "judge": judge,
        "seeds": seeds,
    }


def gain(facts: Any) -> dict[str, Any]:
    """What the study of `mending_study` found, its `StudyFacts` given: both means, and their difference with
    its simultaneous 95 % interval. Raises WorkError where an arm could not be trained."""
    estimates = facts.conclusion.estimates
    pairs = {(each.one, each.other): each for each in facts.conclusion.comparisons}
    pair = pairs.get(("as-it-is", "mended"))
    if pair is None:
        reasons = "; ".join(each.reason for each in facts.conclusion.verdicts if each.reason)
        raise WorkError(f"The two cannot be compared: {reasons or 'a training failed'}.")
    claims = {"better": "mending cost", "worse": "mending helped", "equal": "no difference that would matter"}
    return {
        "judge": facts.judge,
        "as_it_is": estimates["as-it-is"].mean,
        "mended": estimates["mended"].mean,
        "gained": -pair.difference,
        "low": -pair.high,
        "high": -pair.low,
        "seeds": pair.seeds,
        "groups": pair.groups,
        "claim": claims.get(pair.claim, "undecided"),
    }
