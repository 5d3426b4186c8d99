"""The routes, asked over HTTP; answers compared with files, with brute force and with pandas."""

import io
import json
import math
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from PIL import Image

from nearfield.server import routes as clip_routes
from nearfield.server.serve import MAP, Show, prepare
from nearfield.server.state import unpack
from nearfield.space.map import SpaceMap, stamp_of
from nearfield.space.space import Space
from nearfield.training.run import Run
from tests.server.serving import PITCHES, RATE, Site, running

STRANGE = "low/7 ä#.wav"
STEREO = "high/6.wav"
PIECE = "low.flac#1.125-1.625"


def clip(name: str, what: str) -> str:
    """The path of something of a clip."""
    return f"/clips/{quote(name, safe='')}/{what}"


def found(site: Site, *fields: tuple[str, str], file: tuple[str, bytes] | None = None) -> dict[str, Any]:
    """What a search answered."""
    reply = site.post("/search", list(fields), file)
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = json.loads(reply.body)
    return answer


@pytest.mark.parametrize(
    ("name", "file", "start", "stop"),
    [
        ("low/0.wav", "low/0.wav", 0, None),
        (STRANGE, STRANGE, 0, None),
        (STEREO, STEREO, 0, None),
        (PIECE, "low.flac", 9000, 13000),
    ],
)
def test_audio_is_exactly_the_window(
    site: Site, sounding: Path, name: str, file: str, start: int, stop: int | None
) -> None:
    reply = site.ask(clip(name, "audio"))
    assert (reply.status, reply.headers["content-type"]) == (200, "audio/wav")
    heard, rate = soundfile.read(io.BytesIO(reply.body), dtype="int16", always_2d=True)
    wanted, _ = soundfile.read(sounding / file, start=start, stop=stop, dtype="int16", always_2d=True)
    assert rate == RATE
    np.testing.assert_array_equal(heard, wanted)
    assert soundfile.info(io.BytesIO(reply.body)).subtype == "PCM_16"


