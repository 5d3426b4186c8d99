"""Who is let in, what is served, and how much may be sent."""

import contextlib
import http.client
import io
import json
import resource
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from nearfield.core.errors import RequestError, WorkError
from nearfield.server import guard as connections
from nearfield.server.guard import Access
from nearfield.server.media import WavRange, byte_range
from nearfield.server.serve import Show, listen, prepare
from nearfield.server.state import AppState, Limits, pack, unpack
from tests.server.serving import RATE, Site, running

TOKEN = "a token of some length"
AUDIO = "/clips/" + quote("low/0.wav", safe="") + "/audio"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "[::1]:{port}"}, 200),
        ({"Host": "rebound.example:{port}"}, 403),
        ({"Host": "127.0.0.1.rebound.example:{port}"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://127.0.0.1:{port}"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "[::1]x:{port}"}, 403),
        ({"Host": "localhost:"}, 403),
        ({"Host": "localhost"}, 200),
    ],
)
def test_host_and_origin(alone: Site, headers: dict[str, str], status: int) -> None:
    filled = {name: value.format(port=alone.port) for name, value in headers.items()}
    assert alone.ask(AUDIO, headers=filled).status == status


@pytest.mark.parametrize(
    ("path", "dest", "status"),
    [
        ("/", "document", 200),
        ("/watch", "document", 200),
        ("/docs", "document", 200),
        ("/", "iframe", 403),
        ("/", "", 403),
        ("/rows?where=low", "document", 403),
        ("/spaces", "document", 403),
        ("/static/explore.js", "document", 403),
    ],
)
def test_another_site_may_lead_to_a_page_and_to_nothing_else(
    alone: Site, path: str, dest: str, status: int
) -> None:
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": dest}
        assert alone.ask(path, headers=headers).status == status
        assert alone.ask(path, "POST", headers).status == 403


HEAVY = [
    "1+" * 900 + "1 > 0",
    "array_length(array_repeat(label, 10000000)) > 0",
    "length(repeat(label, 10000000)) > 0",
    "label = ?",
    "label = $1",
    "(" * 900 + "label = 'low'" + ")" * 900,
    "starts_with(path, '/')",
]


