"""The commands of a space: embed, index, search, explore, export. Each calls the library once."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nearfield.cli.output import AsJson, print_json, say
from nearfield.core.errors import RequestError
from nearfield.core.extras import require
from nearfield.core.files import write_text
from nearfield.core.text import clock, count

if TYPE_CHECKING:
    from nearfield.space.indexing import Changes
    from nearfield.space.query import Answer


RunFolder = Annotated[Path, typer.Argument(help="The folder of a finished run.")]
SpaceFolder = Annotated[Path, typer.Argument(help="The folder of a space.")]
Data = Annotated[str, typer.Option("--data", help="A folder, a table (CSV, Parquet), NAME:PATH.")]
Windows = Annotated[
    str | None,
    typer.Option(
        help="clip: one vector per clip; all: one per window. Default: clip; index: all where clips "
        "longer than ten windows make up more than half of the duration."
    ),
]

RARE = 0.05
"""Typicality of a query up to which no close match is reported."""
_TABLE = ("rank", "path", "start", "end", "distance", "id", "label", "tags", "recording", "group")
_INDEX = (
    "index makes a space: nearfield index RUN --out SPACE (of the run's data; of others: --data DATA). "
    "To update an existing space: nearfield index --out SPACE --update. To check it: --verify; to build the "
    "approximate index: --approximate."
)


def embed(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    windows: Windows = None,
    as_json: AsJson = False,
) -> None:
    """Embed every clip of a collection and write the vectors to a Parquet file."""
    from nearfield.cli.output import progress_display
    from nearfield.space.vector_file import embed_collection, read_vectors
    from nearfield.training.run import Run

    with progress_display(quiet=as_json) as watch:
        path = embed_collection(Run.load(run), data, out, watch, _windows(windows))
    made = len(read_vectors(path)[0])
    _tell({"out": str(path), "vectors": made}, f"{path}: {count(made, 'vector')}", as_json)


def index(
    run: Annotated[
        Path | None, typer.Argument(help="The run to index with; not needed with --update.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="A folder, a table (CSV, Parquet), NAME:PATH. Default: the run's own data."),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the space; made if missing.")],
    update: Annotated[bool, typer.Option("--update", help="Update an existing space.")] = False,
    data_moved: Annotated[
        bool, typer.Option("--data-moved", help="With --update: --data is the new place of the same data.")
    ] = False,
    allow_drop: Annotated[
        bool,
        typer.Option("--allow-drop", help="With --update: continue if more than half of the clips are gone."),
    ] = False,
    windows: Windows = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Build the approximate index for very large spaces.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file and report damaged ones.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a searchable space from every clip of a collection."""
    from nearfield.cli.output import progress_display
    from nearfield.space.space import Space
    from nearfield.training.run import Run

    _check_options(update, data, data_moved, allow_drop)
    clips, said, rule = "", list[str](), None if windows is None else _windows(windows)
    with progress_display(quiet=as_json) as watch:
        found: dict[str, Any] = {}
        if update:
            space = Space.load(out)
            own = None if run is None else Run.load(run)
            changes = space.update(data, watch, own, rule, data_moved, allow_drop)
            found, said = changes.plain(), [_changed(changes, len(space))]
        elif run is not None:
            space = Space.create(Run.load(run), data, out, watch, rule)
            found = {"added": len(set(space.rows(["clip"])["clip"].to_pylist()))}
            clips = f" of {count(found['added'], 'clip')}"
        elif data is None and (approximate or verify):
            space = Space.load(out)
        else:
            raise RequestError(_INDEX)
        if approximate:
            index_facts = space.build_approximate(watch)
            found["approximate"] = index_facts.model_dump()
            said.append(f"approximate index with recall {index_facts.recall:.3f} at 10")
        if verify:
            space.verify()
            found["verified"] = True
            said.append("every file is as it was written")
    text = f"{out}: {'; '.join([count(len(space), 'vector') + clips, *said, str(space.identity)])}"
    facts = {"space": str(out), "vectors": len(space), "windows": space.identity.windows}
    _tell({**facts, **found}, text, as_json)


