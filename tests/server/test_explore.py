"""The page in headless Chromium: what is seen, heard, found and exported; nothing leaves the machine."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
import yaml
from matplotlib.path import Path as Outline
from PIL import Image

from nearfield.analysis.triplets import triplets_of_run
from nearfield.server.serve import Show, prepare
from nearfield.space.space import Space
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from tests.server.browser import REST, Open, in_page, listed, place_of, sounded
from tests.server.serving import PITCHES, RATE, Site, running
from tests.training.conftest import small


def rimmed(page: Any) -> int:
    """Pixels of the map, beside the legend and the sheet, that are as dark as ink."""
    in_page(
        page, REST + "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
    )
    area = {"x": 260, "y": 110, "width": 580, "height": 640}
    seen = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=area))).convert("RGB"))
    return int((seen.max(2) < 60).sum())


def nearest(site: Site, name: str, space: int = 0, top: int = 12) -> list[str]:
    """What the server says is near."""
    reply = site.post("/search", [("clip", name), ("top", str(top)), ("space", str(space))])
    return [each["id"] for each in json.loads(reply.body)["answers"]]


def test_map_is_drawn_in_the_colours_of_the_legend(alone: Site, visit: Open) -> None:
    page = visit(alone)
    assert page.inner_text("#count") == "30 clips"
    assert page.input_value("#colour") == "label"
    swatches = page.eval_on_selector_all(
        "#legend i", "all => all.map((one) => getComputedStyle(one).backgroundColor)"
    )
    area = {"x": 260, "y": 90, "width": 1000, "height": 690}  # beside the legend
    picture = Image.open(io.BytesIO(page.screenshot(clip=area))).convert("RGB")
    seen = np.asarray(picture).reshape(-1, 3).astype(int)
    for swatch in swatches:
        colour = np.array([int(part) for part in swatch[4:-1].split(",")])
        assert (np.abs(seen - colour).max(1) <= 25).sum() > 100, swatch  # a little paper shines through
    assert page.eval_on_selector_all("#legend li span", "all => all.map((one) => one.textContent)") == [
        "high",
        "low",
        "middle",
    ]
    for name, said in (("pca_3d", "PCA, 3D"), ("pca_2d", "PCA, 2D")):
        page.select_option("#layout", name)
        page.wait_for_selector(f"#note:has-text('{said} · trustworthiness')")
    for column in ("session", "split", "seconds", "suspicion", "", "cluster", "tags"):
        page.select_option("#colour", column)
    assert page.locator("#legend .how").is_visible()  # which of a clip's tags its colour is
    rows = page.eval_on_selector_all(
        "#legend li", "all => all.map((one) => one.innerText.split(/\\s*\\n\\s*/))"
    )
    assert rows == [["bright", "8"], ["dark", "16"], ["tone", "6 of 30"]]
    page.click("#legend button:has-text('tone')")
    page.wait_for_selector("#legend button:has-text('tone') small:text-is('30')")


def test_names_stand_at_points_of_their_own(alone: Site, visit: Open) -> None:
    page = visit(alone)
    for column, wanted in (("tags", {"bright", "dark", "tone"}), ("cluster", {*PITCHES, "bright", "dark"})):
        page.select_option("#colour", column)
        named = in_page(
            page,
            """
              const frame = () => new Promise((done) => requestAnimationFrame(done));
              await frame();
              await frame();
              const [stage] = stages, { column, numbers } = stage.classes;
              const box = stage.root.getBoundingClientRect();
              return [...stage.names.root.children].map((one) => {
                const at = one.getBoundingClientRect(), name = one.textContent;
                const x = (at.left + at.right) / 2 - box.left, y = at.bottom - box.top;
                const rows = [...stage.cloud.ids.keys()].filter((row) => column.names[numbers[row]] === name);
                const own = rows.map((row) => stage.at(row));
                return [name, Math.min(...own.map((point) => Math.hypot(point[0] - x, point[1] - y)))];
              });
            """,
        )
        assert len(named) > 1
        assert {name for name, _ in named} <= wanted
        assert max(away for _, away in named) < 20


def test_clusters_are_called_by_what_they_have_more_than_others(alone: Site, visit: Open) -> None:
    found = in_page(
        visit(alone),
        """
          const { Cloud } = await import("/static/cloud.js");
          const named = (labels, tagged) => {  // two clusters of twenty clips
            const of = (number) => Int32Array.from({ length: 40 }, (_, row) => number(row));
            const clusters = { names: ["cluster 1", "cluster 2"], values: of((row) => +(row >= 20)) };
            const label = { kind: "class", names: labels, values: of((row) => row % labels.length) };
            const offsets = Uint32Array.from({ length: 41 }, (_, row) => Math.min(row, tagged));
            const tags = { kind: "set", names: ["wet"], values: new Uint32Array(tagged), offsets };
            const cloud = Object.create(Cloud.prototype);
            const columns = new Map(Object.entries({ cluster: clusters, label, tags }));
            Object.assign(cloud, { count: 40, columns });
            cloud.nameClusters();
            return cloud.columns.get("cluster").names;
          };
          const all = Array.from({ length: 40 }, (_, number) => `one ${number}`);
          return [named(["a", "b"], 15), named(all, 0)];
        """,
    )
    assert found == [["wet", "a"], ["cluster 1", "cluster 2"]]  # a clip of twenty gives no name


def test_many_names_and_none_are_told_apart(alone: Site, visit: Open) -> None:
    found = in_page(
        visit(alone),
        """
          const { drawnAs, namedColours, paint } = await import("/static/colours.js");
          const names = Array.from({ length: 20 }, (_, number) => `class ${number}`);
          const rows = names.flatMap((_, number) => Array(40 - number).fill(number));
          const values = Int32Array.from([-1, ...rows]);
          const column = { kind: "class", names, values }, cloud = { count: values.length };
          return ["", "class 19"].map((one) => {
            const kept = new Set(one ? [one] : []);
            const named = namedColours(cloud, column, "light", kept);
            const colours = paint(cloud, column, named, drawnAs(cloud, column, named, kept), "light");
            const look = (number) => colours.slice(values.indexOf(number) * 4).slice(0, 4).join(" ");
            return [named.get("").count, look(-1), ...names.map((_, number) => look(number))];
          });
        """,
    )
    for without, *looks in found:
        assert without == 1
        assert len(set(looks[:17])) == 17  # no class, and 16 classes
    assert found[0][2 + 16 :] == [found[0][2 + 16]] * 4  # the others share a look, not that of none
    assert found[0][1] != found[0][2 + 19]
    assert found[1][2 + 19] != found[0][2 + 19]  # one that is pressed has a look of its own


def test_click_plays_exactly_that_window(alone: Site, sounding: Path, visit: Open) -> None:
    page = visit(alone)
    name = "low.flac#1.125-1.625"
    page.mouse.move(*place_of(page, name))
    named = page.get_attribute(".tip", "data-id")
    page.mouse.click(*place_of(page, name))
    (chosen,) = sounded(page)
    assert chosen == named
    page.evaluate(f"location.hash = {json.dumps(name)}")
    length, sound = in_page(page, "await player.play(given); return [player.length, player.now.sound];", name)
    body = in_page(page, "return [...new Uint8Array(await (await fetch(given)).arrayBuffer())];", sound)
    heard, rate = soundfile.read(io.BytesIO(bytes(body)), dtype="int16")
    wanted, _ = soundfile.read(sounding / "low.flac", start=9000, stop=13000, dtype="int16")
    np.testing.assert_array_equal(heard, wanted)
    assert rate == RATE
    assert length == pytest.approx(0.5)
    page.wait_for_selector("#panel[data-sheet=clip] .mel img")
    page.wait_for_selector("#panel ol.clips li")
    assert listed(page) == nearest(alone, chosen)
    page.wait_for_function("document.querySelector('.mel img').naturalHeight === 16")
    page.wait_for_selector(".hertz span:has-text('1 kHz')")
    begin, end = (float(part) for part in chosen.rpartition("#")[2].split("-"))
    assert page.eval_on_selector_all(".beyond", "all => all.map((one) => parseFloat(one.style.width))") == (
        pytest.approx([50 * begin, 50 * (2 - end)])  # per cent of the two seconds that the file has
    )
    assert page.inner_text(".mel figcaption").split()[:2] == ["0:00", "0:02"]


def test_neighbours_have_their_distances_and_can_be_played(alone: Site, visit: Open) -> None:
    page = visit(alone, "#" + "low%2F0.wav")
    page.wait_for_selector("#panel ol.clips li")
    reply = json.loads(alone.post("/search", [("clip", "low/0.wav"), ("top", "12")]).body)["answers"]
    shown = page.eval_on_selector_all("#panel .similarity", "all => all.map((one) => one.textContent)")
    positive = [100 * (1 - each["distance"]) for each in reply]
    assert shown == [f"{each:.{1 if each < 99 else 2}f} %" for each in positive]
    bars = page.eval_on_selector_all("#panel .reach", "all => all.map((one) => parseFloat(one.style.width))")
    assert bars == pytest.approx(
        [max(0.0, each) for each in positive], abs=0.01
    )  # the nearest has the longest
    in_page(page, "await (await import('/static/clip.js')).choose(given, 0, false);", "low.flac#1.125-1.625")
    page.wait_for_selector("#panel h2:has-text('low.flac 0:01.125')")
    in_page(page, "await (await import('/static/clip.js')).choose(given, 0, false);", "low/0.wav")
    page.wait_for_selector("#panel h2[title='low/0.wav']")
    words = "const { typicalityWords } = await import('/static/panel.js');"
    words += "return given.map((share) => typicalityWords(share)?.textContent ?? null);"
    assert in_page(page, words, [None, 0.965, 0.03, 0.007]) == [
        None,
        "This query is typical: 97 % of the clips are at least as far from their nearest neighbor.",
        "No close match: only 3 % of the clips are this far from their nearest neighbor.",
        "No close match: fewer than 1 % of the clips are this far from their nearest neighbor.",
    ]
    page.click("#panel ol li:nth-child(2) .play")
    assert sounded(page) == [reply[1]["id"]]
    page.click("#panel ol li:nth-child(2) .open")
    page.wait_for_selector(f"#panel h2[title='{reply[1]['id']}']")


def test_what_will_perhaps_be_heard_next_is_there_already(alone: Site, visit: Open) -> None:
    page = visit(alone)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(unquote(request.url)))
    page.mouse.move(*place_of(page, "middle/3.wav"))
    under = page.inner_text(".tip b")

    def wait_for(*names: str) -> None:
        while not all(any(f"/{name}/audio" in each for each in asked) for name in names):
            page.wait_for_timeout(50)  # the test's own limit ends it

    wait_for(under)
    assert sum(f"/{under}/audio" in each for each in asked) == 1
    page.mouse.click(*place_of(page, "middle/3.wav"))
    page.wait_for_selector("#panel ol.clips li")
    assert len(sounded(page)) == 1
    near = listed(page)[:3]
    wait_for(*near)
    for place, name in enumerate(near):
        page.keyboard.press("j")
        assert sounded(page, 2 + place)[-1] == name
    assert all(sum(f"/{name}/audio" in one for one in asked) == 1 for name in near)


def test_upload_finds_the_clip_itself(alone: Site, sounding: Path, visit: Open) -> None:
    page = visit(alone)
    page.set_input_files("#file", sounding / "high/4.wav")
    page.wait_for_selector("#panel[data-sheet=search] ol li")
    assert listed(page)[0] == "high/4.wav"
    page.click("text=Hear it")
    assert sounded(page) == ["file:4.wav"]
    page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"no sound at all"})
    page.wait_for_selector("#said.wrong:not(:empty)")


def test_microphone_searches(alone: Site, visit: Open) -> None:
    page = visit(alone, permissions=["microphone"])
    found = page.locator("#panel[data-sheet=search] ol li").first
    for milliseconds in (700, 3000, 10_000):  # a busy machine may have recorded nothing in the first
        page.click("#record")
        page.wait_for_selector("#record[aria-pressed=true]")
        page.wait_for_timeout(milliseconds)
        page.click("#record")
        found.or_(page.locator("#said.wrong:not(:empty)")).first.wait_for()
        if found.is_visible():
            break
    assert len(listed(page)) == 24


def test_lasso_takes_what_lies_within_and_exports_it(
    alone: Site, spaces: tuple[Path, Path], visit: Open
) -> None:
    page = visit(alone)
    table = Space.load(spaces[0]).rows().to_pandas().set_index("id")
    places = {name: place_of(page, name) for name in table.index}
    centre = places["middle/2.wav"]
    corners = [(centre[0] + dx, centre[1] + dy) for dx, dy in ((-90, -60), (110, -70), (80, 95), (-100, 50))]
    wanted = {name for name, at in places.items() if Outline(corners).contains_point(at)}
    assert 0 < len(wanted) < len(places)
    page.click("#lasso")
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=4)
    page.mouse.up()
    page.wait_for_selector("#panel[data-sheet=set] ol li")
    assert set(listed(page)) == wanted
    page.wait_for_selector(".stage .marks", state="hidden")  # the outline has gone
    page.mouse.move(2, 2)
    assert rimmed(page) > 20 * len(wanted)  # dark pixels: a rim round each clip that was chosen
    page.click("text=Empty")
    page.wait_for_selector("#panel", state="hidden")
    assert rimmed(page) < 10
    in_page(page, "const { gather } = await import('/static/set.js'); gather(given);", sorted(wanted))
    with page.expect_download() as waiting:
        page.click("#export")
    rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
    assert {row["id"] for row in rows} == wanted
    for row in rows:
        clip = table.loc[row["id"]]
        assert (row["label"], row["tags"].split("|")) == (clip["label"], list(clip["tags"]))
        assert float(row["seconds"]) == pytest.approx(clip["seconds"], rel=1e-6)
        assert float(row["end"]) == pytest.approx(clip["start"] + clip["seconds"], abs=1e-3)
    page.click("#listen")
    assert sounded(page, 2)[:2] == listed(page)[:2]


def test_filter_and_legend_leave_the_rest_dim(alone: Site, visit: Open) -> None:
    page = visit(alone)
    page.fill("#where", "label = 'low' and seconds > 0.45")
    page.press("#where", "Enter")
    page.wait_for_selector("body[data-shown='8']")
    assert page.inner_text("#count") == "8 of 30 clips"
    border = "getComputedStyle(document.querySelector('#where')).borderBottomColor"
    good = page.evaluate(border)
    page.fill("#where", "lable = 1")
    page.press("#where", "Enter")
    page.wait_for_selector("#where[aria-invalid]")
    assert page.evaluate("document.activeElement.id") == "where"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none"
    assert page.evaluate(border) != good  # a filter that is wrong looks otherwise than one that has the focus
    page.fill("#where", "")
    page.press("#where", "Enter")
    page.wait_for_selector("body[data-shown='30']")
    page.click("#legend button:has-text('high')")
    page.wait_for_selector("body[data-shown='10']")


def test_keyboard_does_it_all(alone: Site, visit: Open) -> None:
    page = visit(alone)
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#panel[data-sheet=clip] ol li")
    first = page.get_attribute("#panel h2", "title")
    for key in ("ArrowLeft", "ArrowUp", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
        now = unquote(page.evaluate("location.hash.slice(1)"))
        page.wait_for_selector(f"#panel h2[title='{now}']")  # its answer comes no more into the following
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.wait_for_selector("#panel li.here:first-child")
    near = listed(page)[0]
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#panel h2[title='{near}']")
    page.keyboard.press("a")
    page.wait_for_selector("#panel[data-sheet=set]")
    assert listed(page) == [near] != [first]
    page.keyboard.press("g")
    page.wait_for_selector("#panel[data-sheet=set] li:nth-child(30)")
    with page.expect_download() as waiting:
        page.keyboard.press("e")
    assert len(Path(waiting.value.path()).read_text().splitlines()) == 31
    page.keyboard.press("Escape")
    page.wait_for_selector("#panel", state="hidden")
    page.keyboard.press("/")
    page.keyboard.type("label = 'high'")
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-shown='10']")
    page.keyboard.press("Escape")
    before = page.get_attribute("html", "data-theme")
    page.keyboard.press("t")
    assert page.get_attribute("html", "data-theme") != before
    zoom = in_page(page, "return stages[0].camera.zoom;")
    page.keyboard.press("+")
    assert in_page(page, "return stages[0].camera.zoom;") > zoom
    page.keyboard.press("0")
    page.keyboard.press("l")
    assert page.get_attribute("#lasso", "aria-pressed") == "true"


def test_more_and_less_like_some(alone: Site, visit: Open) -> None:
    page = visit(alone, "#" + "low%2F0.wav")
    page.wait_for_selector("#panel ol.clips li")
    page.click("text=More like this")
    page.wait_for_selector("#panel[data-sheet=search] ol li")
    away = listed(page)[0]
    page.hover("#panel ol li:first-child")
    page.click("#panel ol li:first-child .more button:last-child")
    page.wait_for_selector(".chip:nth-child(2)")
    reply = json.loads(alone.post("/search", [("plus", "low/0.wav"), ("minus", away), ("top", "24")]).body)
    assert listed(page) == [each["id"] for each in reply["answers"]]


def test_two_spaces_side_by_side(site: Site, visit: Open) -> None:
    page = visit(site, "#" + "low%2F2.wav")
    page.wait_for_selector("#panel .sides li")
    first, second = (nearest(site, "low/2.wav", number) for number in (0, 1))
    lost, gained = (
        [name for name in first if name not in second],
        [name for name in second if name not in first],
    )
    sides = page.eval_on_selector_all(
        ".sides > div",
        "all => all.map((side) => [...side.querySelectorAll('li')]"
        ".map((one) => [one.dataset.id, one.dataset.mark]))",
    )
    assert [[name for name, _ in side] for side in sides] == [first, second]
    assert [name for name, mark in sides[0] if mark == "lost"] == lost
    assert [name for name, mark in sides[1] if mark == "gained"] == gained
    assert f"loses {len(lost)} and gains {len(gained)}" in page.inner_text("#compared")
    linked = in_page(page, "return stages.map((stage) => stage.cloud.ids[stage.marks.selected]);")
    assert linked == ["low/2.wav"] * 2


def test_suspects_are_decided_and_taken_back(alone: Site, visit: Open) -> None:
    page = visit(alone)
    page.keyboard.press("s")
    page.wait_for_selector("#panel[data-sheet=suspects] li")
    assert listed(page) == ["low/0.wav", "low/1.wav"]
    page.keyboard.press("y")  # marks the first, to be heard
    page.wait_for_selector("li.here[data-id='low/0.wav'][data-decision='']")
    page.keyboard.press("y")
    page.wait_for_selector("li[data-id='low/0.wav'][data-decision=accepted]")
    page.wait_for_selector("li.here[data-id='low/1.wav']")
    page.keyboard.press("d")
    page.wait_for_selector("li[data-id='low/1.wav'][data-decision=rejected]")
    made = json.loads(alone.ask("/decisions").body)["decisions"]
    assert [(row["column"], row["before"], row["after"], row["decision"]) for row in made] == [
        ("label", "low", "high", "accepted"),
        ("use", "yes", "no", "rejected"),
    ]
    for name in ("low/1.wav", "low/0.wav"):
        page.keyboard.press("z")
        page.wait_for_selector(f"li[data-id='{name}'][data-decision='']")
    assert json.loads(alone.ask("/decisions").body)["decisions"] == []


def watched(folder: Path, kind: str) -> Path:
    """A run of so far five updates; gives its metrics.jsonl."""
    folder.mkdir(parents=True)
    loss = {"kind": kind}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(Recipe.of(small(loss=loss)).plain()))
    lines = [
        {
            "update": n,
            "train/loss": 1 / n,
            "train/loss_pairs": 1 / n,
            "train/loss_penalty": 0.0,
            "val/loss": 2 / n,
        }
        for n in range(1, 6)
    ]
    log = folder / "metrics.jsonl"
    log.write_text(
        "".join(
            json.dumps(line | {"val/recall_at_1": line["update"] / 9, "val/score": line["update"]}) + "\n"
            for line in lines
        )
    )
    return log


def test_watched_curves_grow(tmp_path: Path, visit: Open) -> None:
    log = watched(tmp_path / "arm" / "seed-0", "triplet")
    with running(prepare(Show(watch=tmp_path))) as site:
        page = visit(site, ready="figure[data-metric='train/loss'][data-points='5']")
        with log.open("a") as file:
            file.write(json.dumps({"update": 6, "train/loss": 0.1, "train/loss_pairs": 0.1}) + "\n")
        page.wait_for_selector("figure[data-metric='train/loss'][data-points='6']")
        assert page.inner_text("#runs tbody td:last-child") == "0.1000"
        assert page.title() == f"Training of {tmp_path.name} · Nearfield"
        drawn = page.eval_on_selector_all("#curves figure", "all => all.map((one) => one.dataset.metric)")
        assert drawn == ["train/loss", "val/recall_at_1"]  # val/loss is a line beside train/loss
        left = page.inner_text("#left")
        assert "loss pairs (the same as loss)" in left
        assert "loss penalty (always 0)" in left
        assert "validation score (" in left
        box = page.locator("figure[data-metric='train/loss'] canvas").bounding_box()
        page.mouse.move(box["x"] + box["width"] - 10, box["y"] + 60)
        page.wait_for_selector("figure[data-metric='train/loss'] .tip:has-text('update 6')")
        said = page.inner_text("figure[data-metric='train/loss'] .tip")
        assert "0.1" in said
        assert "0.4 validation (at 5)" in said
        table, curves = (page.locator(one).bounding_box()["y"] for one in ("#runs", "#curves"))
        assert table < curves
        watched(tmp_path / "other" / "seed-0", "circle")
        page.wait_for_selector("figure[data-metric='train/loss'][data-kind='circle']")  # another axis
        assert page.locator("figure[data-metric='train/loss']").count() == 2
        assert page.locator("figure[data-metric='val/recall_at_1']").count() == 1


def test_a_watched_run_shows_its_triplets(listener: Run, visit: Open) -> None:
    wanted = triplets_of_run(listener.folder).shown
    with running(prepare(Show(watch=listener.folder.path))) as site:
        address = visit(site, ready="#runs tbody a").get_attribute("#runs tbody a", "href")
        page = visit(site, address.removeprefix("/"), ready="article:nth-of-type(3)")
        heads = page.locator("figcaption strong").all_inner_texts()
        assert heads == [window.id for each in wanted for window in each.triplet.windows]
        assert len(heads) == page.locator("audio").count() == 9
        assert page.evaluate("getComputedStyle(document.querySelector('.three')).display") == "grid"
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 300)")
        page.click(".picture >> nth=1", position={"x": 3, "y": 5})
        page.wait_for_timeout(1500)
        assert page.evaluate("players[1].played.length && players[1].played.end(0)") > 0.2
        assert site.ask("/runs/none/triplets").status == 404


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_phone_and_theme(alone: Site, visit: Open, theme: str) -> None:
    page = visit(
        alone, viewport={"width": 360, "height": 740}, color_scheme=theme, has_touch=True, is_mobile=True
    )
    assert page.get_attribute("html", "data-theme") == theme
    assert page.locator(".bar").bounding_box()["height"] < 170
    lines = {
        name: page.locator(f"#{name}").bounding_box()["y"] for name in ("help", "theme", "name", "filter")
    }
    assert lines["help"] == lines["theme"] < lines["filter"]
    page.touchscreen.tap(*place_of(page, "high/3.wav"))
    page.wait_for_selector("#panel ol li")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    box = page.locator("#panel").bounding_box()
    assert (box["x"], box["width"]) == (0, 360)
    dark = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L")).mean() < 128
    assert dark == (theme == "dark")


MADE = """
  const { Stage } = await import("/static/stage.js");
  const made = async (count) => {
    const places = new Float32Array(count * 3);
    for (let at = 0; at < places.length; at++) {
      places[at] = at % 3 === 2 ? 0 : Math.sin(at * 12.9898) * Math.cos(at * 3.1);
    }
    const cloud = {
      name: "many", count, ids: [], columns: new Map(), layouts: [],
      dimensions: () => 2, layout: async () => places,
    };
    const stage = new Stage(document.getElementById("stages"), cloud, {}, false);
    stage.setColours(new Uint8Array(count * 4).fill(120), null);
    await stage.setLayout("any");
    stage.draw();
    return stage;
  };
