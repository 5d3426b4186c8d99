"""The map in a browser: how soon it is there, how smoothly it moves, how soon a sound starts.

    python benchmarks/explore.py [--clips 1000 10000 50000 100000 300000] [--keep FOLDER]

Makes a space of short pieces of one noisy sound by a tiny run, serves it on this machine, and opens it in
headless Chromium (playwright). The layouts are drawn from a mixture of Gaussians: how a map is reckoned
has no part in how it is shown. `--keep` keeps the spaces for another time. benchmarks/clients.py asks the
server from many sides at once.

Columns, in milliseconds. Page: opening it until the first frame is drawn. Draw: what the page itself does for
that frame. Panning: from one frame to the next while the map is dragged, the median and the 95th percentile;
near: the same, drawn near enough for points where the whole is shown as density. First sound: from choosing
a clip to its sound, the output's own delay with it, the median of 15 and the slowest: of a clip that nothing
announced, and of the next by arrow key after having listened for half a second. Bytes: the same window
fetched by a program. Search: the neighbours of a clip.
"""

import argparse
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import soundfile

from nearfield.core.rng import stream
from nearfield.data.collection import Collection
from nearfield.server.guard import Access
from nearfield.server.serve import MAP, Show, address_of, listen, prepare, server
from nearfield.space.map import SpaceMap, stamp_of
from nearfield.space.space import Space
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch

RATE = 8000
SECONDS = 1.0
STARTS = 15


