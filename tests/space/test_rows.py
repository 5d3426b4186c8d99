"""Rows by number come from the Arrow file, without LanceDB being loaded; in older spaces from its table."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from nearfield.core.errors import DataError
from nearfield.space.rows import FILE, Rows, connect

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


def test_a_space_of_an_earlier_version_says_the_same(rows: Rows) -> None:
    wanted = [2, 0, 2, 3]
    assert rows.same(TABLE)
    assert rows.take(wanted) == [TABLE.slice(each, 1).to_pylist()[0] for each in wanted]
    connect(rows.folder).create_table("rows", rows.stored)
    (rows.folder / FILE).unlink()
    earlier = Rows(rows.folder)
    assert (earlier.take(wanted), earlier.names, len(earlier)) == (rows.take(wanted), rows.names, 4)
    assert earlier.read().equals(rows.read())
    assert earlier.read(["id"], "rain").equals(rows.read(["id"], "label = 'rain'"))
    assert earlier.same(TABLE)


def test_a_damaged_file_is_told(rows: Rows) -> None:
    path = rows.folder / FILE
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=f"{FILE} cannot be read"):
        Rows(rows.folder).take([0])


def test_rows_by_number_do_without_lancedb(rows: Rows) -> None:
    script = (
        "import sys; from pathlib import Path; from nearfield.space.rows import Rows\n"
        "rows = Rows(Path(sys.argv[1])); rows.take([1]); rows.read(['label'], 'rain')\n"
        "sys.exit('lancedb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(rows.folder)]).returncode == 0