def test_ranges_are_slices_of_the_whole(site: Site) -> None:
    path = clip(PIECE, "audio")
    whole = site.ask(path).body
    size = len(whole)
    for asked, part in {
        "bytes=0-0": whole[:1],
        "bytes=0-43": whole[:44],
        "bytes=30-101": whole[30:102],
        "bytes=45-46": whole[45:47],
        "bytes=4001-": whole[4001:],
        "bytes=-7": whole[-7:],
        f"bytes=10-{size + 5}": whole[10:],
    }.items():
        reply = site.ask(path, headers={"Range": asked})
        assert reply.status == 206, asked
        assert reply.body == part, asked
        first = size - 7 if asked == "bytes=-7" else int(asked[6:].split("-")[0])
        assert reply.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{size}"
    beyond = site.ask(path, headers={"Range": f"bytes={size}-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    for odd in ("bytes=5-1", "bytes=a-b", "bytes=0-1,5-9", "lines=1-2", "bytes=-"):
        assert site.ask(path, headers={"Range": odd}).body == whole
    head = site.ask(path, "HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(size), b"")


def test_a_stream_is_the_same_bytes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip("low/5.wav", "audio")
    whole = site.ask(path)
    monkeypatch.setattr(clip_routes, "_WHOLE", 50)  # as of a long sound, which is not sent at once
    assert site.ask(path).body == whole.body
    part = site.ask(path, headers={"Range": "bytes=30-1001"})
    assert (part.status, part.body) == (206, whole.body[30:1002])


def test_spectrogram_shows_the_pitch(site: Site) -> None:
    for label, pitch in PITCHES.items():
        reply = site.ask(clip(f"{label}/0.wav", "spectrogram") + "?theme=dark")
        assert reply.headers["content-type"] == "image/png"
        picture = np.asarray(Image.open(io.BytesIO(reply.body)))[::-1].astype(int)
        edges = 700 * (10 ** (np.linspace(mel(50.0), mel(RATE / 2), 18) / 2595) - 1)  # 16 bands
        band = int(np.abs(edges[1:-1] - pitch).argmin())
        assert abs(int(picture.mean(1).argmax()) - band) <= 1, label
    assert site.ask(clip("low/0.wav", "spectrogram") + "?theme=pink").status == 422


def test_spectrogram_shows_what_lies_around_a_piece_and_its_axes(site: Site) -> None:
    def seen(around: float) -> tuple[float, float, int]:
        axes = json.loads(site.ask(clip(PIECE, "axes") + f"?around={around}").body)
        reply = site.ask(clip(PIECE, "spectrogram") + f"?around={around}")
        edges = 700 * (10 ** (np.linspace(mel(50.0), mel(RATE / 2), 18) / 2595) - 1)
        np.testing.assert_allclose(axes["hertz"], edges[1:-1], atol=0.06)
        return axes["begin"], axes["end"], Image.open(io.BytesIO(reply.body)).width

    begin, end, narrow = seen(0)
    assert (begin, end) == (1.125, 1.625)
    begin, end, wide = seen(0.25)
    assert (begin, end) == (0.875, 1.875)
    assert wide == pytest.approx(2 * narrow, abs=3)
    assert seen(30)[:2] == (0.0, 2.0)  # all that the file has
    assert site.ask(clip(PIECE, "axes") + "?around=31").status == 422


def mel(hertz: float) -> float:
    """O'Shaughnessy's scale, as HTK has it."""
    return 2595 * math.log10(1 + hertz / 700)


def test_search_by_clip_is_brute_force(site: Site, spaces: tuple[Path, Path]) -> None:
    space = Space.load(spaces[0])
    ids = space.rows(["id"])["id"].to_pylist()
    vectors = np.asarray(space.vectors, np.float64)
    for name in (ids[0], STRANGE, PIECE):
        row = ids.index(name)
        cosine = 1 - vectors @ vectors[row]
        order = [other for other in np.argsort(cosine, kind="stable") if other != row][:7]
        answers = found(site, ("clip", name), ("top", "7"))["answers"]
        assert [each["rank"] for each in answers] == list(range(1, 8))
        np.testing.assert_allclose([each["distance"] for each in answers], cosine[order], atol=1e-6)
        assert name not in {each["id"] for each in answers}
        assert not any("path" in each for each in answers)


def test_search_takes_plus_and_minus(site: Site, spaces: tuple[Path, Path]) -> None:
    space = Space.load(spaces[0])
    ids = space.rows(["id"])["id"].to_pylist()
    vectors = np.asarray(space.vectors, np.float64)
    plus, minus = ["low/0.wav", "low/1.wav"], ["high/0.wav"]
    rows = [ids.index(name) for name in (*plus, *minus)]
    toward = (vectors[rows[0]] + vectors[rows[1]]) / 2 - vectors[rows[2]]
    scores = 1 - vectors @ (toward / np.linalg.norm(toward))
    order = [row for row in np.argsort(scores, kind="stable") if row not in rows]
    given = [("plus", name) for name in plus] + [("minus", name) for name in minus]
    answers = found(site, *given, ("top", "5"))["answers"]
    np.testing.assert_allclose([each["distance"] for each in answers], scores[order[:5]], atol=1e-6)


def test_search_by_upload_finds_the_clip_itself(site: Site, sounding: Path) -> None:
    sent = ("my sound.wav", (sounding / "middle/3.wav").read_bytes())
    first = found(site, ("top", "3"), file=sent)["answers"][0]
    assert first["id"] == "middle/3.wav"
    assert first["distance"] < 1e-5


def test_search_by_span(site: Site, sounding: Path) -> None:
    sent = ("long.flac", (sounding / "low.flac").read_bytes())
    answers = found(site, ("start", "1.125"), ("seconds", "0.5"), ("top", "1"), file=sent)["answers"]
    assert (answers[0]["id"], answers[0]["distance"] < 1e-5) == (PIECE, True)
    own = found(site, ("clip", "low/5.wav"), ("start", "0.1"), ("top", "30"))["answers"]
    assert "low/5.wav" not in {each["id"] for each in own}
    late = site.post("/search", [("clip", "low/5.wav"), ("start", "9")])
    assert (late.status, b"the clip has 0.65 s" in late.body) == (400, True)


def test_search_filters_and_thins_out(site: Site) -> None:
    only = found(site, ("clip", "low/0.wav"), ("where", "label = 'high'"), ("top", "30"))["answers"]
    assert {each["label"] for each in only} == {"high"}
    assert len(only) == 10
    diverse = found(site, ("clip", "low/0.wav"), ("diverse", "recording"), ("top", "30"))["answers"]
    files = [each["id"].split("#0")[0].split("#1")[0] for each in diverse]
    assert len(files) == len(set(files))


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ([], 400, "A search needs a query"),
        ([("clip", "no such")], 404, "The space has no clip with this id"),
        ([("clip", "../labels.csv")], 404, "The space has no clip with this id"),
        ([("plus", "/etc/passwd")], 404, "The space has no clip with this id"),
        ([("clip", "low/0.wav"), ("where", "lable = 'x'")], 400, "label"),
        ([("clip", "low/0.wav"), ("top", "0")], 422, ""),
        ([("clip", "low/0.wav"), ("top", "100000")], 422, ""),
        ([("clip", "low/0.wav"), ("diverse", "colour")], 422, ""),
        ([("clip", "low/0.wav"), ("space", "5")], 404, "no space number 5"),
        ([("plus", "low/0.wav"), ("minus", "low/0.wav")], 400, "cancel each other out"),
    ],
)
def test_search_refuses(site: Site, fields: list[tuple[str, str]], status: int, words: str) -> None:
    reply = site.post("/search", fields)
    assert reply.status == status, reply.body
    assert words in reply.body.decode()


@pytest.mark.parametrize("path", ["/search", "/encode", "/tag"])
def test_a_body_that_is_no_form_is_refused_by_its_name(site: Site, path: str) -> None:
    body = json.dumps({"clip": "low/0.wav", "top": 2}).encode()
    reply = site.ask(path, "POST", {"Content-Type": "application/json; charset=utf-8"}, body)
    said = json.loads(reply.body)["detail"]
    assert reply.status == 415
    for part in (
        path,
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "application/json",
        "curl -F",
    ):
        assert part in said
    plain = {"Content-Type": "application/x-www-form-urlencoded"}
    sent = site.ask(path, "POST", plain, b"clip=low%2F0.wav")
    assert (sent.status, sent.body) == (200, site.post(path, [("clip", "low/0.wav")]).body)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (("top", "0"), "top: input should be greater than or equal to 1. Given: '0'."),
        (("top", "many"), "top: a whole number is wanted. Given: 'many'."),
        (("diverse", "colour"), "diverse: input should be 'group' or 'recording'. Given: 'colour'."),
        (("start", "x" * 9999), f"start: a number is wanted. Given: '{'x' * 100}'."),
    ],
)
def test_a_field_that_does_not_fit_is_told_in_a_sentence(
    site: Site, field: tuple[str, str], said: str
) -> None:
    reply = site.post("/search", [("clip", "low/0.wav"), field])
    assert (reply.status, json.loads(reply.body)) == (422, {"detail": said})


