"""Many clients at once: what the server behind the page answers, how fast, and what memory it needs.

    python benchmarks/clients.py [--clients 64] [--seconds 60] [--space SPACE] [--json]

Starts `nearfield explore SPACE` as a process of its own. One client asks for each thing some times on one
kept connection, with nobody else there (`alone`). Then so many connections ask at once, each of which asks
for the next thing as soon as the last has come: sounds whole and in part, searches by clip and by upload,
filters, log-mels, columns, the map. Without a space one of 2,000 clips is made. Every answer is
looked at: the status, and that it is as long as it said. Memory is the resident size of the server's process
(Linux): after a first round of all requests, at the end, and the most there was.
"""

import argparse
import http.client
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import numpy as np

from nearfield.space.space import Space

SHARES = {
    "audio": 30,
    "audio, a range": 20,
    "search by clip": 20,
    "filter": 10,
    "spectrogram": 8,
    "columns": 5,
    "map": 4,
    "search by upload": 3,
}
"""How many of a hundred requests are of each kind."""
ALONE = 30
"""Requests of each kind on one kept connection, with nobody else there."""
FORM = "application/x-www-form-urlencoded"
MARK = "nearfield-clients"


@dataclass(frozen=True)
class Request:
    """What is sent."""

    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    wanted: int = 200


@dataclass
class PatchSummary:
    """What came back to one client."""

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)


def main() -> None:
    """Prints one row for each kind of request, and one for all."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--clients", type=int, default=64)
    given.add_argument("--seconds", type=float, default=60.0)
    given.add_argument("--space", type=Path)
    given.add_argument("--json", action="store_true", help="one JSON object in the place of the tables")
    asked = given.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        space = asked.space or made_space(Path(folder))
        found = load(space, asked.clients, asked.seconds)
    print(json.dumps(found)) if asked.json else show(found)


def made_space(folder: Path) -> Path:
    """A space of 2,000 pieces of one sound, by a run of one update."""
    from explore import make_space, tiny_run

    place: Path = make_space(folder, tiny_run(folder), 2_000)
    return place


def load(space: Path, clients: int, seconds: float) -> dict[str, object]:
    """Asks for so long from so many connections; figures, and all errors in words."""
    ids = Space.load(space).rows(["id"])["id"].to_pylist()
    with serving(space) as (address, process):
        sound = fetch(address, f"/clips/{quote(ids[0], safe='')}/audio")
        first, alone = PatchSummary(), PatchSummary()
        for kind in SHARES:  # so that what is made once is there
            ask_once(http.client.HTTPConnection(address, timeout=60), kind, draw(kind, ids, sound, 0), first)
        line = http.client.HTTPConnection(address, timeout=60)
        for kind in SHARES:
            for row in range(ALONE):
                ask_once(line, kind, draw(kind, ids, sound, row % len(ids)), alone)
        line.close()
        before, begun = resident(process, "VmRSS"), time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            work = [
                pool.submit(client, address, ids, sound, begun + seconds, each) for each in range(clients)
            ]
            tallies = [first, alone, *(each.result() for each in work)]
        passed = time.perf_counter() - begun
        memory = {"before": before, "after": resident(process, "VmRSS"), "most": resident(process, "VmHWM")}
    times = {kind: [x for tally in tallies[2:] for x in tally.milliseconds[kind]] for kind in SHARES}
    return {
        "clients": clients,
        "seconds": round(passed, 1),
        "alone": {kind: round(float(np.median(alone.milliseconds[kind])), 1) for kind in SHARES},
        "kinds": {kind: figures(some, passed) for kind, some in times.items() if some},
        "all": figures([x for some in times.values() for x in some], passed),
        "errors": [error for tally in tallies for error in tally.errors],
        "megabytes": memory,
    }


def client(address: str, ids: list[str], sound: bytes, until: float, number: int) -> PatchSummary:
    """One connection, one request after the other; some at least, however slow the machine."""
    tally, chance = PatchSummary(), random.Random(number)
    kinds = chance.choices(list(SHARES), list(SHARES.values()), k=997)
    line, count = http.client.HTTPConnection(address, timeout=60), 0
    while time.perf_counter() < until or count < len(SHARES):
        kind = kinds[count % len(kinds)]
        ask_once(line, kind, draw(kind, ids, sound, chance.randrange(len(ids))), tally)
        count += 1
    line.close()
    return tally


def draw(kind: str, ids: list[str], sound: bytes, row: int) -> Request:
    """A request of a kind about one clip."""
    clip, post = f"/clips/{quote(ids[row], safe='')}", {"Content-Type": FORM}
    if kind == "audio, a range":
        return Request(f"{clip}/audio", headers={"Range": "bytes=1000-8999"}, wanted=206)
    if kind == "search by clip":
        return Request("/search", "POST", post, urlencode({"clip": ids[row], "top": 12}).encode())
    if kind == "search by upload":
        head = f'--{MARK}\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        kinds = {"Content-Type": f"multipart/form-data; boundary={MARK}"}
        return Request("/search", "POST", kinds, head.encode() + sound + f"\r\n--{MARK}--\r\n".encode())
    plain = {
        "audio": f"{clip}/audio",
        "filter": "/rows?" + urlencode({"where": f"seconds > 0 and id > '{ids[row].replace(chr(39), '')}'"}),
        "spectrogram": f"{clip}/spectrogram",
        "columns": clip,
        "map": "/map",
    }
    return Request(plain[kind])


def ask_once(line: http.client.HTTPConnection, kind: str, asked: Request, tally: PatchSummary) -> None:
    """One request and its answer, read to the end; what goes wrong is written down."""
    begun = time.perf_counter()
    try:
        line.request(asked.method, asked.path, asked.body, asked.headers)
        reply = line.getresponse()
        body = reply.read()
    except (OSError, http.client.HTTPException) as error:
        tally.errors.append(f"{kind}: {error!r}")
        line.close()
        return
    tally.milliseconds[kind].append(1000 * (time.perf_counter() - begun))
    if reply.status != asked.wanted:
        tally.errors.append(f"{kind}: {reply.status} {body[:200]!r}")
    elif len(body) != int(reply.headers.get("content-length", len(body))):
        tally.errors.append(f"{kind}: {len(body)} bytes came")


@contextmanager
def serving(space: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The server as a process of its own: where it listens, and the process."""
    words = ["-m", "nearfield", "explore", str(space), "--port", "0", "--no-browser"]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield urlsplit(process.stdout.readline().strip()).netloc, process
    finally:
        process.terminate()
        process.wait(20)


