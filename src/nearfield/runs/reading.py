"""What a linear reader of a space says of clips: one that learnt on their own train side, else on the run's.

Clips that only judge, as an evaluation set that was published apart, bring nothing to learn from: they are
read by what the run's own train clips teach, its strength chosen on the run's own val clips.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nearfield.core.nouns import Ints
from nearfield.evaluation.classification import Confusion, confusion
from nearfield.evaluation.probes import Labelled, fit_label_probe
from nearfield.evaluation.result import Result
from nearfield.runs.explain_material import Material


@dataclass(frozen=True)
class Reading:
    """Clips that have a label and were told one."""

    rows: Ints
    """(n,) rows of the collection."""
    reference: Ints
    """(n,) class numbers."""
    predicted: Ints
    """(n,) class numbers."""
    names: tuple[str, ...]
    """Of the classes; those that the collection itself does not hold come last."""
    by_own_clips: bool
    """Whether the run's own clips taught the reader."""

    @property
    def confusion(self) -> Confusion:
        """Who is taken for whom."""
        return confusion(self.reference, self.predicted, self.names)


def read(material: Material, judged: Result) -> Reading | None:
    """The reading of the explained clips; None where they have no labels, or nothing teaches some."""
    clips, names = judged.clips, material.bench.facts.label_names
    scored = np.flatnonzero((clips.reference >= 0) & (clips.predicted >= 0))
    if len(scored):
        return Reading(clips.rows[scored], clips.reference[scored], clips.predicted[scored], names, False)
    labelled = np.flatnonzero(clips.reference >= 0)
    own = _own(material)
    if own is None or not len(labelled):
        return None
    names = (*names, *sorted(set(own["label"]) - set(names)))
    number = {name: at for at, name in enumerate(names)}
    train, val = (_side(own, side, number) for side in ("train", "val"))
    if len(np.unique(train.labels)) < 2:
        return None
    rows = clips.rows[labelled]
    told = fit_label_probe(train, val if len(val) else None).predict(material.vectors[rows])
    return Reading(rows, clips.reference[labelled], told, names, True)


def _own(material: Material) -> pd.DataFrame | None:
    """Label, split and vector of the run's own labelled clips; None where they are not there."""
    folder = material.run.folder
    if not folder.vectors.is_file():
        return None
    table: pd.DataFrame = folder.table(folder.vectors, ["label", "split", "vector"]).to_pandas()
    return table[table["label"] != ""]


def _side(own: pd.DataFrame, side: str, number: dict[str, int]) -> Labelled:
    rows = own[own["split"] == side]
    size = len(own["vector"].iloc[0]) if len(own) else 0
    vectors = np.stack(list(rows["vector"])) if len(rows) else np.zeros((0, size))
    return Labelled(vectors.astype(np.float32), np.array([number[name] for name in rows["label"]], np.int64))
