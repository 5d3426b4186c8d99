"""The command line: each command parses its options, calls the library once and prints the result."""

import platform
import shlex
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfield.cli import analysis, spaces
from nearfield.cli.judge import judge
from nearfield.cli.listening import listen
from nearfield.cli.output import (
    AsJson,
    RecipeName,
    expanded,
    flushed,
    print_anything,
    print_json,
    say,
    stoppable,
    terminal,
)
from nearfield.cli.studies import study
from nearfield.core.errors import in_words
from nearfield.core.extras import EXTRAS, has
from nearfield.core.machine import limit_threads
from nearfield.core.shipped import text_of

if TYPE_CHECKING:
    from nearfield.data.settings import Columns


# What `nearfield doctor` finds: versions, devices, formats, the cache.


def examine(clear_cache: bool = False) -> dict[str, Any]:
    """Facts about this machine by name; optionally clears the cache of decoded sounds first."""
    import soundfile
    import torch

    from nearfield.core.machine import total_memory, usable_cores
    from nearfield.data.store import Store
    from nearfield.training.device import best_precision, open_device

    store = Store()
    freed = store.clear() if clear_cache else None
    chosen = open_device("auto", "fp32").type
    device = torch.cuda.get_device_name() if chosen == "cuda" else chosen
    formats = soundfile.available_formats()
    found: dict[str, Any] = {
        "nearfield": metadata.version("nearfield"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.platform(),
        "cores": usable_cores(),
        "memory": _size(total_memory()),
        "device": device,
        "precision": best_precision("auto"),
        "formats": ", ".join(name.lower() for name in ("WAV", "FLAC", "OGG", "MP3") if name in formats),
        "extras": ", ".join(f"{name} {'yes' if has(name) else 'no'}" for name in EXTRAS),
        "cache": f"{store.folder} ({_size(store.size())}; {_bound()})",
    }
    if freed is not None:
        found["freed"] = _size(freed)
    return found


def _bound() -> str:
    """The size limit of the cache and the variable that sets it."""
    from nearfield.core.errors import RequestError
    from nearfield.data.packs import VARIABLE, limit

    try:
        most = limit()
    except RequestError as error:
        return str(error)
    return f"no bound: {VARIABLE}" if most == float("inf") else f"at most {_size(int(most))}: {VARIABLE}"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


# The command line: each command parses its options, calls the library once, and prints the result.
#
# Results go to standard output, progress and notes to standard error. Exit codes: 0 success, 1 the work
# failed, 2 the request was invalid, 130 interrupted by Ctrl-C.

app = typer.Typer(
    name="nearfield",
    help="Learns spaces of sound in which near means alike.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.add_typer(study, name="study")
app.add_typer(listen, name="listen")

Data = Annotated[
    str, typer.Option("--data", help="A folder, a table (CSV, Parquet), NAME:PATH, or synthetic:NAME.")
]
AllowLeak = Annotated[
    bool,
    typer.Option("--allow-leak", help="Accept a group that is in two splits; results report it."),
]


def _version(asked: bool) -> None:
    if asked:
        say(f"nearfield {metadata.version('nearfield')}")
        raise typer.Exit


@app.callback()
def every(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Learns spaces of sound in which near means alike."""


@app.command()
def check(
    data: Annotated[
        str,
        typer.Argument(
            help="A folder, a table (CSV, Parquet), NAME:PATH (`nearfield list layouts`), or synthetic:NAME."
        ),
    ],
    group: Annotated[str | None, typer.Option(help="Column whose groups are kept within one split.")] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN", help="Regular expression: paths with the same (first) group stay in one split."
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column with labels; false: no labels.")] = None,
    split: Annotated[str | None, typer.Option(help="Column with the split; false: make one.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any column of a recipe's data: data.start=onset"),
    ] = None,
    patch: Annotated[Path | None, typer.Option(help="A table of decisions to check.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a collection: what it contains, and every problem with its file and a remedy."""

    from nearfield.cli.output import progress_display
    from nearfield.cli.tables import report
    from nearfield.data.check import Stopped, inspect
    from nearfield.data.collection import Collection
    from nearfield.data.patches import tally
    from nearfield.training.events import Stage

    columns = _columns({"group": group, "group_by": group_by, "label": label, "split": split}, changes or [])
    with progress_display(quiet=as_json) as callback:
        collection = Collection.load(
            data, columns, allow_leak=True, progress=lambda d, n: callback(Stage("look", d, n)), patch=patch
        )
        stopped = None
        try:
            found = inspect(collection, lambda d, n: callback(Stage("decode", d, n)))
        except Stopped as stop:
            found, stopped = stop.report, stop
    decisions = None if patch is None else tally(patch, collection.problems, collection.table["id"])
    if as_json:
        print_json(found.as_json() | ({} if decisions is None else {"decisions": decisions.plain()}))
    else:
        report(terminal(), found, collection.name)
        if decisions is not None:
            say(f"{patch}: " + "\n  ".join(decisions.lines()))
    if stopped:
        say(f"nearfield: {stopped}; the report covers these", err=True)
        raise typer.Exit(130)
    if not found.trainable:
        raise typer.Exit(2)


@app.command()
def train(
    recipe: RecipeName,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the run; made if missing.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key: loss.margin=0.3")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run, or train it longer.")
    ] = False,
    allow_leak: AllowLeak = False,
    as_json: AsJson = False,
) -> None:
    """Train an embedding, then evaluate it on the test clips and compare it with baselines."""
    from nearfield.cli.output import progress_display
    from nearfield.core.files import check_free
    from nearfield.learning.distributed import world
    from nearfield.training.evaluate_run import evaluate_run
    from nearfield.training.prepare import Request
    from nearfield.training.recipe import Recipe
    from nearfield.training.run_folder import RunFolder
    from nearfield.training.trainer import launch

    check_free(out)
    request = Request(Recipe.load(recipe, changes or ()), data, out, seed, device, resume, allow_leak)
    with (
        stoppable("continue with the same command and --resume"),
        progress_display(quiet=as_json) as callback,
    ):
        setup = launch(request, callback)
        if world()[0] != 0:  # under torchrun the first process evaluates
            return
        result = evaluate_run(RunFolder(request.out), callback=callback, setup=setup)
    _show(result, f"{out}, {result['data']['judged']} of {result['data']['name']}", as_json)
    if not as_json:
        written = WRITTEN + (", tensorboard/" if has("tensorboard") else "")
        say(f"Written to {out}: {written}.\n{_next(out, data)}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    data: Annotated[
        str | None, typer.Option(help="Other clips; default: those the run was trained on.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    allow_leak: AllowLeak = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a run: probe, retrieval, clusters, geometry, compared with baselines."""
    from nearfield.cli.output import progress_display
    from nearfield.training.evaluate_run import evaluate_run
    from nearfield.training.run_folder import RunFolder

    with progress_display(quiet=as_json) as callback:
        folder = RunFolder.existing(run)
        result = evaluate_run(folder, data, split, allow_leak, callback)
    _show(result, f"{run}, {result['data']['judged']} of {result['data']['name']}", as_json)
    if not as_json:
        given = folder.environment()["data"]["given"]
        own = split == "test" and data in (None, given)
        about = f"Written to {run}: result.json, vectors.parquet, clips.parquet."
        say(about if own else "Nothing was written: a run stores only the results of its own test clips.")
        say(_next(run, given))


@app.command("list")
def list_kinds(
    family: Annotated[
        str | None,
        typer.Argument(
            help="One family; recipes or studies; data, embedding, train, penalty or study for their keys; "
            "metrics. Default: all families."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the layouts of collections, the kinds of every family with their settings, the other keys of
    recipes and studies, metrics, and the shipped recipes and studies."""
    from nearfield.cli.families import as_plain, as_text

    print_json(as_plain(family)) if as_json else say(as_text(family))


@app.command("recipe")
def print_recipe(
    name: Annotated[str, typer.Argument(help="A name of `nearfield list recipes`.")],
) -> None:
    """Print the file of a shipped recipe, to change it: nearfield recipe labels > mine.yaml"""
    say(text_of(name, "recipes").rstrip())


@app.command()
def doctor(
    clear_cache: Annotated[bool, typer.Option("--clear-cache", help="Remove decoded sounds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Report on this machine: versions, devices, audio formats, the cache."""

    found = examine(clear_cache)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        say(f"{name:<18} {value}")


for command in (
    analysis.tag,
    *(spaces.embed, spaces.index, spaces.search, spaces.explore, spaces.page, spaces.export),
    *(analysis.suspects, analysis.mend),
    analysis.folds,
    judge,
    *(analysis.explain, analysis.compare, analysis.runs, analysis.similar),
):
    app.command()(command)


def main() -> None:
    """Entry point: turns errors of the package and of the system into a message and an exit code."""
    limit_threads()
    print_anything()
    warnings.showwarning = _told
    code: Any = 0
    try:
        app(args=[expanded(each) for each in sys.argv[1:]], standalone_mode=True)
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        print("nearfield: stopped", file=sys.stderr)
        code = 130
    except Exception as error:
        known = in_words(error)
        if known is None:
            raise
        say(f"nearfield: {known}", err=True)
        code = known.exit_code
    sys.exit(flushed(code))


_showwarning = warnings.showwarning


def _told(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Prints a warning of the package without the line of code that raised it."""
    if category.__module__.startswith("nearfield."):
        say(f"note: {message}", err=True)
    else:
        _showwarning(message, category, *place, **more)


WRITTEN = "weights.safetensors, result.json, vectors.parquet, clips.parquet, metrics.jsonl"


def _columns(given: dict[str, str | None], changes: list[str]) -> "Columns":
    """The columns from options ("false": none) and from changes."""
    from nearfield.core.settings import make
    from nearfield.data.settings import Columns

    named = {key: False if value == "false" else value for key, value in given.items() if value is not None}
    if changes:
        from nearfield.training.recipe import section

        named |= section(changes, "data")
    columns: Columns = make(Columns, "data", named)
    return columns


def _next(run: Path, data: str) -> str:
    """The usual next command."""
    place = str(run).rstrip("/")
    words = ("index", place, "--data", data, "--out", f"{place}-space")
    return f"Next: nearfield {shlex.join(words)}"


def _show(result: dict[str, Any], title: str, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return

    from nearfield.cli.tables import show_result

    show_result(terminal(), result, title)
