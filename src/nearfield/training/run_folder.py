"""The run folder: its file names, what it stores, and whether its data are unchanged."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from nearfield.core.errors import DataError, RequestError
from nearfield.core.files import digest, not_there, read_json, read_parquet, replacing, write_json, write_text
from nearfield.core.text import count
from nearfield.core.types import Vectors
from nearfield.data.collection import Collection
from nearfield.training.events import Callback, Note
from nearfield.training.recipe import Recipe, read_keys

# The run folder: what a run remembers, and the one place that knows its file names.
#
# recipe.yaml          resolved, nothing left to defaults
# environment.json     versions, machine, data, seed
# network.txt          layers, shapes, numbers of weights
# split.csv            which clip stood on which side
# metrics.jsonl        one line an update, append-only
# clips.parquet        how each clip of the evaluated split fared
# result.json          what the evaluation found; written last
# weights.safetensors  the embedder
# canary.safetensors   a few sounds and their vectors, to be heard again wherever the run is used
# head.safetensors     the last layer of a tagger
# predictions.parquet  what a tagger says of every clip
# vectors.parquet      a vector for each clip
# state/               to go on from after an interruption
# tensorboard/         the same curves for TensorBoard, and pictures where they were asked for
# profile.txt, .json   what single operations cost, where it was asked for
# lock                 held while a training or a measuring writes here
#
# Tensors carry a digest in their file's header, tables have theirs in result.json; both are compared when
# read.


@dataclass(frozen=True)
class RunFolder:
    """Paths and whole-or-nothing writes of one run."""

    path: Path

    @classmethod
    def existing(cls, path: str | Path) -> "RunFolder":
        """The folder of a run that was started. Raises RequestError where there is none."""
        folder = cls(Path(path).expanduser())
        if not (folder.path / "recipe.yaml").is_file():
            raise not_there("run", path)
        return folder

    @property
    def weights(self) -> Path:
        """The embedder's weights; present once the run has finished training. A run that was exported for the
        Hugging Face Hub has them under the name that is usual there."""
        own, published = self.path / "weights.safetensors", self.path / "model.safetensors"
        return published if published.is_file() and not own.is_file() else own

    @property
    def network(self) -> Path:
        """Every layer with its shape and its weights, as text."""
        return self.path / "network.txt"

    @property
    def head(self) -> Path:
        """What a tagger tells tags by, beside the embedder; only taggers have it."""
        return self.path / "head.safetensors"

    @property
    def predictions(self) -> Path:
        """What a tagger says of every clip of its collection; `training.tagging` reads it."""
        return self.path / "predictions.parquet"

    @property
    def vectors(self) -> Path:
        """A vector for each clip of the collection."""
        return self.path / "vectors.parquet"

    @property
    def clips(self) -> Path:
        """How each clip of the evaluated split fared; `training.evaluate_run` reads it."""
        return self.path / "clips.parquet"

    @property
    def state(self) -> Path:
        """Weights, optimiser and counters at the last checkpoint."""
        return self.path / "state" / "last.safetensors"

    @property
    def best(self) -> Path:
        """Weights of the best validation so far."""
        return self.path / "state" / "best.safetensors"

    @property
    def canary(self) -> Path:
        """A few sounds with the vectors that training gave of them; `training.canary` reads it."""
        return self.path / "canary.safetensors"

    @property
    def split(self) -> Path:
        """Which clip stood on which side."""
        return self.path / "split.csv"

    @property
    def metrics(self) -> Path:
        """One JSON line an update."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.path / "tensorboard"

    @property
    def lock(self) -> Path:
        """Held by whoever writes here."""
        return self.path / "lock"

    @property
    def is_started(self) -> bool:
        """Whether a run was ever begun here."""
        return (self.path / "recipe.yaml").is_file()

    @property
    def is_trained(self) -> bool:
        """Whether the run has its final weights."""
        return self.weights.is_file()

    @property
    def is_evaluated(self) -> bool:
        """Whether the run was measured; its scores per clip and its vectors are then there too."""
        return (self.path / "result.json").is_file() and self.clips.is_file()

    def recipe(self) -> Recipe:
        """The resolved recipe. Raises RequestError where it was cut short."""
        path = self.path / "recipe.yaml"
        plain = read_keys(path, "recipe")
        lacking = sorted({"data", "backbone", "loss", "train"} - plain.keys())
        if lacking:
            raise RequestError(  # what it lacks is not the default
                f"{path} is damaged: it has no {lacking[0]!r}. Bring it back from a copy, or train the run "
                "again with another --out."
            )
        return Recipe.of(plain, path.name)  # without a note on old names: nobody wrote this file by hand

    def environment(self) -> dict[str, Any]:
        """Versions, machine, data and seed of the run."""
        needed = ("seed", *(f"data.{key}" for key in ("channels", "given", "path", "name", "clips", "leaks")))
        return self._json("environment.json", needed)

    def result(self) -> dict[str, Any]:
        """What the evaluation found. Raises RequestError where there is none yet."""
        return self._json("result.json", ("metrics",))

    def table(self, path: Path, columns: list[str] | None = None) -> pa.Table:
        """vectors.parquet, clips.parquet or predictions.parquet. Raises RequestError where it is missing, or
        is not what the measuring wrote."""
        result = self.path / "result.json"
        cure = f"Measure the run again: nearfield evaluate {self.path}"
        noted = read_json(result, cure).get("files", {}) if result.is_file() else {}
        return read_parquet(path, cure, columns, noted.get(path.name))

    def stored_vectors(self, columns: Sequence[str] | None = None) -> tuple[pd.DataFrame, Vectors]:
        """Reads vectors.parquet.

        Parameters
        ----------
        columns
            Columns of the clips: id, path, start, seconds, label, tags, group, split; None: all.

        Returns
        -------
        clips : DataFrame
            A row for each clip of the evaluated collection.
        vectors : ndarray
            (N, D) float32, one for each row.

        Raises
        ------
        RequestError
            If the run has not been evaluated, or the file is damaged.
        """
        if not self.vectors.is_file():
            raise RequestError(
                f"{self.path} has no {self.vectors.name}: the run has not been evaluated. "
                f"Evaluate it: nearfield evaluate {self.path}"
            )
        table = self.table(self.vectors, None if columns is None else [*columns, "vector"])
        vectors = np.stack(table["vector"].to_numpy()).astype(np.float32, copy=False)
        return table.drop_columns(["vector"]).to_pandas(), vectors

    def begin(self, recipe: Recipe, environment: dict[str, Any]) -> None:
        """Writes what the run starts from; the recipe last, since it marks a run as begun."""
        write_json(self.path / "environment.json", environment)
        write_text(self.path / "recipe.yaml", recipe.text())

    def lengthen(self, recipe: Recipe) -> None:
        """Takes away what a shorter training ended with, then writes the recipe of the longer one."""
        self.take_result()
        for ended in (self.weights, self.head):
            ended.unlink(missing_ok=True)
        write_text(self.path / "recipe.yaml", recipe.text())

    def take_result(self) -> None:
        """Removes result.json, before the files that it speaks of are replaced."""
        (self.path / "result.json").unlink(missing_ok=True)

    def write_result(self, result: dict[str, Any]) -> None:
        """Writes result.json, with the digests of the tables that it speaks of."""
        tables = [path for path in (self.vectors, self.clips, self.predictions) if path.is_file()]
        files = {path.name: digest(path) for path in tables}
        write_json(self.path / "result.json", result | {"files": files})

    def _json(self, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
        path = self.path / name
        if not path.is_file():
            raise RequestError(f"{self.path} has no {name} yet: finish the run with --resume.")
        again = f"nearfield evaluate {self.path}" if name == "result.json" else "nearfield train"
        return read_json(path, f"Bring it back from a copy, or make it again: {again}", keys)


def save_tensors(path: Path, tensors: dict[str, Tensor], numbers: dict[str, Any] | None = None) -> None:
    """A safetensors file, whole or not at all; `numbers` travel as JSON in its header, with a digest."""
    flat = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    said = json.dumps(numbers or {})
    noted = json.dumps({**(numbers or {}), "sha256": tensors_digest(flat, said)})
    whole = save(flat, metadata={"numbers": noted})  # one entry: the library writes several in any order
    with replacing(path) as temporary:  # the library's own save_file leaves a file behind when it is killed
        temporary.write_bytes(whole)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote. Raises RequestError for a file that is not as it was written.

    A file of others, which holds no digest, is taken as it is.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        tensors, numbers = load_file(path), dict(json.loads(metadata.get("numbers", "{}")))
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise RequestError(f"{path} cannot be read as safetensors: {error}. Train the run again.") from None
    noted = numbers.pop("sha256", None)
    if noted not in (None, tensors_digest(tensors, json.dumps(numbers))):
        raise RequestError(
            f"{path} is damaged: its numbers are not those that were written. Bring it back from a copy, or "
            "train the run again."
        )
    return tensors, numbers


def tensors_digest(tensors: dict[str, Tensor], said: str) -> str:
    """sha256, hexadecimal, over names, types, shapes and bytes of tensors in the order of their names, and
    `said`."""
    found = hashlib.sha256(said.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return found.hexdigest()


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory as named tensors: `optimizer/{parameter}/{name}`."""
    return {
        f"optimizer/{index}/{name}": torch.as_tensor(value)
        for index, entries in optimizer.state_dict()["state"].items()
        for name, value in entries.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Gives an optimiser of the same parameters the memory that `flatten_optimizer` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/", 2)
            state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for weight, memory in optimizer.state.items():
        for name, value in memory.items():
            if value.shape == weight.shape:  # fused kernels walk both in one order: they must lie alike
                memory[name] = torch.empty_like(weight, requires_grad=False).copy_(value)


class MetricsLog:
    """metrics.jsonl, one line an update; on resumption lines after the checkpoint are taken back, and
    those up to it are in `before`."""

    def __init__(self, path: Path, after: int) -> None:
        self.path = path
        self.before = [line for line in self._lines() if line["update"] <= after]
        write_text(path, "".join(json.dumps(line) + "\n" for line in self.before))
        self.file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, update: int, numbers: dict[str, float]) -> None:
        """Appends one line. A number that is not finite is written as null."""
        clean = {name: value if abs(value) < float("inf") else None for name, value in numbers.items()}
        self.file.write(json.dumps({"update": update, **clean}) + "\n")

    def close(self) -> None:
        """Closes the file after its last line has reached the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        try:
            whole = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # one cut by a kill is not whole
            found = [json.loads(line) for line in whole if line]
            if not all(isinstance(line, dict) and isinstance(line.get("update"), int) for line in found):
                raise ValueError("a line has no number of its update")
        except (ValueError, RecursionError) as error:
            raise RequestError(
                f"{self.path} is damaged: {error}. Bring it back from a copy, or train with another --out."
            ) from None
        return found


# Whether a run's data are still those that it was trained on: by number, contents, labels and sides.


def changed(collection: Collection, folder: RunFolder) -> str | None:
    """In what a collection, on the run's own sides, is not what the run was begun with; None where it is."""
    before = folder.environment()["data"]
    if len(collection) != before["clips"]:
        return f"it has {count(len(collection), 'clip')}, and had {before['clips']:,}"
    if before.get("fingerprint") in (None, collection.fingerprint()):
        return None
    return "sounds, labels or sides are other ones"


def check_unchanged(collection: Collection, folder: RunFolder) -> None:
    """Raises DataError where the clips are not those that a run was begun with."""
    what = changed(collection, folder)
    if what:
        raise DataError(
            f"{collection.name}: it is not what {folder.path} was begun with: {what}. Bring the data back as "
            "they were, or train anew with another --out."
        )


def note_changed(collection: Collection, folder: RunFolder, effect: str, callback: Callback) -> str | None:
    """Tells, and gives back, that a run's own data have changed since it was trained; `effect` says what then
    holds. Nothing where they have not."""
    what = changed(collection, folder)
    if what is None:
        return None
    said = f"{collection.name} has changed since the run was trained: {what}. {effect}"
    callback(Note(said, is_warning=True))
    return said


def note_if_own(collection: Collection, folder: RunFolder, effect: str, callback: Callback) -> None:
    """`note_changed` of the data that a run was trained on, opened without the sides that it kept."""
    if not folder.split.is_file():  # an encoder taken elsewhere has no data of its own
        return
    try:
        own = collection.with_split(folder.split)
    except DataError as error:  # not one clip is known
        callback(Note(f"{error} {effect}", is_warning=True))
        return
    note_changed(own, folder, effect, callback)
