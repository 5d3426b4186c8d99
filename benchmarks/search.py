"""Exact search beside its peers on clustered unit vectors: 128 numbers, ten nearest; a Markdown table.

    pip install faiss-cpu usearch lancedb
    python benchmarks/search.py                                 10,000, 100,000 and 1,000,000 vectors
    python benchmarks/search.py --sizes 10000 --engines nearfield,numpy,faiss_flat
    python benchmarks/search.py --apart                         one engine after the other

Engines answer the same single queries in turn, so that a busy moment strikes all alike, and each finds the
others' vectors in the processor's cache; with --apart its own, like a server that does nothing else. "least"
is the fastest answer, which other work on the machine disturbs least. Batches of 1,024 likewise, median and
best of some rounds. Recall is against products in float64. Waiting threads of OpenMP spin for a
moment only, as under the command line: else each engine's would be in the next one's way.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nearfield.core.machine import limit_threads, usable_cores

limit_threads()  # before torch is loaded, as the command line does

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import torch  # noqa: E402

from nearfield.core.types import Ints, Vectors  # noqa: E402
from nearfield.space.generation import State, gathered, generation_folder, write_generation  # noqa: E402  # noqa: E402
from nearfield.space.nearest import Nearest  # noqa: E402
from nearfield.space.rows import Rows, connect  # noqa: E402
from nearfield.space.shards import vector_column  # noqa: E402
from nearfield.space.storage import SpaceFile, facts_of  # noqa: E402

SIZE, TOP, BATCH = 128, 10, 1024
SLOW = {"lancedb_flat": 16}
"""Engines that answer fewer single queries, and batches by a loop over so many."""
Search = Callable[[Vectors], Ints]


@dataclass
class Engine:
    """One way to search, and what it took."""

    name: str
    search: Search
    """(B, D) queries to (B, TOP) rows."""
    build: float
    single: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    recall: float = 0.0


def draw(count: int, clusters: int) -> tuple[Vectors, Vectors]:
    """`count` unit vectors about random centres, and `BATCH` queries about the same."""
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((clusters, SIZE), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)

    def about(number: int) -> Vectors:
        rows = centres[chance.integers(clusters, size=number)]
        rows += chance.standard_normal((number, SIZE), dtype=np.float32) * np.float32(0.8 / SIZE**0.5)
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    return about(count), about(BATCH)


def nearfield(vectors: Vectors) -> Search:
    """The search of a space."""
    nearest = Nearest.of(vectors)
    return lambda q: nearest.search_many(q, TOP)[0] if len(q) > 1 else nearest.search(q[0], TOP)[0][None]


def numpy_product(vectors: Vectors) -> Search:
    """One matrix product in blocks, and a selection."""

    def search(queries: Vectors) -> Ints:
        block = max(1, 2**27 // (4 * len(vectors)))
        found = []
        for first in range(0, len(queries), block):
            scores = queries[first : first + block] @ vectors.T
            near = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
            order = np.argsort(-np.take_along_axis(scores, near, 1), axis=1)
            found.append(np.take_along_axis(near, order, 1))
        return np.concatenate(found)

    return search


def torch_product(vectors: Vectors) -> Search:
    """The same by torch."""
    rows = torch.from_numpy(vectors)

    def search(queries: Vectors) -> Ints:
        block = max(1, 2**27 // (4 * len(vectors)))
        parts = [torch.from_numpy(queries[first : first + block]) for first in range(0, len(queries), block)]
        return torch.cat([torch.topk(part @ rows.T, TOP).indices for part in parts]).numpy()

    return search


def faiss_flat(vectors: Vectors) -> Search:
    """faiss, exact."""
    import faiss

    index: Any = faiss.IndexFlatIP(SIZE)
    index.add(vectors)
    return lambda queries: index.search(queries, TOP)[1]


def faiss_hnsw(vectors: Vectors) -> Search:
    """faiss, a graph: M 32, efConstruction 40, efSearch 64."""
    import faiss

    index: Any = faiss.IndexHNSWFlat(SIZE, 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = 64
    index.add(vectors)
    return lambda queries: index.search(queries, TOP)[1]


def usearch(vectors: Vectors) -> Search:
    """usearch, a graph with its own defaults."""
    from usearch.index import Index

    index: Any = Index(ndim=SIZE, metric="ip", dtype="f32")
    index.add(np.arange(len(vectors)), vectors, threads=usable_cores())
    return lambda queries: index.search(queries, TOP).keys.reshape(len(queries), TOP)


def lancedb_flat(vectors: Vectors) -> Search:
    """LanceDB without an index."""
    table = connect(Path(tempfile.mkdtemp())).create_table(
        "vectors", pa.table({"row": np.arange(len(vectors)), "vector": vector_column(vectors)})
    )

    def search(queries: Vectors) -> Ints:
        asked = (table.search(query).distance_type("cosine").limit(TOP).select(["row"]) for query in queries)
        return np.stack([each.to_arrow()["row"].to_numpy() for each in asked])

    return search


ENGINES: dict[str, Callable[[Vectors], Search]] = {
    "nearfield": nearfield,
    "numpy": numpy_product,
    "torch": torch_product,
    "faiss_flat": faiss_flat,
    "lancedb_flat": lancedb_flat,
    "faiss_hnsw": faiss_hnsw,
    "usearch": usearch,
}


def built(name: str, vectors: Vectors, queries: Vectors) -> Engine:
    """An engine that has answered once of each sort, so that nothing is loaded or compiled on the way."""
    began = time.perf_counter()
    search = ENGINES[name](vectors)
    seconds = time.perf_counter() - began
    search(queries[:1])
    search(queries[:2])
    return Engine(name, search, seconds)


def measure(engines: list[Engine], vectors: Vectors, queries: Vectors, singles: int, rounds: int) -> None:
    """Asks the engines in turn."""
    for number in range(singles):
        for engine in engines:
            if number < SLOW.get(engine.name, singles):
                began = time.perf_counter()
                engine.search(queries[number : number + 1])
                engine.single.append(time.perf_counter() - began)
    for _ in range(rounds):
        for engine in engines:
            some = queries[: SLOW.get(engine.name, BATCH)]
            began = time.perf_counter()
            engine.search(some)
            engine.batch.append((time.perf_counter() - began) / len(some))
    wanted = exact(vectors, queries[:100])
    for engine in engines:
        asked = SLOW.get(engine.name, 100)
        pairs = zip(engine.search(queries[:asked]), wanted[:asked], strict=True)
        engine.recall = float(np.mean([len(set(left) & set(right)) / TOP for left, right in pairs]))


def exact(vectors: Vectors, queries: Vectors) -> Ints:
    """The ten nearest by products in float64."""
    scores = np.concatenate(
        [
            queries.astype(np.float64) @ vectors[first : first + 65536].T
            for first in range(0, len(vectors), 65536)
        ],
        axis=1,
    )
    return np.argsort(-scores, axis=1, kind="stable")[:, :TOP]


def stored(vectors: Vectors) -> tuple[float, float]:
    """Milliseconds to open a space of these vectors, and bytes mapped for search per byte of vectors."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = len(vectors)
        ids = [f"clip {number}" for number in range(count)]
        rows = pa.table({"id": ids, "group": ids, "recording": ids})
        target = generation_folder(folder, 1)
        generation = write_generation(target, gathered([vectors], np.arange(count)), SIZE, rows)
        Rows.write(target, rows)
        files = facts_of(folder, [file for file in target.rglob("*") if file.is_file()])
        SpaceFile(
            version=1,
            identity={},
            run="run",
            data="data",
            windows="clip",
            count=count,
            size=SIZE,
            files=files,
        ).write(folder)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            State.read(folder).generation.vectors.shape  # noqa: B018
            times.append(time.perf_counter() - began)
        codes = generation.nearest.codes
        share = (vectors.nbytes + codes.codes.nbytes + codes.bounds.nbytes) / vectors.nbytes
        return 1e3 * min(times), share


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--threads", type=int, default=usable_cores())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print("| n | engine | build s | p50 ms | p99 ms | least ms | batch queries/s | best | recall@10 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count in map(int, asked.sizes.split(",")):
        vectors, queries = draw(count, max(10, count // 1000))
        engines = [built(name, vectors, queries) for name in asked.engines.split(",")]
        for asked_together in [[engine] for engine in engines] if asked.apart else [engines]:
            measure(asked_together, vectors, queries, asked.singles, asked.rounds)
        for engine in engines:
            rates = f"{1 / np.median(engine.batch):,.0f} | {1 / min(engine.batch):,.0f}"
            p50, p99, least = 1e3 * np.array([*np.percentile(engine.single, [50, 99]), min(engine.single)])
            print(
                f"| {count:,} | {engine.name} | {engine.build:.2f} | {p50:.3f} | {p99:.3f} | {least:.3f} "
                f"| {rates} | {engine.recall:.3f} |",
                flush=True,
            )
        milliseconds, share = stored(vectors)
        print(
            f"\nA stored space of {count:,}: opened in {milliseconds:.1f} ms; search maps {share:.3f} times "
            f"the vectors' bytes. Load average {os.getloadavg()[0]:.1f}.\n",
            flush=True,
        )


if __name__ == "__main__":
    main()
