"""Digests of files' contents, remembered so that the second time costs one look at the file."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nearfield.core.files import digest
from nearfield.core.machine import usable_cores
from nearfield.data.filecache import FileKey, file_key, recall, remember
from nearfield.data.threads import in_groups


def content_digest(path: Path) -> str:
    """sha256 of the file's bytes, hexadecimal, from the cache where the file has not changed since."""
    return content_digests([path])[0]


def content_digests(paths: Sequence[Path], progress: Callable[[int, int], None] | None = None) -> list[str]:
    """`content_digest` of many files at once. `progress` gets how many of how many were read.

    Raises FileNotFoundError or another OSError where a file cannot be read.
    """
    keys = [file_key(path) for path in paths]
    found = recall("sha256", keys)
    fresh = sorted({key for key in keys if key not in found})
    if fresh:
        made = dict(zip(fresh, _hash_all(fresh, progress), strict=True))
        remember("sha256", made)
        found |= made
    return [found[key] for key in keys]


def _hash_all(keys: list[FileKey], progress: Callable[[int, int], None] | None) -> Iterator[str]:
    for done, value in enumerate(in_groups(lambda key: digest(Path(key[0])), keys, usable_cores()), 1):
        if progress:
            progress(done, len(keys))
        yield value
