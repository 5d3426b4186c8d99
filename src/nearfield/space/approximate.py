"""An approximate LanceDB index with measured recall, for spaces too large for exact search."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nearfield.core.extras import require
from nearfield.core.rng import stream
from nearfield.core.types import Ints, Vectors
from nearfield.space.nearest import Found, Nearest
from nearfield.space.rows import connect
from nearfield.space.shards import vector_column
from nearfield.space.storage import Approximate

TABLE = "approximate"
QUERIES, TOP = 200, 10
_NPROBES, _REFINE = 20, 4
_BLOCK = 1 << 16
_LEAST = 256  # rows that the index needs to fit its partitions


@dataclass(frozen=True)
class ApproximateIndex:
    """An open approximate index."""

    folder: Path
    facts: Approximate

    @cached_property
    def table(self) -> Any:
        """The LanceDB table."""
        return connect(self.folder).open_table(TABLE)

    def search(self, query: Vectors, top: int) -> Found:
        """About the `top` nearest rows to a unit vector, and their cosines."""
        search = self.table.search(query, vector_column_name="vector").distance_type("cosine").limit(top)
        found = search.nprobes(self.facts.nprobes).refine_factor(self.facts.refine).select(["row"]).to_arrow()
        return found["row"].to_numpy(), 1.0 - found["_distance"].to_numpy().astype(np.float64)


def build(folder: Path, nearest: Nearest) -> Approximate:
    """Builds the index in a generation's folder and measures its recall against exact search."""
    require("index", "An approximate index")
    from lancedb.index import HnswSq

    vectors = nearest.vectors
    table = connect(folder).create_table(TABLE, _batches(vectors), schema=_schema(vectors), mode="overwrite")
    if len(vectors) >= _LEAST:
        partitions = max(1, round(len(vectors) ** 0.5 / 2))
        table.create_index("vector", config=HnswSq(distance_type="cosine", num_partitions=partitions))
    facts = Approximate(nprobes=_NPROBES, refine=_REFINE, recall=1.0, queries=0)
    return measured(ApproximateIndex(folder, facts), nearest)


def measured(index: ApproximateIndex, nearest: Nearest) -> Approximate:
    """Adds the recall at 10 of a sample of rows, which are excluded from their own answers."""
    count = len(nearest.vectors)
    rows = stream(0, "recall").permutation(count)[:QUERIES]
    top = min(TOP + 1, count)
    exact = nearest.search_many(nearest.vectors[rows], top)[0]
    shares = [
        _share(exact[place], index.search(nearest.vectors[row], top)[0], int(row))
        for place, row in enumerate(rows)
    ]
    return index.facts.model_copy(update={"recall": float(np.mean(shares)), "queries": len(rows)})


def _share(exact: Ints, found: Ints, own: int) -> float:
    wanted = set(exact.tolist()) - {own}
    return len(wanted & set(found.tolist())) / len(wanted) if wanted else 1.0


def _schema(vectors: Vectors) -> pa.Schema:
    return pa.schema({"row": pa.int64(), "vector": pa.list_(pa.float32(), vectors.shape[1])})


def _batches(vectors: Vectors) -> Any:
    for first in range(0, len(vectors), _BLOCK):
        block = vectors[first : first + _BLOCK]
        rows = pa.array(np.arange(first, first + len(block)))
        yield pa.RecordBatch.from_arrays([rows, vector_column(block)], schema=_schema(vectors))
