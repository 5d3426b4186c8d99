"""The identity of vectors, and of a space of them.

Two vectors may be compared only where everything that made them is the same: the weights, the front end with
the length of a window and how far apart windows begin, the normalization, the embedding. That is the identity
of the encoder, `digest`, and it is what is checked. Whether each vector stands for a clip (the mean of its
windows) or for one window is told beside it, and makes another space of the same vectors, `space`. It is not
checked where vectors meet: a query is always the mean of the windows of what was given, and to look for it
among windows is as good a question as among clips. An update keeps to the rule that a space was made by.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.training.run import Run, without_weights

if TYPE_CHECKING:
    from nearfield.training.stream import Windows


WINDOWS = "end to end, the last one flush with the clip's end; mean of their vectors"
"""How a clip longer than a window is heard; windows have `clip_seconds`. To be changed when the rule is."""

KEY = b"nearfield.identity"
"""Where the schema of an Arrow or Parquet table holds the identity of its vectors."""

_FRONT = ("sample_rate", "clip_seconds", "channels", "image_size", "image_channels", "trim_db")
_EMBEDDING = ("size", "normalize", "pooling")


@dataclass(frozen=True)
class Identity:
    """What made some vectors, as sha256 of each part and of all together, and what each vector stands for."""

    run: str
    """Name of the run, for people; another name is no other identity."""
    parts: Mapping[str, str]
    """sha256 by part: weights, front end, normalization, embedding."""
    windows: "Windows | None" = None
    """`clip`: each vector is a clip's; `all`: a window's; None: of an encoder, or not told."""

    @classmethod
    def of(cls, run: Run, windows: "Windows | None" = None) -> Self:
        """The identity of every vector that `run` makes; with `windows`, of a space of them."""
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
        """What `plain` gave."""
        parts = {str(name): str(value) for name, value in plain["parts"].items()}
        return cls(str(plain["run"]), parts, plain.get("windows"))

    @property
    def digest(self) -> str:
        """sha256 over all parts, hexadecimal: equal where vectors may be compared."""
        return _of_plain(dict(self.parts))

    @property
    def space(self) -> str:
        """sha256 over all parts and what each vector stands for, hexadecimal."""
        return _of_plain({"parts": dict(self.parts), "windows": self.windows})

    def __str__(self) -> str:
        rows = ", each window" if self.windows == "all" else ""
        return f"{self.run} ({self.digest[:12]}{rows})"

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it; `windows` and `space` where it is of a space."""
        own = {} if self.windows is None else {"windows": self.windows, "space": self.space}
        return {"run": self.run, "digest": self.digest, "parts": dict(self.parts), **own}

    def check(self, other: "Identity", what: str, where: str) -> None:
        """Raises RequestError, naming both, where `other`, the identity of `what`, is not that of `where`."""
        if self.digest == other.digest:
            return
        names = sorted({*self.parts, *other.parts})
        differing = [name for name in names if self.parts.get(name) != other.parts.get(name)]
        raise RequestError(
            f"{what} belongs to the space of {other}, and {where} to that of {self}: distances between them "
            f"mean nothing. What differs: {', '.join(differing)}. "
            "Use the run of one for both, or index again."
        )


def to_metadata(identity: Identity) -> dict[bytes, bytes]:
    """Metadata of an Arrow schema."""
    return {KEY: json.dumps(identity.plain()).encode()}


def from_metadata(metadata: Mapping[bytes, bytes] | None, what: str) -> Identity:
    """The identity that a schema holds. Raises RequestError where `what` has none."""
    if not metadata or KEY not in metadata:
        raise RequestError(
            f"{what} does not say which space its vectors belong to. Make it again by `nearfield embed`."
        )
    return Identity.from_plain(json.loads(metadata[KEY]))


def _of_tensors(tensors: Mapping[str, Tensor], backbone: Mapping[str, Any]) -> str:
    """sha256 over names, shapes and bytes, and over what a network does beside its weights."""
    total = hashlib.sha256(_of_plain(dict(backbone)).encode())
    for name in sorted(tensors):
        array = tensors[name].detach().cpu().contiguous().numpy()
        total.update(f"{name} {array.dtype} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _of_plain(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
