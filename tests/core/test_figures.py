"""Names in figures are shown, not read."""

import io

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from nearfield.training.plotting import as_written

NAMES = ("$\\frac$", "dog \x1b[31m", "5 $ and 6 $")


def drawn(prepare: bool) -> str:
    figure = Figure()
    axes = figure.subplots()
    axes.barh(range(3), [1, 2, 3], label=NAMES[0])
    axes.set_yticks(range(3), NAMES)
    axes.set_title(NAMES[1])
    axes.legend()
    if prepare:
        as_written(figure)
    page = io.StringIO()
    figure.savefig(page, format="svg")
    return page.getvalue() + "".join(str(text.get_text()) for text in figure.findobj(Text))


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_are_neither_formulas_nor_control_characters() -> None:
    with pytest.raises(ValueError, match="frac"):
        drawn(prepare=False)
    text = drawn(prepare=True)
    assert "\x1b" not in text
    assert all(name in text for name in ("$\\frac$", "dog \\x1b[31m", "5 $ and 6 $"))
