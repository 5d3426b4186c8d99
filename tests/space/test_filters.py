"""Conditions give the rows that LanceDB gives for them, words find clips, and nothing else is understood."""

import time
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfield.core.errors import RequestError
from nearfield.space.filters import DEEPEST, LONGEST, MOST_TERMS, Condition, unmet

TABLE = pa.table(
    {
        "id": ["bells/a 1.wav", "b'c.wav", "d%_.wav", "e.wav", "Ä.wav"],
        "path": [f"/home/somebody/{name}" for name in "abcde"],
        "label": ["rain", None, "wind", "rain", "it's"],
        "tags": [["wet", "Church-Bell"], [], ["dry", "loud"], [], ["wet"]],
        "start": [0.0, 1.5, 0.25, 3.0, -2.0],
        "year": pa.array([1999, None, 2024, 2001, 2024], pa.int64()),
        "is_raw": [True, False, None, True, False],
        "source": ["f00", "f01", "f02", "f03", "f04"],
    }
)


def met(where: str, table: pa.Table = TABLE) -> list[int]:
    return [int(row) for row in np.flatnonzero(np.asarray(Condition(where, table.schema)(table), np.bool_))]


def refusal(where: str) -> str | None:
    try:
        met(where)
    except RequestError as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    numbered = TABLE.append_column("row", pa.array(range(len(TABLE))))
    return lancedb.connect(tmp_path_factory.mktemp("lance")).create_table("rows", numbered)


TEXTS = st.sampled_from(["rain", "wind", "wet", "it''s", "RAIN", "r%", "_ind", "", "loud"])
NUMBERS = st.sampled_from(["0", "1.5", "-2", "2024", "1e3", "2000.5"])
YEARS = st.sampled_from(["0", "1999", "2001", "-7"])  # of whole numbers LanceDB takes no fraction
WORDS = (  # of the language, and some that are not
    *("label", "start", "tags", "path", "is_raw", "year", "rain", "'x'", "1", "lower", "array_has", "true"),
    *("IN", "NOT", "LIKE", "IS", "NULL", "BETWEEN", "AND", "OR"),
    *('"', "'", "-", "(", ")", ",", "=", "<", ";", "?", "\0"),
)
OPERATORS = st.sampled_from(["=", "==", "!=", "<>", "<", "<=", ">", ">="])
NOT = st.sampled_from(["", "NOT "])
ATOMS = st.one_of(
    st.builds("{} {} '{}'".format, st.sampled_from(["label", "id", "lower(label)"]), OPERATORS, TEXTS),
    st.builds("start {} {}".format, OPERATORS, NUMBERS),
    st.builds("year {} {}".format, OPERATORS, YEARS),
    st.builds("{1} {0} start".format, OPERATORS, NUMBERS),
    st.builds("label {}LIKE '{}'".format, NOT, TEXTS),
    st.builds("label {}IN ('{}', '{}')".format, NOT, TEXTS, TEXTS),
    st.builds("year {}BETWEEN {} AND {}".format, NOT, YEARS, YEARS),
    st.builds("{} IS {}NULL".format, st.sampled_from(["label", "year", "is_raw"]), NOT),
    st.builds("array_has(tags, '{}')".format, TEXTS),
    st.builds("{}(label, '{}')".format, st.sampled_from(["starts_with", "ends_with", "contains"]), TEXTS),
    st.just("is_raw"),
    st.just("is_raw = true"),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, derandomize=True)  # the database errs on NOT of two INs
