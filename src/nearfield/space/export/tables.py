"""Export to Parquet and to TensorBoard's projector."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nearfield.core.errors import RequestError
from nearfield.core.extras import require
from nearfield.core.files import replacing, write_text
from nearfield.core.types import Floats, Vectors
from nearfield.metrics.projection import principal
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder

# The space as one Parquet table, for pandas, Embedding Atlas, Renumics Spotlight and FiftyOne.

TEXT = ("id", "path", "label", "group", "split")


@dataclass(frozen=True, eq=False)
class SpaceTable:
    """The clips of a measured run, and a vector for each."""

    table: pd.DataFrame
    """Columns id, path, start, seconds, label, tags, group, split."""
    vectors: Vectors
    """(N, D)"""


@dataclass(frozen=True)
class ParquetFile:
    """What was written."""

    path: Path
    clips: int
    size: int
    explained: float
    """Share of the vectors' variance that the two coordinates show."""


def read_space(folder: RunFolder) -> SpaceTable:
    """What a measured run keeps of its collection. Raises RequestError where it was not measured yet."""
    if not folder.vectors.is_file():
        raise RequestError(
            f"{folder.path} has no vectors.parquet: its clips were not embedded yet. "
            f"Measure the run: nearfield evaluate {folder.path}"
        )
    stored = folder.table(folder.vectors)
    vectors = np.stack(stored["vector"].to_numpy()).astype(np.float32)
    return SpaceTable(stored.drop_columns(["vector"]).to_pandas(), vectors)


def export_parquet(run: Run, path: Path) -> ParquetFile:
    """Writes id, path, start, seconds, label, tags, group, split, x, y and vector; whole or not at all.

    x, y: the first two principal components, which any tool can draw at once. tags: list<string>, vector:
    list<float>. Raises RequestError where the run has no vectors yet.
    """
    space = read_space(run.folder)
    places, explained = principal_plane(space.vectors)
    table = space.table
    columns = {name: pa.array(table[name].astype(str), pa.string()) for name in TEXT}
    columns["tags"] = pa.array([list(tags) for tags in table["tags"]], pa.list_(pa.string()))
    numbers = {"start": table["start"], "seconds": table["seconds"], "x": places[:, 0], "y": places[:, 1]}
    columns |= {name: pa.array(np.asarray(values, np.float64)) for name, values in numbers.items()}
    columns["vector"] = pa.array(list(space.vectors), pa.list_(pa.float32()))
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
    clips, size = space.vectors.shape
    return ParquetFile(path, clips, size, explained)


def principal_plane(vectors: Vectors) -> tuple[Floats, float]:
    """(N, D) to the first two principal components (N, 2), and the share of the variance that they hold.

    Each component's largest weight is positive, so that the same vectors give the same picture anywhere.
    """
    if len(vectors) < 2 or not vectors.std(axis=0).any():
        return np.zeros((len(vectors), 2)), 0.0
    plane = principal(vectors, 2)
    return plane, float(plane.var(axis=0).sum() / vectors.var(axis=0, dtype=np.float64).sum())


# The space for TensorBoard's projector: vectors and what is known of each clip, as tab-separated text.

TENSORS, METADATA, CONFIG = "embeddings.tsv", "metadata.tsv", "projector_config.pbtxt"
SHOWN = ("label", "tags", "split", "group", "id")
"""Columns of the metadata, the first being what points are coloured by."""


@dataclass(frozen=True)
class ProjectorFolder:
    """What was written."""

    path: Path
    clips: int
    size: int


def export_projector(run: Run, folder: Path) -> ProjectorFolder:
    """Writes the folder that `tensorboard --logdir FOLDER` shows under Projector; its configuration last.

    Raises RequestError where the run has no vectors yet.
    """
    require("tensorboard", "The export to projector")
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    space = read_space(run.folder)
    lines = ["\t".join(f"{number:.7g}" for number in vector) for vector in space.vectors]
    write_text(folder / TENSORS, "\n".join(lines) + "\n")
    write_text(folder / METADATA, _metadata(space.table))
    config = ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "space"
    embedding.tensor_shape.extend(space.vectors.shape)
    embedding.tensor_path, embedding.metadata_path = TENSORS, METADATA
    write_text(folder / CONFIG, str(config))
    clips, size = space.vectors.shape
    return ProjectorFolder(folder, clips, size)


def _metadata(table: pd.DataFrame) -> str:
    """A line of names, then a line a clip: what is needed where there are two columns and more."""
    columns = {name: table[name] for name in SHOWN}
    columns["tags"] = table["tags"].map(", ".join)
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    return "\n".join("\t".join(_cell(value) for value in row) for row in rows) + "\n"


def _cell(value: object) -> str:
    """One line without tabs: they would be taken for the next column."""
    return " ".join(str(value).split()) or "-"
