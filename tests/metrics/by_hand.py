"""The slow and obvious version of a search, a query and a clip at a time, to compare the fast one with."""

import hypothesis.strategies as st
import numpy as np

from nearfield.core.types import Bools, Distance, Ints, Vectors
from nearfield.metrics.neighbors import Search

GRID_DISTANCES: tuple[Distance, ...] = ("euclidean", "squared_euclidean")


def rankings(search: Search) -> list[list[int]]:
    """Every query's allowed gallery rows, nearest first, equal ones by row."""
    return [
        sorted(allowed(search, query), key=lambda row, query=query: (apart(search, query, row), row))  # type: ignore[misc]
        for query in range(len(search.queries))
    ]


def allowed(search: Search, query: int) -> list[int]:
    """The gallery rows that a query may find."""
    rows = []
    for row in range(len(search.gallery)):
        is_itself = search.own is not None and search.own[query] == row
        of_its_source = (
            search.query_sources is not None
            and search.gallery_sources is not None
            and search.query_sources[query] >= 0
            and search.query_sources[query] == search.gallery_sources[row]
        )
        if not is_itself and not of_its_source:
            rows.append(row)
    return rows


def apart(search: Search, query: int, row: int) -> float:
    """The distance, squared unless it is the cosine distance."""
    left, right = search.queries[query].astype(float), search.gallery[row].astype(float)
    if search.distance == "cosine":
        scale = float(np.linalg.norm(left) * np.linalg.norm(right))
        return 1 - float(left @ right) / scale if scale else 1.0
    return float(((left - right) ** 2).sum())


@st.composite
def searches(draw: st.DrawFn, most: int = 12) -> Search:
    """Small searches on an integer grid, where ties and duplicates are common and distances are exact."""
    size = draw(st.integers(1, 3))
    gallery = _grid(draw, draw(st.integers(1, most)), size)
    within = draw(st.booleans())
    queries = gallery if within else _grid(draw, draw(st.integers(1, most)), size)
    own = np.arange(len(gallery)) if within else None
    distance = draw(st.sampled_from(GRID_DISTANCES))
    if not draw(st.booleans()):
        return Search(queries, gallery, distance, own)
    gallery_sources = numbers(draw, len(gallery), low=-1)
    query_sources = gallery_sources if within else numbers(draw, len(queries), low=-1)
    return Search(queries, gallery, distance, own, query_sources, gallery_sources)


def numbers(draw: st.DrawFn, count: int, low: int = 0, high: int = 3) -> Ints:
    """A few class numbers."""
    return np.array(draw(st.lists(st.integers(low, high), min_size=count, max_size=count)), dtype=np.int64)


def tag_rows(draw: st.DrawFn, count: int, tags: int = 4) -> Bools:
    """(count, tags) of anything, empty rows too."""
    flat = draw(st.lists(st.booleans(), min_size=count * tags, max_size=count * tags))
    return np.array(flat, dtype=bool).reshape(count, tags)


def _grid(draw: st.DrawFn, count: int, size: int) -> Vectors:
    flat = draw(st.lists(st.integers(-2, 2), min_size=count * size, max_size=count * size))
    return np.array(flat, dtype=np.float32).reshape(count, size)
