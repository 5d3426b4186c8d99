"""Splits: the laws that any split obeys, words that are understood, leaks named, the file that keeps it."""

import hashlib
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfield.core.errors import DataError
from nearfield.data.splits import (
    carve_val,
    find_leaks,
    leak_error,
    make_split,
    read_split,
    read_split_file,
    split_hash,
    write_split,
)

GROUPED = st.lists(
    st.tuples(st.integers(0, 12), st.lists(st.sampled_from("abcde"), max_size=3, unique=True)),
    min_size=1,
    max_size=80,
)


@settings(max_examples=50)
@given(clips=GROUPED, seed=st.integers(0, 5), rng=st.randoms(use_true_random=False))
def test_groups_stay_together_and_the_order_of_rows_is_nothing(
    clips: list[tuple[int, list[str]]], seed: int, rng: random.Random
) -> None:
    groups = [f"g{group}" for group, _ in clips]
    marks = [tuple(own) for _, own in clips]
    splits = make_split(groups, marks, seed)
    assert not find_leaks(groups, splits)
    assert set(splits) <= {"train", "val", "test"}
    expected = ("train", "test", "val")[: len(set(groups))]
    assert set(splits) == set(expected)
    order = list(range(len(clips)))
    rng.shuffle(order)
    again = make_split([groups[row] for row in order], [marks[row] for row in order], seed)
    assert again == [splits[row] for row in order]


@settings(max_examples=30)
@given(counts=st.lists(st.integers(5, 40), min_size=1, max_size=8), seed=st.integers(0, 100))
def test_each_label_is_shared_out_as_nearly_as_whole_clips_allow(counts: list[int], seed: int) -> None:
    labels = [f"label{number}" for number, count in enumerate(counts) for _ in range(count)]
    splits = make_split([str(row) for row in range(len(labels))], [(label,) for label in labels], seed)
    for number, count in enumerate(counts):
        found = Counter(side for side, label in zip(splits, labels, strict=True) if label == f"label{number}")
        for side, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
            assert abs(found[side] - share * count) <= 1