def main() -> None:
    """Prints one row for each size."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--clips", type=int, nargs="+", default=[1_000, 10_000, 50_000, 100_000, 300_000])
    given.add_argument("--keep", type=Path)
    given.add_argument("--chromium", default="/usr/bin/chromium")
    asked = given.parse_args()
    print("| clips | page | draw | panning | panning near | unannounced: first sound, slowest ", end="")
    print("| next: first sound, slowest | bytes | search |\n|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        place = asked.keep or Path(folder)
        run = tiny_run(place)
        for count in asked.clips:
            print(
                f"| {count:,} | {' | '.join(measure(make_space(place, run, count), asked.chromium))} |",
                flush=True,
            )


def tiny_run(folder: Path) -> Run:
    """A run of one update on tones."""
    if RunFolder(folder / "run").is_trained:
        return Run.load(folder / "run")
    rng = stream(0, "benchmark")
    for label, pitch in {"low": 200.0, "high": 1100.0}.items():
        for number in range(10):
            path = folder / "tones" / label / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(RATE) / RATE) + 0.05 * rng.normal(size=RATE)
            soundfile.write(path, wave, RATE)
    plain = {
        "data": {"sample_rate": RATE, "clip_seconds": 1.0},
        "feature": {"kind": "log_mel", "bands": 16, "hop_ms": 40.0},
        "backbone": {"kind": "small_convnet", "width": 4, "blocks": 2},
        "embedding": {"size": 32},
        "sampler": {"kind": "balanced", "classes": 2, "per_class": 4},
        "train": {"updates": 1, "checkpoint_seconds": 0},
    }
    launch(Request(Recipe.of(plain), str(folder / "tones"), folder / "run"))
    return Run.load(folder / "run")


def make_space(folder: Path, run: Run, count: int) -> Path:
    """A space of `count` overlapping pieces of one file, and a made-up map beside it."""
    rng, sound, place = stream(1, "benchmark"), folder / f"{count}.wav", folder / f"space-{count}"
    if (place / MAP).is_file():
        return place
    step = 0.02
    samples = round((count * step + SECONDS) * RATE)
    soundfile.write(sound, 0.2 * rng.normal(size=samples), RATE, subtype="PCM_16")
    rows = pd.DataFrame(
        {
            "id": [f"{number:06d}.wav" for number in range(count)],
            "path": str(sound),
            "start": np.arange(count) * step,
            "seconds": SECONDS,
            "label": [f"class {number % 12}" for number in range(count)],
        }
    )
    space = Space.create(run, Collection.from_rows(rows), place)
    centres = rng.normal(size=(12, 3), scale=6)
    points = (centres[np.arange(count) % 12] + rng.normal(size=(count, 3))).astype(np.float32)
    layouts = {"umap_2d": points[:, :2].copy(), "umap_3d": points}
    made = SpaceMap(layouts, dict.fromkeys(layouts, 1.0), np.arange(count) % 12)
    made.save(place / MAP, rows["id"].tolist(), space.identity.digest, stamp_of(space.vectors))
    return place


def measure(place: Path, chromium: str) -> list[str]:
    """The cells of one row after the first."""
    from playwright.sync_api import sync_playwright

    exhibition = prepare(Show(space=place))
    access = Access(port=0)
    listening = listen(access)
    access = replace(access, port=int(listening.getsockname()[1]))
    serving = server(exhibition, access)
    thread = Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            seen = look_at(page, address_of(access))
            browser.close()
        first = exhibition.spaces[0].at(0).id
        address = address_of(access)
        alone = [timed(f"{address}clips/{quote(first, safe='')}/audio") for _ in range(STARTS)]
        near = [timed(f"{address}search", f"clip={quote(first)}&top=12") for _ in range(STARTS)]
    finally:
        serving.should_exit = True
        thread.join(10)
    return [*seen, f"{np.median(alone):.1f}", f"{np.median(near):.1f}"]


def look_at(page: Any, address: str) -> list[str]:
    """Page, draw, panning twice, first sounds twice."""
    begun = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("body[data-ready] .stage[data-milliseconds]")
    loaded = 1000 * (time.perf_counter() - begun)
    draw = page.evaluate("+document.querySelector('.stage').dataset.milliseconds")
    panned = pan(page)
    for _ in range(14):
        page.keyboard.press("+")
    near = pan(page)
    page.keyboard.press("0")
    sounds = [spread([start_sound(page, how, number) for number in range(STARTS)]) for how in (jump, press)]
    return [f"{loaded:.0f}", f"{draw:.1f}", panned, near, *sounds]


def pan(page: Any) -> str:
    """Milliseconds between frames while the map is dragged to and fro: the median, the 95th percentile."""
    script = """async () => {
      const { stages: [stage] } = await import('/static/explore.js'), times = [];
      for (let frame = 0; frame < 60; frame++) {
        stage.camera.drag(frame % 20 < 10 ? 8 : -8, 3 * Math.sin(frame));
        stage.redraw();
        times.push(await new Promise(requestAnimationFrame));
      }
      return [...times.slice(1).map((time, at) => time - times[at]), stage.root.dataset.drawn];
    }"""
    *times, drawn = page.evaluate(script)
    median, late = np.percentile(times[5:], [50, 95])
    return f"{median:.0f}, {late:.0f} ({drawn})"


def jump(page: Any, number: int) -> None:
    """To a clip that the page could not know of."""
    script = "async (row) => { const { choose, clouds } = await import('/static/explore.js');"
    page.evaluate(script + "choose(clouds[0].ids[row]); }", 37 * (number + 1))


def press(page: Any, number: int) -> None:
    """To the next clip of the map."""
    page.wait_for_timeout(500)
    page.keyboard.press("ArrowRight" if number % 2 else "ArrowDown")


def start_sound(page: Any, choose: Callable[[Any, int], None], number: int) -> float:
    """Milliseconds from choosing a clip to its sound; the page itself takes the time."""
    choose(page, number)
    page.wait_for_selector("body[data-latency]:not([data-latency=''])")
    found = float(page.evaluate("document.body.dataset.latency"))
    page.wait_for_selector("#panel ol li")
    page.keyboard.press(" ")
    page.wait_for_selector("body[data-playing='']")
    return found


def spread(times: list[float]) -> str:
    """The median and the largest."""
    return f"{np.median(times):.0f}, {max(times):.0f}"


def timed(address: str, form: str | None = None) -> float:
    """Milliseconds of one request, read to its end."""
    begun = time.perf_counter()
    with urllib.request.urlopen(address, form.encode() if form else None) as reply:
        reply.read()
    return 1000 * (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
