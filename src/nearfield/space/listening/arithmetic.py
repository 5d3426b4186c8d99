"""Arithmetic with the centroids of labels and of tags, as a table beside chance."""

import csv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.evaluation.algebra import LabelAlgebra, label_algebra
from nearfield.evaluation.tag_algebra import TagAlgebra, tag_algebra
from nearfield.space.listening.shelf import Shelf

LEAST = 3
"""Labels, or two tags, below which there is no arithmetic."""


@dataclass(frozen=True)
class Arithmetic:
    """What was found; None where there are too few labels, or tags."""

    labels: LabelAlgebra | None
    tags: TagAlgebra | None

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return {
            "labels": None if self.labels is None else _plain_labels(self.labels),
            "tags": None if self.tags is None else _plain_tags(self.tags),
        }


def arithmetic(shelf: Shelf, expected: Path | None = None, nearest: int = 5) -> Arithmetic:
    """A - B and A + B of all labels, and of all tags.

    `expected`: a CSV with the columns `formula` ("rain - wind") and `labels` (`|` between them), written down
    before looking: which labels would be right. Raises RequestError where there are neither three labels nor
    two tags, or the file is not understood.
    """
    asked = read_expected(expected) if expected is not None else {}
    labels = tags = None
    if len(shelf.label_names) >= LEAST:
        labels = label_algebra(shelf.vectors, shelf.labels, shelf.label_names, asked)
    elif asked:
        raise RequestError(f"--expected: {shelf.name} has fewer than {LEAST} labels to calculate with.")
    if len(shelf.tag_names) >= 2:
        tags = tag_algebra(shelf.vectors, shelf.tags, nearest)
    if labels is None and tags is None:
        raise RequestError(f"{shelf.name} has neither three labels nor two tags: nothing to calculate with.")
    return Arithmetic(labels, tags)


def read_expected(path: Path) -> dict[str, list[str]]:
    """Formulas to the labels that would be right. Raises RequestError where the file is not such a table."""
    if not path.is_file():
        raise RequestError(f"--expected: there is no file {path}.")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"formula", "labels"} <= rows[0].keys():
        raise RequestError(f"--expected: {path} needs the columns formula and labels, and a row at least.")
    return {row["formula"].strip(): [name.strip() for name in row["labels"].split("|")] for row in rows}


def _plain_labels(found: LabelAlgebra) -> dict[str, Any]:
    plain = asdict(found)
    for answer in plain["answers"]:
        if answer["lead"] == float("inf"):  # with three labels there is no other answer
            answer["lead"] = None
    return plain


def _plain_tags(found: TagAlgebra) -> dict[str, Any]:
    """A rate is not a number where no sum, or no difference, could be asked."""
    return {name: None if np.isnan(value) else value for name, value in asdict(found).items()}
