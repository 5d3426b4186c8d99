"""A space of pictures: what the routes give, and the page that shows pictures where others have sounds."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from nearfield.server.serve import MAP, Show, prepare
from nearfield.space.map import SpaceMap, stamp_of
from nearfield.space.space import Space
from nearfield.training.api import train
from nearfield.training.recipe import Recipe
from tests.server.browser import Open, listed
from tests.server.serving import Site, running
from tests.training.conftest import small

COLOURS = {"red": (200, 40, 40), "green": (30, 160, 60), "blue": (40, 60, 200)}
LARGE = "red/0.png"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy squares of three colours, one of them large, with a table."""
    folder, chance = tmp_path_factory.mktemp("drawn"), np.random.default_rng(0)
    rows = []
    for label, colour in COLOURS.items():
        (folder / label).mkdir()
        for number in range(6):
            path = f"{label}/{number}.png"
            side = 1500 if path == LARGE else 24
            noise = chance.normal(scale=25, size=(side, side, 3))
            Image.fromarray(np.clip(noise + colour, 0, 255).astype(np.uint8)).save(folder / path)
            rows.append([path, label, ("train", "train", "val", "test")[number % 4]])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split"], *rows])
    return folder


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Iterator[Site]:
    """Their space, served."""
    place = tmp_path_factory.mktemp("gallery")
    sampler = {"kind": "balanced", "classes": 3, "per_class": 2}
    plain = small(
        sampler=sampler, train={"updates": 4, "checkpoint_seconds": 0}, feature={"kind": "pixels"}, augment=[]
    )
    plain |= {"data": {"image_size": 16, "image_channels": 3}}
    run = train(Recipe.of(plain), drawn, place / "run")
    space = Space.create(run, str(drawn), place / "space")
    made = SpaceMap.of(space.vectors, with_umap=False)
    ids = space.rows(["id"])["id"].to_pylist()
    made.save(place / "space" / MAP, ids, space.identity.digest, stamp_of(space.vectors))
    with running(prepare(Show(place / "space"))) as site:
        yield site


def clip(name: str, what: str) -> str:
    """The path of something of a clip."""
    return f"/clips/{quote(name, safe='')}/{what}"


def test_pictures_are_those_of_the_files(gallery: Site, drawn: Path) -> None:
    reply = gallery.ask(clip("blue/2.png", "picture"))
    assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(reply.body))), np.asarray(Image.open(drawn / "blue/2.png"))
    )
    assert Image.open(io.BytesIO(gallery.ask(clip(LARGE, "picture")).body)).size == (768, 768)
    assert Image.open(io.BytesIO(gallery.ask(clip(LARGE, "picture?side=96")).body)).size == (96, 96)
    assert gallery.ask(clip(LARGE, "picture?side=100000")).status == 422
    assert gallery.ask(clip("../labels.csv", "picture")).status == 404


def test_sounds_are_not_to_be_had_of_pictures_nor_pictures_of_sounds(gallery: Site, alone: Site) -> None:
    for what in ("audio", "spectrogram"):
        reply = gallery.ask(clip(LARGE, what))
        assert (reply.status, b"Request picture" in reply.body) == (400, True)
    reply = alone.ask(clip("low/0.wav", "picture"))
    assert (reply.status, b"Request audio and spectrogram" in reply.body) == (400, True)


def test_a_picture_finds_itself(gallery: Site, drawn: Path) -> None:
    sent = ("mine.png", (drawn / "green/3.png").read_bytes())
    answers = json.loads(gallery.post("/search", [("top", "3")], sent).body)["answers"]
    assert (answers[0]["id"], answers[0]["distance"] < 1e-5) == ("green/3.png", True)
    part = gallery.post("/search", [("start", "1")], sent)
    assert (part.status, b"no parts in time" in part.body) == (400, True)
    wrong = gallery.post("/encode", [], ("mine.png", b"no picture at all"))
    assert (wrong.status, b"the picture" in wrong.body) == (400, True)
    by_clip = json.loads(gallery.post("/encode", [("clip", "green/3.png")]).body)["vector"]
    by_file = json.loads(gallery.post("/encode", [], sent).body)["vector"]
    np.testing.assert_allclose(by_file, by_clip, atol=1e-6)


def test_the_page_shows_pictures(gallery: Site, drawn: Path, visit: Open) -> None:
    page = visit(gallery, "#" + quote("green/1.png", safe=""))
    page.wait_for_selector("#panel .photograph img")
    assert page.inner_text("#count") == "18 images"
    page.wait_for_function("document.querySelector('.photograph img').naturalWidth === 24")
    page.wait_for_function("document.querySelector('#panel li img').naturalWidth === 24")
    assert page.locator(".sign, .melbutton, #record:visible, #listen").count() == 0
    assert "seconds" not in page.eval_on_selector_all("#colour option", "all => all.map((one) => one.value)")
    page.keyboard.press("j")
    page.keyboard.press(" ")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("body", "data-playing") in (None, "")
    body = list((drawn / "blue/5.png").read_bytes())
    drop = """(bytes) => {
      const files = new DataTransfer();
      files.items.add(new File([new Uint8Array(bytes)], "mine.png", { type: "image/png" }));
      dispatchEvent(new DragEvent("drop", { dataTransfer: files, cancelable: true }));
    }"""
    page.evaluate(drop, body)
    page.wait_for_selector("#panel[data-sheet=search] ol li")
    assert listed(page)[0] == "blue/5.png"
    page.wait_for_function("document.querySelector('.photograph img').naturalWidth === 24")
