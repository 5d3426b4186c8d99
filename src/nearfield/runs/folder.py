"""The run folder: what a run remembers, and the one place that knows its file names.

recipe.yaml          resolved, nothing left to defaults
environment.json     versions, machine, data, seed
network.txt          layers, shapes, numbers of weights
split.csv            which clip stood on which side
metrics.jsonl        one line an update, append-only
clips.parquet        how each clip of the evaluated split fared
result.json          what the evaluation found; written last
weights.safetensors  the embedder
head.safetensors     the last layer of a tagger
predictions.parquet  what a tagger says of every clip
vectors.parquet      a vector for each clip
state/               to go on from after an interruption
tensorboard/         the same curves for TensorBoard, and pictures where they were asked for
profile.txt, .json   what single operations cost, where it was asked for
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing, write_json, write_text
from nearfield.core.places import not_there
from nearfield.runs.recipe import Recipe


@dataclass(frozen=True)
class Folder:
    """Paths and whole-or-nothing writes of one run."""

    path: Path

    @classmethod
    def existing(cls, path: str | Path) -> "Folder":
        """The folder of a run that was started. Raises RequestError where there is none."""
        folder = cls(Path(path))
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
        """What a tagger says of every clip of its collection; `runs.tagging` reads it."""
        return self.path / "predictions.parquet"

    @property
    def vectors(self) -> Path:
        """A vector for each clip of the collection."""
        return self.path / "vectors.parquet"

    @property
    def clips(self) -> Path:
        """How each clip of the evaluated split fared; `runs.clips` reads it."""
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
    def is_started(self) -> bool:
        """Whether a run was ever begun here."""
        return (self.path / "recipe.yaml").is_file()

    @property
    def is_trained(self) -> bool:
        """Whether the run has its final weights."""
        return self.weights.is_file()

    @property
    def is_judged(self) -> bool:
        """Whether the run was measured; its scores per clip and its vectors are then there too."""
        return (self.path / "result.json").is_file() and self.clips.is_file()

    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return Recipe.load(self.path / "recipe.yaml")

    def environment(self) -> dict[str, Any]:
        """Versions, machine, data and seed of the run."""
        return _json(self.path / "environment.json")

    def result(self) -> dict[str, Any]:
        """What the evaluation found. Raises RequestError where there is none yet."""
        return _json(self.path / "result.json")

    def begin(self, recipe: Recipe, environment: dict[str, Any]) -> None:
        """Writes what the run starts from; the recipe last, since it marks a run as begun."""
        write_json(self.path / "environment.json", environment)
        write_text(self.path / "recipe.yaml", recipe.text())

    def take_result(self) -> None:
        """Removes result.json, before the files that it speaks of are replaced."""
        (self.path / "result.json").unlink(missing_ok=True)

    def write_result(self, result: dict[str, Any]) -> None:
        """Writes result.json."""
        write_json(self.path / "result.json", result)


def save_tensors(path: Path, tensors: dict[str, Tensor], numbers: dict[str, Any] | None = None) -> None:
    """A safetensors file, whole or not at all; `numbers` travel as JSON in its header."""
    flat = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    whole = save(flat, metadata={"numbers": json.dumps(numbers or {})})
    with replacing(path) as temporary:  # the library's own save_file leaves a file behind when it is killed
        temporary.write_bytes(whole)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote. Raises RequestError for a file that is not whole."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return load_file(path), json.loads(metadata.get("numbers", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise RequestError(f"{path} cannot be read as safetensors: {error}. Train the run again.") from None


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
        whole = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # a line cut by a kill is not whole
        return [json.loads(line) for line in whole if line]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RequestError(f"{path.parent} has no {path.name} yet: finish the run with --resume.")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
