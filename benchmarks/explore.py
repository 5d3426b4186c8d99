"""The map in a browser: how soon the page is there, and how soon a sound starts, for spaces of several sizes.

    python benchmarks/explore.py [--clips 1000 10000 100000] [--chromium /usr/bin/chromium]

Makes a space of short pieces of one noisy sound by a tiny run, serves it on this machine, and opens it in
headless Chromium (playwright). The layouts are drawn from a mixture of Gaussians: how a map is reckoned
has no part in how it is shown. Columns, in milliseconds: opening the page until the first frame is drawn; a
frame's drawing; choosing a clip until its sound plays (median of 15, and the slowest); the same clip's bytes
by themselves; its neighbours.
"""

import argparse
import tempfile
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import soundfile

from nearfield.app.server.guard import Access
from nearfield.app.server.serve import MAP, Show, address_of, listen, prepare, server
from nearfield.core.seeds import stream
from nearfield.data.collection import Collection
from nearfield.runs.launch import Request, launch
from nearfield.runs.recipe import Recipe
from nearfield.runs.run import Run
from nearfield.space.map import SpaceMap, stamp_of
from nearfield.space.space import Space

RATE = 8000
SECONDS = 1.0
STARTS = 15


def main() -> None:
    """Prints one row for each size."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--clips", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    given.add_argument("--chromium", default="/usr/bin/chromium")
    asked = given.parse_args()
    print("| clips | page | frame | first sound | slowest | bytes alone | neighbours |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        run = tiny_run(Path(folder))
        for count in asked.clips:
            space = make_space(Path(folder), run, count)
            row = measure(space, asked.chromium)
            print(f"| {count:,} | " + " | ".join(f"{value:.1f}" for value in row) + " |", flush=True)


def tiny_run(folder: Path) -> Run:
    """A run of one update on tones."""
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


def measure(place: Path, chromium: str) -> list[float]:
    """Page, frame, first sound (median, slowest), bytes, neighbours: milliseconds."""
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
            begun = time.perf_counter()
            page.goto(address_of(access))
            page.wait_for_selector("body[data-ready] .stage[data-milliseconds]")
            loaded = 1000 * (time.perf_counter() - begun)
            sounds = [start_sound(page, number) for number in range(STARTS)]
            frame = float(page.evaluate("document.querySelector('.stage').dataset.milliseconds"))
            browser.close()
        first = exhibition.spaces[0].at(0).id
        address = address_of(access)
        alone = [timed(f"{address}clips/{quote(first, safe='')}/audio") for _ in range(STARTS)]
        near = [timed(f"{address}search", f"clip={quote(first)}&top=12") for _ in range(STARTS)]
    finally:
        serving.should_exit = True
        thread.join(10)
    return [
        loaded,
        frame,
        *(float(x) for x in (np.median(sounds), max(sounds), np.median(alone), np.median(near))),
    ]


def start_sound(page: Any, number: int) -> float:
    """Milliseconds from choosing the next clip to its sound; the page itself takes the time."""
    page.keyboard.press("ArrowRight" if number % 2 else "ArrowDown")
    page.wait_for_selector("body[data-latency]:not([data-latency=''])")
    found = float(page.evaluate("document.body.dataset.latency"))
    page.wait_for_selector("#panel ol li")
    page.keyboard.press(" ")
    page.wait_for_selector("body[data-playing='']")
    return found


def timed(address: str, form: str | None = None) -> float:
    """Milliseconds of one request, read to its end."""
    begun = time.perf_counter()
    with urllib.request.urlopen(address, form.encode() if form else None) as reply:
        reply.read()
    return 1000 * (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
