"""The command that tells tags: of files, with scores, or of a collection, as a table to decide in."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nearfield.app.answers import AsJson, print_json, say
from nearfield.core.errors import RequestError
from nearfield.core.words import count

USUAL = 0.5
"""Least score of a proposal where none is given: no threshold is fitted on the data."""

SHOWN = 10
"""Proposals of a collection that are printed; the table has all."""


def tag(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run on tagged clips.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Sound files (or pictures, as the run was trained on). Or give --data."),
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
        typer.Option(min=0, max=1, help="With --out: mark tags from this score on as accepted, unheard."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tags with scores (0 to 1): of files, or, with --data, those that a collection's clips lack.

    A score is the run's own where it is a tagger, else that of a probe on its vectors. It estimates the
    chance that the clip has the tag, except for taggers of loss.kind=focal or with loss.class_weights:
    their scores only rank.
    """
    if (data is None) == (not files):
        raise RequestError("tag: give either sound files or --data (for a folder: --data FOLDER).")
    if data is None and (untagged or out is not None or accept is not None):
        raise RequestError("tag: --untagged, --out and --accept go with --data. Give --data FOLDER.")
    if accept is not None and out is None:
        raise RequestError("tag: --accept marks rows of a table. Give --out TABLE.csv as well.")
    if data is None:
        _tag_files(run, files or [], top, at_least, as_json)
    else:
        _tag_collection(run, data, untagged, at_least, out, accept, as_json)


def _tag_files(run: Path, files: list[Path], top: int, at_least: float | None, as_json: bool) -> None:
    from nearfield.app.progress import watching
    from nearfield.runs.run import Run
    from nearfield.runs.tagging import tag as tags_of

    for file in files:
        if file.is_dir():
            raise RequestError(f"{file} is a folder. For the sounds in it: --data {file}")
    with watching(quiet=as_json) as watch:
        names, scores = tags_of(Run.load(run), files, watch)
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
    from nearfield.app.progress import watching
    from nearfield.runs.run import Run
    from nearfield.runs.tag_proposals import propose_tags

    least = USUAL if at_least is None else at_least
    with watching(quiet=as_json) as watch:
        found = propose_tags(Run.load(run), data, least, untagged, watch)
    accepted = found.save(out, accept) if out is not None else 0
    if as_json:
        print_json({**found.plain(), "accepted": accepted})
        return
    for each in found.suspects[:SHOWN]:
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
    elif found.count > SHOWN:
        say(f"The first {SHOWN} are shown; --out TABLE.csv writes all.", err=True)
