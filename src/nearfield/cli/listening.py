"""`nearfield listen`: compilations of clips, walks, arithmetic, playlists, blinded tests."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nearfield.cli.output import AsJson, print_json, say, terminal
from nearfield.core.errors import RequestError
from nearfield.core.text import clock, count

listen = typer.Typer(
    help="Listen to a space: compilations, walks, blinded listening tests.", no_args_is_help=True
)

Source = Annotated[
    Path, typer.Argument(metavar="RUN|SPACE", help="The folder of an evaluated run or of a space.")
]
Split = Annotated[str | None, typer.Option(help="Only clips of this split: train, val or test.")]
Seconds = Annotated[float, typer.Option(min=0.1, max=600, help="Seconds of each clip that are played.")]
Count = Annotated[int, typer.Option(min=1, max=1000, help="How many clips.")]
Audio = Annotated[Path, typer.Option("--out", help="The sound to write: .wav, .flac or .ogg.")]


@listen.command()
def centre(
    source: Source,
    label: Annotated[str, typer.Argument(help="A label, or a tag.")],
    out: Audio,
    count: Count = 5,
    seconds: Seconds = 5.0,
    split: Split = None,
    as_json: AsJson = False,
) -> None:
    """Join the clips nearest to the centroid of a label, and write their list (CSV)."""
    from nearfield.space.listening.library import ClipLibrary
    from nearfield.space.listening.songs import centre as find
    from nearfield.space.listening.songs import make_song

    library = ClipLibrary.open(source, split)
    _song(make_song(library, find(library, label, count), out, seconds), as_json)


@listen.command()
def neighbourhood(
    source: Source,
    clip: Annotated[str, typer.Argument(help="The id of a clip, or its file.")],
    out: Audio,
    count: Count = 5,
    seconds: Seconds = 5.0,
    split: Split = None,
    as_json: AsJson = False,
) -> None:
    """Join a clip and the clips nearest to it, and write their list (CSV)."""
    from nearfield.space.listening.library import ClipLibrary
    from nearfield.space.listening.songs import make_song, surroundings

    library = ClipLibrary.open(source, split)
    _song(make_song(library, surroundings(library, clip, count), out, seconds), as_json)


@listen.command()
def playlist(
    source: Source,
    clip: Annotated[str, typer.Argument(help="The id of the first clip, or its file.")],
    count: Count = 20,
    out: Annotated[Path | None, typer.Option(help="A sound to write: .wav, .flac or .ogg.")] = None,
    seconds: Seconds = 10.0,
    again: Annotated[bool, typer.Option("--again", help="Allow several clips of a group.")] = False,
    split: Split = None,
    as_json: AsJson = False,
) -> None:
    """Make a playlist from a clip: each clip is the nearest to the previous one; none occurs twice."""
    from nearfield.space.listening.library import ClipLibrary
    from nearfield.space.listening.songs import make_song, sequence

    library = ClipLibrary.open(source, split)
    _song(make_song(library, sequence(library, clip, count, not again), out, seconds), as_json)


@listen.command()
def rate(
    source: Source,
    clips: Annotated[
        list[str], typer.Argument(metavar="CLIP...", help="Ids or files, in the order of play.")
    ],
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    split: Split = None,
    as_json: AsJson = False,
) -> None:
    """Rate the transitions of a given order, such as a DJ set, against random orders and a playlist."""
    from dataclasses import asdict

    import numpy as np

    from nearfield.space.listening.library import ClipLibrary
    from nearfield.space.listening.songs import rate_order

    library = ClipLibrary.open(source, split)
    rows = np.array([library.row(clip) for clip in clips])
    found = rate_order(library.vectors, rows, seed)
    steps = list(zip(clips[:-1], clips[1:], found.distances.tolist(), found.nearer.tolist(), strict=True))
    if as_json:
        named = [dict(zip(("from", "to", "distance", "nearer"), step, strict=True)) for step in steps]
        means = {name: value for name, value in asdict(found).items() if name not in ("distances", "nearer")}
        print_json({**means, "transitions": named})
        return
    for before, after, distance, nearer in steps:
        say(f"{distance:.3f}  {nearer:>4.0%} of the clips are nearer  {before} -> {after}")
    say(
        f"mean distance {found.mean:.3f}; random orders of the same clips {found.random:.3f}, "
        f"{found.smoother:.0%} of them as smooth or smoother; the playlist from the first clip "
        f"{found.playlist:.3f}"
    )


@listen.command()
def walk(
    source: Source,
    start: Annotated[str, typer.Argument(metavar="FROM", help="A clip (id or file), a label or a tag.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="A clip (id or file), a label or a tag.")],
    out: Audio,
    stops: Annotated[int, typer.Option(min=2, max=200, help="Stops of the walk, including both ends.")] = 10,
    clips: Annotated[int, typer.Option(min=1, max=20, help="Clips per stop.")] = 1,
    seconds: Seconds = 3.0,
    crossfade: Annotated[float, typer.Option(min=0, max=30, help="Seconds of overlap.")] = 0.25,
    split: Split = None,
    as_json: AsJson = False,
) -> None:
    """Walk from one clip or label to another: a sound, a figure (PNG) and a list (CSV)."""
    from nearfield.space.listening.library import ClipLibrary
    from nearfield.space.listening.walks import WalkSettings, take_walk

    way = WalkSettings(stops, clips, seconds=seconds, crossfade=crossfade)
    found = take_walk(ClipLibrary.open(source, split), start, end, out, way)
    if as_json:
        print_json(found.plain())
        return
    for row in found.song.records():
        say(f"{row['stop']:>3}  {row['to_target']:.3f}  {_named(row)}")
    say(
        f"{found.walk.monotone:.0%} of the steps do not lead away from {end}; smoothness "
        f"{found.walk.smoothness:.2f}\n{out}\n{found.picture}\n{out.with_suffix('.csv')}",
    )


@listen.command()
def algebra(
    source: Source,
    expected: Annotated[
        Path | None, typer.Option(help="CSV: formula (rain - wind), correct labels (a|b).")
    ] = None,
    nearest: Annotated[int, typer.Option(min=1, help="Nearest clips counted for each formula of tags.")] = 5,
    split: Split = None,
    as_json: AsJson = False,
) -> None:
    """Compute A - B and A + B of labels and of tags, compared with chance."""
    from nearfield.space.listening.algebra import arithmetic
    from nearfield.space.listening.library import ClipLibrary

    found = arithmetic(ClipLibrary.open(source, split), expected, nearest)
    if as_json:
        print_json(found.plain())
        return

    from nearfield.cli.tables import label_arithmetic, tag_arithmetic

    console = terminal()
    if found.labels is not None:
        label_arithmetic(console, found.labels)
    if found.tags is not None:
        tag_arithmetic(console, found.tags)


@listen.command()
def augmented(
    recipe: Annotated[
        Path,
        typer.Argument(help="A recipe with augmentations: a file, or a name of `nearfield list recipes`."),
    ],
    file: Annotated[Path, typer.Argument(help="The sound file to augment.")],
    others: Annotated[
        list[Path] | None, typer.Argument(help="Sounds to mix in, if the recipe mixes.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for augmented.png and a .wav of each.")],
    start: Annotated[float, typer.Option(min=0, help="Start time in the file, s.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Apply each augmentation of a recipe to a sound: a figure of waves and features, and sounds."""
    from nearfield.analysis.augmented import augment_each, write_augmented
    from nearfield.training.recipe import Recipe

    read = Recipe.load(recipe, changes or ())
    found = augment_each(read, file, tuple(others or ()), start, seed)
    paths = write_augmented(found, read.data.sample_rate, out)
    if as_json:
        print_json({"kinds": [each.kind for each in found], "files": [str(path) for path in paths]})
        return
    for path in paths:
        say(str(path))


