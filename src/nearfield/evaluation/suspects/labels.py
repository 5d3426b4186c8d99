"""Labels that are likely wrong: another class has the better claim, by neighbourhood and by probe.

The score is q / (p + q), with p the mean share that the two witnesses of `evidence.py` give to the label
that the clip has, and q what they give to the best other one: 0.5 where both claims are equal.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import DataError
from nearfield.core.nouns import Bools, Distance, Facts, Floats, Ints, Vectors
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.neighbours import Search, nearest
from nearfield.evaluation.suspects.evidence import Evidence, SuspectSettings, gather
from nearfield.evaluation.suspects.suspect import Suspect, per_cent, ranked

FLOOR = 0.02
"""Share that every class is given beforehand, so that two claims near nothing do not make a certainty."""


@dataclass(frozen=True)
class LabelDoubts:
    """The suspicion against every clip that has a label."""

    rows: Ints
    """(n,) rows of the collection."""
    scores: Floats
    """(n,) 0..1."""
    best: Ints
    """(n,) the class number with the best other claim."""
    classes: Ints
    """(K,) class number of each column of the evidence."""
    evidence: Evidence


def doubt_labels(vectors: Vectors, facts: Facts, settings: SuspectSettings | None = None) -> LabelDoubts:
    """Scores every clip with a label; `vectors` (N, D) and `facts` are of the same N clips.

    Raises DataError where there are not two classes of two clips, RequestError or WorkError for vectors that
    cannot be used.
    """
    settings = settings or SuspectSettings()
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), facts=facts.labels)
    rows = np.flatnonzero(facts.labels >= 0)
    classes, codes, counts = np.unique(facts.labels[rows], return_inverse=True, return_counts=True)
    if (counts > 1).sum() < 2:
        raise DataError(
            "label suspects: two labels with two clips each are needed, so that one can be doubted for "
            f"the other; given: {len(classes)} labels on {len(rows)} clips. Look for other faults instead."
        )
    evidence = gather(vectors[rows], np.eye(len(classes))[codes], "softmax", facts.sources[rows], settings)
    claims, every = evidence.mean, np.arange(len(rows))
    own = claims[every, codes]
    claims[every, codes] = -1
    best = claims.argmax(axis=1)
    other = claims[every, best]
    scores = (other + FLOOR) / (own + other + 2 * FLOOR)
    return LabelDoubts(rows, scores, classes[best], classes, evidence)


def label_suspects(vectors: Vectors, facts: Facts, settings: SuspectSettings | None = None) -> list[Suspect]:
    """The clips of a score of at least `settings.least`, most suspicious first. Raises as `doubt_labels`."""
    settings = settings or SuspectSettings()
    doubts = doubt_labels(vectors, facts, settings)
    places = np.flatnonzero(doubts.scores >= settings.least).tolist()
    return ranked([_suspect(doubts, place, facts) for place in places])[: settings.most]


def all_neighbours_differ(
    vectors: Vectors, facts: Facts, neighbours: int = 30, distance: Distance = "cosine"
) -> Bools:
    """(N,) the plain rule, for comparison: every one of the nearest labelled clips has another label.

    F. Groeger's thesis of 2020 lists a clip so, with 30 neighbours; here the clip itself is not among them.
    False for clips without a label.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), facts=facts.labels)
    rows, differ = np.flatnonzero(facts.labels >= 0), np.zeros(len(vectors), dtype=bool)
    index, _ = nearest(Search.within(vectors[rows], distance), neighbours)
    labels = facts.labels[rows]
    alike = (index >= 0) & (labels[index] == labels[:, None])
    differ[rows] = ~alike.any(axis=1) & (index >= 0).any(axis=1)
    return differ


def _suspect(doubts: LabelDoubts, place: int, facts: Facts) -> Suspect:
    row, best = int(doubts.rows[place]), int(doubts.best[place])
    given, proposed = facts.label_names[facts.labels[row]], facts.label_names[best]
    own = int(np.searchsorted(doubts.classes, facts.labels[row]))
    other = int(np.searchsorted(doubts.classes, best))
    near, probe = doubts.evidence.neighbours[place], doubts.evidence.probe[place]
    return Suspect(
        row=row,
        kind="label",
        score=float(doubts.scores[place]),
        reason=(
            f"Labelled {given!r}, but of the clips around it, by weight, {per_cent(near[other])} are "
            f"{proposed!r} and {per_cent(near[own])} {given!r}; a probe that never saw it gives {proposed!r} "
            f"{per_cent(probe[other])} and {given!r} {per_cent(probe[own])}."
        ),
        suggestion=f"Listen; if you agree, relabel it {proposed!r}.",
        proposed=proposed,
    )
