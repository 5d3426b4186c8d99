"""Decisions about suspects, and curves of runs that are being written."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nearfield.analysis.suspects.listing import Named, Suspected
from nearfield.core.errors import RequestError
from nearfield.data.collection import Collection
from nearfield.data.patches import Patch
from nearfield.server.decisions import COLUMNS, Decisions, ReviewDecision, Runs, read_suspects
from nearfield.server.serve import Show, prepare
from tests.server.browser import Open, sounded
from tests.server.serving import Site, running

CHANGE = {"id": "low/0.wav", "kind": "label", "column": "label", "before": "low", "after": 'high, "very"'}


def test_decisions_are_a_table_that_can_be_undone(site: Site, sounding: Path, tmp_path: Path) -> None:
    labels = (sounding / "labels.csv").read_bytes()
    kind = {"Content-Type": "application/json"}

    def decide(**changes: str) -> int:
        body = json.dumps({**CHANGE, "decision": "accepted", **changes}).encode()
        return site.ask("/decisions", "POST", kind, body).status

    assert decide() == 200
    assert decide(id="low/1.wav", column="use", before="yes", after="no", decision="rejected") == 200
    assert decide(id="../x") == 404
    assert decide(column="path") == 422
    assert decide(decision="perhaps") == 422
    reply = site.ask("/decisions.csv")
    assert reply.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(reply.body.decode())))
    assert [tuple(row) for row in rows] == [COLUMNS, COLUMNS]
    assert [(row["id"], row["after"], row["decision"]) for row in rows] == [
        ("low/0.wav", CHANGE["after"], "accepted"),
        ("low/1.wav", "no", "rejected"),
    ]
    table = tmp_path / "patch.csv"
    table.write_bytes(reply.body)
    patch = Patch.read(table)  # as collections read it: the rejected row changes nothing
    assert [(each.id, each.column, each.before, each.after) for each in patch.accepted()] == [
        ("low/0.wav", "label", "low", CHANGE["after"])
    ]
    undone = json.loads(site.ask("/decisions/undo", "POST", body=b"").body)["undone"]
    assert undone["id"] == "low/1.wav"
    assert [each["id"] for each in json.loads(site.ask("/decisions").body)["decisions"]] == ["low/0.wav"]
    site.ask("/decisions/undo", "POST", body=b"")
    assert json.loads(site.ask("/decisions/undo", "POST", body=b"").body) == {"undone": None}
    assert (sounding / "labels.csv").read_bytes() == labels


def test_a_table_of_others_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(RequestError, match="has the columns id, kind"):
        Decisions(path).add(ReviewDecision.model_validate({**CHANGE, "decision": "accepted"}))
    assert path.read_text() == "a,b\n1,2\n"
    path.write_bytes(b"id,\xff\n")
    with pytest.raises(RequestError, match="cannot be read"):
        Decisions(path).rows()


def test_any_text_comes_back_from_the_table(tmp_path: Path) -> None:
    table = Decisions(tmp_path / "decisions.csv")
    odd = {"after": "a\rb", "reason": 'one\r\ntwo\n"three"\x0b\u2028', "before": "=low"}
    for clip in ("low/0.wav", "low/1.wav"):
        table.add(ReviewDecision.model_validate({**CHANGE, **odd, "id": clip, "decision": "accepted"}))
    rows = table.rows()
    assert [row["id"] for row in rows] == ["low/0.wav", "low/1.wav"]
    assert [{name: row[name] for name in odd} for row in rows] == [odd, odd]
    assert [(each.before, each.after) for each in Patch.read(table.path).accepted()] == [("=low", "a\rb")] * 2
    assert table.undo() == rows[1]


def test_a_spreadsheet_takes_no_words_for_a_formula(tmp_path: Path) -> None:
    table = Decisions(tmp_path / "decisions.csv")
    texts = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-1", "'quoted'", "'")
    words = ("id", "kind", "before", "after", "reason")
    for text in texts:
        given = dict.fromkeys(words, text)
        table.add(
            ReviewDecision.model_validate({**CHANGE, **given, "column": "tags", "decision": "accepted"})
        )
    assert [[row[name] for name in words] for row in table.rows()] == [[text] * 5 for text in texts]
    with table.path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
    assert "'=1+1" in cells  # written again nine times, and marked once
    assert [each.id for each in Patch.read(table.path).accepted()] == list(texts)


def test_no_decision_is_lost_where_several_servers_write(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"

    def decide(server: int) -> None:
        table = Decisions(path)
        for number in range(20):
            table.add(
                ReviewDecision.model_validate({**CHANGE, "id": f"{server} {number}", "decision": "accepted"})
            )

    with ThreadPoolExecutor(4) as servers:
        list(servers.map(decide, range(4)))
    assert len({row["id"] for row in Decisions(path).rows()}) == 80


def test_curves_pass_over_what_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(
        b'{"update": 1}\n{"upda\x00\n\xff\xfe\n5\n\n{"update": 2, "val/loss": NaN}\n{"broken\n'
    )
    runs = Runs(tmp_path)
    kept = [{"update": 1}, {"update": 2, "val/loss": None}]
    assert runs.lines(tmp_path.name, 0) == (kept, (tmp_path / "metrics.jsonl").stat().st_size)
    assert runs.plain()[0]["last"] == kept[1]


def test_curves_grow_by_whole_lines(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "arm" / "seed-0"
    run.mkdir(parents=True)
    log = run / "metrics.jsonl"
    log.write_text('{"update": 1, "train/loss": 0.5}\n{"update": 2, "tr')
    runs, name = Runs(tmp_path), "runs/arm/seed-0"
    assert [(each["name"], each["state"], each["last"]["update"]) for each in runs.plain()] == [
        (name, "training", 1)
    ]
    lines, following = runs.lines(name, 0)
    assert [line["update"] for line in lines] == [1]
    with log.open("a") as file:
        file.write('ain/loss": 0.4}\n')
    lines, following = runs.lines(name, following)
    assert lines == [{"update": 2, "train/loss": 0.4}]
    assert runs.lines(name, following) == ([], following)
    log.write_text('{"update": 1}\n')  # a resumption took it back
    assert runs.lines(name, following)[0] == [{"update": 1}]
    with pytest.raises(RequestError, match="no run"):
        runs.lines("runs/../..", 0)


def listed(path: Path) -> Path:
    """A list of suspects as `nearfield suspects --out` writes it."""
    common: dict[str, Any] = {"score": 0.75, "reason": "All differ.", "suggestion": "Listen."}
    common |= {"other": None, "path": "/x/y"}
    twin = common | {"other": "high/2.wav"}
    found = (
        Named("low/2.wav", "label", proposed="high", column="label", before="low", after="high", **common),
        Named("low/3.wav", "tag_wrong", proposed="dark", column="tags", before="dark", after="", **common),
        Named("high/1.wav", "duplicate", proposed=None, column="use", before="yes", after="no", **twin),
    )
    Suspected("tones", 30, found).save(path)
    return path


def test_suspects_are_read_from_a_table(tmp_path: Path) -> None:
    found = read_suspects(listed(tmp_path / "suspects.csv"))
    assert [(each["id"], each["kind"], each["proposed"], each["score"]) for each in found] == [
        ("low/2.wav", "label", "high", 0.75),
        ("low/3.wav", "tag_wrong", "dark", 0.75),
        ("high/1.wav", "duplicate", None, 0.75),
    ]
    assert not any("path" in each for each in found)
    text = (tmp_path / "suspects.csv").read_text()
    (tmp_path / "decided.csv").write_text(text.replace('"low","high",""', '"low","high","accepted"'))
    assert [each["decision"] for each in read_suspects(tmp_path / "decided.csv")] == ["accepted", "", ""]
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RequestError, match="nearfield suspects RUN --out"):
        read_suspects(tmp_path / "other.csv")


def test_any_label_comes_back_from_a_list(tmp_path: Path) -> None:
    odd = Named("a\r.wav", "label", 0.9, "x", "y", "b\x0bc", None, "/a", "label", "d\u2028e", "b\x0bc")
    Suspected("set", 9, (odd,)).save(tmp_path / "suspects.csv")
    (found,) = read_suspects(tmp_path / "suspects.csv")
    assert (found["id"], found["before"], found["after"]) == ("a\r.wav", "d\u2028e", "b\x0bc")


def test_a_list_of_suspects_is_no_table_of_decisions(spaces: tuple[Path, Path], tmp_path: Path) -> None:
    path = listed(tmp_path / "suspects.csv")
    before = path.read_bytes()
    with pytest.raises(RequestError, match="as --suspects"):
        prepare(Show(spaces[0], decisions=path))
    assert path.read_bytes() == before


def test_a_table_is_heard_decided_and_applied(
    spaces: tuple[Path, Path], sounding: Path, tmp_path: Path, visit: Open
) -> None:
    suspects, table = listed(tmp_path / "suspects.csv"), tmp_path / "own" / "decisions.csv"
    before = suspects.read_bytes()
    with running(prepare(Show(spaces[0], suspects=read_suspects(suspects), decisions=table))) as site:
        page = visit(site)
        page.keyboard.press("s")
        page.click("#panel li[data-id='low/2.wav'] .play")
        assert sounded(page) == ["low/2.wav"]
        page.click("#panel li[data-id='low/2.wav'] >> text=Yes: high")
        page.wait_for_selector("li[data-id='low/2.wav'][data-decision=accepted]")
        page.click("#panel li[data-id='high/1.wav'] .other")
        assert sounded(page, 2) == ["low/2.wav", "high/2.wav"]
        page.click("#panel li[data-id='high/1.wav'] >> text=Yes")
        page.wait_for_selector("li[data-id='high/1.wav'][data-decision=accepted]")
        page.click("text=Take back")
        page.wait_for_selector("li[data-id='high/1.wav'][data-decision='']")
        page.click("#panel li[data-id='low/3.wav'] >> text=Yes: dark")
        page.wait_for_selector("li[data-id='low/3.wav'][data-decision=accepted]")
    clips = Collection.load(sounding, patch=table).table.set_index("id")
    assert clips.loc["low/2.wav", "label"] == "high"
    assert list(clips["tags"]["low/3.wav"]) == ["tone"]
    assert "high/1.wav" in clips.index
    assert suspects.read_bytes() == before


def test_suspects_are_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "suspects.json"
    path.write_text(json.dumps({"suspects": [{"id": "a", "kind": "label", "score": 1.0}]}))
    assert read_suspects(path) == [{"id": "a", "kind": "label", "score": 1.0}]
    for text in ("[{}]", '[{"id": "a", "kind": "label"}]', '[{"id": "a", "kind": "label", "score": NaN}]'):
        path.write_text(text)
        with pytest.raises(RequestError, match="holds no suspects"):
            read_suspects(path)