def test_a_decision_that_is_none_is_told_in_sentences(site: Site) -> None:
    kind = {"Content-Type": "application/json"}
    body = {
        "id": "low/0.wav",
        "kind": "label",
        "column": "label",
        "before": "low",
        "after": "high",
        "decision": "accept",
    }
    said = json.loads(site.ask("/decisions", "POST", kind, json.dumps(body).encode()).body)["detail"]
    assert said.startswith("decision: input should be 'accepted'")
    assert said.endswith("Given: 'accept'.")
    strange = {**body, "decision": "accepted", "clip": "x"}
    said = json.loads(site.ask("/decisions", "POST", kind, json.dumps(strange).encode()).body)["detail"]
    assert said == "clip: there is no such field. /openapi.json lists the fields."
    for broken in (b"{", b"[1]", b"decision=accept"):
        reply = site.ask("/decisions", "POST", kind, broken)
        assert (reply.status, b"/openapi.json" in reply.body) == (422, True)
    missing = json.loads(site.ask("/rows").body)["detail"]
    assert missing == "where: missing. It has no default; give a value."


def test_a_sound_that_is_sent_is_as_typical_as_its_clip(site: Site, sounding: Path) -> None:
    by_clip = {f"low/{n}.wav": found(site, ("clip", f"low/{n}.wav"))["typicality"] for n in range(6)}
    name, usual = min(by_clip.items(), key=lambda each: float(each[1]))
    assert usual < 1
    sent = ("a.wav", (sounding / name).read_bytes())
    for fields in ([], [("where", "label = 'high'")], [("diverse", "group")]):
        assert found(site, *fields, file=sent)["typicality"] == usual
    assert found(site, ("clip", name), ("seconds", "9"))["typicality"] == usual