@pytest.mark.parametrize("where", HEAVY)
def test_no_filter_ends_the_server_fills_its_memory_or_tells_where_files_lie(alone: Site, where: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for reply in (
        alone.ask("/rows?where=" + quote(where, safe="")),
        alone.post("/search", [("clip", "low/0.wav"), ("where", where)]),
    ):
        assert reply.status == 400
        assert "cannot be used: " in json.loads(reply.body)["detail"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    assert alone.ask("/rows?where=low").status == 200


def test_an_origin_that_was_let_in_asks_by_script(shown: AppState) -> None:
    mine = "https://mine.example:8443"
    with running(shown, Access(port=0, origins=(mine,), token=TOKEN)) as site:
        foreign = {"Origin": mine, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        asks = {**foreign, "Access-Control-Request-Method": "POST"}
        before = site.ask("/search", "OPTIONS", asks)
        assert (before.status, before.headers["access-control-allow-origin"]) == (200, mine)
        assert "authorization" in before.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in before.headers
        assert site.ask("/spaces", headers=foreign).status == 401
        found = site.ask("/spaces", headers={**foreign, "Authorization": f"Bearer {TOKEN}"})
        assert (found.status, found.headers["access-control-allow-origin"]) == (200, mine)
        other = site.ask("/spaces", headers={**foreign, "Origin": "https://mine.example"})
        assert other.status == 403
        assert "--allow-origin https://mine.example" in other.body.decode()
        assert "access-control-allow-origin" not in other.headers
        assert site.ask("/spaces", "OPTIONS", {**asks, "Origin": "https://mine.example"}).status == 403
    for wrong in ("*", "null", "mine.example", "https://mine.example/", "https://a@b", "ftp://x"):
        with pytest.raises(RequestError, match="is not an origin"):
            Access(origins=(wrong,))


def test_the_reference_names_every_route_and_field(alone: Site) -> None:
    page = alone.ask("/docs")
    assert page.headers["content-type"].startswith("text/html")
    text = page.body.decode()
    document = json.loads(alone.ask("/openapi.json").body)
    for path in document["paths"]:
        assert path in text
    for word in (
        "<td>where",
        "<td>diverse",
        "group | recording",
        "<td>file",
        "<td>decision",
        "accepted | rejected",
    ):
        assert word in text, word
    assert "<script" not in text


def test_every_answer_is_sealed(alone: Site) -> None:
    for reply in (
        alone.ask("/"),
        alone.ask("/static/explore.js"),
        alone.ask("/no/such"),
        alone.ask(AUDIO),
        alone.ask("/", headers={"Host": "x"}),
        alone.post("/search", []),
    ):
        assert reply.headers["content-security-policy"].startswith("default-src 'self';")
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in reply.headers


def test_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    from nearfield.server.serve import STATIC

    for page in STATIC.glob("*.html"):
        text = page.read_text()
        assert "style=" not in text
        assert "<script>" not in text
        assert not any(f" on{event}=" in text for event in ("click", "load", "error", "submit"))
    for asset in STATIC.iterdir():
        text = asset.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, asset
        assert "https://" not in text, asset
        assert "innerHTML" not in text, asset


def test_other_addresses_need_a_token() -> None:
    with pytest.raises(RequestError, match=r"--host: other machines can reach 0\.0\.0\.0"):
        Access(host="0.0.0.0")
    for host in ("127.evil.com", "127.0.0.1.evil.com", "127.1", "::2"):
        with pytest.raises(RequestError, match="other machines can reach"):
            Access(host=host)
    assert Access(host="127.0.0.2").is_loopback
    with pytest.raises(RequestError, match="--token: it has 15 characters; it needs at least 16"):
        Access(token="x" * 15)
    assert Access(host="0.0.0.0", token=TOKEN).allows_host("192.168.1.7:8787")
    assert not Access(host="0.0.0.0", token=TOKEN).allows_host("rebound.example:8787")
    assert not Access().allows_host("192.168.1.7:8787")


def test_token_is_given_once_and_then_a_cookie(shown: AppState) -> None:
    with running(shown, Access(port=0, token=TOKEN)) as site:
        assert site.ask(AUDIO).status == 401
        assert site.ask("/openapi.json").status == 401
        assert site.ask(AUDIO, headers={"Authorization": "Bearer wrong"}).status == 401
        assert site.ask("/?token=wrong").status == 401
        assert site.ask(AUDIO, headers={"Cookie": f"nearfield={quote(TOKEN)}"}).status == 401
        assert site.ask(AUDIO, headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
        welcome = site.ask(f"/watch?token={quote(TOKEN)}&a=b")
        assert (welcome.status, welcome.headers["location"]) == (303, "/watch?a=b")
        cookie = welcome.headers["set-cookie"]
        assert TOKEN not in cookie
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert site.ask(AUDIO, headers={"Cookie": cookie.split(";")[0]}).status == 200
        away = site.ask(f"//elsewhere.example/?token={quote(TOKEN)}").headers.get("location", "/")
        assert not away.startswith("//")
        for asked in ("/%09/elsewhere.example/", "/a%0d%0ab", "/clips/low%2F7%20%C3%A4%23.wav"):
            moved = site.ask(f"{asked}?token={quote(TOKEN)}").headers["location"]
            assert moved.lower() == asked.lower().replace("%2f", "/")


def test_a_wrong_token_takes_its_time(shown: AppState) -> None:
    with running(shown, Access(port=0, token=TOKEN)) as site:

        def seconds(**headers: str) -> float:
            begun = time.perf_counter()
            site.ask("/spaces", headers=headers)
            return time.perf_counter() - begun

        assert seconds(Authorization="Bearer wrong") >= 1
        assert seconds(Authorization=f"Bearer {TOKEN}") < 0.9
        assert seconds() < 0.9


def test_a_kept_connection_answers_at_once(alone: Site) -> None:
    line = http.client.HTTPConnection("127.0.0.1", alone.port, timeout=60)
    waited = []
    for _ in range(15):
        begun = time.perf_counter()
        line.request("GET", "/spaces", headers={"Host": f"127.0.0.1:{alone.port}"})
        line.getresponse().read()
        waited.append(time.perf_counter() - begun)
    line.close()
    assert np.median(waited) < 0.02, waited  # 0.048 where Nagle's algorithm is on


def test_silent_connections_shut_nobody_out(shown: AppState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 1.0)
    monkeypatch.setattr(connections.Room, "of_system", lambda: connections.Room(20, 10))
    with running(shown) as site, contextlib.ExitStack() as held:
        lines = [held.enter_context(socket.create_connection(("127.0.0.1", site.port))) for _ in range(60)]
        for line in lines[10:20]:
            line.sendall(b"GET /spaces HTTP/1.1\r\nHost: x")
        for line in lines[:10]:
            line.sendall(
                b"POST /search HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 9\r\n\r\n" % site.port
            )
        for _ in range(20):
            with contextlib.suppress(OSError):  # a head that comes drop by drop is no request
                lines[10].sendall(b"x")
            time.sleep(0.1)
        assert site.ask("/spaces").status == 200


def test_more_connections_than_files_are_told_and_the_log_stays_short(spaces: tuple[Path, Path]) -> None:
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))\n"
        "from nearfield.cli.main import main; main()"
    )
    words = [sys.executable, "-c", script, "explore", str(spaces[0]), "--port", "0", "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().strip().rstrip("/").rpartition(":")[2])
        with contextlib.ExitStack() as held:
            for _ in range(150):
                held.enter_context(socket.create_connection(("127.0.0.1", port)))
            time.sleep(1.5)
        assert Site(port, AppState()).ask("/spaces").status == 200
    finally:
        process.terminate()
        said = process.communicate(timeout=30)[1]
    assert len(said) < 20_000, said[:2000]


def traversals(root: Path) -> list[str]:
    """200 ways to ask for files that are no clips."""
    secret = str(root / "secret.txt")
    names = ["secret.txt", "labels.csv", "tones/space.json", "passwd", "low/0.wav/../../secret.txt"]
    ups = [
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%5c",
        "..\\",
        "....//",
        "%252e%252e%252f",
        "..%c0%af",
        ".%00./",
    ]
    found = [up * depth + name for up in ups for depth in (1, 2, 4, 8) for name in names[:4]]
    found += [quote(secret, safe=""), quote("/" + secret, safe=""), "file:%2f%2f" + quote(secret, safe="")]
    found += [f"low%2f0.wav%00{name}" for name in names] + [f"low/0.wav;{name}" for name in names]
    found += [f"low%2f0.wav%2f{up * depth}{names[0]}" for up in ups[:8] for depth in (1, 3)]
    found += [
        "low%2f0.wav%23",
        "%2flow%2f0.wav",
        ".%2flow%2f0.wav",
        "low%2f%2f0.wav",
        "LOW%2f0.WAV",
        "~",
        "*",
        "%20",
    ]
    found += ["C:%5csecret.txt", "%00", "low", "low%2f", ".", "..", "CON"]
    assert len(found) >= 200
    return found[:200]


def test_nothing_but_clips_is_served(alone: Site, sounding: Path) -> None:
    (sounding / "secret.txt").write_text("TELL NOBODY")
    for attempt in traversals(sounding):
        for place in ("/clips/{}/audio", "/clips/{}/spectrogram", "/clips/{}", "/static/{}"):
            reply = alone.ask(place.format(attempt.replace(" ", "%20")))
            assert 400 <= reply.status < 500, (place, attempt, reply.status)
            assert b"TELL NOBODY" not in reply.body
            assert b"RIFF" not in reply.body
            assert str(sounding).encode() not in reply.body, (place, attempt)


def wave(frames: int, channels: int = 1, rate: int = RATE) -> bytes:
    """A WAV file of a faint noise."""
    out = io.BytesIO()
    chance = np.random.default_rng(0)
    soundfile.write(
        out, 0.1 * chance.standard_normal((frames, channels)), rate, format="WAV", subtype="PCM_16"
    )
    return out.getvalue()


def test_uploads_are_looked_at_before_they_are_decoded(shown: AppState) -> None:
    small = replace(
        shown, limits=Limits(body_bytes=200_000, seconds=2.0, reach=4.0, channels=2, samples=20_000)
    )
    lie = bytearray(wave(RATE))
    struct.pack_into("<I", lie, 40, 2**31 - 1)  # the header promises hours
    with running(small) as site:

        def status(name: str, body: bytes, *fields: tuple[str, str]) -> tuple[int, str]:
            reply = site.post("/search", list(fields), (name, body))
            return reply.status, reply.body.decode()

        assert status("a.wav", wave(RATE))[0] == 200
        assert "are allowed. Give start" in status("a.wav", wave(3 * RATE))[1]
        assert status("a.wav", wave(3 * RATE), ("start", "1"), ("seconds", "1.5"))[0] == 200
        assert (
            "at most the first 4 s are decoded"
            in status("a.wav", wave(9 * RATE), ("start", "3.5"), ("seconds", "1"))[1]
        )
        assert "3 channels; at most 2 are allowed" in status("a.wav", wave(RATE, 3))[1]
        assert "at most 1 s are allowed" in status("a.wav", wave(RATE + 9000, 2))[1]
        assert status("a.wav", bytes(lie))[0] in (200, 400)
        for name, body in {"a.wav": b"", "b.mp3": b"no sound", "../../c.flac": b"fLaC" + bytes(40)}.items():
            code, said = status(name, body)
            assert (code, "/tmp" in said) == (400, False), said
        assert status("a.wav", wave(120_000))[0] == 413


def test_bodies_are_counted_while_they_arrive(shown: AppState) -> None:
    with running(replace(shown, limits=Limits(body_bytes=100_000))) as site:
        kind = {"Content-Type": "multipart/form-data; boundary=x"}

        def pieces(count: int) -> Iterator[bytes]:
            yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
            for _ in range(count):
                yield bytes(10_000)
            yield b"\r\n--x--\r\n"

        assert site.ask("/search", "POST", kind, pieces(5)).status == 400  # not a sound, but not too long
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it did not wait for the rest
            assert site.ask("/search", "POST", kind, pieces(40)).status == 413


def test_many_clients_at_once(alone: Site, sounding: Path) -> None:
    sent = (sounding / "high/0.wav").read_bytes()
    whole = alone.ask(AUDIO).body
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def visit(number: int) -> None:
        assert alone.ask(AUDIO).body == whole
        assert alone.ask(AUDIO, headers={"Range": f"bytes={number}-"}).body == whole[number:]
        assert alone.ask("/map?layout=pca_2d").status == 200
        found = json.loads(alone.post("/search", [("top", "1")], ("a.wav", sent)).body)
        assert found["answers"][0]["id"] == "high/0.wav"
        assert alone.ask(AUDIO.replace("audio", "spectrogram")).status == 200

    with ThreadPoolExecutor(64) as clients:
        list(clients.map(visit, range(128)))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 * 1024, f"{grown / 1024:.0f} MB"  # kilobytes on Linux


def test_a_taken_port_is_named() -> None:
    first = listen(Access(port=0))
    with pytest.raises(WorkError, match="Choose another --port"):
        listen(Access(port=int(first.getsockname()[1])))
    first.close()


def test_nothing_to_show_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="There is nothing to show"):
        prepare(Show())
    with pytest.raises(RequestError, match="No space at"):
        prepare(Show(space=tmp_path))
    with pytest.raises(RequestError, match="is not a folder"):
        prepare(Show(watch=tmp_path / "none"))


def test_the_head_of_a_window_beyond_4_gib_names_the_most_that_it_can() -> None:
    for frames, said in (
        (1000, (4036, 4000)),
        (2**30 - 12, (2**32 - 12, 2**32 - 48)),
        (2**31, (2**32 - 1,) * 2),
    ):
        window = WavRange(Path("long.w64"), 0, frames, RATE, 2, None)
        head = window.head()
        assert (len(head), window.size) == (44, 44 + 4 * frames)
        assert (struct.unpack_from("<I", head, 4)[0], struct.unpack_from("<I", head, 40)[0]) == said


@given(st.integers(0, 400), st.integers(1, 400))
def test_any_bytes_of_a_window(sounding: Path, begin: int, length: int) -> None:
    window = WavRange.of(sounding / "low.flac", 0.3, 0.011)
    whole = b"".join(window.read(0, window.size))
    assert len(whole) == window.size == 44 + 2 * 88
    begin = min(begin, window.size - 1)
    end = min(window.size, begin + length)
    assert b"".join(window.read(begin, end)) == whole[begin:end]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 50))
