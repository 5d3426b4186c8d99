"""An order cut into batches."""

from collections.abc import Iterator

from nearfield.core.nouns import Ints


def cut(order: Ints, size: int, drop_last: bool = False) -> Iterator[Ints]:
    """Runs of `size` in the order given; the last may be short, or is left out with `drop_last`.

    A rest of one joins the run before it: alone it would have nobody to be compared with.
    """
    whole, rest = divmod(len(order), size)
    last = whole * size
    for begin in range(0, last, size):
        end = begin + size
        yield order[begin:] if end == last and rest == 1 and not drop_last else order[begin:end]
    if rest and not drop_last and (rest > 1 or not whole):
        yield order[last:]
