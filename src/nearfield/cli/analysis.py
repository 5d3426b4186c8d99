"""Commands on runs: explain, compare, runs, similar, folds, suspects, mend, tag."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfield.cli.output import AsJson, RecipeName, print_json, say, stoppable, terminal
from nearfield.core.errors import RequestError, WorkError
from nearfield.core.extras import require
from nearfield.core.shipped import located
from nearfield.core.text import count

if TYPE_CHECKING:
    from rich.table import Table

    from nearfield.analysis.run_table import Folds


# Analysis of runs: explain, compare, runs, similar. Each command calls the library once.

RunFolder = Annotated[Path, typer.Argument(help="The folder of a finished run.")]


def explain(
    run: RunFolder,
    data: Annotated[
        str | None, typer.Option(help="Other clips; default: those the run was trained on.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    out: Annotated[Path | None, typer.Option(help="Folder for figures (PNG) and explain.json.")] = None,
    clip: Annotated[
        str | None, typer.Option(help="The id of the clip to draw. Default: three random clips.")
    ] = None,
    at: Annotated[
        float | None, typer.Option(min=0, help="With --clip: the start of the window to draw, s.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a run: clusters, silence, starts and ends, microphones, labels."""
    if out is not None:
        require("figures", "The figures of an explanation")
    from nearfield.analysis.explain.explain import explain as look
    from nearfield.analysis.explain.opened_run import OpenedRun
    from nearfield.cli.output import progress_display
    from nearfield.core.files import write_json
    from nearfield.training.run import Run

    if at is not None and clip is None:
        raise RequestError("--at: of which clip? Give its id by --clip.")
    figures: tuple[Path, ...] = ()
    with progress_display(quiet=as_json) as callback:
        opened = OpenedRun.open(Run.load(run), data, split, callback)
        found = look(opened, callback)
        if out is not None:
            from nearfield.analysis.explain.figures import draw

            figures = draw(found, opened, out, clip, at or 0.0, callback)
    plain = {**found.plain(), "figures": [str(path) for path in figures]}
    if out is not None:
        write_json(out / "explain.json", plain)
    if as_json:
        print_json(plain)
        return

    from nearfield.cli.tables import explanation

    explanation(terminal(), found)
    for path in figures:
        say(str(path))


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="The folder of an evaluated run.")],
    second: Annotated[
        Path, typer.Argument(metavar="RUN_B", help="Another run, evaluated on the same clips.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for compare.png and compare.json.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs clip by clip: settings that differ, and labels and tags that score better or worse."""
    if out is not None:
        require("figures", "The figure of a comparison")
    from nearfield.analysis.compare import compare as put_side_by_side
    from nearfield.core.files import write_json

    found = put_side_by_side(str(first), str(second))
    if out is not None:
        from nearfield.analysis.compare import draw_comparison

        write_json(out / "compare.json", found.plain())
        draw_comparison(out / "compare.png", found)
    if as_json:
        print_json(found.plain())
        return

    from nearfield.cli.tables import comparison

    comparison(terminal(), found)
    if out is not None:
        say(str(out / "compare.png"))


def runs(
    folder: Annotated[Path, typer.Argument(help="A folder with runs anywhere below it.")],
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="loss.kind=circle, seed<3, data=esc10")
    ] = None,
    sort: Annotated[str | None, typer.Option(help="A metric or setting; the largest first.")] = None,
    ascending: Annotated[bool, typer.Option("--ascending", help="The smallest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """List all runs below a folder with the settings in which they differ and their scores."""
    from nearfield.analysis.run_table import overview

    found = overview(folder, where or (), sort, ascending)
    if as_json:
        print_json(found.plain())
        return

    from nearfield.cli.tables import all_runs

    all_runs(terminal(), found)


def similar(
    first: Annotated[Path, typer.Argument(metavar="FILE_A", help="A sound file.")],
    second: Annotated[Path, typer.Argument(metavar="FILE_B", help="Another sound file.")],
    seconds: Annotated[float | None, typer.Option(min=0.05, help="Seconds of each to compare.")] = None,
    rate: Annotated[int, typer.Option(min=1000, max=192000, help="Sample rate, Hz.")] = 16000,
    as_json: AsJson = False,
) -> None:
    """Compare two sounds at different speeds: MFCC frames aligned by dynamic time warping."""
    from nearfield.analysis.similarity import similar as align

    found = align(first, second, seconds, rate)
    if as_json:
        print_json(found.plain())
        return
    say(
        f"similarity {found.similarity:.3f} (1 the same), {found.per_step:.2f} a step\n"
        f"{found.steps} steps through {found.frames[0]} and {found.frames[1]} frames, "
        f"{found.diagonal:.0%} of them diagonal"
    )


# `nearfield folds`: a recipe on all folds, official ones or a cross-validation.

UNSURE = "Folds share most of their training clips: their deviation understates the uncertainty of the mean."


def folds(
    recipe: RecipeName,
    data: Annotated[
        str, typer.Option(help="A collection, or a set with official folds: dcase2018_task5:PATH.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the runs, one per fold; made if missing.")],
    over: Annotated[
        int | None,
        typer.Option(min=2, max=100, help="Number of folds of train and val; test is not used."),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key: loss.margin=0.3")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Accept official folds with a group in two splits.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Train and evaluate a recipe on every fold: each fold, mean, deviation.

    The folds are the official ones of a set, or, with --over, a cross-validation over train and val.
    """
    from nearfield.analysis.run_table import train_folds
    from nearfield.cli.output import progress_display
    from nearfield.training.prepare import Request
    from nearfield.training.recipe import Recipe

    with stoppable("the same command continues"), progress_display(quiet=as_json) as callback:
        loaded = Recipe.load(recipe, changes or ())
        asked = Request(loaded, data, out, seed, device, allow_leak=allow_leak)
        found = train_folds(asked, over, callback)
    if as_json:
        print(json.dumps(found.plain(), ensure_ascii=False, allow_nan=False))
        return

    from nearfield.cli.output import show

    console = terminal()
    show(console, fold_table(found))
    console.print(UNSURE, style="dim", soft_wrap=True)


def fold_table(found: "Folds") -> "Table":
    """The headline metrics with their baselines: a row per metric, a column per fold, mean and deviation."""
    from rich.table import Table

    from nearfield.metrics.registry import BASELINE_NAMES, HEADLINES, TABLE_HEADS

    judged = f"train and val in {found.over} folds" if found.over else "test part of every fold"
    table = Table(title=f"{found.data}, {judged}", title_justify="left", show_edge=False, pad_edge=False)
    for column in ("measure", *(f"fold {number}" for number in found.folds), "mean", "deviation"):
        table.add_column(column, justify="left" if column == "measure" else "right")
    for headline in HEADLINES:
        rivals = [name for name in found.metrics if _is_rival(name, headline)]
        for name in (headline, *rivals) if headline in found.metrics else ():
            over = found.metrics[name]
            rival = name.split("/")[1]
            shown = (
                TABLE_HEADS[name]
                if name == headline
                else "  " + BASELINE_NAMES.get(rival, rival.replace("_", " "))
            )
            values = [f"{value:.3f}" for value in (*over.values, over.mean)]
            spread = "–" if over.deviation is None else f"{over.deviation:.3f}"
            table.add_row(shown, *values, spread, style="" if name == headline else "dim")
    return table


def _is_rival(name: str, headline: str) -> bool:
    """Whether `name` is the same metric of a baseline."""
    return name.startswith("baseline/") and name.split("/", 2)[2] == headline


# Correcting a collection: suspicious clips (suspects), and the gain of the corrections (mend).

SHOWN = 10
"""Suspects that are printed if a table has all of them."""


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
            help="Accept labels and tags that are wrong with at least this probability (score), unchecked.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find clips whose labels, tags or samples may be wrong, and near-duplicates across splits."""
    from nearfield.analysis.suspects.suspects import find_suspects
    from nearfield.cli.output import progress_display
    from nearfield.training.run import Run

    if accept is not None and out is None:
        raise RequestError("--accept: decisions need a table to stand in. Give --out.")
    with progress_display(quiet=as_json) as callback:
        sorts: Any = tuple(dict.fromkeys(kind or ()))
        found = find_suspects(Run.load(run), data, sorts, top, callback)
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
        bool,
        typer.Option("--keep-test", help="Evaluate on the original test clips, not on the corrected ones."),
    ] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on a collection before and after corrections, and report the gain with its interval."""
    import yaml

    from nearfield.cli.studies import watching_study
    from nearfield.core.files import write_text
    from nearfield.study.run import Study

    file = out.with_name(out.name + ".yaml")
    write_text(file, yaml.safe_dump(mending_study(recipe, patch, seeds, judge, keep_test), sort_keys=False))
    begun = Study.create(file, data, out, changes or ())
    with watching_study(out, quiet=as_json) as (callback, progress):
        facts = begun.run(callback=callback, progress=progress)
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
    """The study file, as plain values, that compares a collection with itself corrected by `patch`.

    Both arms are judged by the same test clips: mended ones, or, with `keep_test`, as they are.
    """
    splits = ["train", "val"] if keep_test else ["train", "val", "test"]
    before: dict[str, Any] = (
        {} if keep_test else {"data.patch": str(patch.resolve()), "data.patch_sides": ["test"]}
    )
    return {
        "title": "A collection as it is and mended",
        "question": "What does mending the collection gain?",
        "recipe": str(located(recipe, "recipes").resolve()),
        "arms": {
            "as it is": before,
            "mended": {"data.patch": str(patch.resolve()), "data.patch_sides": splits},
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


# `nearfield tag`: tags with scores for files, or proposals for a collection as a table of decisions.

USUAL = 0.5
"""Default threshold of proposals; it is not fitted to the data."""

TAGS_SHOWN = 10
"""Number of proposals for a collection that are printed; the table has all."""


def tag(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run on tagged clips.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Sound files (or images, for a run on images). Or give --data."),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="A collection: a folder, a table, NAME:PATH.")
    ] = None,
    untagged: Annotated[
        bool, typer.Option("--untagged", help="With --data: only clips without any tag.")
    ] = False,
    at_least: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Least score of a tag that is shown or proposed. Of files the default is none; with --data "
            "0.5. It is the same for every tag.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Most tags shown for a file.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="With --data: the table of proposed tags (CSV, a patch table).")
    ] = None,
    accept: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="With --out: accept tags with at least this score, unchecked."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict tags with scores (0 to 1) for files, or, with --data, missing tags of a collection.

    A score is the run's own where it is a tagger, else that of a probe on its vectors. It estimates the
    chance that the clip has the tag, except for taggers of loss.kind=focal or with loss.class_weights:
    their scores only rank.
    """
    if (data is None) == (not files):
        raise RequestError("tag: give either sound files or --data (for a folder: --data FOLDER).")
    if data is None and (untagged or out is not None or accept is not None):
        raise RequestError("tag: --untagged, --out and --accept need --data. Give --data FOLDER.")
    if accept is not None and out is None:
        raise RequestError("tag: --accept marks rows of a table. Give --out TABLE.csv as well.")
    if data is None:
        _tag_files(run, files or [], top, at_least, as_json)
    else:
        _tag_collection(run, data, untagged, at_least, out, accept, as_json)


def _tag_files(run: Path, files: list[Path], top: int, at_least: float | None, as_json: bool) -> None:
    from nearfield.cli.output import progress_display
    from nearfield.training.run import Run
    from nearfield.training.tagging import tag as tags_of

    for file in files:
        if file.is_dir():
            raise RequestError(f"{file} is a folder. For the sounds in it: --data {file}")
    with progress_display(quiet=as_json) as callback:
        names, scores = tags_of(Run.load(run), files, callback)
    found: list[dict[str, Any]] = []
    for file, row in zip(files, scores, strict=True):
        best = sorted(zip(names, row.tolist(), strict=True), key=lambda each: -each[1])[:top]
        tags = [{"tag": name, "score": score} for name, score in best if score >= (at_least or 0)]
        found.append({"file": str(file), "tags": tags})
    if as_json:
        print_json({"files": found})
        return
    for each in found:
        say(each["file"])
        for tagged in each["tags"]:
            say(f"  {tagged['score']:.3f}  {tagged['tag']}")
    if at_least is None:
        shown = f"{count(top, 'tag')} {'is' if top == 1 else 'are'} shown, however low"
        scores_of = "its score" if top == 1 else "their scores"
        say(f"Up to {shown} {scores_of}; --at-least {USUAL} leaves out low ones.", err=True)


def _tag_collection(
    run: Path,
    data: str,
    untagged: bool,
    at_least: float | None,
    out: Path | None,
    accept: float | None,
    as_json: bool,
) -> None:
    from nearfield.analysis.suspects.listing import propose_tags
    from nearfield.cli.output import progress_display
    from nearfield.training.run import Run

    least = USUAL if at_least is None else at_least
    with progress_display(quiet=as_json) as callback:
        found = propose_tags(Run.load(run), data, least, untagged, callback)
    accepted = found.save(out, accept) if out is not None else 0
    if as_json:
        print_json({**found.plain(), "accepted": accepted})
        return
    for each in found.suspects[:TAGS_SHOWN]:
        say(f"{each.score:.3f}  {each.after}  {each.id}")
    why = ", the default; --at-least sets another" if at_least is None else ""
    clips = len({each.id for each in found.suspects})
    say(
        f"{count(found.count, 'tag')} proposed for {clips:,} of {count(found.clips, 'clip')} "
        f"(score of {least:g} or more{why}).",
        err=True,
    )
    if out is not None:
        say(
            f"{out}: {accepted:,} accepted. Write accepted or rejected in the column `decision`, "
            f"then use the table by `{data}?patch={out}` or data.patch.",
            err=True,
        )
    elif found.count > TAGS_SHOWN:
        say(f"The first {TAGS_SHOWN} are shown; --out TABLE.csv writes all.", err=True)
