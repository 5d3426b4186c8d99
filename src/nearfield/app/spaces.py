"""The commands of a space: embed, index, search, explore, export. Each calls the library once."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nearfield.app.answers import AsJson, print_json, say
from nearfield.core.errors import RequestError
from nearfield.core.words import count

RunFolder = Annotated[Path, typer.Argument(help="The folder of a finished run.")]
SpaceFolder = Annotated[Path, typer.Argument(help="The folder of a space.")]
Data = Annotated[str, typer.Option("--data", help="A folder, a table (CSV, Parquet), NAME:PATH.")]
Windows = Annotated[
    str | None,
    typer.Option(help="clip: a vector for each clip (usual); all: one for each window of a clip."),
]

RARE = 0.05
"""Share of a space's clips whose nearest is as far as a query's, up to which the query is strange to it."""
_INDEX = (
    "index makes a space of a run and its data: RUN --data DATA --out SPACE. A space that is there is "
    "brought up to date by --out SPACE --update, and looked after by --out SPACE --verify or --approximate."
)


def embed(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    windows: Windows = None,
    as_json: AsJson = False,
) -> None:
    """Vectors of every clip of a collection, as a Parquet file."""
    from nearfield.app.progress import watching
    from nearfield.runs.run import Run
    from nearfield.space.vectorfile import embed_collection, read_vectors

    with watching(quiet=as_json) as watch:
        path = embed_collection(Run.load(run), data, out, watch, _windows(windows))
    made = len(read_vectors(path)[0])
    _tell({"out": str(path), "vectors": made}, f"{path}: {count(made, 'vector')}", as_json)


def index(
    run: Annotated[
        Path | None, typer.Argument(help="The folder of a finished run; not to mend a space.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="A folder, a table (CSV, Parquet), NAME:PATH.")] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the space; made if missing.")],
    update: Annotated[bool, typer.Option("--update", help="Bring a space that is there up to date.")] = False,
    data_moved: Annotated[
        bool, typer.Option("--data-moved", help="With --update: --data is where the same data lie now.")
    ] = False,
    allow_drop: Annotated[
        bool,
        typer.Option("--allow-drop", help="With --update: go on where more than half of the clips are gone."),
    ] = False,
    windows: Windows = None,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Build the approximate index for very large spaces.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file, and say which is damaged.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """A space to search in, of every clip of a collection."""
    from nearfield.app.progress import watching
    from nearfield.runs.run import Run
    from nearfield.space.space import Space

    _check_options(update, data, data_moved, allow_drop)
    said: list[str] = []
    with watching(quiet=as_json) as watch:
        found: dict[str, Any] = {}
        if update:
            space = Space.open(out)
            own, rule = None if run is None else Run.load(run), None if windows is None else _windows(windows)
            found = space.update(data, watch, own, rule, data_moved, allow_drop).plain()
        elif run is not None and data is not None:
            space = Space.create(Run.load(run), data, out, watch, _windows(windows))
            found = {"added": len(space)}
        elif run is None and data is None and (approximate or verify):
            space = Space.open(out)
        else:
            raise RequestError(_INDEX)
        said = [f"{number:,} {what}" for what, number in found.items()]
        if approximate:
            facts = space.build_approximate(watch)
            found["approximate"] = facts.model_dump()
            said.append(f"approximate index with recall {facts.recall:.3f} at 10")
        if verify:
            space.verify()
            found["verified"] = True
            said.append("every file is as it was written")
    text = f"{out}: {count(len(space), 'vector')} ({', '.join(said)}), {space.identity}"
    _tell({"space": str(out), "vectors": len(space), **found}, text, as_json)


def search(
    space: SpaceFolder,
    query: Annotated[str, typer.Argument(help="A sound file, or the id of a clip of the space.")],
    top: Annotated[int, typer.Option(min=1, help="Answers wanted.")] = 10,
    where: Annotated[str | None, typer.Option(help="A condition on columns: \"label = 'rain'\".")] = None,
    start: Annotated[float | None, typer.Option(min=0, help="Where in the file to begin, s.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="How much of the file, s; 0: to its end.")] = 0.0,
    diverse: Annotated[str | None, typer.Option(help="One answer a group, or a recording.")] = None,
    plus: Annotated[list[str] | None, typer.Option(help="A further example to be near to.")] = None,
    minus: Annotated[list[str] | None, typer.Option(help="An example to be far from.")] = None,
    as_json: AsJson = False,
) -> None:
    """The clips that sound most like one."""
    from nearfield.space.nearest import is_ready
    from nearfield.space.space import Space

    example: Any = query if start is None and not seconds else (Path(query), start or 0.0, seconds)
    opened = Space.open(space)
    if not is_ready(len(opened)):
        say("The search is being compiled for this machine: once, for some seconds.", err=True)
    if isinstance(example, tuple) and not example[0].is_file():
        opened.positions(query)
        raise RequestError(f"--start and --seconds are of a file. Given: the id of a clip, {query!r}.")
    found = opened.search(example, top, where, diverse, plus or (), minus or ())  # type: ignore[arg-type]
    if as_json:
        print_json({"answers": [each.plain() for each in found]})
        return
    for each in found:
        what = " ".join(filter(None, (each.label, "|".join(each.tags))))
        say(f"{each.rank:>3}  {each.distance:.3f}  {each.id}  {each.start:g} s  {what}".rstrip())
    if not found and where is not None:
        say(opened.state.rows.unmet(where), err=True)
    if found:
        say(_how_usual(found[0].unusual), err=True)


def export(
    run: RunFolder,
    to: Annotated[str, typer.Option(help="onnx, huggingface, projector or parquet.")],
    out: Annotated[Path, typer.Option(help="The file or folder to write.")],
    licence: Annotated[str | None, typer.Option(help="Of the weights, for the model card.")] = None,
    as_json: AsJson = False,
) -> None:
    """A run for use elsewhere: ONNX with the front end inside, a Hugging Face folder, projector files."""
    from nearfield.app.progress import watching
    from nearfield.space.export import export as export_run

    with watching(quiet=as_json) as watch:
        found = export_run(run, to, out, watch, licence=licence)
    _tell({"to": found.to, "path": str(found.path), **found.facts}, str(found.path), as_json)


def page(
    space: SpaceFolder,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")],
    most: Annotated[int, typer.Option(min=1, help="Clips at most; of more, as many evenly chosen.")] = 500,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each sound at most, s.")] = 4.0,
    as_json: AsJson = False,
) -> None:
    """A space as one HTML file, its map in 3-D with the sounds inside: no server, no network."""
    from nearfield.app.onefile import write_page
    from nearfield.app.progress import watching

    with watching(quiet=as_json) as watch:
        made = write_page(space, out, most, seconds, watch)
    said = f"{made.path}: {made.clips:,} of {count(made.of, 'clip')}, {made.bytes / 1e6:.1f} MB"
    _tell({**asdict(made), "path": str(made.path)}, said, as_json)


def explore(
    space: Annotated[Path | None, typer.Argument(help="The folder of a space.")] = None,
    beside: Annotated[Path | None, typer.Option("--with", help="A second space of the same clips.")] = None,
    watch: Annotated[Path | None, typer.Option(help="A run's or study's folder, to watch it train.")] = None,
    suspects: Annotated[
        Path | None, typer.Option(help="What `suspects --out` wrote, to decide on (CSV; or its JSON).")
    ] = None,
    decisions: Annotated[Path | None, typer.Option(help="The patch table; usual: in the space.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine's need a token.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8787,
    token: Annotated[
        str | None, typer.Option(envvar="NEARFIELD_TOKEN", help="Required from every client.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin whose pages may use the API by script: https://example.org"),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only serve.")] = False,
) -> None:
    """The map of a space in a browser, with sound: hear it, search it, mend it."""
    from nearfield.app.progress import watching
    from nearfield.app.server.guard import Access
    from nearfield.app.server.listed import read_suspects
    from nearfield.app.server.serve import Show, prepare, serve

    found = read_suspects(suspects) if suspects else []
    access = Access(host, port, token, tuple(allow_origin or ()))
    with watching() as progress:
        shown = prepare(Show(space, beside, watch, found, decisions), progress)
    serve(shown, access, typer.echo, open_browser=not no_browser)


def _check_options(update: bool, data: str | None, data_moved: bool, allow_drop: bool) -> None:
    """Raises RequestError where an option of an update would do nothing."""
    for option, given in (("--data-moved", data_moved), ("--allow-drop", allow_drop)):
        if given and not update:
            raise RequestError(f"{option} is of an update alone. Add --update, or leave {option} out.")
    if data_moved and data is None:
        raise RequestError(
            "--data-moved says that the data lie elsewhere now, and not where. Add --data NEW_PLACE, or "
            "leave --data-moved out."
        )


def _how_usual(share: float) -> str:
    shown = f"{share:.1%}".replace(".0%", "%")
    if share <= RARE:
        said = "nothing in the whole space is really like it"
        return f"{said}: only {shown} of its clips are as far from their nearest"
    return f"in the whole space, {shown} of the clips are as far from their nearest"


def _windows(given: str | None) -> Literal["clip", "all"]:
    if given in (None, "clip"):
        return "clip"
    if given == "all":
        return "all"
    raise RequestError(f"--windows: clip or all. Given: {given!r}.")


def _tell(found: dict[str, Any], text: str, as_json: bool) -> None:
    print_json(found) if as_json else say(text)
