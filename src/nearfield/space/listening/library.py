"""The clips of a run or a space, selected by id, label or tag; spherical means and great circles."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from nearfield.core.errors import RequestError, choose
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.metrics.neighbors import unit
from nearfield.training.run_folder import RunFolder

# Geometry on the unit sphere.

_LEAST = 1e-9
"""Length below which a mean has no direction."""


def spherical_mean(vectors: npt.NDArray[np.floating]) -> Floats:
    """The spherical mean (D,) of vectors (N, D): the normalized mean of the normalized vectors.

    Raises RequestError if there are no vectors, or if their mean is zero.
    """
    if not len(vectors):
        raise RequestError("spherical mean: there are no vectors.")
    mean = unit(vectors.astype(np.float64)).mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length < _LEAST:
        raise RequestError("spherical mean: the vectors cancel out, so their mean has no direction.")
    return np.asarray(mean / length)


def great_circle(start: npt.NDArray[np.floating], end: npt.NDArray[np.floating], points: int) -> Floats:
    """(points, D) unit vectors in even steps along the great circle from `start` (D,) to `end` (D,).

    Spherical linear interpolation (Shoemake 1985). Raises RequestError for a zero vector, for fewer than two
    points, or for opposite ends, between which the great circle is not unique.
    """
    if points < 2:
        raise RequestError(f"great circle: it needs at least two points. Given: {points}.")
    first, last = (unit(vector.astype(np.float64)[None])[0] for vector in (start, end))
    if not first.any() or not last.any():
        raise RequestError("great circle: a vector of zeros has no direction.")
    # From chords, because the arc cosine of a dot product is inaccurate for near vectors.
    angle = 2 * np.arctan2(np.linalg.norm(first - last), np.linalg.norm(first + last))
    if np.pi - angle < 1e-6:
        raise RequestError(
            "great circle: the ends are opposite, so the great circle between them is not unique."
        )
    shares = np.linspace(0, 1, points)[:, None]
    if angle < _LEAST:
        return unit(first + shares * (last - first))
    return unit((np.sin((1 - shares) * angle) * first + np.sin(shares * angle) * last) / np.sin(angle))


def angles(vectors: npt.NDArray[np.floating], target: npt.NDArray[np.floating]) -> Floats:
    """(N,) angle in radians between each of `vectors` (N, D) and `target` (D,); 0..pi."""
    left, right = unit(vectors.astype(np.float64)), unit(target.astype(np.float64)[None])
    chords, sums = np.linalg.norm(left - right, axis=1), np.linalg.norm(left + right, axis=1)
    return np.asarray(2 * np.arctan2(chords, sums))


# `ClipLibrary`: the clips of a run or a space with their vectors.

COLUMNS = ("id", "path", "start", "seconds", "label", "tags", "group")


@dataclass(frozen=True, eq=False)
class ClipLibrary:
    """N clips with their files and vectors."""

    name: str
    """The folder of the run or space, for messages."""
    table: pd.DataFrame
    """One row per clip: `COLUMNS`; `tags` are tuples."""
    vectors: Vectors
    """(N, D)"""

    @classmethod
    def open(cls, path: str | Path, split: str | None = None) -> "ClipLibrary":
        """The clips of a run's folder, or of a space; `split` keeps those of one side.

        Raises RequestError where there is neither, the run was not measured, or nothing can be heard.
        """
        folder = Path(path).expanduser()
        table, vectors = _of_space(folder) if (folder / "space.json").is_file() else _of_run(folder)
        kept = table["seconds"].to_numpy(np.float64) > 0
        if not kept.any():
            raise RequestError(f"{folder} holds pictures: there is nothing to hear.")
        if split is not None:
            sides = table["split"].fillna("").astype(str)
            if split not in set(sides):
                raise RequestError(
                    f"--split: {folder} has no clips of {split!r}. {choose(split, sorted(set(sides)))}"
                )
            kept &= (sides == split).to_numpy()
        rows = np.flatnonzero(kept)
        chosen = table.iloc[rows][list(COLUMNS)].reset_index(drop=True)
        chosen["tags"] = [tuple(tags) for tags in chosen["tags"]]
        return cls(str(folder), chosen, np.asarray(vectors[rows], np.float32))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Labels in the order of their names."""
        return tuple(sorted(set(self.table["label"].fillna("")) - {""}))

    @property
    def tag_names(self) -> tuple[str, ...]:
        """Tags in the order of their names."""
        return tuple(sorted({tag for tags in self.table["tags"] for tag in tags}))

    @property
    def labels(self) -> Ints:
        """(N,) index into `label_names`, -1 for no label."""
        number = {name: at for at, name in enumerate(self.label_names)}
        return np.array([number.get(label, -1) for label in self.table["label"]], np.int64)

    @property
    def tags(self) -> Bools:
        """(N, K) which of `tag_names` each clip has."""
        names = self.tag_names
        rows = [[name in tags for name in names] for tags in self.table["tags"]]
        return np.array(rows, np.bool_).reshape(len(self), len(names))

    @property
    def groups(self) -> Ints:
        """(N,) the group of each clip as a number."""
        return pd.factorize(self.table["group"])[0].astype(np.int64)

    def members(self, name: str) -> Bools:
        """(N,) the clips with a label, else with a tag. Raises RequestError if no clip has either."""
        labelled = (self.table["label"] == name).to_numpy(np.bool_)
        if labelled.any():
            return labelled
        tagged = np.array([name in tags for tags in self.table["tags"]], np.bool_)
        if not tagged.any():
            known = [*self.label_names, *self.tag_names]
            raise RequestError(f"No clip of {self.name} has the label or tag {name!r}. {choose(name, known)}")
        return tagged

    def row(self, clip: str) -> int:
        """The row of a clip by its id or file. Raises RequestError if there is none."""
        found = self.find(clip)
        if found is None:
            near = [name for name in self.table["id"] if clip and Path(clip).stem in str(name)][:5]
            raise RequestError(
                f"{self.name} has no clip {clip!r}. {choose(clip, near or list(self.table['id'][:5]))}"
            )
        return found

    def find(self, clip: str) -> int | None:
        """The row of a clip by its id or file; None if there is none."""
        for column, wanted in (
            ("id", clip),
            ("path", clip),
            ("path", str(Path(clip).expanduser().resolve())),
        ):
            rows = np.flatnonzero((self.table[column] == wanted).to_numpy())
            if len(rows):
                return int(rows[0])
        return None

    def place(self, word: str) -> Floats:
        """The unit vector (D,) of a clip (id or file), else the spherical mean of a label or tag."""
        row = self.find(word)
        chosen = self.vectors[[row]] if row is not None else self.vectors[self.members(word)]
        return spherical_mean(chosen)

    def take(self, rows: Sequence[int] | Ints) -> pd.DataFrame:
        """Rows of the table, in the order given."""
        return self.table.iloc[np.asarray(rows, np.int64)].reset_index(drop=True)


def _of_run(folder: Path) -> tuple[pd.DataFrame, Vectors]:
    if not (folder / "recipe.yaml").is_file():
        raise RequestError(f"{folder} is neither the folder of a run nor a space. Give one of the two.")
    return RunFolder.existing(folder).stored_vectors()


def _of_space(folder: Path) -> tuple[pd.DataFrame, Vectors]:
    from nearfield.space.space import Space

    space = Space.load(folder)
    return space.rows([*COLUMNS, "split"]).to_pandas(), space.vectors
