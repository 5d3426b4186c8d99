"""Triplets that are shown are those that training is given: the sampler's own windows, out of the files."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from nearfield.analysis.triplets import (
    ShownTriplet,
    TripletWindow,
    draw_triplets,
    named_windows,
    triplets_of_run,
    triplets_page,
    write_triplets,
)
from nearfield.core.errors import RequestError
from nearfield.data.audio import Waves
from nearfield.data.collection import Collection
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.setup import TrainingSetup
from nearfield.training.tagging import write_predictions
from nearfield.training.trainer import launch
from tests.training.conftest import small

NAMED = {"low", "high"}
"""The tags that the made tagger names of every clip."""


def by_tag(**sampler: Any) -> Recipe:
    return Recipe.of(
        small(
            relation={"kind": "tags"}, sampler={"kind": "tag_triplets", "batch_size": 4} | sampler, augment=[]
        )
    )


def ids(triplet: ShownTriplet) -> list[str]:
    return [window.id for window in triplet.windows]


def in_file(folder: Path, window: TripletWindow, seconds: float = 0.4) -> Waves:
    begin = round(window.start * 8000)
    wave, _ = soundfile.read(folder / window.id, start=begin, frames=round(seconds * 8000), dtype="float32")
    return np.asarray(wave[None])


@pytest.fixture(scope="module")
def tagger(chords: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose predictions are made: every clip is `low`, less surely `high`, and nothing else."""
    folder = RunFolder(tmp_path_factory.mktemp("tagger"))
    folder.begin(by_tag(), {})
    collection = Collection.load(str(chords))
    names = collection.metadata().tag_names
    said = np.tile(
        [{"low": 0.9, "high": 0.8, "top": 0.0}.get(name, 0.1) for name in names], (len(collection), 1)
    )
    write_predictions(folder.predictions, list(collection.table["id"]), names, said)
    return folder.path