def test_encode_is_that_of_the_space(site: Site, spaces: tuple[Path, Path], sounding: Path) -> None:
    space = Space.load(spaces[0])
    reply = json.loads(site.post("/encode", [("clip", "high/2.wav")]).body)
    assert (reply["identity"], reply["size"]) == (str(space.identity), 8)
    np.testing.assert_allclose(reply["vector"], space.encode("high/2.wav"), atol=1e-6)
    sent = json.loads(site.post("/encode", [], ("a.wav", (sounding / "high/2.wav").read_bytes())).body)
    np.testing.assert_allclose(sent["vector"], space.encode(sounding / "high/2.wav"), atol=1e-6)


def test_tag_says_what_the_run_says(site: Site, listener: Run, sounding: Path) -> None:
    from nearfield.training.tagging import tag

    names, said = tag(listener, [sounding / "high/3.wav"])
    assert set(names) == {"bright", "dark"}
    answer = json.loads(site.post("/tag", [("clip", "high/3.wav")]).body)["tags"]
    given = {each["name"]: each["probability"] for each in answer}
    np.testing.assert_allclose([given[name] for name in names], said[0], atol=1e-6)


def test_map_holds_every_clip_and_column(site: Site, spaces: tuple[Path, Path]) -> None:
    header, arrays = unpack(site.ask("/map?layout=pca_3d").body)
    space, table = Space.load(spaces[0]), Space.load(spaces[0]).rows().to_pandas()
    assert bytes(arrays["ids"]).decode().split("\0") == list(table["id"])
    centred = np.asarray(space.vectors, np.float64) - space.vectors.mean(0)
    points = arrays["points"].reshape(-1, 3)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    wanted = left[:, :3] * values[:3]
    np.testing.assert_allclose(gaps, np.linalg.norm(wanted[:, None] - wanted[None], axis=2), atol=1e-4)
    columns = {column["name"]: column for column in header["columns"]}
    assert [columns["label"]["names"][number] for number in arrays["label"]] == list(table["label"])
    assert [columns["session"]["names"][number] for number in arrays["session"]] == list(table["session"])
    np.testing.assert_allclose(arrays["seconds"], table["seconds"], rtol=1e-6)
    ends = arrays["tags/offsets"]
    tags = [
        [columns["tags"]["names"][number] for number in arrays["tags"][low:high]]
        for low, high in pairwise(ends)
    ]
    assert tags == [list(each) for each in table["tags"]]
    assert arrays["suspicion"][list(table["id"]).index("low/0.wav")] == np.float32(0.9)
    assert "path" not in columns
    assert "points" in unpack(site.ask("/map?layout=pca_2d&columns=false&space=1").body)[1]
    wrong = site.ask("/map?layout=sphere")
    assert (wrong.status, b"pca_2d" in wrong.body) == (400, True)


def test_rows_are_those_that_pandas_finds(site: Site, spaces: tuple[Path, Path]) -> None:
    table = Space.load(spaces[0]).rows().to_pandas()
    rows = np.frombuffer(site.ask("/rows?where=" + quote("label = 'low' and seconds > 0.5")).body, "<u4")
    wanted = np.flatnonzero((table["label"] == "low") & (table["seconds"] > 0.5))
    np.testing.assert_array_equal(rows, wanted)
    wrong = site.ask("/rows?where=" + quote("nonsense ="))
    assert wrong.status == 400
    assert "cannot be used" in json.loads(wrong.body)["detail"]


def test_nothing_is_played_but_what_was_indexed(site: Site, sounding: Path, tmp_path: Path) -> None:
    name, path = "low/2.wav", sounding / "low" / "2.wav"
    clip = f"/clips/{quote(name, safe='')}"
    whole = site.ask(f"{clip}/audio").body
    path.rename(tmp_path / "mine.wav")
    try:
        shutil.copy(sounding / "high" / "1.wav", tmp_path / "secret.wav")
        path.symlink_to(tmp_path / "secret.wav")
        for reply in (
            site.ask(f"{clip}/audio"),
            site.ask(f"{clip}/spectrogram"),
            site.post("/search", [("clip", name), ("start", "0.1")]),
            site.post("/encode", [("clip", name), ("seconds", "0.2")]),
        ):
            assert reply.status == 400
            said = json.loads(reply.body)["detail"]
            assert said.startswith(f"{name}: its file has changed since the space was made.")
            assert str(tmp_path) not in said
        path.unlink()
        path.symlink_to(tmp_path / "mine.wav")  # the same sound by another way
        assert site.ask(f"{clip}/audio").body == whole
    finally:
        path.unlink()
        (tmp_path / "mine.wav").rename(path)
    assert site.ask(f"{clip}/audio").body == whole


