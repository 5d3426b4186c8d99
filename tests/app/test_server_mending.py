"""Decisions about suspects, and curves of runs that are being written."""

import csv
import io
import json
from pathlib import Path

import pytest

from nearfield.app.server.curves import Runs
from nearfield.app.server.decisions import COLUMNS, Decision, Decisions
from nearfield.app.server.serve import read_suspects
from nearfield.core.errors import RequestError
from nearfield.data.patches import Patch
from tests.app.serving import Site

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
    assert [(each.id, each.column, each.before, each.after) for each in patch.decisions] == [
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
    with pytest.raises(RequestError, match="the columns are not id, kind"):
        Decisions(path).add(Decision.model_validate({**CHANGE, "decision": "accepted"}))
    assert path.read_text() == "a,b\n1,2\n"


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


def test_suspects_are_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "suspects.json"
    path.write_text(json.dumps({"suspects": [{"id": "a", "kind": "label", "score": 1.0}]}))
    assert read_suspects(path) == [{"id": "a", "kind": "label", "score": 1.0}]
    path.write_text("[{}]")
    with pytest.raises(RequestError, match="holds no suspects"):
        read_suspects(path)
