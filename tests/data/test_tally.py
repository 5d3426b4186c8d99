"""A patch table in numbers."""

from pathlib import Path

import pandas as pd

from nearfield.data.patches import Patch, tally


def test_each_thing_is_counted_once_as_it_stands_now(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    rows = [
        "a,label,dog,cat,accepted",
        "b,label,dog,cat,accepted",
        "b,label,dog,cat,rejected",
        "c,use,,no,accepted",
        "d,tags,,loud,accepted",
        "e,tags,old,,",
        *(f"f{number},label,dog,cat,accepted" for number in range(9)),
    ]
    path.write_text("\n".join(["id,column,before,after,decision", *rows]) + "\n")
    found = tally(path)
    assert (len(found.accepted), found.rejected, found.undecided) == (12, 1, 1)
    lines = list(found.lines())
    assert lines[0] == "12 accepted, 1 rejected, 1 undecided"
    assert lines[1:4] == ["a: label 'dog' becomes 'cat'", "c: left out", "d: tag 'loud' added"]
    assert len(lines) == 12
    assert lines[-1] == "and 2 more"
    assert found.plain()["changes"][0] == {
        "id": "a",
        "change": "label 'dog' becomes 'cat'",
        "applied": True,
    }


def test_a_row_whose_clip_is_another_by_now_is_told_as_not_applied(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    rows = ["a,label,dog,wolf,accepted", "b,label,dog,wolf,accepted", "gone,use,,no,accepted"]
    path.write_text("\n".join(["id,column,before,after,decision", *rows]) + "\n")
    clips = pd.DataFrame({"id": ["a", "b"], "label": ["cat", "dog"], "tags": [(), ()], "split": ["", ""]})
    _, problems = Patch.read(path).apply(clips)
    found = tally(path, problems)
    assert list(found.lines()) == [
        "3 accepted (2 not applied), 0 rejected, 0 undecided",
        "a: label 'dog' becomes 'wolf': not applied, see above",
        "gone: left out: not applied, see above",
        "b: label 'dog' becomes 'wolf'",
    ]
    assert found.plain()["not_applied"] == 2
    assert [each["applied"] for each in found.plain()["changes"]] == [False, True, False]


def test_blanks_around_an_id_make_no_second_clip(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    rows = ['"b ",label,dog,cat,accepted', '"b",label,dog,cat,rejected']
    rows += [
        '" a",label,dog,cat,accepted',
        '"a",label,dog,cat,rejected',
        '"c ",use,,no,accepted',
        '"c",use,,yes,',
    ]
    path.write_text("\n".join(["id,column,before,after,decision", *rows]) + "\n")
    ids = [" a", "a", "b", "c"]
    clips = pd.DataFrame({"id": ids, "label": ["dog"] * 4, "tags": [()] * 4, "split": [""] * 4})
    kept, problems = Patch.read(path).apply(clips)
    found = tally(path, problems, kept["id"])
    assert [each.id for each in found.accepted] == [" a", "c "]
    assert (found.rejected, found.undecided) == (2, 0)
