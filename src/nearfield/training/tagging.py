"""Tags of clips: by the head that a run was trained with, or by a probe on its embeddings."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing
from nearfield.core.types import ClipMetadata, Floats, Vectors
from nearfield.data.arrays import Input
from nearfield.data.collection import Collection
from nearfield.learning.losses.tagging import TaggingLoss
from nearfield.metrics.tagging import Tagged, TagProbe, fit_tag_probe
from nearfield.training.encode import WindowEmbeddings, mean_of_windows
from nearfield.training.events import Callback, Note
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder, load_tensors, save_tensors
from nearfield.training.vector_checks import VectorWarning
from nearfield.training.windows import Clip, as_clips


@dataclass(frozen=True)
class TagHead:
    """The last layer of a tagger, and the names of its tags."""

    loss: TaggingLoss
    names: tuple[str, ...]

    @classmethod
    def load(cls, folder: RunFolder, recipe: Recipe, size: int) -> "TagHead | None":
        """Reads the head of a trained run.

        Parameters
        ----------
        folder, recipe
            The run.
        size
            Size of its embeddings.

        Returns
        -------
        TagHead or None
            None if the run was not trained to tag.

        Raises
        ------
        RequestError
            If the head is missing or damaged.
        """
        if "tags" not in recipe.loss.needs:
            return None
        if not folder.head.is_file():
            raise RequestError(
                f"{folder.head} is missing, which this run needs to tag. Bring it back from a copy, or train "
                "the run again."
            )
        weights, noted = load_tensors(folder.head)
        loss = recipe.loss.build(size, len(noted["tags"]))
        assert isinstance(loss, TaggingLoss)
        loss.load_state_dict(weights)
        return cls(loss.eval(), tuple(noted["tags"]))

    def save(self, folder: RunFolder) -> None:
        """Writes head.safetensors, with the names in its header."""
        save_tensors(folder.head, self.loss.state_dict(), {"tags": list(self.names)})

    def probabilities(self, windows: WindowEmbeddings, clips: int) -> Floats:
        """Returns the probability of each of K tags for each clip, (N, K): the mean over its windows."""
        with torch.no_grad():
            scores = self.loss.logits(windows.vectors).double().sigmoid()
        found: Floats = mean_of_windows(scores, windows.rows, clips).numpy()
        return found


def tag(
    run: Run, inputs: Iterable[Input], callback: Callback | None = None
) -> tuple[tuple[str, ...], Floats]:
    """Tags sounds (or images).

    A run that was trained to tag uses its own head on each window of a clip, and averages. Any other run uses
    a logistic probe, fitted to the embeddings of its tagged training clips.

    Parameters
    ----------
    run
        The run.
    inputs
        N files or waves, as `Run.encode` takes them.
    callback
        Called with a note for each warning on the embeddings; None: they are issued as `VectorWarning`.

    Returns
    -------
    names : tuple of str
        The K tags.
    probabilities : ndarray
        (N, K), from 0 to 1.

    Raises
    ------
    RequestError
        If the run knows no tags.
    DataError
        If a file cannot be read.
    WorkError
        If the embeddings are useless, as for `check_vectors`.
    """
    return tag_clips(run, as_clips(inputs), callback, stacklevel=3)


def tag_clips(
    run: Run, clips: Sequence[Clip], callback: Callback | None = None, stacklevel: int = 2
) -> tuple[tuple[str, ...], Floats]:
    """Tags parts of files, files or waves like `tag`; `stacklevel` is that of warnings."""
    windows = run.embed(clips)
    vectors = windows.by_clip(len(clips), run.embedder.settings.normalize)
    for sentence in run.check(vectors, clips):
        if callback is None:
            warnings.warn(sentence, VectorWarning, stacklevel=stacklevel)
        else:
            callback(Note(sentence, is_warning=True))
    return tags_of(run, windows, vectors)


def tags_of(run: Run, windows: WindowEmbeddings, vectors: Vectors) -> tuple[tuple[str, ...], Floats]:
    """Returns the tags of clips that are embedded already, like `tag`.

    `windows` are those of the clips, `vectors` (N, D) their means. Raises RequestError if the run knows none.
    """
    head = TagHead.load(run.folder, run.recipe, run.embedder.size)
    if head is not None:
        return head.names, head.probabilities(windows, len(vectors))
    names, probe = _probe(run)
    return names, probe.probabilities(vectors)


def _probe(run: Run) -> tuple[tuple[str, ...], TagProbe]:
    table, vectors = run.folder.stored_vectors(["tags", "split"])
    names = sorted({name for tags in table["tags"] for name in tags})
    if not names:
        raise RequestError(
            f"{run.folder.path}: the clips that it was trained on have no tags. Use a run on tagged clips."
        )
    has = np.array([[name in tags for name in names] for tags in table["tags"]])

    def of_split(name: str) -> Tagged:
        rows = np.flatnonzero((table["split"] == name).to_numpy() & has.any(1))
        return Tagged(vectors[rows], has[rows])

    probe = fit_tag_probe(of_split("train"), of_split("val"))
    return tuple(names[column] for column in probe.readable), probe


def write_predictions(path: Path, ids: Sequence[str], names: Sequence[str], probabilities: Floats) -> None:
    """Writes predictions.parquet atomically: the column id, and a column of probabilities for each tag.

    Parameters
    ----------
    path
        The file.
    ids
        N ids of clips.
    names
        K tags.
    probabilities
        (N, K), from 0 to 1.
    """
    columns = {"id": pa.array(list(ids), pa.string())}
    columns |= {_column(name): pa.array(probabilities[:, at], pa.float32()) for at, name in enumerate(names)}
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _column(tag: str) -> str:
    """The name of the column of a tag: with = before it if the tag is "id" or begins with =."""
    return f"={tag}" if tag == "id" or tag.startswith("=") else tag


def read_predictions(run: str | Path, collection: Collection, metadata: ClipMetadata) -> Floats:
    """Reads the probabilities that a tagger gave for the clips of a collection.

    Parameters
    ----------
    run
        The folder of the tagger's run.
    collection
        N clips.
    metadata
        Their metadata, with the names of K tags.

    Returns
    -------
    ndarray
        (N, K), in the order of `metadata.tag_names`; NaN for clips that the run has no prediction for.

    Raises
    ------
    RequestError
        If the run is not a tagger, does not know one of the tags, or has predictions for none of the clips.
    """
    folder = RunFolder.existing(run)
    path = folder.predictions
    if not path.is_file():
        raise RequestError(
            f"sampler.tagger: {run} has no {path.name}. Give the folder of a finished run whose loss is "
            "bce or focal."
        )
    table = folder.table(path).to_pandas().set_index("id")
    columns = [_column(name) for name in metadata.tag_names]
    unknown = [name for name, column in zip(metadata.tag_names, columns, strict=True) if column not in table]
    if unknown:
        raise RequestError(
            f"sampler.tagger: {run} does not know the tag {unknown[0]!r} of {collection.name}. Give a run "
            "that was trained on these tags."
        )
    found = table.reindex(collection.table["id"])[columns].to_numpy(np.float64)
    if not np.isfinite(found).any():
        raise RequestError(
            f"sampler.tagger: {run} has predictions for none of the clips of {collection.name}. Give a run "
            "on these clips."
        )
    return np.asarray(found)
