"""How near the tags of neighbours could come: recall@1 within test if tags were better known than they are.

    python benchmarks/tag_limit.py [RUN ...]

RUNs are folders of runs on one tagged set that were evaluated on test; without any, those on incompetech-tags
that `benchmarks/quality.py` made. The chances of tags are averaged over the runs. A query's neighbour
is sought outside its own group: by the chances alone; by chances of the query and true tags of the others, as
if all but the query had been tagged without fault; the other way round; and with all true tags. The last is
the most that any space can have.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score

from nearfield.core.nouns import Bools, Floats, Ints

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
    chances = np.mean([np.array(table["tagging/scores"].to_pylist(), float) for table in tables], axis=0)
    groups = tables[0]["group"].to_numpy()
    true = tags.astype(float)
    ways = {
        "chances": _unit(chances) @ _unit(chances).T,
        "chances of the query, true tags of the others": chances @ true.T,
        "true tags of the query, chances of the others": _unit(true) @ _unit(chances).T,
        "true tags": (true / true.sum(1, keepdims=True)) @ true.T,
    }
    areas = [average_precision_score(tags[:, tag], chances[:, tag]) for tag in np.flatnonzero(tags.any(0))]
    print(f"{len(tags)} clips, {tags.shape[1]} tags, PR-AUC {np.mean(areas):.3f}\n")
    print("| neighbours by | tag recall@1 |\n|---|---|")
    for way, likeness in ways.items():
        print(f"| {way} | {recall(likeness, tags, groups):.3f} |")


def tagged(run: Path) -> pa.Table:
    """What is known of each judged clip that has tags."""
    table = pq.read_table(run / "clips.parquet")
    return table.filter(pc.is_valid(table["tagging/tags"]))


def recall(likeness: Floats, tags: Bools, groups: Ints) -> float:
    """Mean share of a query's tags that the most alike clip of another group has."""
    apart = np.where(groups[:, None] == groups, -np.inf, likeness)
    shared = (tags[apart.argmax(1)] & tags).sum(1)
    return float((shared / tags.sum(1)).mean())


def _unit(rows: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


if __name__ == "__main__":
    main()
