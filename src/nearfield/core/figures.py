"""Names in figures, shown as they are written."""

from typing import TYPE_CHECKING

from nearfield.core.words import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def as_written(figure: "Figure") -> None:
    """Reads no text of a figure as a formula, and escapes control characters: names come from files."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            named = isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter)
            if named and isinstance(axis.get_major_locator(), FixedLocator):
                axis.set_ticklabels([visible(label.get_text()) for label in axis.get_ticklabels()])
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_text(visible(text.get_text()))