@listen.command()
def triplets(
    source: Annotated[Path, typer.Argument(metavar="RECIPE|RUN", help="A recipe (YAML), or a run's folder.")],
    data: Annotated[
        str | None, typer.Option("--data", help="The collection. Default with a run: its training data.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for triplets.html, a figure and .wav files of each.")],
    count: Annotated[int, typer.Option(min=1, max=100, help="How many triplets.")] = 3,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the training. Default: that of the run, else 0.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")
    ] = None,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Accept a group that is in two splits.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write triplets of a training: figures, sounds, and a page that shows and plays them."""
    from nearfield.analysis.triplets import (
        ROLES,
        draw_triplets,
        triplets_of_run,
        write_triplets,
        write_triplets_page,
    )
    from nearfield.cli.output import progress_display
    from nearfield.training.recipe import Recipe
    from nearfield.training.run_folder import RunFolder

    with progress_display(quiet=as_json) as callback:
        if source.is_dir():
            if changes or seed is not None:
                raise RequestError("triplets: a run has its own recipe and seed. Omit --set and --seed.")
            found = triplets_of_run(RunFolder.existing(source), data, count, callback)
        elif data is None:
            raise RequestError("triplets: a recipe needs data. Give --data as well.")
        else:
            read = Recipe.load(source, changes or ())
            found = draw_triplets(read, data, count, seed or 0, allow_leak, callback)
    page = out / "triplets.html"
    paths = (*write_triplets(found, out), page)
    write_triplets_page(found, page, f"Triplets of {source.resolve().stem}")
    if as_json:
        plain = [each.plain() for each in found.shown]
        print_json({"source": found.source, "triplets": plain, "files": [str(path) for path in paths]})
        return
    for each in found.shown:
        for name, window in zip(ROLES, each.triplet.windows, strict=True):
            say(f"{name:<9}{window.id}  {clock(window.start)}  {'|'.join(window.names)}".rstrip())
        say(each.triplet.reason)
    say(str(page))


@listen.command()
def form(
    source: Source,
    out: Annotated[Path, typer.Option(help="The page to write: .html.")],
    key: Annotated[
        Path | None, typer.Option(help="The key to write: .json. Default: next to the page.")
    ] = None,
    anchors: Annotated[
        int, typer.Option(min=2, max=200, help="Clips that are rated in every condition.")
    ] = 10,
    seconds: Seconds = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    split: Split = None,
    as_json: AsJson = False,
) -> None:
    """Write a blinded listening test as one page, and its key, which listeners must not see."""
    from nearfield.space.listening.library import ClipLibrary
    from nearfield.space.listening.listening_test import write_form

    made = write_form(ClipLibrary.open(source, split), out, key, anchors, seconds, seed)
    if as_json:
        print_json(made.plain())
        return
    said = ", ".join(f"{number} {name}" for name, number in made.conditions.items())
    say(f"{made.page}: {count(made.pairs, 'pair')} ({said})\n{made.key}: the key; keep it from the listeners")
    say(f"then: nearfield listen form-analyse ANSWERS.csv... --key {made.key}")


@listen.command("form-analyse")
def form_analyse(
    answers: Annotated[list[Path], typer.Argument(help="The CSV file of each listener.")],
    key: Annotated[Path, typer.Option(help="The key that was written with the form.")],
    as_json: AsJson = False,
) -> None:
    """Analyze ratings by condition, and the difference of each condition to its control."""
    from nearfield.space.listening.listening_test import analyse

    found = analyse(answers, key)
    if as_json:
        print_json(found.plain())
        return

    from nearfield.cli.tables import listening_test

    listening_test(terminal(), found)


def _song(song: Any, as_json: bool) -> None:
    if as_json:
        print_json(song.plain())
        return
    for number, row in enumerate(song.records(), 1):
        say(f"{number:>3}  {row['distance']:.3f}  {_named(row)}")
    if song.audio is not None:
        say(f"{song.audio} ({song.seconds:.1f} s)\n{song.audio.with_suffix('.csv')}")


def _named(row: dict[str, Any]) -> str:
    what = " ".join(filter(None, (row["label"], "|".join(row["tags"]))))
    return f"{row['id']}  {what}".rstrip()
