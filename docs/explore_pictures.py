"""Takes the pictures of docs/explore.md: the map of a space in headless Chromium, a training that is watched.

python docs/explore_pictures.py SPACE BESIDE STUDY [PICTURES] [--chromium /usr/bin/chromium]

SPACE and BESIDE are spaces of the same clips by two runs, STUDY is the folder of a study, PICTURES a space
of pictures. Writes docs/explore_*.png. Needs playwright.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

from nearfield.server.guard import Access
from nearfield.server.serve import Show, address_of, listen, prepare, server
from nearfield.space.space import Space

HERE = Path(__file__).parent
READY = "body[data-ready] .stage[data-drawn]"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}


def main() -> None:
    """One picture after the other."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("space", "beside", "study"):
        given.add_argument(name, type=Path)
    given.add_argument("pictures", type=Path, nargs="?")
    given.add_argument("--chromium", default="/usr/bin/chromium")
    asked = given.parse_args()
    alone, two = Show(asked.space, watch=asked.study), Show(asked.space, asked.beside)
    clip = some_clip(asked.space)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=asked.chromium, args=["--use-angle=swiftshader"])
        with_server(alone, lambda address: take_one(browser, address, clip))
        with_server(two, lambda address: take_two(browser, address, clip))
        if asked.pictures:
            shown = some_clip(asked.pictures)
            with_server(Show(asked.pictures), lambda address: take_pictures(browser, address, shown))
        browser.close()


def some_clip(space: Path) -> str:
    """The clip that is opened."""
    ids: list[str] = Space.load(space).rows(["id"])["id"].to_pylist()
    return ids[len(ids) // 3]


def with_server(show: Show, use: Any) -> None:
    """Serves `show` for as long as `use`, which gets the address, takes."""
    exhibition, access = prepare(show), Access(port=0)
    listening = listen(access)
    access = replace(access, port=int(listening.getsockname()[1]))
    serving = server(exhibition, access)
    thread = Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        use(address_of(access))
    finally:
        serving.should_exit = True
        thread.join(10)


def take_one(browser: Any, address: str, clip: str) -> None:
    """The map by itself: light, dark and solid, a set, on a phone; and the curves of a training."""
    page = opened(browser, address, "light", DESKTOP)
    keep(page, "map")
    choose(page, clip)
    keep(page, "clip")
    page.keyboard.press("Escape")
    draw_round(page)
    keep(page, "set")
    dark = opened(browser, address, "dark", DESKTOP)
    dark.select_option("#layout", "umap_3d")
    dark.select_option("#colour", "tags")
    choose(dark, clip)
    keep(dark, "dark")
    for theme in ("light", "dark"):
        phone = opened(browser, address, theme, PHONE)
        choose(phone, clip)
        keep(phone, f"phone_{theme}")
    keep(opened(browser, f"{address}watch", "light", DESKTOP, "body[data-ready] figure"), "watch")


def take_two(browser: Any, address: str, clip: str) -> None:
    """Two spaces side by side."""
    page = opened(browser, address, "light", DESKTOP)
    choose(page, clip)
    keep(page, "two")


def take_pictures(browser: Any, address: str, clip: str) -> None:
    """A space of pictures."""
    page = opened(browser, address, "light", DESKTOP)
    choose(page, clip)
    keep(page, "pictures")


def opened(browser: Any, address: str, theme: str, size: dict[str, int], ready: str = READY) -> Any:
    """The page, ready."""
    is_phone = size == PHONE
    page = browser.new_context(
        viewport=size, color_scheme=theme, device_scale_factor=2 if is_phone else 1, is_mobile=is_phone
    ).new_page()
    page.goto(address)
    page.wait_for_selector(ready)
    return page


def choose(page: Any, clip: str) -> None:
    """A clip, and that its neighbours and its picture have come."""
    script = "async (clip) => (await import('/static/explore.js')).choose(clip)"
    page.evaluate(script, clip)
    page.wait_for_selector("#panel ol li")


def draw_round(page: Any) -> None:
    """The lasso round what is near the middle."""
    page.keyboard.press("l")
    corners = ((480, 300), (640, 250), (790, 330), (800, 480), (660, 560), (500, 500))
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=5)
    page.mouse.up()


def keep(page: Any, name: str) -> None:
    """A picture of the page once it has come to rest."""
    settle(page)
    page.screenshot(path=HERE / f"explore_{name}.png")


def settle(page: Any) -> None:
    """Waits until maps rest, pictures have come and frames have been shown, however slow the machine is."""
    page.wait_for_timeout(700)
    page.evaluate(
        """async () => {
          const isMap = document.body.matches('.explore');
          const { stages } = isMap ? await import('/static/explore.js') : { stages: [] };
          const hasCome = (image) => image.complete || image.loading === 'lazy';
          const isDone = () => stages.every((stage) => stage.rests) && [...document.images].every(hasCome);
          const frame = () => new Promise(requestAnimationFrame);
          for (let quiet = 0; quiet < 5; quiet = isDone() ? quiet + 1 : 0) await frame();
        }"""
    )


if __name__ == "__main__":
    main()