def test_windows_are_those_of_the_sampler_and_of_the_files(chords: Path) -> None:
    recipe = by_tag()
    found = draw_triplets(recipe, str(chords), count=6, seed=5)
    setup = TrainingSetup.build(recipe, Collection.load(str(chords)), 5)
    draws = list(setup.sampler().epoch(0))
    names = list(setup.collection.table["id"])
    for number, shown in enumerate(found.shown):
        draw, place = draws[number // 4], number % 4
        for role, window in enumerate(shown.triplet.windows):
            at = place + role * len(draw) // 3
            assert window.id == names[draw.rows[at]]
            assert window.start == pytest.approx(float(draw.starts[at]))
            np.testing.assert_array_equal(window.wave, in_file(chords, window))
    starts = {window.start for shown in found.shown for window in shown.triplet.windows}
    assert len(starts) > 10


def test_shared_tags_are_what_both_clips_have(chords: Path) -> None:
    table = pd.read_csv(chords / "labels.csv").set_index("path")["tags"].str.split("|")
    found = draw_triplets(by_tag(), str(chords), count=8)
    for shown in found.shown:
        anchor, positive, negative = (set(table[name]) for name in ids(shown.triplet))
        assert shown.triplet.shared(0) == ()
        assert set(shown.triplet.shared(1)) == anchor & positive
        assert set(shown.triplet.shared(2)) == anchor & negative
        tag = shown.triplet.reason.removeprefix("Drawn by the tag ").partition(":")[0]
        assert tag in (anchor & positive) - negative
        assert shown.before is None


def test_what_the_errors_of_a_tagger_changed_is_said(chords: Path, tagger: Path) -> None:
    table = pd.read_csv(chords / "labels.csv").set_index("path")["tags"].str.split("|")
    recipe = by_tag(rule="errors", tagger=str(tagger), top=2)
    found = draw_triplets(recipe, str(chords), count=100, seed=3)
    plain = {
        tuple(ids(shown.triplet)): shown.triplet.reason
        for shown in draw_triplets(by_tag(), str(chords), count=100, seed=3).shown
    }
    kept = {"positive": 0, "negative": 0}
    for shown in found.shown:
        now, before = shown.triplet, shown.before
        assert before is not None
        assert plain[tuple(ids(before))] == before.reason
        assert ids(now)[0] == ids(before)[0]
        np.testing.assert_array_equal(now.windows[0].wave, before.windows[0].wave)
        anchor, positive, negative = (set(table[name]) for name in ids(now))
        about_positive, about_negative = now.reason.split("; ")
        if anchor <= NAMED:
            assert ids(now)[1] == ids(before)[1]
            assert about_positive.startswith("Positive unchanged")
        else:
            tag = about_positive.partition(", which the tagger missed")[0].rpartition(" ")[2]
            assert tag in (anchor & positive) - NAMED
            assert ("changed" in about_positive) == (ids(now)[1] != ids(before)[1])
        if anchor >= NAMED:
            assert ids(now)[2] == ids(before)[2]
            assert about_negative.startswith("negative unchanged")
        else:
            tags = " and ".join(sorted((NAMED - anchor) & negative))
            assert f"{tags}, which the tagger predicted wrongly" in about_negative
            assert tags
        kept["positive"] += anchor <= NAMED
        kept["negative"] += anchor >= NAMED
    assert min(kept.values()) > 0
    arranged = sum(set(table[name[0]]) != NAMED for name in plain)
    assert len(found.shown) == arranged < len(plain)
    assert f"change {arranged} of the {len(plain)} triplets" in found.source


@pytest.mark.parametrize("rule", ["extreme", "errors"])
def test_rules_that_ask_the_tagger_alone_say_by_what(chords: Path, tagger: Path, rule: str) -> None:
    table = pd.read_csv(chords / "labels.csv").set_index("path")["tags"].str.split("|")
    recipe = by_tag(rule=rule, tagger=str(tagger), top=2, keep_right=False)
    for shown in draw_triplets(recipe, str(chords), count=5).shown:
        _, positive, negative = (set(table[name]) for name in ids(shown.triplet))
        assert shown.before is None
        first, second = shown.triplet.reason.split("; ")
        assert first.removeprefix("The positive has ").partition(",")[0] in positive
        assert set(second.removeprefix("the negative has ").partition(",")[0].split(" and ")) <= negative


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of eight seconds of noise."""
    folder, chance = tmp_path_factory.mktemp("long"), np.random.default_rng(0)
    for name in "xyz":
        soundfile.write(folder / f"{name}.wav", 0.1 * chance.standard_normal(64000), 8000, subtype="FLOAT")
    lines = ["path,split,start_time", "x.wav,train,2024-06-12 05:00:00", "y.wav,train,", "z.wav,train,"]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("mode", ["triplet", "batch"])
def test_tiles_are_shown_with_their_times(long: Path, mode: str) -> None:
    sampler = {"kind": "tiles", "mode": mode, "batch_size": 4, "range_seconds": 1.0}
    recipe = Recipe.of(small(relation={"kind": "time", "range_seconds": 1.0}, sampler=sampler, augment=[]))
    found = draw_triplets(recipe, str(long / "table.csv"), count=4, seed=1)
    setup = TrainingSetup.build(recipe, Collection.load(str(long / "table.csv")), 1)
    first = next(setup.sampler().epoch(0))
    names = setup.collection.table["id"]
    drawn = {(names[row], round(start, 6)) for row, start in zip(first.rows, first.starts, strict=True)}
    for shown in found.shown:
        anchor, positive, negative = shown.triplet.windows
        assert anchor.recording == positive.recording != negative.recording
        assert 0 < abs(anchor.start_time - positive.start_time) <= 1.0
        for window in shown.triplet.windows:
            assert (window.id, round(window.start, 6)) in drawn
            np.testing.assert_array_equal(window.wave, in_file(long, window))
            midnight = 1718168400.0 if window.id == "x.wav" else 0.0
            assert window.start_time == pytest.approx(midnight + window.start)
    if mode == "triplet":
        assert [shown.triplet.windows[0].id for shown in found.shown] == [
            names[row] for row in first.rows[:4]
        ]


def test_a_run_shows_what_it_was_given(tones: Path, tmp_path: Path) -> None:
    recipe = Recipe.of(small(train={"updates": 1}))
    launch(Request(recipe, str(tones), tmp_path / "run", seed=4, device="cpu"))
    given = triplets_of_run(RunFolder(tmp_path / "run"))
    found = draw_triplets(recipe, str(tones), seed=4)
    assert [ids(each.triplet) for each in given.shown] == [ids(each.triplet) for each in found.shown]
    assert [ids(each.triplet) for each in draw_triplets(recipe, str(tones), seed=5).shown] != [
        ids(each.triplet) for each in found.shown
    ]
    for shown in found.shown:
        anchor, positive, negative = (Path(name).parent for name in ids(shown.triplet))
        assert anchor == positive != negative
        assert len(set(ids(shown.triplet))) == 3


class _Read(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.players: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "audio":
            self.players.append(given["src"] or "")
        self.outside += [
            value or ""
            for name, value in attrs
            if name in ("src", "href", "action", "srcset") and not (value or "").startswith("data:")
        ]


def test_figures_sounds_and_page_hold_every_window(chords: Path, tagger: Path, tmp_path: Path) -> None:
    recipe = by_tag(rule="errors", tagger=str(tagger), top=2)
    found = draw_triplets(recipe, str(chords), count=2, seed=3)
    paths = write_triplets(found, tmp_path / "out")
    windows = [
        (number, name, window)
        for number, shown in enumerate(found.shown, 1)
        for name, window in named_windows(shown)
    ]
    wavs = [path for path in paths if path.suffix == ".wav"]
    assert len(paths) == len(wavs) + 2
    for path, (number, name, window) in zip(wavs, windows, strict=True):
        assert path.name == f"triplet-{number}-{name}.wav"
        np.testing.assert_allclose(soundfile.read(path)[0], window.wave[0], atol=1e-4)
    with Image.open(tmp_path / "out" / "triplet-1.png") as image:
        assert image.width > 1000
        assert len(image.convert("L").getcolors() or ()) > 100
    page = _Read()
    page.feed(triplets_page(found, "<b>title"))
    assert len(page.players) == len(set(page.players)) == len(windows)
    assert page.outside == []


def test_names_are_text_in_the_page(tones: Path, tmp_path: Path) -> None:
    odd = "<script>wrong()</script>"
    lines = ["path,label"]
    lines += [
        f"{tones}/{name}/{number}.wav,{odd if name == 'a' else name}"
        for name in "abcd"
        for number in range(10)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    text = triplets_page(draw_triplets(Recipe.of(small()), str(tmp_path / "labels.csv"), count=2), odd)
    assert odd not in text
    assert text.count("&lt;script&gt;wrong()") > 1  # the title's and a window's


def test_pictures_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("L", (8, 8), number).save(tmp_path / name / f"{number}.png")
    with pytest.raises(RequestError, match="triplets are shown of sounds only"):
        draw_triplets(Recipe.of(small(feature={"kind": "pixels"}, augment=[])), str(tmp_path))
