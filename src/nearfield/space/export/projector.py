"""The space for TensorBoard's projector: vectors and what is known of each clip, as tab-separated text."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nearfield.core.files import write_text
from nearfield.runs.run import Run
from nearfield.space.export.table import read_space

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
