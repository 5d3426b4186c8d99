"""How near the tags of neighbours could come: recall@1 within test if tags were better known than they are.

    python benchmarks/tag_limit.py [RUN ...]

RUNs are folders of runs on one tagged set that were evaluated on test; without any, those on incompetech-tags
that `benchmarks/quality.py` made. A query's neighbour is sought outside its own group: by the vectors of the
first run; by chances of tags, averaged over the runs; by chances of the query and true tags of the others,
as if all but the query had been tagged without fault; the other way round; and with all true tags, the most
that any space can have. Beside the recall of all tags stands that of each kind of tag, as its name begins
(`mood/dark`), by the same neighbours; and what a neighbour drawn by chance has.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score

from nearfield.core.types import Bools, Floats

RUNS = Path(__file__).parents[1] / "runs-out"


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*", default=sorted(RUNS.glob("incompetech-tags-[0-9]")))
    given = parser.parse_args()
    if not given.runs:
        raise SystemExit("no runs are given, and there are none of benchmarks/quality.py")
    tables = [tagged(run) for run in given.runs]
    if any(table["id"] != tables[0]["id"] for table in tables):
        raise SystemExit("these runs were not judged on the same clips")
    tags = np.array(tables[0]["tagging/tags"].to_pylist(), bool)
    probabilities = np.mean(
        [np.array(table["tagging/scores"].to_pylist(), float) for table in tables], axis=0
    )
    groups = tables[0]["group"].to_numpy()
    true, vectors = tags.astype(float), vectors_of(given.runs[0], tables[0]["id"].to_pylist())
    ways = {
        "vectors": _unit(vectors) @ _unit(vectors).T,
        "chances": _unit(probabilities) @ _unit(probabilities).T,
        "chances of the query, true tags of the others": probabilities @ true.T,
        "true tags of the query, chances of the others": _unit(true) @ _unit(probabilities).T,
        "true tags": (true / true.sum(1, keepdims=True)) @ true.T,
    }
    names = [row["name"] for row in json.loads((given.runs[0] / "result.json").read_text())["per_tag"]]
    kind = np.array([name.partition("/")[0] for name in names])
    kinds = {"all tags": np.ones(len(kind), bool)} | {name: kind == name for name in sorted(set(kind))}
    areas = [
        average_precision_score(tags[:, tag], probabilities[:, tag]) for tag in np.flatnonzero(tags.any(0))
    ]
    print(f"{len(tags)} clips, {tags.shape[1]} tags, PR-AUC {np.mean(areas):.3f}\n")
    held = {name: tags[:, own].sum(1).mean() for name, own in kinds.items()}
    print("| neighbours by | " + " | ".join(f"{name} ({held[name]:.1f} a clip)" for name in kinds) + " |")
    print("|---|" + "---|" * len(kinds))
    others = (groups[:, None] != groups).astype(float)
    rows = {way: np.eye(len(tags))[np.where(others, like, -np.inf).argmax(1)] for way, like in ways.items()}
    for way, chosen in (rows | {"chance": others / others.sum(1, keepdims=True)}).items():
        cells = [f"{recall(chosen, tags[:, own]):.3f}" for own in kinds.values()]
        print(f"| {way} | {' | '.join(cells)} |")


def tagged(run: Path) -> pa.Table:
    """What is known of each judged clip that has tags."""
    table = pq.read_table(run / "clips.parquet")
    return table.filter(pc.is_valid(table["tagging/tags"]))


def vectors_of(run: Path, ids: list[str]) -> Floats:
    """(N, D): the vectors that a run keeps of these clips."""
    table = pq.read_table(run / "vectors.parquet", columns=["id", "vector"])
    rows = dict(zip(table["id"].to_pylist(), table["vector"].to_pylist(), strict=True))
    return np.array([rows[clip] for clip in ids])


def recall(chosen: Floats, tags: Bools) -> float:
    """Mean share of a query's tags that its neighbour has; `chosen` (N, N): how likely each clip is the
    neighbour of each query. Queries without any of the tags are left out."""
    asked = tags.any(1)
    shared = (chosen @ tags) * tags
    return float((shared.sum(1)[asked] / tags.sum(1)[asked]).mean())


def _unit(rows: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


if __name__ == "__main__":
    main()