"""
"""A map of so many points, none of which is anything."""


def test_beyond_a_hundred_thousand_points_density_comes_first(alone: Site, visit: Open) -> None:
    drawn = in_page(
        visit(alone),
        MADE
        + """
          const stage = await made(150_000), first = stage.root.dataset.drawn;
          stage.camera.zoomBy(6);
          let quickest = Infinity;
          for (let time = 0; time < 10 && quickest >= 200; time++) {
            stage.draw();
            quickest = Math.min(quickest, +stage.root.dataset.milliseconds);
          }
          return [first, stage.root.dataset.drawn, quickest];
        """,
    )
    assert drawn[:2] == ["density", "points"]
    assert drawn[2] < 200  # milliseconds, on any machine; docs/explore.md has what it takes on one


def test_a_large_map_that_moves_slowly_is_thinned_out_until_it_rests(alone: Site, visit: Open) -> None:
    found = in_page(
        visit(alone),
        MADE
        + """
          const pause = (time) => new Promise((done) => setTimeout(done, time)), seen = [];
          const real = requestAnimationFrame;
          for (const count of [30, 90_000]) {
            const stage = await made(count), every = [];
            while (stage.waiting) await pause(20);
            let frame = null, now = performance.now();  // frames come when the test says
            window.requestAnimationFrame = (draw) => { frame = draw; return 1; };
            for (const passed of [1000, 50, 50, 50, 50, 10, 25, 10]) {
              stage.redraw();
              frame(now += passed);
              every.push(stage.every);
            }
            stage.redraw();
            frame(now += 50);
            window.requestAnimationFrame = real;
            while (stage.every > 1) await pause(50);
            seen.push(every);
          }
          return seen;
        """,
    )
    assert found == [[1] * 8, [1, 2, 4, 8, 16, 8, 8, 4]]