def fetch(address: str, path: str) -> bytes:
    """The body of one answer; asked again while the server begins."""
    for _ in range(100):
        try:
            line = http.client.HTTPConnection(address, timeout=60)
            line.request("GET", path)
            return line.getresponse().read()
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise SystemExit("the server did not begin")


def resident(process: subprocess.Popen[str], what: str) -> float:
    """Megabytes of a process: VmRSS now, VmHWM the most so far."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.split(f"{what}:")[1].split()[0]) / 1024


def figures(milliseconds: list[float], passed: float) -> dict[str, float]:
    """How many, a second, the median and the 99th percentile in milliseconds."""
    median, late = np.percentile(milliseconds, [50, 99])
    count = len(milliseconds)
    return {
        "requests": count,
        "a second": round(count / passed, 1),
        "median": round(float(median), 1),
        "p99": round(float(late), 1),
    }


def show(found: dict[str, object]) -> None:
    """The same as tables."""
    kinds, memory, alone = found["kinds"], found["megabytes"], found["alone"]
    assert isinstance(kinds, dict)
    assert isinstance(alone, dict)
    assert isinstance(memory, dict)
    print("| request | alone, ms | number | a second | median, ms | p99, ms |\n|---|---|---|---|---|---|")
    for kind, row in {**kinds, "all": found["all"]}.items():
        first = f"| {kind} | {alone.get(kind, '')} | {row['requests']:,} | {row['a second']} "
        print(f"{first}| {row['median']} | {row['p99']} |")
    errors = found["errors"]
    assert isinstance(errors, list)
    used = ", ".join(f"{name} {value:.0f} MB" for name, value in memory.items())
    print(f"\n{found['clients']} clients for {found['seconds']} s: {len(errors)} errors. Memory: {used}")
    for error in errors[:20]:
        print(f"  {error}")


if __name__ == "__main__":
    main()
