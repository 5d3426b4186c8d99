"""Digests against hashlib, and the cache: fast, never stale, safe with many processes, never in the way."""

import hashlib
import multiprocessing
import os
import sqlite3
import time
from pathlib import Path

import pytest

from nearfield.data import probing as digests
from nearfield.data.packs import cache_folder
from nearfield.data.probing import content_digest, content_digests, file_key, recall, remember


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of its own."""
    monkeypatch.setenv("NEARFIELD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def written(folder: Path, name: str, content: bytes, age: float = 100.0) -> Path:
    """A file that was last changed `age` seconds ago."""
    path = folder / name
    path.write_bytes(content)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def expected(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_digests_are_sha256_in_the_order_asked_for(cache: Path, tmp_path: Path) -> None:
    paths = [written(tmp_path, f"{n}.bin", os.urandom(n * 1000)) for n in range(20)]
    asked = [*paths[::-1], paths[3]]
    steps: list[tuple[int, int]] = []
    assert content_digests(asked, lambda done, total: steps.append((done, total))) == [
        expected(p) for p in asked
    ]
    assert steps == [(done, 20) for done in range(1, 21)]
    assert content_digests(asked) == [expected(path) for path in asked]
    assert content_digests([]) == []


def test_the_second_time_no_file_is_read(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "a.bin", b"one")
    first = content_digest(path)

    def fail(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(digests, "digest", fail)
    assert content_digest(path) == first
    assert content_digest(Path(os.path.relpath(path))) == first


def test_a_changed_file_is_read_again(cache: Path, tmp_path: Path) -> None:
    path = written(tmp_path, "a.bin", b"one")
    content_digest(path)
    for content, age in ((b"three", 100.0), (b"two!!", 50.0)):
        assert content_digest(written(tmp_path, "a.bin", content, age)) == hashlib.sha256(content).hexdigest()


def test_a_file_written_just_now_is_not_trusted(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "a.bin", b"one", age=0.0)
    times = path.stat()
    # A clock of its own: the test may be held up for longer than files count as new.
    monkeypatch.setattr(time, "time_ns", lambda: times.st_mtime_ns + 10**9)
    content_digest(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert content_digest(path) == hashlib.sha256(b"two").hexdigest()


def test_other_contents_of_the_same_size_and_time_are_seen(cache: Path, tmp_path: Path) -> None:
    path = written(tmp_path, "a.bin", b"one")
    times = path.stat()
    content_digest(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    assert content_digest(path) == hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize("content", [b"this is no database" * 100, b""])
def test_a_damaged_cache_heals(cache: Path, tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, "a.bin", b"one")
    cache.mkdir()
    (cache / "files.sqlite").write_bytes(content)
    assert content_digest(path) == expected(path)
    assert content_digest(path) == expected(path)
    assert recall("sha256", [file_key(path)]) == {file_key(path): expected(path)}


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = written(tmp_path, "no_folder", b"a file in the place of the folder")
    monkeypatch.setenv("NEARFIELD_CACHE", str(blocked))
    path = written(tmp_path, "a.bin", b"one")
    assert content_digest(path) == expected(path)
    assert recall("sha256", [file_key(path)]) == {}


def test_a_locked_cache_is_waited_for_or_done_without(cache: Path, tmp_path: Path) -> None:
    path = written(tmp_path, "a.bin", b"one")
    content_digest(path)
    with sqlite3.connect(cache / "files.sqlite") as other:
        other.execute("BEGIN EXCLUSIVE")
        other.rollback()
    assert recall("sha256", [file_key(path)])


def _digest_all(cache: Path, folder: Path) -> list[str]:
    os.environ["NEARFIELD_CACHE"] = str(cache)
    return content_digests(sorted(folder.iterdir()))


def test_many_processes_at_once(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(60):
        written(folder, f"{number:03}.bin", os.urandom(2000))
    truth = [expected(path) for path in sorted(folder.iterdir())]
    context = multiprocessing.get_context("forkserver")  # a process with threads may not be forked
    context.set_forkserver_preload(["nearfield.data.probing", "pytest"])
    with context.Pool(4) as pool:
        for found in pool.starmap(_digest_all, [(cache, folder)] * 8):
            assert found == truth
    assert len(recall("sha256", map(file_key, folder.iterdir()))) == 60


def test_subjects_are_kept_apart(cache: Path, tmp_path: Path) -> None:
    key = file_key(written(tmp_path, "a.bin", b"one"))
    remember("colour", {key: "blue"})
    assert recall("sha256", [key]) == {}
    assert recall("colour", [key]) == {key: "blue"}
    assert cache_folder() == cache
