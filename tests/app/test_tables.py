"""What people see: the report of a check and the table of a result, as text."""

import io

from rich.console import Console

from nearfield.app.tables import result_table


def shown(result: dict[str, object]) -> str:
    console = Console(file=io.StringIO(), width=100, highlight=False)
    console.print(result_table(result, "run"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_every_space_that_has_a_figure_gets_a_row() -> None:
    metrics = {
        "probe/macro_f1": 0.5,
        "clusters/nmi": 0.25,
        "baseline/mfcc_stats/probe/macro_f1": 0.4,
        "baseline/chance/clusters/nmi": 0.1,
    }
    text = shown({"metrics": metrics, "intervals": {"probe/macro_f1": [0.4, 0.6]}, "notes": []})
    assert [line.split("│")[0].strip() for line in text.splitlines()[3:]][1:] == [
        "trained space",
        "95 % interval",
        "MFCC statistics",
        "chance",
    ]
    assert "0.40–0.60" in text
    assert "untrained" not in text
