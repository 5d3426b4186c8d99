"""Licences that files beside data and weights state, and how long ones are quoted."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.models.pretrained import stated_licence

SOURCE = "Creative Commons Attribution 3.0 (https://creativecommons.org/licenses/by/3.0/), by K. J. Somebody."
NAMES = "Authors and titles of all the many clips of this collection are named one by one in `labels.csv`."
REST = "Two were left out, " * 6 + "and that was all."


def quoted(folder: Path, text: str) -> str:
    (folder / "README.md").write_text(f"# A set\n\nLicence: {text}\n")
    return stated_licence(folder)[1] or ""


def test_a_long_licence_is_quoted_in_whole_sentences(tmp_path: Path) -> None:
    assert quoted(tmp_path, f"{SOURCE} {NAMES} {REST}") == f"{SOURCE} {NAMES} …"
    assert quoted(tmp_path, f"{SOURCE} {NAMES}") == f"{SOURCE} {NAMES}"
    (tmp_path / "README.md").unlink()
    (tmp_path / "LICENSE").write_text(f"\n{SOURCE} {NAMES} {REST}\nmore\n")
    assert stated_licence(tmp_path)[1] == f"{SOURCE} {NAMES} …"


@given(st.lists(st.text("abc", min_size=1, max_size=30), min_size=10, max_size=60))
def test_words_are_never_cut(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    found = quoted(tmp_path_factory.getbasetemp(), " ".join(words))
    kept = found.removesuffix(" …").split(" ")
    assert kept == words[: len(kept)]
    assert (len(kept) < len(words)) == found.endswith("…")
    assert len(found) <= 302


def test_a_real_set_is_quoted_to_the_end_of_a_sentence(real_data: Callable[[str], Path]) -> None:
    folder = real_data("esc10")
    said = stated_licence(folder)[1] or ""
    assert said.endswith("in `labels.csv`. …")
