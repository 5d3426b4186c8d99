"""What a client points at: channels that are clips, endless spans; and no answer says where it lies."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nearfield.server.serve import MAP, Show, prepare
from nearfield.server.state import AppState
from nearfield.space.map import SpaceMap, stamp_of
from nearfield.space.space import Space
from nearfield.training.api import train
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from tests.server.serving import RATE, Site, running
from tests.training.conftest import small

SECONDS = 0.4


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> AppState:
    """A space in which each of two channels, a low tone and a high one, is a clip."""
    folder = tmp_path_factory.mktemp("views")
    chance, time = np.random.default_rng(0), np.arange(round(RATE * SECONDS)) / RATE
    for label in "ab":
        (folder / "data" / label).mkdir(parents=True)
        for number in range(6):
            tones = [0.3 * np.sin(2 * np.pi * pitch * time) for pitch in (200, 2300)]
            noisy = np.stack(tones, 1) + 0.01 * chance.standard_normal((len(time), 2))
            soundfile.write(folder / "data" / label / f"{number}.wav", noisy, RATE, subtype="FLOAT")
    data = {"sample_rate": RATE, "clip_seconds": SECONDS, "channels": "views"}
    recipe = small(
        data=data, sampler={"kind": "balanced", "classes": 2, "per_class": 4}, train={"updates": 1}
    )
    run = train(Recipe.of(recipe), folder / "data", folder / "run", device="cpu")
    space = Space.create(run, str(folder / "data"), folder / "space")
    made, ids = SpaceMap.of(space.vectors, with_umap=False), space.rows(["id"])["id"].to_pylist()
    made.save(folder / "space" / MAP, ids, space.identity.digest, stamp_of(space.vectors))
    return prepare(Show(folder / "space"))


def encoded(site: Site, *fields: tuple[str, str], file: tuple[str, bytes] | None = None) -> np.ndarray:
    reply = site.post("/encode", list(fields), file)
    assert reply.status == 200, reply.body
    return np.array(json.loads(reply.body)["vector"])


def test_a_part_of_a_channel_is_heard_from_that_channel(views: AppState) -> None:
    with running(views) as site:
        for channel in (0, 1):
            name = next(name for name in views.spaces[0].rows if name.endswith(f"0.wav#channel{channel}"))
            whole = encoded(site, ("clip", name))
            np.testing.assert_allclose(encoded(site, ("clip", name), ("seconds", "9")), whole, atol=1e-6)
        assert not np.allclose(
            whole, encoded(site, ("clip", name.replace("#channel1", "#channel0"))), atol=1e-3
        )


def test_a_sound_that_is_sent_is_heard_by_the_mean_of_its_channels(views: AppState, tmp_path: Path) -> None:
    waves, _ = soundfile.read(views.spaces[0].at(0).path, dtype="float32")
    soundfile.write(tmp_path / "mean.wav", waves.mean(1), RATE, subtype="FLOAT")
    with running(views) as site:
        stereo, mean = (
            encoded(site, file=("a.wav", path.read_bytes()))
            for path in (views.spaces[0].at(0).path, tmp_path / "mean.wav")
        )
    np.testing.assert_allclose(stereo, mean, atol=1e-6)


@pytest.mark.parametrize("seconds", ["inf", "1e308"])
@pytest.mark.parametrize("path", ["/encode", "/tag"])
def test_more_than_there_is_is_all_there_is(site: Site, sounding: Path, path: str, seconds: str) -> None:
    sent = ("a.flac", (sounding / "low.flac").read_bytes())
    whole = site.post(path, [("start", "0.5")], sent)
    asked = site.post(path, [("start", "0.5"), ("seconds", seconds)], sent)
    assert (asked.status, asked.body) == (whole.status, whole.body) == (200, whole.body)
    late = site.post(path, [("start", seconds)], sent)
    assert (late.status, b"is after the end of the sound" in late.body) == (400, True)


def test_no_error_says_where_things_lie(
    spaces: tuple[Path, Path], sounding: Path, listener: Run, tmp_path: Path
) -> None:
    shows = prepare(Show(spaces[0], watch=listener.folder.path))
    run, away = listener.folder.path, tmp_path / "away"
    shutil.move(run, away)
    shutil.move(sounding / "low" / "0.wav", tmp_path / "0.wav")
    try:
        with running(shows) as site:
            part = [("clip", "low/0.wav"), ("seconds", "0.1")]
            replies = {
                "0.wav: there is no such file": [site.post(path, part) for path in ("/search", "/encode")]
                + [site.ask(f"/clips/low%2F0.wav/{what}") for what in ("audio", "spectrogram")],
                run.name: [site.post("/tag", [("clip", "low/1.wav")])],
            }
    finally:
        shutil.move(away, run)
        shutil.move(tmp_path / "0.wav", sounding / "low" / "0.wav")
    for said, several in replies.items():
        for reply in several:
            text = reply.body.decode()
            assert reply.status == 400
            assert said in text
            assert not any(str(place) in text for place in (sounding, run.parent, spaces[0].parent)), text