def test_byte_ranges(low: int, high: int, size: int) -> None:
    whole = list(range(size))
    if low >= size and low <= high:
        with pytest.raises(ValueError, match="beyond"):
            byte_range(f"bytes={low}-{high}", size)
    elif low <= high:
        first, last = byte_range(f"bytes={low}-{high}", size) or (-1, -1)
        assert whole[first:last] == [place for place in whole if low <= place <= high]
    else:
        assert byte_range(f"bytes={low}-{high}", size) is None
    if high:
        first, last = byte_range(f"bytes=-{high}", size) or (-1, -1)
        assert whole[first:last] == whole[-high:]


def test_more_than_two_channels_become_one(tmp_path: Path) -> None:
    path = tmp_path / "four.wav"
    chance = np.random.default_rng(0)
    sound = (0.2 * chance.standard_normal((1000, 4))).astype(np.float32)
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    for channel, wanted in ((None, sound.mean(1)), (2, sound[:, 2])):
        window = WavRange.of(path, 0.0, 1.0, channel)
        heard, _ = soundfile.read(io.BytesIO(b"".join(window.read(0, window.size))), dtype="float32")
        np.testing.assert_allclose(heard, wanted, atol=1 / 32768)


def test_packing_is_undone() -> None:
    arrays: dict[str, np.ndarray] = {
        "a": np.arange(3, dtype=np.float32),
        "b": np.array([-1, 5], np.int32),
        "c": np.array([], np.uint32),
        "ä": np.arange(5, dtype=np.uint8),
    }
    header, found = unpack(pack({"name": "ü"}, arrays))
    assert header["name"] == "ü"
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_every_sample_of_16_bits_is_kept(tmp_path: Path) -> None:
    every = np.arange(-32768, 32768, dtype=np.int16)
    soundfile.write(tmp_path / "all.wav", every, RATE, subtype="PCM_16")
    window = WavRange.of(tmp_path / "all.wav", 0.0, 60.0)
    heard, _ = soundfile.read(io.BytesIO(b"".join(window.read(0, window.size))), dtype="int16")
    np.testing.assert_array_equal(heard, every)
