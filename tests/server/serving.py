"""A small real space, served on this machine for as long as tests ask it."""

import csv
import http.client
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile

from nearfield.server.guard import Access
from nearfield.server.serve import MAP, Show, listen, prepare, server
from nearfield.server.state import AppState
from nearfield.space.map import SpaceMap, stamp_of
from nearfield.space.space import Space
from nearfield.training.api import train
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from tests.training.conftest import small

RATE = 8000
PITCHES = {"low": 200.0, "middle": 700.0, "high": 2300.0}


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Site:
    """A server that is running."""

    port: int
    exhibition: AppState

    @property
    def address(self) -> str:
        """What a browser opens."""
        return f"http://127.0.0.1:{self.port}/"

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
    ) -> Reply:
        """One request whose path is sent as it is."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            given = {"Host": f"127.0.0.1:{self.port}", **(headers or {})}
            if isinstance(body, bytes):
                given.setdefault("Content-Length", str(len(body)))
            elif body is not None:
                given["Transfer-Encoding"] = "chunked"
            for name, value in given.items():
                line.putheader(name, value)
            line.endheaders(body, encode_chunked=body is not None and not isinstance(body, bytes))
            reply = line.getresponse()
            names = {name.lower(): value for name, value in reply.getheaders()}
            return Reply(reply.status, names, reply.read())
        finally:
            line.close()

    def post(self, path: str, fields: list[tuple[str, str]], file: tuple[str, bytes] | None = None) -> Reply:
        """A form, with a file where one is given."""
        mark = uuid.uuid4().hex
        parts = [
            f'--{mark}\r\ncontent-disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode()
            for n, v in fields
        ]
        if file is not None:
            head = f'--{mark}\r\ncontent-disposition: form-data; name="file"; filename="{file[0]}"\r\n\r\n'
            parts.append(head.encode() + file[1] + b"\r\n")
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        return self.ask(path, "POST", kind, b"".join(parts) + f"--{mark}--\r\n".encode())


@contextmanager
def running(exhibition: AppState, access: Access | None = None) -> Iterator[Site]:
    """Serves in a thread of its own."""
    access = access or Access(port=0)
    listening = listen(access)
    access = replace(access, port=int(listening.getsockname()[1]))
    serving = server(exhibition, access)
    thread = Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield Site(access.port, exhibition)
    finally:
        serving.should_exit = True
        thread.join(60)
        listening.close()
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones of three classes with tags, mono and stereo, whole files and pieces of long ones; a table."""
    folder = tmp_path_factory.mktemp("sounding")
    chance = np.random.default_rng(0)
    rows = []
    for label, pitch in PITCHES.items():
        for number in range(8):
            path = f"{label}/{number} ä#.wav" if number == 7 else f"{label}/{number}.wav"
            seconds = 0.4 + 0.05 * number
            wave = _tone(chance, pitch * (1 + 0.02 * number), seconds)
            stereo = np.stack([wave, 0.5 * wave], 1) if number == 6 else wave
            (folder / label).mkdir(exist_ok=True)
            soundfile.write(folder / path, stereo, RATE, subtype="PCM_16")
            tags = "tone|bright" if label == "high" else "tone|dark"
            split = ("train", "train", "val", "test")[number % 4]
            rows.append([path, label, tags, split, f"session {number % 2}", "", ""])
        long = np.concatenate([_tone(chance, pitch * k, 1.0) for k in (0.9, 1.1)])
        soundfile.write(folder / f"{label}.flac", long, RATE, subtype="PCM_16")
        rows += [
            [f"{label}.flac", label, "tone", "train", "session 2", start, "0.5"]
            for start in ("0.25", "1.125")
        ]
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["path", "label", "tags", "split", "session", "start", "seconds"], *rows])
    return folder


@pytest.fixture(scope="session")
def listener(tmp_path_factory: pytest.TempPathFactory, sounding: Path) -> Run:
    """A run that was trained on them for a moment, and measured."""
    sampler = {"kind": "balanced", "classes": 3, "per_class": 2}
    recipe = Recipe.of(small(train={"updates": 8, "checkpoint_seconds": 0}, sampler=sampler))
    return train(recipe, sounding, tmp_path_factory.mktemp("runs") / "listener")


@pytest.fixture(scope="session")
def spaces(tmp_path_factory: pytest.TempPathFactory, sounding: Path, listener: Run) -> tuple[Path, Path]:
    """The space of that run, and one of the same recipe trained for an update from another seed."""
    folder = tmp_path_factory.mktemp("spaces")
    plain = listener.recipe.plain() | {"train": {"updates": 1, "checkpoint_seconds": 0}}
    other = train(Recipe.of(plain), sounding, folder / "run", seed=1)
    for run, name in ((listener, "tones"), (other, "beside")):
        space = Space.create(run, str(sounding), folder / name)
        made = SpaceMap.of(space.vectors, with_umap=False)  # whose compiler takes a quarter of a minute
        ids = space.rows(["id"])["id"].to_pylist()
        made.save(folder / name / MAP, ids, space.identity.digest, stamp_of(space.vectors))
    return folder / "tones", folder / "beside"


@pytest.fixture(scope="session")
def suspected(spaces: tuple[Path, Path]) -> list[dict[str, object]]:
    """Two clips that something is said of."""
    common = {"suggestion": "Listen.", "other": None}
    return [
        {
            "id": "low/0.wav",
            "kind": "label",
            "score": 0.9,
            "reason": "All differ.",
            "proposed": "high",
            **common,
        },
        {"id": "low/1.wav", "kind": "silent", "score": 0.4, "reason": "Quiet.", "proposed": None, **common},
    ]


@pytest.fixture(scope="session")
def shown(
    spaces: tuple[Path, Path],
    listener: Run,
    suspected: list[dict[str, object]],
    tmp_path_factory: pytest.TempPathFactory,
) -> AppState:
    """Both spaces, the suspects, and the run's curves."""
    table = tmp_path_factory.mktemp("decided") / "decisions.csv"
    return prepare(Show(*spaces, listener.folder.path, suspected, table))


@pytest.fixture(scope="session")
def site(shown: AppState) -> Iterator[Site]:
    """All of it, served."""
    with running(shown) as found:
        yield found


@pytest.fixture(scope="session")
def alone(shown: AppState) -> Iterator[Site]:
    """The first space by itself, served."""
    with running(replace(shown, spaces=shown.spaces[:1])) as found:
        yield found


Serve = Callable[[AppState, Access], Iterator[Site]]


def _tone(chance: np.random.Generator, pitch: float, seconds: float) -> np.ndarray:
    time = np.arange(round(RATE * seconds)) / RATE
    return 0.3 * np.sin(2 * np.pi * pitch * time) + 0.02 * chance.standard_normal(len(time))