def test_tags_are_shared_out_better_than_by_chance() -> None:
    rng = np.random.default_rng(3)
    tags = [tuple(f"t{tag}" for tag in range(12) if rng.random() < 0.5 / (tag + 1)) for _ in range(600)]
    groups = [f"g{row // 3}" for row in range(600)]

    def unevenness(splits: list[str]) -> float:
        worst = []
        for tag in (f"t{number}" for number in range(12)):
            own = [side for side, has in zip(splits, tags, strict=True) if tag in has]
            worst += [
                abs(own.count(side) / len(own) - share) for side, share in (("train", 0.6), ("test", 0.2))
            ]
        return float(np.mean(worst))

    def by_chance(seed: int) -> list[str]:
        each = np.random.default_rng(seed).choice(["train", "val", "test"], 200, p=[0.6, 0.2, 0.2])
        return [str(each[row // 3]) for row in range(600)]

    made = [unevenness(make_split(groups, tags, seed)) for seed in range(5)]
    drawn = [unevenness(by_chance(seed)) for seed in range(20)]
    assert max(made) < 0.5 * float(np.mean(drawn))


def test_large_groups_find_their_place_before_small_ones() -> None:
    sizes = [60, 19, 18, 1, 1, 1]
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    for seed in range(5):
        assert Counter(make_split(groups, [("a",)] * 100, seed)) == {"train": 60, "val": 20, "test": 20}


def test_another_seed_is_another_split_and_the_same_seed_the_same() -> None:
    groups = [str(row) for row in range(50)]
    marks = [("a",)] * 50
    assert make_split(groups, marks, 1) == make_split(groups, marks, 1)
    assert make_split(groups, marks, 1) != make_split(groups, marks, 2)


def test_fewer_groups_than_sides() -> None:
    assert make_split(["a", "a"], [(), ()], 0) == ["train", "train"]
    assert sorted(make_split(["a", "b"], [(), ()], 0)) == ["test", "train"]
    assert sorted(make_split(["a", "b", "c"], [(), (), ()], 0)) == ["test", "train", "val"]


def test_val_is_carved_out_of_train_in_whole_groups() -> None:
    groups = [f"g{row // 5}" for row in range(100)]
    splits = ["train"] * 80 + ["test"] * 20
    carved = carve_val(splits, groups, [("a",)] * 100, 0)
    assert Counter(carved) == {"train": 60, "val": 20, "test": 20}
    assert carved[80:] == ["test"] * 20
    assert not find_leaks(groups, carved)
    assert carve_val(["train", "train", "test"], ["a", "a", "b"], [()] * 3, 0) == ["train", "train", "test"]


@pytest.mark.parametrize(
    ("cells", "splits"),
    [
        ("train training Train val valid validation dev eval test testing",
         "train train train val val val val val test test"),
        ("1 2 3 4 5 1", "train train train val test train"),
        ("0 9 10", "train val test"),
        ("1 2 1 2", "train test train test"),
        ("train - test", "train - test"),
        ("1 - 2", "train - test"),
    ],
)  # fmt: skip
def test_words_and_folds(cells: str, splits: str) -> None:
    given = ["" if cell == "-" else cell for cell in cells.split()]
    expected = ["" if side == "-" else side for side in splits.split()]
    assert read_split(given, [None] * len(given), "t.csv") == expected


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (["train", "trian"], "t.csv: row 3: the split 'trian' is not known. Did you mean 'train'? "),
        (["train", "2"], "t.csv: row 3: the split '2' is not known. "),
        (["1", "1"], "t.csv: row 2: the split '1' is not known. "),
    ],
)
def test_a_word_that_is_no_side(cells: list[str], text: str) -> None:
    known = "train, training, val, valid, validate, validation, dev, devel, eval, test, testing"
    with pytest.raises(DataError) as error:
        read_split(cells, [2, 3], "t.csv")
    assert str(error.value) == (
        f"{text}Known: {known}. "
        "Two or more fold numbers are allowed, too. An empty cell gives the clip no split."
    )


def test_leaks_are_named_ten_at_most() -> None:
    groups = [f"speaker{row % 12:02}" for row in range(36)]
    splits = ["train"] * 12 + ["val"] * 12 + ["test"] * 11 + [""]
    leaks = find_leaks(groups, splits)
    assert leaks["speaker00"] == {"train": 1, "val": 1, "test": 1}
    assert leaks["speaker11"] == {"train": 1, "val": 1}
    named = "".join(f"  speaker{number:02}: 1 train, 1 val, 1 test\n" for number in range(10))
    assert str(leak_error(leaks, "labels.csv", "the column 'speaker'")) == (
        "labels.csv: 12 groups occur in more than one split, "
        "so test is not independent:\n"
        f"{named}"
        "  and 2 more\n"
        "Groups are read from the column 'speaker'. Give all clips of a group one split, name another column "
        "(data.group), leave out the split so that one is made, or allow it with --allow-leak."
    )


IDS, SIDES = ["b.wav", "a,1.wav", "#c.wav#1.000-2.000"], ["train", "test", ""]


def test_a_split_file_comes_back_and_its_hash_is_sha256_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    write_split(path, IDS, SIDES)
    body = 'id,split\n#c.wav#1.000-2.000,\n"a,1.wav",test\nb.wav,train\n'
    digest = hashlib.sha256(body.encode()).hexdigest()
    read = pd.read_csv(path, keep_default_na=False)
    assert list(read["id"]) == sorted(IDS)
    assert list(read["split"]) == ["", "test", "train"]
    assert list(read["sha256"]) == [digest, "", ""]
    assert read_split_file(path) == dict(zip(IDS, SIDES, strict=True))
    path.write_text(f"# sha256: {digest}\n{body}")  # as they were written before
    assert read_split_file(path) == dict(zip(IDS, SIDES, strict=True))
    assert split_hash(IDS, SIDES) == split_hash(IDS[::-1], SIDES[::-1])
    assert split_hash(IDS, SIDES) != split_hash(IDS, ["train", "val", ""])


def test_names_with_ends_of_lines_come_back(tmp_path: Path) -> None:
    ids = ["a\rb.wav", "c\nd.wav", "e\r\nf.wav", ' "g" .wav']
    write_split(tmp_path / "split.csv", ids, ["train", "val", "test", "train"])
    assert list(read_split_file(tmp_path / "split.csv")) == sorted(ids)


def test_a_split_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    write_split(path, IDS, SIDES)
    whole = path.read_text()
    for before, after in (('"test"', '"train"'), ('"b.wav","train",""\n', ""), ("train", "all")):
        assert before in whole
        path.write_text(whole.replace(before, after))
        with pytest.raises(DataError) as error:
            read_split_file(path)
        assert str(error.value) == (
            f"{path}: the split was changed after it was written. Restore the original file."
        )
    path.write_text(whole.replace("\n", "\r\n"))  # as a spreadsheet writes it
    assert read_split_file(path) == dict(zip(IDS, SIDES, strict=True))
    path.write_text("id,split\na,train\n")
    with pytest.raises(DataError) as error:
        read_split_file(path)
    assert str(error.value) == f"{path}: this is not a split file. Give one that Collection.save_split wrote."
    with pytest.raises(DataError) as error:
        read_split_file(tmp_path / "gone.csv")
    assert str(error.value).startswith(f"{tmp_path / 'gone.csv'}: the split cannot be read (")
