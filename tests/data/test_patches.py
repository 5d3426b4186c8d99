"""The patch table: what is decided is what the collection holds, and no source is touched."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given, settings

from nearfield.core.errors import DataError
from nearfield.data.collection import Collection
from nearfield.data.patches import Patch, join_patch, split_patch

Write = Callable[..., Path]
HEAD = "id,column,before,after,decision"


def clips(**columns: list[object]) -> pd.DataFrame:
    """Clips a, b, c: a dog in train, a cat in val with two tags, an unlabelled one in test."""
    usual: dict[str, list[object]] = {
        "id": ["a", "b", "c"],
        "label": ["dog", "cat", ""],
        "tags": [(), ("loud", "old"), ("new",)],
        "split": ["train", "val", "test"],
    }
    return pd.DataFrame({**usual, **columns})


def patch(tmp_path: Path, *rows: str) -> Patch:
    """The table with these rows, read."""
    path = tmp_path / "decisions.csv"
    path.write_text("\n".join([HEAD, *rows]) + "\n")
    return Patch.read(path)


def after(found: Patch, **columns: list[object]) -> dict[str, tuple[str, str]]:
    """Label and tags by clip, once the patch was applied."""
    table, _ = found.apply(clips(**columns))
    cells = zip(table["id"], table["label"], table["tags"], strict=True)
    return {clip: (label, "|".join(tags)) for clip, label, tags in cells}


def test_labels_tags_and_use(tmp_path: Path) -> None:
    found = patch(
        tmp_path,
        "a,label,dog,wolf,accepted",
        "b,tags,loud,,accepted",
        "b,tags,old,ancient,accepted",
        "c,tags,,quiet,accepted",
        "c,label,,rain,accepted",
    )
    assert after(found) == {"a": ("wolf", ""), "b": ("cat", "ancient"), "c": ("rain", "new|quiet")}
    dropped = patch(tmp_path, "a,use,yes,no,accepted", "b,label,cat,,accepted")
    assert after(dropped) == {"b": ("", "loud|old"), "c": ("", "new")}
    _, problems = dropped.apply(clips())
    assert [(each.path, each.severity) for each in problems] == [("a", "left out")]
    assert "row 2" in str(problems[0])


def test_the_last_decision_about_one_thing_holds(tmp_path: Path) -> None:
    rows = ["a,label,dog,wolf,accepted", "a,label,dog,fox,accepted"]
    assert after(patch(tmp_path, *rows))["a"][0] == "fox"
    assert after(patch(tmp_path, *rows, "a,label,dog,fox,rejected"))["a"][0] == "dog"
    assert after(patch(tmp_path, "a,use,yes,no,accepted", "a,use,yes,no,rejected"))["a"] == ("dog", "")
    assert "a" in after(patch(tmp_path, "a,use,yes,no,accepted", "a,use,yes,yes,accepted"))
    # Two tags added are two things: the second takes nothing from the first.
    both = ["c,tags,,one,accepted", "c,tags,,two,accepted"]
    assert after(patch(tmp_path, *both))["c"][1] == "new|one|two"
    assert after(patch(tmp_path, *both, "c,tags,,one,rejected"))["c"][1] == "new|two"
    # Decisions made on what an earlier one made, and back again.
    chain = ["a,label,dog,wolf,accepted", "a,label,wolf,fox,accepted"]
    assert after(patch(tmp_path, *chain))["a"][0] == "fox"
    assert after(patch(tmp_path, chain[0], "a,label,wolf,dog,accepted"))["a"][0] == "dog"


def test_undecided_rows_wait_and_rejected_ones_change_nothing(tmp_path: Path) -> None:
    found = patch(tmp_path, "a,label,dog,wolf,", "b,label,cat,lion,rejected", "c,use,yes,no,")
    table, problems = found.apply(clips())
    pd.testing.assert_frame_equal(table, clips())
    assert problems == ()
    empty = tmp_path / "empty.csv"
    empty.write_text(HEAD + "\n")
    assert Patch.read(empty).decided == ()


def test_unknown_clips_and_stale_decisions_are_listed_with_their_row(tmp_path: Path) -> None:
    found = patch(
        tmp_path,
        "nobody,label,dog,wolf,accepted",
        "a,label,cat,wolf,accepted",
        "b,tags,young,new,accepted",
        "b,tags,fresh,,accepted",
        "b,tags,shy,old,accepted",
        "b,label,dog,cat,accepted",
    )
    table, problems = found.apply(clips())
    pd.testing.assert_frame_equal(table, clips())
    assert [(each.kind, each.row) for each in problems] == [
        ("unknown_clip", 2),
        ("stale_decision", 3),
        ("stale_decision", 4),
    ]
    assert all(each.severity == "warning" and each.path == "decisions.csv" for each in problems)
    assert "'nobody'" in str(problems[0])
    assert "'dog'" in str(problems[1])
    assert "'cat'" in str(problems[1])


def test_only_the_sides_named_are_mended(tmp_path: Path) -> None:
    rows = [f"{clip},tags,,x,accepted" for clip in "abc"] + ["a,use,yes,no,accepted"]
    found = patch(tmp_path, *rows)
    table, _ = found.apply(clips(), ("val",))
    assert ["x" in tags for tags in table["tags"]] == [False, True, False]
    # A clip on no side teaches and judges nothing: it is always mended.
    table, _ = found.apply(clips(split=["", "val", "test"]), ())
    assert [list(table["id"]), ["x" in tags for tags in table["tags"]]] == [["b", "c"], [False, False]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,what,value\na,label,dog\n", "there is no column 'column'"),
        ("id,what,value\n", "there is no column 'column'"),
        (f"{HEAD}\na,lable,dog,wolf,accepted\n", "row 2: column is one of label, tags, use. Given: 'lable'"),
        (f"{HEAD}\na,label,dog,wolf,yes\n", "row 2: decision is one of accepted, rejected. Given: 'yes'"),
        (f"{HEAD}\na,use,yes,drop,accepted\n", "row 2: after is one of yes, no. Given: 'drop'"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        Patch.read(path)
    assert said in str(error.value)
    with pytest.raises(DataError, match="no such patch table"):
        Patch.read(tmp_path / "missing.csv")


def test_names_that_begin_with_a_blank_are_found_and_blanks_typed_by_hand_are_not_in_the_way(
    tmp_path: Path,
) -> None:
    ids: list[object] = [" lead/0.wav", "lead/0.wav", "b"]
    labels = ("dog", "cat", "")
    rows = [f'"{clip}",label,{label},wolf,accepted' for clip, label in zip(ids, labels, strict=True)]
    whole = after(patch(tmp_path, *rows), id=ids)
    assert {clip: label for clip, (label, _) in whole.items()} == dict.fromkeys(ids, "wolf")
    one = after(patch(tmp_path, rows[0]), id=ids)
    assert [one[str(clip)][0] for clip in ids] == ["wolf", "cat", ""]
    assert after(patch(tmp_path, ' b ,label,"",wolf,accepted'), id=ids)["b"][0] == "wolf"


def test_the_last_decision_about_one_clip_holds_whatever_blanks_were_typed(tmp_path: Path) -> None:
    ids: list[object] = [" a", "a", "b"]
    labels: list[object] = ["dog"] * 3
    rows = ['"b ",label,dog,cat,accepted', '"b",label,dog,cat,rejected']
    assert after(patch(tmp_path, *rows), id=ids, label=labels)["b"][0] == "dog"
    used = patch(tmp_path, '"b",use,yes,no,accepted', '" b",use,yes,yes,accepted')
    assert "b" in after(used, id=ids, label=labels)
    # Two clips of which one is called by a blank more stay two.
    two = patch(tmp_path, '" a",label,dog,cat,accepted', '"a",label,dog,cat,rejected')
    assert [each[0] for each in after(two, id=ids, label=labels).values()] == ["cat", "dog", "dog"]


words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6)


@settings(deadline=None)
@given(names=st.lists(words, min_size=1, max_size=4, unique=True), label=words)
def test_any_words_survive_the_table(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], label: str
) -> None:
    path = tmp_path_factory.mktemp("words") / "p.csv"
    out = io.StringIO(newline="")
    csv.writer(out).writerows([HEAD.split(","), *([name, "label", "", label, "accepted"] for name in names)])
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    count = len(names)
    table = pd.DataFrame(
        {
            "id": names,
            "label": [""] * count,
            "tags": pd.Series([()] * count, dtype=object),
            "split": [""] * count,
        }
    )
    assert list(Patch.read(path).apply(table)[0]["label"]) == [label] * count


@settings(deadline=None)
@given(
    st.sampled_from(["labels.csv", "esc50:set", "esc50:set?test_fold=1", "synthetic:tones?seed=1&clips=5"]),
    words,
)
def test_the_option_is_parted_and_joined(data: str, name: str) -> None:
    assert split_patch(join_patch(data, name)) == (data, name)
    assert split_patch(data) == (data, None)


@pytest.fixture
def folder(tmp_path: Path, write_sound: Write, write_table: Write) -> Path:
    """Twelve clips of two classes with a split."""
    rows = []
    for number in range(12):
        write_sound(tmp_path / "set" / f"{number}.wav")
        rows.append(f"{number}.wav,{'ab'[number % 2]},{('train', 'val', 'test')[number % 3]}")
    write_table(tmp_path / "set" / "labels.csv", "path,label,split", *rows)
    return tmp_path / "set"


def test_a_collection_opens_mended_and_its_source_stays(
    folder: Path, tmp_path: Path, write_table: Write
) -> None:
    source = (folder / "labels.csv").read_bytes()
    ids = list(Collection.load(folder).table["id"])
    path = write_table(
        tmp_path / "my decisions.csv",
        HEAD,
        f"{ids[0]},label,a,b,accepted",
        f"{ids[1]},use,yes,no,accepted",
        "gone.wav,label,a,b,accepted",
    )
    plain, mended = Collection.load(folder), Collection.load(folder, patch=path)
    assert list(mended.table["id"]) == [each for each in ids if each != ids[1]]
    assert mended.table["label"][0] == "b"
    expected = plain.table.drop(index=1).assign(label=lambda table: ["b", *table["label"][1:]])
    pd.testing.assert_frame_equal(mended.table, expected.reset_index(drop=True))
    assert [each.kind for each in mended.problems] == ["unknown_clip", "left_out"]
    assert mended.fingerprint() != plain.fingerprint()
    by_option = Collection.load(join_patch(str(folder), path))
    pd.testing.assert_frame_equal(by_option.table, mended.table)
    assert by_option.name == mended.name
    assert (folder / "labels.csv").read_bytes() == source


def test_a_made_split_is_the_same_before_and_after(folder: Path, tmp_path: Path, write_table: Write) -> None:
    table = pd.read_csv(folder / "labels.csv").drop(columns="split")
    table.to_csv(folder / "labels.csv", index=False)
    ids = list(Collection.load(folder).table["id"])
    path = write_table(tmp_path / "p.csv", HEAD, *(f"{each},label,a,b,accepted" for each in ids[::2]))
    before, after = Collection.load(folder), Collection.load(folder, patch=path)
    assert list(before.table["split"]) == list(after.table["split"])
    assert set(after.table["label"]) == {"b"}


def test_a_patch_that_leaves_nothing_is_refused(folder: Path, tmp_path: Path, write_table: Write) -> None:
    ids = list(Collection.load(folder).table["id"])
    path = write_table(tmp_path / "p.csv", HEAD, *(f"{each},use,yes,no,accepted" for each in ids))
    with pytest.raises(DataError, match="leaves out every clip"):
        Collection.load(folder, patch=path)
