"""The space in one file: it opens from the disk, asks for nothing, and a click plays that very sound."""

import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from nearfield.core.errors import DataError
from nearfield.data.audio import decode, resample
from nearfield.server.onefile import TEMPLATE, Page, classes, scaled, write_page
from nearfield.server.serve import MAP
from nearfield.space.map import SpaceMap, stamp_of
from nearfield.space.space import Space
from nearfield.training.events import Note
from nearfield.training.run import Run

FRONT = """() => {
    const front = drawn.at(-1), box = canvas.getBoundingClientRect();
    return [box.left + front.x, box.top + front.y, front.index];
}"""
"""Where on the screen the nearest point is, and whose it is."""


@pytest.fixture(scope="module")
def page(spaces: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Page:
    return write_page(spaces[0], tmp_path_factory.mktemp("page") / "map.html", seconds=0.3)


def inside(page: Page) -> dict[str, Any]:
    text = page.path.read_text(encoding="utf-8")
    begin = text.index("const space = ") + len("const space = ")
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text[begin:])[0]
    return found


def names(page: Page) -> list[str]:
    return [clip["name"] for clip in inside(page)["clips"]]


def test_neighbours_are_those_of_the_space_and_the_colours_those_of_the_whole(
    page: Page, spaces: tuple[Path, Path], tmp_path: Path
) -> None:
    space = Space.load(spaces[0])
    held = inside(page)
    vectors = space.vectors.astype(np.float64)
    for row in (0, 17, 29):
        distances = 1 - vectors @ vectors[row]
        distances[row] = np.inf
        near = held["clips"][row]["near"]
        assert [other for other, _ in near] == list(np.argsort(distances, kind="stable")[:8])
        assert [distance for _, distance in near] == pytest.approx(np.sort(distances)[:8], abs=1e-4)
    few = inside(write_page(spaces[0], tmp_path / "few.html", most=4, seconds=0.1))
    wanted = [{"name": name, "count": 10} for name in ("high", "low", "middle")]
    assert few["classes"] == held["classes"] == wanted
    assert few["column"] == "label"


def test_tags_colour_what_has_no_labels() -> None:
    table = pd.DataFrame({"label": ["", ""], "tags": [["b", "a"], ["b"]]})
    assert classes(table) == ("tags", [{"name": "a", "count": 1}, {"name": "b", "count": 2}])
    many = pd.DataFrame({"label": list("aabcdefghij"), "tags": [[]] * 11})
    assert [each["name"] for each in classes(many)[1]] == list("abcdefghij")
    more = many.assign(label=[*"zzzyxwvutsr"])
    assert [each["name"] for each in classes(more)[1]][:2] == ["z", "r"]


def test_the_colours_are_those_of_the_page_that_is_served() -> None:
    served = (TEMPLATE.parent / "static" / "colours.js").read_text()
    own = TEMPLATE.read_text().partition("COLOURS = {")[2].partition("const night")[0]
    colours, wanted = (
        re.findall(r"#[0-9a-f]{6}", text) for text in (own, served.partition("const SCALE")[0])
    )
    assert len(colours) == 18
    assert colours == wanted


def test_no_name_ends_the_script(listener: Run, tmp_path: Path, browser: Any) -> None:
    odd = ["<!--<script>", "</script><script>wrong()", "a&amp;b"]
    chance = np.random.default_rng(0)
    (tmp_path / "sounds").mkdir()
    rows = ["path,label"]
    for number in range(6):
        soundfile.write(tmp_path / "sounds" / f"{number}.wav", 0.1 * chance.standard_normal(4000), 8000)
        rows.append(f"{number}.wav,{odd[number % 3]}")
    (tmp_path / "sounds" / "labels.csv").write_text("\n".join(rows) + "\n")
    space = Space.create(listener, str(tmp_path / "sounds"), tmp_path / "space")
    SpaceMap.of(space.vectors, with_umap=False).save(
        tmp_path / "space" / MAP,
        space.rows(["id"])["id"].to_pylist(),
        space.identity.digest,
        stamp_of(space.vectors),
    )
    made = write_page(tmp_path / "space", tmp_path / "map.html", seconds=0.1)
    opened = browser.new_page()
    wrong = list[str]()
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(made.path.as_uri())
    opened.wait_for_selector("canvas[data-drawn='6']", timeout=5000)
    assert opened.locator("#legend b").all_inner_texts() == sorted(odd)
    assert wrong == []
    opened.close()


