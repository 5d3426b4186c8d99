"""Rows by number come from the Arrow file as LanceDB has them, and without LanceDB being loaded."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from nearfield.core.errors import DataError, RequestError
from nearfield.space.rows import FILE, Rows

TABLE = pa.table(
    {
        "id": ["a", "b'c", "d", "e"],
        "label": ["rain", None, "wind", "rain"],
        "tags": [["wet"], [], ["dry", "loud"], []],
        "start": [0.0, 1.5, 0.25, 3.0],
    }
)


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return Rows.write(tmp_path, TABLE)


def without_file(rows: Rows) -> Rows:
    """The same rows as a space of an earlier version has them."""
    (rows.folder / FILE).unlink()
    return Rows(rows.folder)


def test_both_stores_say_the_same(rows: Rows) -> None:
    wanted = [2, 0, 2, 3]
    taken, read = rows.take(wanted), rows.read()
    some, names, count = rows.read(["label"]), rows.names, len(rows)
    assert rows.same(TABLE)
    assert taken == [TABLE.slice(each, 1).to_pylist()[0] for each in wanted]
    earlier = without_file(rows)
    assert (earlier.take(wanted), earlier.names, len(earlier)) == (taken, names, count)
    assert earlier.read().equals(read)
    assert earlier.read(["label"]).equals(some)
    assert earlier.same(TABLE)


def test_a_damaged_file_is_told(rows: Rows) -> None:
    path = rows.folder / FILE
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=f"{FILE} cannot be read"):
        Rows(rows.folder).take([0])


def test_rows_by_number_do_without_lancedb(rows: Rows) -> None:
    script = (
        "import sys; from pathlib import Path; from nearfield.space.rows import Rows\n"
        "rows = Rows(Path(sys.argv[1])); rows.take([1]); rows.read(['label'])\n"
        "sys.exit('lancedb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(rows.folder)]).returncode == 0


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("rain", "there is no column 'rain'. Did you mean label = 'rain'?"),
        ("label = rain", "there is no column 'rain'. Did you mean label = 'rain'?"),
        ('"b\'c"', "Did you mean id = 'b''c'?"),
        ("loud", "Did you mean array_has(tags, 'loud')?"),
        ("lable = 'x'", "there is no column 'lable'. Did you mean 'label'? Known: id, label, tags, start."),
        ("label = 'ra", "a quote is not closed. Columns: id, label, tags, start."),
        ("label =", "something is missing at its end. Columns: "),
        ("start > 'x'", "a value is of another kind than its column. Columns: "),
        ("start + 1", "it compares nothing with a value. Columns: "),
        ("start > > 1", "Expected: an expression, found: >. Columns: "),
        ("shout(label)", "Invalid function 'shout'."),
    ],
)
def test_a_condition_that_cannot_be_used_is_told_in_our_own_words(
    rows: Rows, where: str, reason: str
) -> None:
    with pytest.raises(RequestError) as raised:
        rows.read([], where)
    said = str(raised.value)
    assert reason in said
    assert said.count("tags, start") <= 1
    assert not any(part in said for part in ("Schema", "literal", "SELECT", "Valid fields", "position"))
