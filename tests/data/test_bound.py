"""The bound on the cache: what goes, and what stays."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nearfield.core.errors import RequestError
from nearfield.data import packs as bound
from nearfield.data.collection import Collection
from nearfield.data.packs import VARIABLE, Packs, keep_within, limit, taking
from nearfield.data.settings import DataSettings
from nearfield.data.store import Store

BYTES = 40_000
USE = """
import sys
from pathlib import Path
from nearfield.data.packs import taking
with taking(Path(sys.argv[1])) as take:
    take([Path(sys.argv[2])])
print("taken", flush=True)
sys.stdin.read()
"""


def pack(cache: Path, folder: str, age: int) -> Path:
    """A pack of 40 kB that was last used `age` seconds ago."""
    packs = Packs(cache / folder, np.float32)
    with packs.writing() as writer:
        writer.add("a", [np.zeros(BYTES // 4, np.float32)])
    (made,) = (cache / folder).glob("*.npy")
    os.utime(made, (made.stat().st_mtime - age,) * 2)
    return made


@contextmanager
def using(cache: Path, entry: Path) -> Iterator[None]:
    """Another process that uses a pack while the block runs."""
    command = [sys.executable, "-c", USE, str(cache), str(entry)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        yield
        other.communicate("")


def test_what_was_used_longest_ago_goes_first_and_never_what_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ages = {"waves/a": 30, "photographs/b": 40, "features/c": 10, "waves/d": 20}
    packs = {folder: pack(tmp_path, folder, age) for folder, age in ages.items()}
    monkeypatch.setenv(VARIABLE, str(2.5 * BYTES / 1e9))
    with using(tmp_path, packs["photographs/b"]):  # which makes it the newest, and keeps it beside
        assert keep_within(tmp_path) >= 2 * BYTES
        assert [each for each in packs if packs[each].is_file()] == ["photographs/b", "features/c"]
        monkeypatch.setenv(VARIABLE, "0")
        assert keep_within(tmp_path) >= BYTES
        assert packs["photographs/b"].is_file()
    assert keep_within(tmp_path) >= BYTES
    assert not list(tmp_path.rglob("*.npy"))
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("in-use/*.txt"))


def test_the_store_keeps_its_own_and_removes_what_ended_processes_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, rng = tmp_path / "cache", np.random.default_rng(0)
    old = pack(cache, "waves/v0", 5)
    for at in range(3):
        (tmp_path / "set").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"set/{at}.wav", rng.uniform(-0.5, 0.5, 8000), 8000)
    monkeypatch.setenv(VARIABLE, "0")
    told: list[str] = []
    data, settings = Collection.load(tmp_path / "set"), DataSettings(sample_rate=8000, clip_seconds=1)
    Store(cache).usable(data, settings, tell=told.append)
    assert not old.exists()
    (said,) = told
    assert VARIABLE in said
    assert "the least recently used 0.04 MB of decoded data and spectrograms were removed" in said
    signals = Store(cache).open(data, settings)
    assert len(signals) == 3
    assert len(list(cache.rglob("waves/*/*.npy"))) >= 1


def test_the_bound_is_twenty_gb_a_number_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert limit() == 20e9
    monkeypatch.setenv(VARIABLE, "0.5")
    assert limit() == 0.5e9
    monkeypatch.setenv(VARIABLE, "none")
    assert limit() == float("inf")
    for wrong in ("much", "-1", "nan"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(
            RequestError, match=f"{VARIABLE}: use a number of GB, or none for no limit. Given: "
        ):
            limit()


def test_packs_are_listed_while_nothing_is_removed_and_one_that_went_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, held = pack(tmp_path, "waves/a", 10), []

    def listed(cache: Path) -> Iterator[Path]:
        held.append(bound._is_held(cache / "in-use/lock"))
        yield from (cache / "waves/a/gone.npy", made)

    monkeypatch.setattr(bound, "_packs", listed)
    monkeypatch.setenv(VARIABLE, "0")
    assert keep_within(tmp_path) >= BYTES
    assert held == [True]


def test_a_wrong_bound_is_told_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(8000, 0.1), 8000)
    monkeypatch.setenv(VARIABLE, "much")
    data, settings = Collection.load(tmp_path), DataSettings(sample_rate=8000, clip_seconds=1)
    with pytest.raises(RequestError, match="Given: 'much'"):
        Store(tmp_path / "cache").usable(data, settings)
    assert not list(tmp_path.rglob("*.npy"))


def test_a_note_that_was_removed_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [pack(tmp_path, f"waves/{name}", 10) for name in "ab"]
    for each in made:
        with taking(tmp_path) as take:
            take([each])
        shutil.rmtree(tmp_path / "in-use") if each is made[0] else None
    monkeypatch.setenv(VARIABLE, "0")
    assert keep_within(tmp_path) == 0
    assert all(each.is_file() for each in made)
