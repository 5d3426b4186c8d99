"""clips.parquet: how every clip of the evaluated split fared, which paired comparisons of runs resample."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing
from nearfield.core.nouns import Floats, Ints
from nearfield.data.collection import Collection
from nearfield.evaluation.result import Result
from nearfield.runs.folder import Folder

WITHOUT = "without"


def write_clips(path: Path, collection: Collection, names: tuple[str, ...], found: Result) -> None:
    """Columns id, group (a number, alike for clips resampled together), label, predicted, then one of floats
    for each score; `block` (alike for clips left out together) and `without/{score}`, the score of the split
    without each clip's block, for searches of the split within itself; then `{who}/tags` and `{who}/scores`
    with lists for whoever told tags (null where a clip has none); whole or not at all. `names` of the classes
    by number; "" stands for none."""
    clips = found.clips
    columns = {
        "id": pa.array(collection.table["id"].iloc[clips.rows].to_list(), pa.string()),
        "group": pa.array(clips.groups, pa.int64()),
        "label": _named(clips.reference, names),
        "predicted": _named(clips.predicted, names),
    }
    columns |= {name: pa.array(scores, pa.float64()) for name, scores in clips.scores.items()}
    columns["block"] = pa.array(clips.blocks, pa.int64())
    columns |= {f"{WITHOUT}/{name}": pa.array(values, pa.float64()) for name, values in clips.without.items()}
    for who, said in found.tag_scores.items():
        for name, cells in (("tags", said.tags), ("scores", said.scores)):
            lists: list[Any] = [None] * len(clips.rows)
            for place, row in zip(said.at, cells.tolist(), strict=True):
                lists[place] = row
            columns[f"{who}/{name}"] = pa.array(
                lists, pa.list_(pa.bool_() if name == "tags" else pa.float64())
            )
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_clips(path: Path) -> pd.DataFrame:
    """What `write_clips` wrote, one row a clip. Raises RequestError where the file is missing or damaged."""
    table: pd.DataFrame = Folder(path.parent).table(path).to_pandas()
    return table


def without(clips: pd.DataFrame, measure: str) -> tuple[Floats, Ints]:
    """(n,) what a measure of a search within the split is without each clip's block, and the blocks.

    Raises RequestError where the clips were measured before that was kept.
    """
    if f"{WITHOUT}/{measure}" not in clips:
        raise RequestError(
            f"clips.parquet: there is no column '{WITHOUT}/{measure}': an earlier version measured the run, "
            f"and its scores of {measure} cannot be compared. Measure the run again: nearfield evaluate RUN."
        )
    return clips[f"{WITHOUT}/{measure}"].to_numpy(np.float64), clips["block"].to_numpy(np.int64)


def _named(numbers: Ints, names: tuple[str, ...]) -> pa.Array:
    known = np.array([*names, ""], dtype=object)  # -1, for none, is the last one
    return pa.array(known[numbers].tolist(), pa.string())