def test_every_clip_is_in_with_its_label_and_its_own_sound(page: Page, spaces: tuple[Path, Path]) -> None:
    table = Space.load(spaces[0]).rows().to_pandas()
    held = inside(page)
    assert (page.clips, page.of) == (len(table), len(table)) == (len(held["clips"]), held["of"])
    assert page.bytes == page.path.stat().st_size
    assert [clip["label"] for clip in held["clips"]] == list(table["label"])
    for row in (0, len(table) // 2, len(table) - 1):
        clip, cells = held["clips"][row], table.iloc[row]
        ogg = base64.b64decode(clip["sound"].removeprefix("data:audio/ogg;base64,"))
        heard, rate = soundfile.read(io.BytesIO(ogg))
        waves, own_rate = decode(Path(cells["path"]), cells["start"], 0.3)
        wanted = resample(waves.mean(0, keepdims=True), own_rate, rate)[0]
        assert len(heard) == pytest.approx(len(wanted), abs=2)
        size = min(len(heard), len(wanted))
        assert np.corrcoef(heard[:size], wanted[:size])[0, 1] > 0.95


def test_of_many_clips_as_many_are_evenly_chosen(spaces: tuple[Path, Path], tmp_path: Path) -> None:
    made = write_page(spaces[0], tmp_path / "few.html", most=5)
    assert (made.clips, made.layout) == (5, "pca_3d")
    names = list(Space.load(spaces[0]).rows(["id"]).to_pandas()["id"])
    chosen = [names.index(clip["name"]) for clip in inside(made)["clips"]]
    assert (chosen[0], chosen[-1]) == (0, len(names) - 1)
    assert np.ptp(np.diff(chosen)) <= 1


def test_a_sound_that_is_gone_is_left_out_and_told(listener: Run, sounding: Path, tmp_path: Path) -> None:
    shutil.copytree(sounding, tmp_path / "sounds")
    folder, gone = tmp_path / "space", tmp_path / "sounds" / "low" / "3.wav"
    space = Space.create(listener, str(tmp_path / "sounds"), folder)
    SpaceMap.of(space.vectors, with_umap=False).save(
        folder / MAP, space.rows(["id"])["id"].to_pylist(), space.identity.digest, stamp_of(space.vectors)
    )
    gone.unlink()
    notes = list[str]()
    made = write_page(
        folder,
        tmp_path / "map.html",
        seconds=0.1,
        callback=lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    )
    assert (made.clips, made.of, made.left_out) == (29, 30, 1)
    assert "low/3.wav" not in [clip["name"] for clip in inside(made)["clips"]]
    (said,) = notes
    assert said.startswith(
        f"1 of 30 clips are left out of the page. The first: {gone}: there is no such file"
    )
    shutil.rmtree(tmp_path / "sounds")
    with pytest.raises(DataError, match="30 of 30 clips"):
        write_page(folder, tmp_path / "map.html", seconds=0.1)


def test_points_are_moved_and_scaled_alike() -> None:
    points = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32) * 40 + 7
    found = scaled(points)
    assert np.abs(found.mean(0)).max() < 1e-6
    assert np.linalg.norm(found, axis=1).max() == pytest.approx(1)
    ratio = np.linalg.norm(np.diff(points, axis=0), axis=1) / np.linalg.norm(np.diff(found, axis=0), axis=1)
    assert np.ptp(ratio) < 1e-3
    assert (scaled(np.ones((3, 3), np.float32)) == 0).all()


def test_a_browser_opens_it_from_the_disk_and_a_click_plays_that_clip(browser: Any, page: Page) -> None:
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    opened = context.new_page()
    asked, wrong = list[str](), list[str]()
    opened.on("request", lambda request: asked.append(request.url.split(",")[0]))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(page.path.as_uri())
    opened.wait_for_selector("canvas[data-drawn]")
    assert opened.inner_text("#legend").split() == ["high", "10", "low", "10", "middle", "10"]
    x, y, index = opened.evaluate(FRONT)
    opened.mouse.click(x, y)
    opened.wait_for_function("() => player.duration > 0")
    clip = inside(page)["clips"][index]
    assert opened.evaluate("() => player.src") == clip["sound"]
    assert opened.evaluate("() => player.error") is None
    assert opened.inner_text("#now").startswith(clip["name"])
    assert opened.get_attribute("canvas", "data-marked") == str(index)
    listed = [line for line in opened.inner_text("#near ol").splitlines() if line in names(page)]
    assert listed == [inside(page)["clips"][other]["name"] for other, _ in clip["near"]]
    opened.locator("#near ol button").first.click()
    assert opened.get_attribute("canvas", "data-marked") == str(clip["near"][0][0])
    opened.locator("#legend button", has_text="high").click()
    shown = sum(each["label"] == "high" for each in inside(page)["clips"])
    assert opened.get_attribute("canvas", "data-drawn") == str(shown)
    for _ in range(shown + 1):
        opened.locator("canvas").press("n")
        assert "high" in opened.locator("#now p").first.inner_text().split(
            " · "
        )  # what is hidden is not played
    opened.locator("#legend button", has_text="high").click()
    opened.fill("#words", "middle TONE")
    assert opened.get_attribute("canvas", "data-drawn") == "10"
    opened.fill("#words", "")
    before = opened.evaluate("() => drawn[0].x")
    opened.locator("canvas").press("ArrowLeft")
    assert opened.evaluate("() => drawn[0].x") != before
    assert wrong == []
    assert set(asked) <= {page.path.as_uri(), "data:audio/ogg;base64"}
    context.close()
