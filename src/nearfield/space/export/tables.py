"""Export to Parquet and to TensorBoard's projector."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

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
    """The clips of an evaluated run and their vectors."""

    table: pd.DataFrame
    """Columns id, path, start, seconds, label, tags, group, split."""
    vectors: Vectors
    """(N, D)"""


@dataclass(frozen=True)
class ParquetFile:
    """The result of the export to Parquet."""

    path: Path
    clips: int
    size: int
    explained: float
    """Share of the variance that the two coordinates explain."""


def read_space(folder: RunFolder) -> SpaceTable:
    """Reads the clips and vectors of an evaluated run. Raises RequestError if it has not been evaluated."""
    return SpaceTable(*folder.stored_vectors())


def export_parquet(run: Run, path: Path) -> ParquetFile:
    """Writes the columns id, path, start, seconds, label, tags, group, split, x, y and vector, atomically.

    x, y: the first two principal components. tags: list<string>, vector: list<float>. Raises RequestError if
    the run has no vectors yet.
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
    """The first two principal components (N, 2) of (N, D), and the share of variance that they explain.

    The largest weight of each component is positive, so that the signs do not depend on the machine.
    """
    if len(vectors) < 2 or not vectors.std(axis=0).any():
        return np.zeros((len(vectors), 2)), 0.0
    plane = principal(vectors, 2)
    return plane, float(plane.var(axis=0).sum() / vectors.var(axis=0, dtype=np.float64).sum())


# Export to TensorBoard's projector: vectors and metadata as tab-separated text.

TENSORS, METADATA, CONFIG = "embeddings.tsv", "metadata.tsv", "projector_config.pbtxt"
SHOWN = ("label", "tags", "split", "group", "id")
"""Columns of the metadata; the projector colors points by the first one."""


@dataclass(frozen=True)
class ProjectorFolder:
    """The result of the export to the projector."""

    path: Path
    clips: int
    size: int


def export_projector(run: Run, folder: Path) -> ProjectorFolder:
    """Writes a folder for `tensorboard --logdir FOLDER`, tab Projector; the configuration is written last.

    Raises RequestError if the run has no vectors yet.
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
    """A header and one line per clip, as the projector requires for two or more columns."""
    columns = {name: table[name] for name in SHOWN}
    columns["tags"] = table["tags"].map(", ".join)
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    return "\n".join("\t".join(_cell(value) for value in row) for row in rows) + "\n"


def _cell(value: object) -> str:
    """A value without tabs and line breaks."""
    return " ".join(str(value).split()) or "-"
