"""Tools to hear a space by: what is played against brute force, joins against laws, tests against scipy."""

import base64
import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ttest_rel
from sklearn.neighbors import NearestNeighbors

from nearfield.core.errors import RequestError
from nearfield.data.audio import Waves
from nearfield.space.listening.algebra import arithmetic
from nearfield.space.listening.library import ClipLibrary
from nearfield.space.listening.listening_test import Form, _interval, _p, analyse, draw_pairs, write_form
from nearfield.space.listening.songs import (
    LEVEL,
    PEAK,
    FileSpan,
    Transition,
    centre,
    evened,
    join,
    lay,
    make_song,
    pieces_of,
    sequence,
    surroundings,
)
from nearfield.space.listening.walks import WalkSettings, take_walk
from nearfield.space.space import Space
from nearfield.training.evaluate_run import evaluate_run
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def measured(heard: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run on three classes of tones, measured, in a folder of its own."""
    folder = tmp_path_factory.mktemp("measured") / "run"
    shutil.copytree(heard.folder.path, folder)
    evaluate_run(RunFolder(folder), with_baselines=False)
    return folder


@pytest.fixture(scope="module")
def library(measured: Path) -> ClipLibrary:
    return ClipLibrary.open(measured)


def unit(vectors: Any) -> Any:
    wide = np.asarray(vectors, np.float64)
    return wide / np.linalg.norm(wide, axis=-1, keepdims=True)


def test_a_run_and_a_space_hold_the_same_shelf(
    measured: Path, library: ClipLibrary, scale: Path, tmp_path: Path
) -> None:
    Space.create(Run.load(measured), str(scale), tmp_path / "space")
    other = ClipLibrary.open(tmp_path / "space")
    order = [list(other.table["id"]).index(clip) for clip in library.table["id"]]
    pd.testing.assert_frame_equal(
        library.table.drop(columns="group"), other.take(order).drop(columns="group"), check_dtype=False
    )
    np.testing.assert_allclose(unit(library.vectors), other.vectors[order], atol=1e-5)
    assert library.label_names == ("high", "low", "middle")
    assert len(ClipLibrary.open(measured, "test")) < len(library)
    with pytest.raises(RequestError, match="has no clips of 'tset'"):
        ClipLibrary.open(measured, "tset")
    with pytest.raises(RequestError, match="neither the folder of a run nor a space"):
        ClipLibrary.open(tmp_path)


def test_the_heart_of_a_label_is_nearest_to_its_centroid(library: ClipLibrary, tmp_path: Path) -> None:
    rows = np.flatnonzero(library.table["label"] == "low")
    vectors = unit(library.vectors[rows])
    apart = np.arccos(np.clip(vectors @ unit(vectors.mean(axis=0)), -1, 1))
    found = centre(library, "low", 3)
    np.testing.assert_array_equal(found.rows, rows[np.argsort(apart)[:3]])
    song = make_song(library, found, tmp_path / "low.wav", 5.0)
    listed = pd.read_csv(tmp_path / "low.csv")
    assert list(listed["id"]) == list(library.table["id"][found.rows])
    np.testing.assert_allclose(listed["distance"], np.sort(apart)[:3], atol=1e-5)
    wave, rate = soundfile.read(tmp_path / "low.wav")
    assert rate == 8000
    assert len(wave) / rate == pytest.approx(library.table["seconds"][found.rows].sum() + 2 * 0.3, abs=1e-3)
    for place, row in zip(listed["place"], found.rows, strict=True):
        source, _ = soundfile.read(library.table["path"][row])
        heard = wave[round(place * rate) :][: len(source)][400:-400]
        assert np.corrcoef(heard, source[400:-400])[0, 1] > 0.9999
    assert song.plain()["clips"][0]["tags"] == []
    with pytest.raises(RequestError, match=r"'lwo'\. Did you mean 'low'"):
        centre(library, "lwo")


def test_surroundings_and_playlists(library: ClipLibrary) -> None:
    clip = str(library.table["id"][4])
    near = NearestNeighbors(n_neighbors=6, metric="cosine").fit(library.vectors.astype(np.float64))
    apart, index = near.kneighbors(library.vectors[[4]].astype(np.float64))
    found = surroundings(library, clip, 5)
    assert found.rows[0] == 4
    np.testing.assert_allclose(np.sort(found.distances[1:]), np.sort(apart[0])[1:], atol=1e-6)
    assert set(found.rows) == set(index[0])
    assert library.row(str(library.table["path"][4])) == 4
    heard = sequence(library, clip, 18, once=False)
    assert len(set(heard.rows.tolist())) == 18
    likeness = unit(library.vectors) @ unit(library.vectors).T
    for at in range(1, 18):
        left = np.setdiff1d(np.arange(18), heard.rows[:at])
        best = (1 - likeness[heard.rows[at - 1], left]).min()
        assert heard.distances[at] == pytest.approx(best, abs=1e-6)
    with pytest.raises(RequestError, match="has no clip 'nothing'"):
        library.row("nothing")


def test_a_walk_goes_from_one_end_to_the_other(library: ClipLibrary, tmp_path: Path) -> None:
    way = WalkSettings(stops=6, seconds=0.3, crossfade=0.1)
    found = take_walk(library, "low", "high", tmp_path / "walk.wav", way)
    rows = found.walk.rows.ravel()
    assert len(set(rows.tolist())) == 6
    listed = pd.read_csv(tmp_path / "walk.csv")
    assert list(listed["stop"]) == list(range(1, 7))
    from nearfield.space.listening.walks import pure_clips

    target = unit(unit(library.vectors[pure_clips(library, library.members("high"))]).mean(axis=0))
    angles = np.arccos(np.clip(unit(library.vectors[rows]) @ target, -1, 1))
    np.testing.assert_allclose(listed["to_target"], angles, atol=1e-5)
    assert found.walk.monotone == np.mean(np.diff(angles) <= 1e-12)
    assert 0 < found.walk.smoothness <= 1
    wave, rate = soundfile.read(tmp_path / "walk.wav")
    assert len(wave) / rate == pytest.approx(6 * 0.3 - 5 * 0.1, abs=1e-2)
    with Image.open(tmp_path / "walk.png") as picture:
        assert np.asarray(picture.convert("L")).min() < 60
    ends = take_walk(
        library, str(library.table["id"][0]), str(library.table["id"][9]), tmp_path / "w.flac", way
    )
    assert ends.song.rows[0] == 0
    assert ends.song.rows[-1] == 9
    json.dumps(ends.plain(), allow_nan=False)
    with pytest.raises(RequestError, match="both ends are"):
        take_walk(library, "low", "low", tmp_path / "walk.wav")


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(900, 3000), min_size=1, max_size=5),
    gap=st.floats(0, 0.5),
    crossfade=st.sampled_from([0.0, 0.05, 0.2]),
)
def test_joins_have_the_length_they_should_and_no_clicks(
    lengths: list[int], gap: float, crossfade: float
) -> None:
    rate, pitch = 8000, 50.0
    phases = np.random.default_rng(len(lengths)).uniform(0, 6, len(lengths))
    waves: list[Waves] = [
        (0.3 * np.cos(2 * np.pi * pitch * np.arange(n) / rate + phase)).astype(np.float32)[None]
        for n, phase in zip(lengths, phases, strict=True)
    ]
    joined = lay(waves, rate, Transition(gap, crossfade))
    overlap = min(round(crossfade * rate), min(lengths) // 2) if len(lengths) > 1 else 0
    between = -overlap if overlap else round(gap * rate)
    assert joined.wave.shape[1] == sum(lengths) + between * (len(lengths) - 1)
    np.testing.assert_allclose(
        joined.begins * rate, np.cumsum([0, *(n + between for n in lengths[:-1])]), atol=1e-6
    )
    # A tone of 50 Hz never moves by more than this from one sample to the next; fades add as much again.
    steep = 0.3 * 2 * np.pi * pitch / rate
    assert np.abs(np.diff(joined.wave, prepend=0, append=0)).max() < 3 * steep
    assert abs(joined.wave[0, 0]) < 1e-3
    assert abs(joined.wave[0, -1]) < 1e-3


def test_power_stays_while_one_clip_fades_into_the_next() -> None:
    chance, rate = np.random.default_rng(0), 8000
    waves = [(0.05 * chance.standard_normal((1, 40000))).astype(np.float32) for _ in range(2)]
    joined = lay(waves, rate, Transition(crossfade=2.0))
    inside = joined.wave[0, 24000:40000].reshape(8, -1)
    np.testing.assert_allclose(np.sqrt((inside**2).mean(axis=1)), 0.05, rtol=0.06)


def test_levels_are_evened_and_peaks_kept(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    noise = chance.standard_normal((1, 8000)).astype(np.float32)
    for gain in (0.001, 0.01, 0.3):
        wave = evened(gain * noise)
        level = 20 * np.log10(np.sqrt((wave**2).mean()))
        wanted = LEVEL if gain > 0.005 else 20 * np.log10(0.001) + 30
        assert level == pytest.approx(wanted, abs=0.2)
    click = np.zeros((1, 8000), np.float32)
    click[0, 100] = 0.5
    assert np.abs(evened(click)).max() == pytest.approx(PEAK)
    silence = np.zeros((1, 10), np.float32)
    np.testing.assert_array_equal(evened(silence), silence)


def test_unlike_files_are_joined_at_the_highest_rate(tmp_path: Path) -> None:
    time = np.arange(8000) / 8000
    soundfile.write(tmp_path / "slow.wav", 0.3 * np.sin(2 * np.pi * 440 * time), 8000)
    time = np.arange(16000) / 16000
    both = np.stack([0.3 * np.sin(2 * np.pi * 880 * time)] * 2, axis=1)
    soundfile.write(tmp_path / "fast.wav", both, 16000)
    joined = join(
        [FileSpan(tmp_path / "slow.wav", 0, 1.0), FileSpan(tmp_path / "fast.wav", 0, 1.0)], Transition(gap=0)
    )
    assert (joined.rate, joined.wave.shape[0]) == (16000, 1)
    for part, pitch in ((joined.wave[0, :16000], 440), (joined.wave[0, 16000:], 880)):
        assert np.abs(np.fft.rfft(part)).argmax() == pitch
    stereo = join([FileSpan(tmp_path / "fast.wav", 0.25, 0.5)])
    assert stereo.wave.shape == (2, 8000)
    with pytest.raises(RequestError, match=r"can be written as \.wav, \.flac, \.ogg"):
        stereo.write(tmp_path / "x.mp3")


def test_the_loudest_part_is_heard(tmp_path: Path) -> None:
    wave = np.zeros(16000)
    wave[9000:11000] = 0.5
    soundfile.write(tmp_path / "x.wav", wave, 8000)
    table = pd.DataFrame({"path": [str(tmp_path / "x.wav")], "start": [0.0], "seconds": [2.0]})
    part = pieces_of(table, 0.25)[0]
    assert part.start == pytest.approx(9000 / 8000, abs=1e-3)
    assert pieces_of(table, 5.0)[0] == FileSpan(tmp_path / "x.wav", 0.0, 2.0)


def planted(label_vectors: dict[str, list[float]], copies: int = 6) -> ClipLibrary:
    chance, rows, vectors = np.random.default_rng(0), [], []
    for label, vector in label_vectors.items():
        for number in range(copies):
            rows.append((f"{label}{number}", f"{label}{number}.wav", 0.0, 1.0, label, (), f"{label}{number}"))
            vectors.append(np.array(vector) + 0.02 * chance.standard_normal(len(vector)))
    table = pd.DataFrame(rows, columns=["id", "path", "start", "seconds", "label", "tags", "group"])
    return ClipLibrary("planted", table, np.array(vectors, np.float32))


def test_arithmetic_finds_what_was_planted(tmp_path: Path) -> None:
    library = planted(
        {"a": [1, 0, 0.1], "b": [0, 1, 0.1], "ab": [1, 1, 0.1], "a-b": [1, -1, 0], "c": [0, 0, 1]}
    )
    (tmp_path / "e.csv").write_text("formula,labels\na + b,ab\na - b,a-b|c\n")
    found = arithmetic(library, tmp_path / "e.csv")
    assert found.labels is not None
    answers = {answer.formula: answer for answer in found.labels.answers}
    assert answers["a + b"].nearest == "ab"
    assert answers["a - b"].nearest == "a-b"
    assert found.labels.hit_rate == 1
    assert found.labels.hit_chance is not None
    assert found.labels.hit_chance < 0.6
    assert found.tags is None
    json.dumps(found.plain(), allow_nan=False)
    (tmp_path / "e.csv").write_text("formel,labels\na + b,ab\n")
    with pytest.raises(RequestError, match="needs the columns formula and labels"):
        arithmetic(library, tmp_path / "e.csv")
    with pytest.raises(RequestError, match="neither three labels nor two tags"):
        arithmetic(planted({"a": [1, 0], "b": [0, 1]}))


def test_pairs_are_never_of_one_group() -> None:
    library = planted({"a": [1, 0, 0], "b": [0, 1, 0], "c": [0, 0, 1]})
    library.table["group"] = [f"{label}{number // 2}" for label in "abc" for number in range(6)]
    pairs = draw_pairs(library, 18, seed=0)
    likeness = unit(library.vectors) @ unit(library.vectors).T
    same = library.groups[:, None] == library.groups[None, :]
    assert len(pairs) == 4 * 18
    for pair in pairs:
        assert not same[pair.anchor, pair.other]
        if pair.condition == "neighbour":
            assert pair.other == np.where(same[pair.anchor], -2, likeness[pair.anchor]).argmax()
    assert {pair.anchor for pair in pairs} == set(range(18))
    drawn = [pair.other for pair in pairs if pair.condition == "random"]
    assert len(set(drawn)) > 6
    assert draw_pairs(library, 18, seed=0) == pairs
    assert draw_pairs(library, 18, seed=1) != pairs
    library.table["group"] = "one"
    with pytest.raises(RequestError, match="needs clips of at least two groups"):
        draw_pairs(library, 3, seed=0)


def test_arithmetic_with_tags_goes_by_the_tags_of_the_clips() -> None:
    both = planted({"wet": [1, 0, 0], "loud": [0, 1, 0], "wet loud": [1, 1, 0], "dry": [0, 0, 1]})
    tagged = both.table.assign(label="", tags=both.table["label"].map(lambda name: tuple(name.split())))
    found = arithmetic(ClipLibrary("tagged", tagged, both.vectors)).tags
    assert found is not None
    assert found.sum_rate > 0.8 > 2 * found.sum_chance
    assert found.p < 0.05
    apart = both.table.assign(label="", tags=both.table["label"].map(lambda name: (name,)))
    plain = arithmetic(ClipLibrary("apart", apart, both.vectors)).plain()
    assert plain["tags"]["sum_rate"] is None  # no clip has two tags
    json.dumps(plain, allow_nan=False)


@pytest.fixture(scope="module")
def form(library: ClipLibrary, tmp_path_factory: pytest.TempPathFactory) -> Form:
    return write_form(library, tmp_path_factory.mktemp("form") / "test.html", None, 8, 0.3, seed=3)


def test_the_form_gives_nothing_away_and_the_key_tells_all(form: Form, library: ClipLibrary) -> None:
    page, key = form.page.read_text(), json.loads(form.key.read_text())
    content = json.loads(re.search(r"const content = (\{.*\});", page).group(1))  # type: ignore[union-attr]
    blinded = page.replace(json.dumps(content["sounds"]), "")
    for words in (
        ["neighbour", "random", "shuffled"],
        library.table["id"],
        library.table["path"],
        ["distance"],
    ):
        assert not [word for word in words if word in blinded]
    assert form.conditions == {"label": 8, "neighbour": 8, "random": 8, "shuffled label": 8}
    assert [each["pair"] for each in content["pairs"]] == [each["pair"] for each in key["pairs"]]
    assert len({each["condition"] for each in key["pairs"][:8]}) > 1  # the order is drawn
    table = library.table.set_index("id")
    likeness = unit(library.vectors) @ unit(library.vectors).T
    for heard, known in zip(content["pairs"], key["pairs"], strict=True):
        anchor, other = (list(library.table["id"]).index(known[side]) for side in ("anchor", "other"))
        assert table["group"][known["anchor"]] != table["group"][known["other"]]
        assert known["distance"] == pytest.approx(1 - likeness[anchor, other], abs=1e-5)
        if known["condition"] == "neighbour":
            assert known["distance"] == pytest.approx(1 - np.delete(likeness[anchor], anchor).max(), abs=1e-5)
        if known["condition"] == "label":
            assert known["anchor_label"] == known["other_label"]
        if known["condition"] == "shuffled label":
            assert known["anchor_label"] != known["other_label"]
        played = content["sounds"][heard["sounds"][0 if known["anchor_first"] else 1]]
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(played.partition(",")[2])))
        source, _ = soundfile.read(table["path"][known["anchor"]])
        assert rate == 8000
        assert len(wave) == 2400
        assert max(np.correlate(source, wave, "valid")) > 0.8 * np.linalg.norm(wave) * 0.3 * np.sqrt(1200)
    sides = [each["anchor_first"] for each in key["pairs"]]
    assert 0 < sum(sides) < len(sides)


def answers(form: Form, path: Path, rater: str, rating: Any) -> Path:
    key = json.loads(form.key.read_text())
    rows = [[form.id, rater, each["pair"], rating(each)] for each in key["pairs"]]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["form", "rater", "pair", "rating"], *rows])
    return path


def test_ratings_are_compared_within_anchors_as_scipy_does(form: Form, tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    lift = {"neighbour": 4, "random": 0, "label": 1, "shuffled label": 1}
    draw = lambda each: int(np.clip(chance.integers(3, 6) + lift[each["condition"]], 1, 10))  # noqa: E731
    paths = [answers(form, tmp_path / f"{name}.csv", name, draw) for name in ("ann", "ben")]
    found = analyse(paths, form.key)
    assert (found.raters, found.answers) == (("ann", "ben"), 64)
    key = pd.DataFrame(json.loads(form.key.read_text())["pairs"])
    said = pd.concat(pd.read_csv(path) for path in paths).groupby("pair")["rating"].mean()
    key["rating"] = key["pair"].map(said)
    for each in found.differences:
        sides = [
            key[key["condition"] == name].set_index("anchor")["rating"].sort_index().to_numpy(np.float64)
            for name in (each.condition, each.control)
        ]
        expected = ttest_rel(sides[0], sides[1])
        assert each.difference == pytest.approx((sides[0] - sides[1]).mean())
        # Two differences are told, each at half the rate.
        assert each.p == pytest.approx(min(1, 2 * expected.pvalue))
        assert each.interval == pytest.approx(tuple(expected.confidence_interval(0.975)))
    neighbour, label = found.differences
    assert neighbour.p is not None
    assert neighbour.p < 0.01
    assert label.p is not None
    assert label.p > 0.05
    for rated in found.conditions:
        assert rated.mean == pytest.approx(key["rating"][key["condition"] == rated.condition].mean())
    json.dumps(found.plain(), allow_nan=False)


@pytest.mark.parametrize("seed", range(12))
def test_an_interval_leaves_out_zero_where_p_is_small_and_keeps_to_the_scale(
    form: Form, tmp_path: Path, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    low = {"neighbour": 3, "random": 1, "label": 7, "shuffled label": 5}
    draw = lambda each: min(10, low[each["condition"]] + int(chance.integers(0, 4)))  # noqa: E731
    found = analyse([answers(form, tmp_path / "ann.csv", "ann", draw)], form.key)
    for each in found.differences:
        if each.interval is not None and each.p is not None:
            assert (each.p < 0.05) == (each.interval[0] > 0 or each.interval[1] < 0)
            assert -9 <= each.interval[0] <= each.difference <= each.interval[1] <= 9
    for rated in found.conditions:
        if rated.interval is not None:
            assert 1 <= rated.interval[0] <= rated.mean <= rated.interval[1] <= 10


def test_differences_equal_but_for_rounding_are_equal() -> None:
    gap = np.array([10 / 3 - 3, 4 / 3 - 1, 7 / 3 - 2])
    assert len(set(gap.tolist())) > 1
    assert _p(gap, 3) == 3 * 2 / 2**3
    assert _p(gap - 1 / 3, 3) == 1
    assert _interval(gap, (-9, 9)) is None
    assert _interval(gap + np.array([0, 0, 0.1]), (-9, 9)) is not None


def test_answers_that_do_not_fit_are_refused(form: Form, library: ClipLibrary, tmp_path: Path) -> None:
    good = answers(form, tmp_path / "good.csv", "ann", lambda each: 5)
    with pytest.raises(RequestError, match="rated p001 twice"):
        analyse([good, good], form.key)
    with pytest.raises(RequestError, match=r"a number from 1 to 10\. Given: '11'"):
        analyse([answers(form, tmp_path / "far.csv", "ann", lambda each: 11)], form.key)
    other = write_form(library, tmp_path / "other.html", tmp_path / "k.json", 2, 0.2, seed=4)
    with pytest.raises(RequestError, match="Give the key that was written with that form"):
        analyse([good], other.key)
    with pytest.raises(RequestError, match="is not the key"):
        analyse([good], good)
    with pytest.raises(RequestError, match=r"ends in \.html"):
        write_form(library, tmp_path / "form.csv")
    same = analyse([good], form.key)
    assert {each.p for each in same.differences} == {1.0}
    assert same.with_distance is None


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no page is tested")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: no page is tested")
    with api.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=str(CHROMIUM))
        yield found
        found.close()


@pytest.mark.slow
def test_a_listener_fills_in_the_form(form: Form, browser: Any, tmp_path: Path) -> None:
    page = browser.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url)
    )
    page.goto(form.page.as_uri())
    page.click("#begin")
    assert page.is_hidden("#pair")  # a name is wanted
    page.fill("#rater", 'Ann "A"')
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "place"
    assert page.get_by_label("Sound A", exact=True).get_attribute("id") == "a"
    assert page.is_disabled("#next")
    page.wait_for_function("document.getElementById('a').duration > 0.29")
    page.keyboard.press("b")
    page.keyboard.press("0")
    page.fill("#comment", "clicks, twice")
    page.click("#next")
    for number in range(2, form.pairs + 1):
        assert page.inner_text("#place") == f"Pair {number} of {form.pairs}"
        page.locator("#scale label").nth(number % 10).click()
        assert page.evaluate("document.getElementById('progress').value") == number
        page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "thanks"
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "answers.csv")
    assert wrong == []
    table = pd.read_csv(tmp_path / "answers.csv")
    assert list(table["rating"]) == [10, *(number % 10 + 1 for number in range(2, form.pairs + 1))]
    assert table["comment"][0] == "clicks, twice"
    assert set(table["rater"]) == {'Ann "A"'}
    assert analyse([tmp_path / "answers.csv"], form.key).answers == form.pairs
    page.reload()
    page.click("#begin")
    assert page.inner_text("#place") == f"Pair {form.pairs} of {form.pairs}"  # nothing was lost
    page.reload()
    page.fill("#rater", "Ben")
    page.click("#begin")
    assert page.inner_text("#place") == f"Pair 1 of {form.pairs}"  # nor given to another
    assert page.locator("#scale input:checked").count() == 0
    page.reload()
    page.fill("#rater", 'Ann "A"')
    page.click("#begin")
    page.keyboard.press("Enter")
    page.click("#other")
    assert page.input_value("#rater") == ""
    page.close()
