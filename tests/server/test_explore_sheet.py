"""The sheets of the page: what the keyboard keeps, ways back, decisions, sounds that cannot be had."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nearfield.server.serve import Show, prepare
from nearfield.server.state import AppState
from tests.server.browser import Open, in_page, listed, place_of, sounded
from tests.server.serving import Site, running

FOCUSED = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"


def wait_for_focus(page: Any, name: str) -> None:
    """Until that control has the focus."""
    page.wait_for_function(f"name => ({FOCUSED}) === name", arg=name)


@pytest.fixture
def tabled(spaces: tuple[Path, Path], suspected: list[dict[str, object]], tmp_path: Path) -> Iterator[Site]:
    """A space with suspects and a table of its own; a clip has two, which differ in what is proposed."""
    twice = [*suspected, suspected[0] | {"proposed": "middle", "score": 0.3}]
    with running(prepare(Show(spaces[0], suspects=twice, decisions=tmp_path / "decisions.csv"))) as site:
        yield site


def decided(site: Site) -> list[tuple[str, str, str]]:
    """Clip, what it becomes, and the decision, row by row."""
    rows = json.loads(site.ask("/decisions").body)["decisions"]
    return [(row["id"], row["after"], row["decision"]) for row in rows]


def test_the_focus_stays_where_it_was_and_goes_back(tabled: Site, visit: Open) -> None:
    page = visit(tabled)
    page.focus("#mend")
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel[data-sheet=suspects] li")
    wait_for_focus(page, page.text_content("#panel h2"))
    page.focus("li:nth-child(2) >> text=Yes")
    page.keyboard.press("Enter")
    page.wait_for_selector("li:nth-child(2)[data-decision=accepted]")
    wait_for_focus(page, "Yes")
    page.keyboard.press("Tab")
    wait_for_focus(page, "No, it is right")
    page.keyboard.press("Escape")
    page.wait_for_selector("#panel", state="hidden")
    wait_for_focus(page, "Suspects")
    page.focus("#legend button:has-text('low')")
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-shown='10']")
    wait_for_focus(page, "low, 10")
    page.focus(".stage")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#panel[data-sheet=clip] li")
    first = page.url
    page.focus("#panel summary")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel details[open]")
    assert page.url == first  # an arrow in the sheet is none on the map
    page.keyboard.press("Escape")
    page.wait_for_function("document.activeElement.matches('.stage')")


def test_suspects_are_heard_first_and_each_is_decided_once(tabled: Site, visit: Open) -> None:
    page = visit(tabled)
    page.keyboard.press("z")  # nothing is taken back unseen
    page.wait_for_selector("#said:has-text('press S')")
    page.keyboard.press("s")
    page.wait_for_selector("#panel[data-sheet=suspects] li")
    page.keyboard.press("d")
    page.wait_for_selector("li.here:nth-child(1)[data-decision='']")
    assert sounded(page) == ["low/0.wav"]
    page.keyboard.press("d")
    page.wait_for_selector("li:nth-child(1)[data-decision=rejected] ~ li.here:nth-child(2)")
    assert sounded(page, 2) == ["low/0.wav", "low/1.wav"]
    page.click("li:nth-child(1) >> text=No, it is right")  # again: no second row
    page.click("li:nth-child(3) >> text=Yes")
    page.wait_for_selector("li:nth-child(3)[data-decision=accepted]")
    assert page.eval_on_selector_all("li.here", "all => all.map((one) => one.dataset.id)") == ["low/1.wav"]
    assert decided(tabled) == [("low/0.wav", "high", "rejected"), ("low/0.wav", "middle", "accepted")]
    page.keyboard.press("z")
    page.wait_for_selector("li.here:nth-child(3)[data-decision='']")
    assert decided(tabled) == [("low/0.wav", "high", "rejected")]


def test_a_list_is_come_back_to_and_the_set_outlives_its_sheet(alone: Site, visit: Open) -> None:
    page = visit(alone)
    page.click("#mend")
    page.wait_for_selector("#panel[data-sheet=suspects] li")
    page.click("li[data-id='low/1.wav'] .open")
    page.wait_for_selector("#panel h2[title='low/1.wav']")
    near = listed(page)[0]
    page.click("#panel li:nth-child(1) .open")
    page.wait_for_selector(f"#panel h2[title='{near}']")
    page.click("text=Back to the suspects")
    page.wait_for_selector("#panel[data-sheet=suspects]")
    assert listed(page) == ["low/0.wav", "low/1.wav"]
    page.click("li[data-id='low/1.wav'] .open")
    page.wait_for_selector("#panel[data-sheet=clip] .back")
    page.keyboard.press("a")
    page.wait_for_selector("#panel[data-sheet=set] li")
    page.keyboard.press("Escape")
    page.wait_for_selector("#panel", state="hidden")
    page.click("text=Set (1)")
    page.wait_for_selector("#panel[data-sheet=set]")
    assert listed(page) == ["low/1.wav"]
    page.click("text=Empty")
    page.wait_for_selector("#panel", state="hidden")
    assert page.is_hidden("#set")
    assert in_page(page, "return stages[0].states.every((state) => state === stages[0].states[0]);")


def test_a_search_is_come_back_to_with_what_it_marked(alone: Site, visit: Open) -> None:
    page = visit(alone, "#low%2F0.wav")
    page.click("text=More like this")
    page.wait_for_selector("#panel[data-sheet=search] li")
    found, marks = listed(page), "return stages[0].marks.near.map((row) => clouds[0].ids[row]);"
    page.click("#panel li:nth-child(3) .open")
    page.wait_for_selector("#panel[data-sheet=clip] .back")
    assert in_page(page, marks) != found
    page.keyboard.press("Escape")
    page.wait_for_selector("#panel[data-sheet=search] li")
    assert (listed(page), in_page(page, marks)) == (found, found)
    assert page.evaluate("document.activeElement.closest('li').dataset.id") == found[2]


@contextmanager
def without(path: Path) -> Iterator[None]:
    """A file that is elsewhere for a while."""
    away = path.with_name(f"{path.name}.away")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


def test_a_sound_that_cannot_be_had_is_told(shown: AppState, sounding: Path, visit: Open) -> None:
    with without(sounding / "low/2.wav"), running(replace(shown, spaces=shown.spaces[:1])) as site:
        page = visit(site)
        page.mouse.click(*place_of(page, "low/2.wav"))
        page.wait_for_selector("#said.wrong:has-text('2.wav')")
        page.wait_for_selector(".melbutton .gone:has-text('cannot be read')")
        in_page(page, "player.playAll(['low/2.wav', 'low/0.wav']);")
        assert sounded(page) == ["low/0.wav"]
        page.wait_for_selector("#said.wrong:has-text('1 of 2 could not be played')")
