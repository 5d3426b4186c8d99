"""What a run says of tags: by the head that it was trained with, else by a probe on its vectors."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing
from nearfield.core.types import ClipMetadata, Floats, Vectors
from nearfield.data.arrays import Input, as_sounds
from nearfield.data.collection import Collection
from nearfield.learning.losses.tagging import TaggingLoss
from nearfield.metrics.tagging import Tagged, TagProbe, fit_tag_probe
from nearfield.training.encode import Windows, embed_windows, mean_by_clip
from nearfield.training.events import Callback, Note, ignore
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder, load_tensors, save_tensors
from nearfield.training.setup import NetworkInput
from nearfield.training.vector_checks import VectorWarning


@dataclass(frozen=True)
class TagHead:
    """The last layer of a tagger, and the names of what it tells."""

    loss: TaggingLoss
    names: tuple[str, ...]

    @classmethod
    def load(cls, folder: RunFolder, recipe: Recipe, size: int) -> "TagHead | None":
        """The head of a finished run whose vectors have `size` numbers; None where it was no tagger. Raises
        RequestError where it was one, and its head is missing or damaged."""
        if "tags" not in recipe.loss.needs:
            return None
        if not folder.head.is_file():
            raise RequestError(
                f"{folder.head} is missing, by which this tagger tells tags. Bring it back from a copy, or "
                "train the run again."
            )
        weights, noted = load_tensors(folder.head)
        loss = recipe.loss.build(size, len(noted["tags"]))
        assert isinstance(loss, TaggingLoss)
        loss.load_state_dict(weights)
        return cls(loss.eval(), tuple(noted["tags"]))

    def save(self, folder: RunFolder) -> None:
        """Writes head.safetensors, the names in its header."""
        save_tensors(folder.head, self.loss.state_dict(), {"tags": list(self.names)})

    def probabilities(self, windows: Windows, clips: int) -> Floats:
        """(N, K) in 0..1: of every window of a clip, then the mean over its windows."""
        vectors, rows = windows
        with torch.no_grad():
            said = self.loss.logits(vectors).double().sigmoid()
        return mean_of_windows(said, rows, clips)


def mean_of_windows(said: Tensor, rows: Tensor, clips: int) -> Floats:
    """(W, K) of windows to (N, K) of their clips, `rows` (W,) being each window's clip."""
    total = torch.zeros(clips, said.shape[1], dtype=torch.float64).index_add_(0, rows, said)
    found: Floats = (total / torch.bincount(rows, minlength=clips).clamp(min=1)[:, None]).numpy()
    return found


def tag(
    run: Run, inputs: Iterable[Input], callback: Callback | None = None
) -> tuple[tuple[str, ...], Floats]:
    """Names of K tags, and the probability (0..1) of each for each of N files or waves: (N, K).

    A run trained to tag answers by its own head, over windows of the clip's length, averaged; any other run
    by a logistic probe on the vectors of its tagged training clips. What is wrong with the vectors goes to
    `callback`, or is a VectorWarning. Raises RequestError where the run knows no tags, DataError for files
    that cannot be read, and as `check_vectors` where the vectors are worthless.
    """
    sounds = as_sounds(inputs)
    network_input, seconds = run.network_input(sounds)

    def look(vectors: Vectors) -> None:
        for said in run.doubts_of(vectors, sounds, network_input):
            if callback is None:
                warnings.warn(said, VectorWarning, stacklevel=4)
            else:
                callback(Note(said, is_warning=True))

    return tag_signals(run, network_input, seconds, look)


def tag_signals(
    run: Run,
    network_input: NetworkInput,
    seconds: Floats,
    look: Callable[[Vectors], None],
    callback: Callback = ignore,
) -> tuple[tuple[str, ...], Floats]:
    """The same of N clips as the network sees them, `seconds` (N,) long; `look` gets their vectors (N, D)."""
    windows = embed_windows(
        run.embedder, network_input, seconds, run.recipe.data.clip_seconds, callback=callback
    )
    vectors = mean_by_clip(*windows, len(seconds), run.embedder.settings.normalize)
    look(vectors)
    head = TagHead.load(run.folder, run.recipe, run.embedder.size)
    if head is not None:
        return head.names, head.probabilities(windows, len(seconds))
    names, probe = _probe(run)
    return names, probe.probabilities(vectors)


def _probe(run: Run) -> tuple[tuple[str, ...], TagProbe]:
    if not run.folder.vectors.is_file():
        raise RequestError(
            f"{run.folder.path} has no vectors to learn tags from. Measure it: "
            f"nearfield evaluate {run.folder.path}"
        )
    table = run.folder.table(run.folder.vectors, ["tags", "split", "vector"]).to_pandas()
    names = sorted({name for tags in table["tags"] for name in tags})
    if not names:
        raise RequestError(
            f"{run.folder.path}: the clips that it was trained on have no tags. Take a run on tagged clips."
        )
    has = np.array([[name in tags for name in names] for tags in table["tags"]])
    vectors = np.stack(table["vector"].to_numpy()).astype(np.float32)

    def split(name: str) -> Tagged:
        rows = np.flatnonzero((table["split"] == name).to_numpy() & has.any(1))
        return Tagged(vectors[rows], has[rows])

    probe = fit_tag_probe(split("train"), split("val"))
    return tuple(names[column] for column in probe.readable), probe


def write_predictions(path: Path, ids: Sequence[str], names: Sequence[str], said: Floats) -> None:
    """predictions.parquet: id, then one column of probabilities a tag; whole or not at all."""
    columns = {"id": pa.array(list(ids), pa.string())}
    columns |= {_column(name): pa.array(said[:, at], pa.float32()) for at, name in enumerate(names)}
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _column(tag: str) -> str:
    """The tag's own name, with = before it where the column of ids has that name, or the tag begins so."""
    return f"={tag}" if tag == "id" or tag.startswith("=") else tag


def read_predictions(run: str | Path, collection: Collection, metadata: ClipMetadata) -> Floats:
    """(N, K) what the tagger of a run said of these clips, in the order of the tags of `metadata`.

    NaN for clips that it did not hear. Raises RequestError where the run is no tagger, knows none of the
    clips, or does not know one of the tags.
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
            f"sampler.tagger: {run} does not know the tag {unknown[0]!r} of {collection.name}."
        )
    said = table.reindex(collection.table["id"])[columns].to_numpy(np.float64)
    if not np.isfinite(said).any():
        raise RequestError(f"sampler.tagger: {run} heard none of the clips of {collection.name}.")
    return np.asarray(said)
