"""Commands that look into runs: explain, compare, runs, similar. Each calls the library once."""

from pathlib import Path
from typing import Annotated

import typer

from nearfield.app.answers import AsJson, print_json, say, terminal
from nearfield.core.errors import RequestError

RunFolder = Annotated[Path, typer.Argument(help="The folder of a finished run.")]


def explain(
    run: RunFolder,
    data: Annotated[
        str | None, typer.Option(help="Other clips; default: those the run was trained on.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    out: Annotated[Path | None, typer.Option(help="Folder for figures (PNG) and explain.json.")] = None,
    clip: Annotated[
        str | None, typer.Option(help="The id of the clip to draw; usual: three by chance.")
    ] = None,
    at: Annotated[
        float | None, typer.Option(min=0, help="With --clip: the second at which the window drawn begins.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a space holds beyond its scores: clusters, silence, beginnings and ends, microphones, labels."""
    from nearfield.app.progress import watching
    from nearfield.core.files import write_json
    from nearfield.runs.explain import explain as look
    from nearfield.runs.explain_material import Material
    from nearfield.runs.run import Run

    if at is not None and clip is None:
        raise RequestError("--at: of which clip? Give its id by --clip.")
    figures: tuple[Path, ...] = ()
    with watching(quiet=as_json) as watch:
        material = Material.open(Run.load(run), data, split, watch)
        found = look(material, watch)
        if out is not None:
            from nearfield.runs.explain_drawing import draw

            figures = draw(found, material, out, clip, at or 0.0, watch)
    plain = {**found.plain(), "figures": [str(path) for path in figures]}
    if out is not None:
        write_json(out / "explain.json", plain)
    if as_json:
        print_json(plain)
        return

    from nearfield.app.explaining_tables import explanation

    explanation(terminal(), found)
    for path in figures:
        say(str(path))


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="The folder of a measured run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Another, measured on the same clips.")],
    out: Annotated[Path | None, typer.Option(help="Folder for compare.png and compare.json.")] = None,
    as_json: AsJson = False,
) -> None:
    """Two runs clip by clip: which settings differ, and which labels and tags fare better or worse."""
    from nearfield.core.files import write_json
    from nearfield.runs.compare import compare as put_side_by_side

    found = put_side_by_side(str(first), str(second))
    if out is not None:
        from nearfield.runs.compare_figure import draw_comparison

        write_json(out / "compare.json", found.plain())
        draw_comparison(out / "compare.png", found)
    if as_json:
        print_json(found.plain())
        return

    from nearfield.app.explaining_tables import comparison

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
    """All runs below a folder: the settings they differ in, and how they fared."""
    from nearfield.runs.overview import overview

    found = overview(folder, where or (), sort, ascending)
    if as_json:
        print_json(found.plain())
        return

    from nearfield.app.runs_table import all_runs

    all_runs(terminal(), found)


def similar(
    first: Annotated[Path, typer.Argument(metavar="FILE_A", help="A sound file.")],
    second: Annotated[Path, typer.Argument(metavar="FILE_B", help="Another.")],
    seconds: Annotated[float | None, typer.Option(min=0.05, help="How much of each to hear, s.")] = None,
    rate: Annotated[int, typer.Option(min=1000, max=192000, help="Samples a second to hear at.")] = 16000,
    as_json: AsJson = False,
) -> None:
    """How alike two sounds are when one may go faster: MFCC frames aligned by dynamic time warping."""
    from nearfield.runs.similar import similar as align

    found = align(first, second, seconds, rate)
    if as_json:
        print_json(found.plain())
        return
    say(
        f"similarity {found.similarity:.3f} (1 the same), {found.per_step:.2f} a step\n"
        f"{found.steps} steps through {found.frames[0]} and {found.frames[1]} frames, "
        f"{found.diagonal:.0%} of them on in both"
    )