@given(CONDITIONS)
def test_every_condition_gives_the_rows_of_a_database(engine: Any, where: str) -> None:
    wanted = sorted(engine.search().where(where).select(["row"]).to_arrow()["row"].to_pylist())
    assert met(where) == wanted


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("bell", [0]),
        ("BELL", [0]),
        ("rain", [0, 3]),
        ("wet rain", [0]),
        ("wet not rain", [4]),
        ("wet or loud", [0, 2, 4]),
        ("bell and start < 1", [0]),
        ("start < 1 bell", [0]),
        ("church-bell", [0]),
        ("bells/a", [0]),
        ("'bells/a 1'", [0]),
        ('"it\'s"', [4]),
        ("in", [0, 2, 3]),
        ("rain in", [0, 3]),
        ("like", []),
        ("%", [2]),
        ("ä", [4]),
        ("1.wav", [0]),
        ('label = "rain"', [0, 3]),
        ("array_length(tags) > 1", [0, 2]),
    ],
)
def test_words_are_searched_for_in_label_tags_and_id(where: str, rows: list[int]) -> None:
    assert met(where) == rows


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("label = rain", "there is no column 'rain'. Put a text in quotes: 'rain'."),
        ("lable = 'x'", "there is no column 'lable'. Did you mean 'label'? Known: id, label, tags, start,"),
        ("lable in ('x')", "there is no column 'lable'. Did you mean 'label'?"),
        ("label = 'ra", "a quote is not closed. Columns: id, label,"),
        ("label =", "it is incomplete. Columns: "),
        ("(rain", "')' is missing at the end."),
        ("rain)", "')' is not allowed there."),
        ("start > 'x'", "the types of value and column differ: start holds numbers: write one without"),
        ("label = 5", "label holds text: put the value in quotes, as label = 'x'"),
        ("tags = 'wet'", "tags holds lists: write array_has(tags, 'x')"),
        ("start", "the column start is not compared with a value;"),
        ("start + 1", "the column start is not compared with a value;"),
        ("start > > 1", "it needs a column or a value in place of '>'."),
        ("start > NULL", "nothing equals NULL. Write IS NULL"),
        ("1 = 1", "it compares no column with a value."),
        ("1 = 1; DROP TABLE rows", "it must not contain a semicolon."),
        ("label = (SELECT 1)", "it needs a column or a value in place of '('."),
        ("start_with(label, 'x')", "there is no function 'start_with'. Did you mean 'starts_with'?"),
        ("array_length(array_repeat(label, 10000000)) > 0", "there is no column 'array_repeat'."),
        ("length(repeat(label, 10000000)) > 0", "there is no function 'length'."),
        ("array_has(label, 'x')", "label holds text: "),
        ("starts_with(label)", "',' is missing before ')'."),
        ("label = ?", "there is no column '?'."),
        ("label = $1", "there is no column '$1'."),
        ("starts_with(path, '/home/')", "a condition cannot name 'path'. Name clips by their id."),
        ("path", "a condition cannot name 'path'."),
        ("path is not null", "a condition cannot name 'path'."),
        ("label = path", "a condition cannot name 'path'."),
        ("\"path\" = '/home/somebody/a'", "a condition cannot name 'path'."),
        ("source in ('f00')", "a condition cannot name 'source'."),
        ("label = 'rain' limit 1", "'limit' is not allowed there. Join terms with AND or OR."),
        ("label = 'rain' -- all", "'--' is not allowed there. Join terms with AND or OR."),
        ("label = 'rain' && start > 0", "'&&' is not allowed there. Join terms with AND or OR."),
        ("rain || bell", "'||' is not allowed there."),
        ("label like 'r%' escape 'x'", "'escape' is not allowed there."),
        ("''", "it contains no word to search for."),
        ("  ", "it is empty."),
        ("label like", "LIKE needs a text in quotes."),
        ("year between 1", "'AND' is missing at the end."),
    ],
)
def test_what_is_no_condition_is_refused_in_a_sentence(where: str, reason: str) -> None:
    with pytest.raises(RequestError) as raised:
        met(where)
    said = str(raised.value)
    assert reason in said
    assert said.endswith("or a condition such as label = 'rain' or array_has(tags, 'wet').")
    assert not any(name in said.partition("Columns:")[2] for name in ("path", "source"))


def test_words_never_look_where_files_lie() -> None:
    assert met("somebody") == []
    assert met("f00") == []


@pytest.mark.parametrize(
    "where",
    [
        "1+" * 900 + "1 > 0",
        "(" * 900 + "start > 0" + ")" * 900,
        "not " * 450 + "rain",
        "(" * (DEEPEST + 2) + "rain" + ")" * (DEEPEST + 2),
        "a " * (MOST_TERMS + 1),
        "a or " * (MOST_TERMS + 1) + "a",
        f"label in ({'1,' * MOST_TERMS}'x')",
        f"label in ({', '.join(['1'] * 200)})",
        "a" * (LONGEST + 1),
        "start > " + "9" * 1900,
    ],
)
def test_length_depth_and_number_are_bounded(where: str) -> None:
    begun = time.perf_counter()
    said = refusal(where)
    assert said is None or len(said) < 800
    assert time.perf_counter() - begun < 1


def test_the_deepest_that_is_allowed_is_understood() -> None:
    assert met("(" * DEEPEST + "rain" + ")" * DEEPEST) == [0, 3]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(WORDS),
        max_size=12,
    )
)
def test_any_words_in_any_order_are_understood_or_refused(words: list[str]) -> None:
    said = refusal(" ".join(words))
    assert said is None or "cannot be used: " in said


def test_times_are_compared_with_text() -> None:
    table = pa.table({"id": ["a", "b"], "at": pa.array([0, 10**9], pa.timestamp("s"))})
    assert met("at > '2000-01-01'", table) == [1]
    with pytest.raises(RequestError, match="at holds times: write at > '2024-06-12 05:00:00'"):
        met("at > 'noon'", table)


def test_many_rows_in_pieces() -> None:
    many = pa.concat_tables([TABLE] * 3)
    assert met("wet", many) == [0, 4, 5, 9, 10, 14]
    assert met("array_has(tags, 'wet')", many.slice(4)) == [0, 1, 5, 6, 10]


def test_why_nothing_meets_it() -> None:
    said = unmet("rian", TABLE)
    assert said == (
        "No clip has 'rian' in its label, tags, id. Did you mean 'rain'? "
        "Known: Church-Bell, dry, it's, loud, rain, wet, wind."
    )
    assert unmet("label = 'rian'", TABLE) == (
        "No clip meets label = 'rian'. Did you mean 'rain'? Known: it's, rain, wind."
    )
    assert unmet("start > 900", TABLE) == "No clip meets start > 900."


def test_a_condition_needs_no_database(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys, pyarrow as pa; from nearfield.space.filters import Condition\n"
        "table = pa.table({'label': ['a']}); Condition('a', table.schema)(table)\n"
        "sys.exit('lancedb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path).returncode == 0