def test_clip_tells_its_columns_but_not_its_place(site: Site, sounding: Path) -> None:
    reply = site.ask(f"/clips/{quote(PIECE, safe='')}")
    told = json.loads(reply.body)
    assert (told["label"], told["start"], told["seconds"], told["tags"]) == ("low", 1.125, 0.5, ["tone"])
    assert told["columns"]["session"] == "session 2"
    assert str(sounding) not in reply.body.decode()


def test_suspects_and_spaces(site: Site, suspected: list[dict[str, object]]) -> None:
    assert json.loads(site.ask("/suspects").body)["suspects"] == suspected
    assert json.loads(site.ask("/suspects?kind=silent").body)["count"] == 1
    told = json.loads(site.ask("/spaces").body)
    assert [each["name"] for each in told["spaces"]] == ["tones", "beside"]
    assert (told["suspects"], told["watches"]) == (2, True)


def test_metrics_come_in_pieces(site: Site, listener: Run) -> None:
    runs = json.loads(site.ask("/runs").body)["runs"]
    assert [(each["name"], each["state"], each["updates"]) for each in runs] == [("listener", "judged", 8)]
    lines = [json.loads(line) for line in listener.folder.metrics.read_text().splitlines()]
    first = json.loads(site.ask("/runs/listener/metrics").body)
    assert first["lines"] == lines
    assert json.loads(site.ask(f"/runs/listener/metrics?after={first['next']}").body)["lines"] == []
    assert site.ask("/runs/..%2Frun/metrics").status == 404


def test_openapi_names_every_route(site: Site) -> None:
    described = json.loads(site.ask("/openapi.json").body)
    paths = described["paths"]
    assert "415" in paths["/search"]["post"]["responses"]
    assert "HTTPValidationError" not in described["components"]["schemas"]
    assert set(paths) == {
        "/search",
        "/encode",
        "/tag",
        "/spaces",
        "/map",
        "/rows",
        "/suspects",
        "/decisions",
        "/decisions.csv",
        "/decisions/undo",
        "/runs",
        "/runs/{name}/metrics",
        "/clips/{id}",
        "/clips/{id}/audio",
        "/clips/{id}/axes",
        "/clips/{id}/picture",
        "/clips/{id}/spectrogram",
        "/runs/{name}/triplets",
    }


def test_a_space_that_is_brought_up_to_date_twice_stays_as_it_was_opened(
    listener: Run, sounding: Path, tmp_path: Path
) -> None:
    shutil.copytree(sounding, tmp_path / "sounds")
    space = Space.create(listener, str(tmp_path / "sounds"), tmp_path / "space")
    ids = space.rows(["id"])["id"].to_pylist()
    SpaceMap.of(space.vectors, with_umap=False).save(
        tmp_path / "space" / MAP, ids, space.identity.digest, stamp_of(space.vectors)
    )
    with running(prepare(Show(tmp_path / "space"))) as site:

        def is_current() -> bool:
            return bool(json.loads(site.ask("/spaces").body)["spaces"][0]["is_current"])

        before = site.ask("/rows?where=" + quote("label = 'low'"))
        assert is_current()
        table = tmp_path / "sounds" / "labels.csv"
        for label in ("deep", "deeper"):
            table.write_text(table.read_text().replace(",low,", f",{label},", 1))
            assert Space.load(tmp_path / "space").update().kept == 30
            assert not is_current()
        after = site.ask("/rows?where=" + quote("label = 'low'"))
        assert (after.status, after.body) == (200, before.body)
        assert site.ask("/rows?where=low").status == 200
        assert site.post("/search", [("clip", "low/0.wav"), ("where", "deep")]).status == 200