def search(
    space: SpaceFolder,
    query: Annotated[
        str, typer.Argument(help="A sound file, or the id of a clip or window (FILE@SECONDS) of the space.")
    ],
    top: Annotated[int, typer.Option(min=1, help="Answers wanted.")] = 10,
    where: Annotated[
        str | None, typer.Option(help="Words, or a condition on columns: \"label = 'rain' and start > 60\".")
    ] = None,
    start: Annotated[float | None, typer.Option(min=0, help="Start time in the file, s.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="How much of the file, s; 0: to its end.")] = 0.0,
    diverse: Annotated[str | None, typer.Option(help="At most one answer per group or recording.")] = None,
    plus: Annotated[list[str] | None, typer.Option(help="A further positive example.")] = None,
    minus: Annotated[list[str] | None, typer.Option(help="A negative example.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the answers as a table (FILE.csv) with path, start and end, s.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the clips most similar to a sound."""
    if out is not None and out.suffix.lower() != ".csv":
        raise RequestError(f"--out: a table is written as CSV, to a file FILE.csv. Given: {out}.")
    from nearfield.data.patches import table_text
    from nearfield.space.nearest import is_ready
    from nearfield.space.space import Space

    example: Any = query if start is None and not seconds else (Path(query), start or 0.0, seconds)
    opened = Space.load(space)
    if not is_ready(len(opened)):
        say("Compiling the search for this machine; this takes some seconds, once.", err=True)
    if isinstance(example, tuple) and not example[0].is_file():
        opened.positions(query)
        raise RequestError(f"--start and --seconds are of a file. Given: the id of a clip, {query!r}.")
    if seconds and not as_json:
        _tell_short(seconds, opened.run.recipe.data.clip_seconds)
    found = opened.search(example, top, where, diverse, plus or (), minus or ())  # type: ignore[arg-type]
    if out is not None:
        write_text(out, table_text(_TABLE, [_row(each) for each in found]))
    if as_json:
        print_json({"answers": [each.plain() for each in found]})
        return
    for each in found:
        what = " ".join(filter(None, (each.label, "|".join(each.tags))))
        say(f"{each.rank:>3}  {each.distance:.3f}  {each.id}  {clock(each.start)}  {what}".rstrip())
    if not found and where is not None:
        say(opened.state.rows.unmet(where), err=True)
    if found:
        say(_how_typical(found[0].typicality), err=True)


def _tell_short(seconds: float, heard: float) -> None:
    """Warns if a query is shorter than the windows of the encoder."""
    if seconds < heard:
        say(
            f"The query of {seconds:g} s is shorter than the encoder's windows of {heard:g} s and is padded "
            f"with silence, so results may be worse. Give --seconds {heard:g} or more.",
            err=True,
        )


def export(
    run: RunFolder,
    to: Annotated[str, typer.Option(help="onnx, huggingface, projector or parquet.")],
    out: Annotated[Path, typer.Option(help="The file or folder to write.")],
    licence: Annotated[str | None, typer.Option(help="License of the weights, for the model card.")] = None,
    as_json: AsJson = False,
) -> None:
    """Export a run: ONNX including the front end, a Hugging Face folder, projector files, Parquet."""
    from nearfield.cli.output import progress_display
    from nearfield.space.export import export as export_run

    with progress_display(quiet=as_json) as watch:
        found = export_run(run, to, out, watch, licence=licence)
    _tell({"to": found.to, "path": str(found.path), **found.facts}, str(found.path), as_json)


def page(
    space: SpaceFolder,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")],
    most: Annotated[
        int, typer.Option(min=1, help="Most clips on the page; of more, evenly chosen ones.")
    ] = 500,
    seconds: Annotated[float, typer.Option(min=0.1, help="Most seconds of each sound.")] = 4.0,
    as_json: AsJson = False,
) -> None:
    """Write a space as one HTML file: its map in 3-D with the sounds, without server or network."""
    from nearfield.cli.output import progress_display
    from nearfield.server.onefile import write_page

    with progress_display(quiet=as_json) as watch:
        made = write_page(space, out, most, seconds, watch)
    said = f"{made.path}: {made.clips:,} of {count(made.of, 'clip')}, {made.bytes / 1e6:.1f} MB"
    _tell({**asdict(made), "path": str(made.path)}, said, as_json)


def explore(
    space: Annotated[Path | None, typer.Argument(help="The folder of a space.")] = None,
    beside: Annotated[Path | None, typer.Option("--with", help="A second space of the same clips.")] = None,
    watch: Annotated[
        Path | None, typer.Option(help="Folder of a run or study whose training curves are shown.")
    ] = None,
    suspects: Annotated[
        Path | None, typer.Option(help="Suspects to decide on: the CSV of `suspects --out`, or its JSON.")
    ] = None,
    decisions: Annotated[Path | None, typer.Option(help="The patch table. Default: in the space.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8787,
    token: Annotated[
        str | None, typer.Option(envvar="NEARFIELD_TOKEN", help="Required from every client.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin whose scripts may use the API: https://example.org"),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only serve.")] = False,
) -> None:
    """Open the map of a space in a browser: play, search and correct its clips."""
    require("explore", "nearfield explore")
    require("map", "nearfield explore")
    from nearfield.cli.output import progress_display
    from nearfield.server.decisions import read_suspects
    from nearfield.server.guard import Access
    from nearfield.server.serve import Show, prepare, serve

    found = read_suspects(suspects) if suspects else []
    access = Access(host, port, token, tuple(allow_origin or ()))
    with progress_display() as progress:
        shown = prepare(Show(space, beside, watch, found, decisions), progress)
    serve(shown, access, typer.echo, open_browser=not no_browser)


def _check_options(update: bool, data: str | None, data_moved: bool, allow_drop: bool) -> None:
    """Raises RequestError if an option of --update would have no effect."""
    for option, given in (("--data-moved", data_moved), ("--allow-drop", allow_drop)):
        if given and not update:
            raise RequestError(f"{option} needs --update. Add --update, or omit {option}.")
    if data_moved and data is None:
        raise RequestError(
            "--data-moved needs the new place of the data. Add --data NEW_PLACE, or omit --data-moved."
        )


def _changed(changes: "Changes", vectors: int) -> str:
    """The changes of an update, clips apart from vectors, of which a long clip has many."""
    found = changes.plain()
    made = found.pop("embedded")
    clips = ", ".join(f"{number:,} {what.replace('_', ' ')}" for what, number in found.items())
    return f"clips: {clips}; vectors: {made:,} computed, {vectors - made:,} copied"


def _row(answer: "Answer") -> dict[str, str]:
    plain = answer.plain()
    cells = {name: str(plain[name]) for name in _TABLE if name in plain}
    end = answer.start + answer.seconds
    numbers = {"start": f"{answer.start:.3f}", "end": f"{end:.3f}", "distance": f"{answer.distance:.6f}"}
    return {**cells, **numbers, "tags": "|".join(answer.tags)}


def _how_typical(share: float) -> str:
    shown = f"{100 * share:.1f}".removesuffix(".0") + " %"
    if share <= RARE:
        return f"No close match: only {shown} of the clips are this far from their nearest neighbor."
    return f"This query is typical: {shown} of the clips are at least as far from their nearest neighbor."


def _windows(given: str | None) -> Literal["clip", "all"]:
    if given in (None, "clip"):
        return "clip"
    if given == "all":
        return "all"
    raise RequestError(f"--windows: clip or all. Given: {given!r}.")


def _tell(found: dict[str, Any], text: str, as_json: bool) -> None:
    print_json(found) if as_json else say(text)
