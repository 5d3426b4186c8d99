"""Headless Chromium for tests of the page, which may say no error and ask for nothing from elsewhere."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.serving import Site

CHROMIUM = Path("/usr/bin/chromium")
READY = "body[data-ready] .stage[data-drawn]"
PATIENT = 60_000
"""Milliseconds after which a page is given up: whoever waits for it may have a share of one core."""
HEARD = """
  window.heard = [];
  let last = "";
  new MutationObserver(() => {
    const { playing, latency } = document.body?.dataset ?? {};
    const sounds = playing && latency ? playing : "";
    if (sounds && sounds !== last) heard.push(sounds);
    last = sounds;
  }).observe(document, { subtree: true, attributeFilter: ["data-playing", "data-latency"] });
"""
"""Writes down what sounded: a clip of half a second has perhaps ended before it is looked for."""

REST = "while (!stages.every((stage) => stage.rests)) await new Promise((done) => setTimeout(done, 30));"
"""Until the maps have made room and have drawn what there is."""

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium with a microphone that beeps."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not there: no page tested")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: no page is tested")
    with sync_api.sync_playwright() as driver:
        flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        found = driver.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Opens a page of a site; at the end no error was on its console, and no request went elsewhere."""
    wrong: list[str] = []
    contexts = []

    def open_page(site: Site, path: str = "", ready: str = READY, **context: Any) -> Any:
        contexts.append(browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | context)))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENT)
        page.add_init_script(HEARD)

        def console(message: Any) -> None:
            if message.type == "error" and "status of 4" not in message.text:
                wrong.append(message.text)

        def request(asked: Any) -> None:
            if not asked.url.startswith((site.address, f"blob:{site.address}", "data:")):
                wrong.append(asked.url)

        page.on("console", console)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", request)
        page.goto(site.address + path)
        page.wait_for_selector(ready)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def in_page(page: Any, body: str, given: object = None) -> Any:
    """What a function body gives that sees the page's own stages, clouds and player."""
    return page.evaluate(
        "async (given) => { const { stages, clouds, player } = await import('/static/explore.js');"
        f"{body} }}",
        given,
    )


def place_of(page: Any, name: str) -> tuple[float, float]:
    """Where a clip is on the screen."""
    x, y = in_page(
        page,
        "const box = stages[0].root.getBoundingClientRect();"
        "const [x, y] = stages[0].at(clouds[0].rows.get(given));"
        "return [x + box.left, y + box.top];",
        name,
    )
    return float(x), float(y)


def sounded(page: Any, count: int = 1) -> list[str]:
    """Ids of the clips that have sounded since the page was opened, once there are so many."""
    page.wait_for_function("count => heard.length >= count", arg=count)
    found: list[str] = page.evaluate("heard")
    return found


def listed(page: Any) -> list[str]:
    """Ids in the list of the sheet."""
    found: list[str] = page.eval_on_selector_all(
        "#panel ol.clips li", "all => all.map((one) => one.dataset.id)"
    )
    return found
