"""The identity of embeddings and of their space.

Two embeddings may be compared only if everything that made them is equal: the weights, the front end with
the length and hop of windows, the normalization, the embedding. This is the identity of the encoder,
`digest`, which is checked. `space` also includes whether a vector stands for a clip (the mean of its
windows) or for one window. That is not checked when vectors are compared: a query is always the mean of its
windows, and it can be searched among windows as well as among clips. An update cannot change it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.training.run import Run, without_weights

WindowMode = Literal["clip", "all"]
"""`clip`: one vector per clip, the mean of its windows; `all`: one vector per window."""

WINDOWS = "end to end, the last one flush with the clip's end; mean of their vectors"
"""How a clip longer than a window is embedded; windows have `clip_seconds`. Change it with the rule."""

KEY = b"nearfield.identity"
"""The key of the identity in the metadata of an Arrow or Parquet schema."""

_FRONT = ("sample_rate", "clip_seconds", "channels", "image_size", "image_channels", "trim_db")
_EMBEDDING = ("size", "normalize", "pooling")


@dataclass(frozen=True)
class Identity:
    """The parts that determine embeddings, as sha256 each, and what each vector stands for."""

    run: str
    """Name of the run, for messages; it is not part of the identity."""
    parts: Mapping[str, str]
    """sha256 by part: weights, front end, normalization, embedding."""
    windows: WindowMode | None = None
    """What each vector stands for; None: an encoder, or unknown."""

    @classmethod
    def of(cls, run: Run, windows: WindowMode | None = None) -> Self:
        """The identity of the embeddings of `run`; with `windows`, of a space of them."""
        recipe = without_weights(run.recipe).plain()
        front = {name: recipe["data"].get(name) for name in _FRONT}
        parts = {
            "weights": _of_tensors(run.embedder.state_dict(), recipe["backbone"]),
            "front end": _of_plain({"data": front, "feature": recipe["feature"], "windows": WINDOWS}),
            "normalization": _of_plain(recipe["normalize"]),
            "embedding": _of_plain({name: recipe["embedding"].get(name) for name in _EMBEDDING}),
        }
        return cls(run.folder.path.resolve().name, parts, windows)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `plain`."""
        parts = {str(name): str(value) for name, value in plain["parts"].items()}
        return cls(str(plain["run"]), parts, plain.get("windows"))

    @property
    def digest(self) -> str:
        """sha256 over all parts, hexadecimal; vectors may be compared if it is equal."""
        return _of_plain(dict(self.parts))

    @property
    def space(self) -> str:
        """sha256 over all parts and what each vector stands for, hexadecimal."""
        return _of_plain({"parts": dict(self.parts), "windows": self.windows})

    def __str__(self) -> str:
        rows = ", each window" if self.windows == "all" else ""
        return f"{self.run} ({self.digest[:12]}{rows})"

    def plain(self) -> dict[str, Any]:
        """A dictionary for JSON; it has `windows` and `space` if the identity is of a space."""
        own = {} if self.windows is None else {"windows": self.windows, "space": self.space}
        return {"run": self.run, "digest": self.digest, "parts": dict(self.parts), **own}

    def check(self, other: "Identity", what: str, where: str) -> None:
        """Raises RequestError if `other`, the identity of `what`, differs from this one, that of `where`."""
        if self.digest == other.digest:
            return
        names = sorted({*self.parts, *other.parts})
        differing = [name for name in names if self.parts.get(name) != other.parts.get(name)]
        raise RequestError(
            f"{what} belongs to the space of {other}, {where} to the space of {self}. Distances between them "
            f"are meaningless. They differ in: {', '.join(differing)}. "
            "Use the same run for both, or index again."
        )


def to_metadata(identity: Identity) -> dict[bytes, bytes]:
    """The identity as metadata of an Arrow schema."""
    return {KEY: json.dumps(identity.plain()).encode()}


def from_metadata(metadata: Mapping[bytes, bytes] | None, what: str) -> Identity:
    """Reads the identity from the metadata of a schema. Raises RequestError if `what` has none."""
    if not metadata or KEY not in metadata:
        raise RequestError(
            f"{what} does not state the space of its vectors. Write it again with `nearfield embed`."
        )
    return Identity.from_plain(json.loads(metadata[KEY]))


def _of_tensors(tensors: Mapping[str, Tensor], backbone: Mapping[str, Any]) -> str:
    """sha256 over names, shapes and bytes of tensors, and over the settings of the backbone."""
    total = hashlib.sha256(_of_plain(dict(backbone)).encode())
    for name in sorted(tensors):
        array = tensors[name].detach().cpu().contiguous().numpy()
        total.update(f"{name} {array.dtype} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _of_plain(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
