"""What a reader sees of the maps: points stay on the screen, sheets leave room, the filter in force rules."""

import io
import json
from typing import Any

import numpy as np
from PIL import Image

from tests.server.browser import PATIENT, READY, REST, Open, in_page, listed, place_of
from tests.server.serving import Site

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SEEN = "#said:not(:empty)"


def coloured(page: Any) -> list[int]:
    """For each class the pixels of the screen, above the sheet, that have its colour."""
    page.mouse.move(2, 2)
    in_page(page, REST)
    wanted = page.eval_on_selector_all(
        "#legend i", "all => all.map((one) => one.style.background.match(/\\d+/g).map(Number))"
    )
    foot = page.evaluate("document.querySelector('#panel').getBoundingClientRect().top") or 600
    seen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    above = seen[110 : int(foot), 220:]  # below the buttons, beside the legend
    return [int((np.abs(above - np.array(colour)).max(2) <= 25).sum()) for colour in wanted]


def test_points_of_two_maps_stay_on_the_screen_over_a_sheet(site: Site, visit: Open) -> None:
    page = visit(site)
    before = coloured(page)
    page.mouse.click(*place_of(page, "low/2.wav"))
    page.wait_for_selector("#panel .sides li")
    after = coloured(page)
    assert min(before) > 100
    assert all(now > 0.5 * then for now, then in zip(after, before, strict=True)), (before, after)


def test_on_a_phone_both_maps_stay_above_the_sheet(site: Site, visit: Open) -> None:
    page = visit(site, **PHONE)
    page.touchscreen.tap(*place_of(page, "low/2.wav"))
    page.wait_for_selector("#panel .sides li")
    page.wait_for_function(
        "() => new Set([...document.querySelectorAll('.stage')].map((one) => one.offsetTop)).size === 1"
    )
    places = in_page(
        page,
        REST
        + """
          const panel = document.getElementById("panel").getBoundingClientRect().top;
          return stages.map((stage) => {
            const box = stage.root.getBoundingClientRect(), [x, y] = stage.at(stage.marks.selected);
            return [stage.camera.middle[1], x, y, box.width, Math.min(box.height, panel - box.top)];
          });
        """,
    )
    for middle, x, y, width, height in places:
        assert height >= 120
        assert 0 < x < width
        assert 0 < y < height
        assert 0 < middle < height


def test_searches_meet_the_filter_that_the_map_shows(alone: Site, visit: Open) -> None:
    page = visit(alone)
    page.fill("#where", "label = 'high'")
    page.press("#where", "Enter")
    page.wait_for_selector("body[data-shown='10']")

    def labels_near(name: str) -> set[str]:
        in_page(page, "await (await import('/static/clip.js')).choose(given);", name)
        page.wait_for_selector(f"#panel h2[title='{name}']")
        return {each.partition("/")[0].partition(".")[0] for each in listed(page)}

    page.fill("#where", "label = 'lo")  # typed, not entered
    assert labels_near("high/0.wav") == {"high"}
    page.press("#where", "Enter")
    page.wait_for_selector("#where[aria-invalid]")
    assert labels_near("high/1.wav") == {"high"}
    page.fill("#where", "label = 'low'")
    page.press("#where", "Enter")
    page.wait_for_selector("#where:not([aria-invalid])")
    assert page.text_content("#said") == ""  # the complaint of before is over
    assert labels_near("high/2.wav") == {"low"}
    page.fill("#where", "")
    page.wait_for_selector("body[data-shown='30']")
    page.fill("#where", "seconds > 100")
    page.press("#where", "Enter")
    page.wait_for_selector(f"{SEEN}:has-text('No clip meets')")


def test_a_server_that_has_gone_is_named_and_nothing_else_is_blamed(alone: Site, visit: Open) -> None:
    page = visit(alone)
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('Failed to fetch')); }")
    page.select_option("#layout", "pca_3d")
    page.wait_for_selector(f"{SEEN}:has-text('is `nearfield explore` still running?')")
    assert page.input_value("#layout") == "pca_2d"
    page.evaluate("document.getElementById('said').textContent = ''")
    in_page(page, "await (await import('/static/clip.js')).choose('low/2.wav', 0, false);")
    page.wait_for_selector(SEEN)
    assert in_page(page, "return stages[0].marks.selected;") is None
    page.evaluate("document.getElementById('said').textContent = ''")
    page.fill("#where", "label = 'high'")
    page.press("#where", "Enter")
    page.wait_for_selector(SEEN)
    assert page.get_attribute("#where", "aria-invalid") is None


def test_without_webgl_the_page_works_on_a_flat_canvas(alone: Site, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(PATIENT)
    page.add_init_script(
        "const own = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        "  return kind === 'webgl2' ? null : own.call(this, kind, ...rest); };"
    )
    page.goto(alone.address)
    page.wait_for_selector(READY)
    assert min(coloured(page)) > 100
    page.mouse.click(*place_of(page, "low/2.wav"))
    page.wait_for_selector("#panel ol.clips li")
    page.fill("#where", "label = 'high'")
    page.press("#where", "Enter")
    page.wait_for_selector("body[data-shown='10']")
    context.close()


def test_the_tip_goes_along_with_its_point(alone: Site, visit: Open) -> None:
    page = visit(alone)
    name = in_page(
        page,
        "const across = (row) => stages[0].at(row)[0];"  # not where the sheet will be
        "const rows = [...clouds[0].ids.keys()].filter((row) => across(row) < 800);"
        "return clouds[0].ids[rows.reduce((best, row) => (across(row) > across(best) ? row : best))];",
    )
    at = place_of(page, name)
    page.mouse.move(*at)
    page.wait_for_selector(".tip:visible")
    page.mouse.click(*at)
    page.wait_for_selector("#panel ol.clips li")
    under, hovered, tip, moved = in_page(
        page,
        REST
        + """
          const frame = () => new Promise((done) => requestAnimationFrame(done));
          await frame();
          await frame();
          const [stage] = stages, box = stage.root.getBoundingClientRect();
          const [x, y] = [given[0] - box.left, given[1] - box.top], row = stage.pick(x, y);
          const { hovered } = stage.marks;
          return [row, hovered, stage.tip.hidden ? null : hovered, stage.camera.inset.right];
        """,
        at,
    )
    assert moved > 300
    assert under == hovered == tip


def test_every_button_is_whole_on_a_narrow_page(alone: Site, visit: Open) -> None:
    page = visit(alone, **PHONE)
    for name in ("lasso", "upload", "record", "mend", "theme", "help"):
        box = page.locator(f"#{name}").bounding_box()
        assert min(box["width"], box["height"]) >= 30
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_what_cannot_be_opened_is_named(alone: Site, visit: Open) -> None:
    for written, told in (("%E0%A4%A", "%E0%A4%A"), ("no%20clip.wav", "no clip.wav")):
        page = visit(alone, "#" + written)
        page.wait_for_selector(f"{SEEN}:has-text({json.dumps(f'asks for {told}, which is not in')})")
    page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"no sound at all"})
    page.wait_for_selector(f"{SEEN}:has-text('a.wav: it cannot be read as sound')")
    page.keyboard.press("?")
    assert page.evaluate("document.activeElement.textContent") == "Close"
