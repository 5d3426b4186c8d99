"""Labels that are likely wrong: another class has the better claim, by neighbourhood and by probe.

The claim of others is q / (p + q), with p the mean share that the two witnesses of `evidence.py` give to the
label that the clip has, and q what they give to the best other one: 0.5 where both claims are equal. The rank
is that claim among those of clips that are wrongly given the same label, the score the chance of `chance.py`.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import DataError
from nearfield.core.nouns import Bools, Distance, Facts, Floats, Ints, Vectors
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.neighbours import Search, nearest
from nearfield.evaluation.suspects.chance import RIGHT, chances, listed, planted_ranks
from nearfield.evaluation.suspects.evidence import Evidence, SuspectSettings, gather
from nearfield.evaluation.suspects.suspect import Suspect, beyond, per_cent, ranked

FLOOR = 0.02
"""Share that every class is given beforehand, so that two claims near nothing do not make a certainty."""


@dataclass(frozen=True)
class LabelDoubts:
    """The suspicion against every clip that has a label."""

    rows: Ints
    """(n,) rows of the collection."""
    ranks: Floats
    """(n,) 0..1, share of wrong labels that would be less suspicious."""
    scores: Floats
    """(n,) 0..1, chance that the label is wrong."""
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
    claims = evidence.mean
    others, best = _claims_of_others(claims)
    ranks = np.zeros(len(rows))
    for code in range(len(classes)):
        own = codes == code
        ranks[own] = planted_ranks(others[own, code], others[~own, code])
    proposed = best[np.arange(len(rows)), codes]
    return LabelDoubts(rows, ranks, chances(ranks, RIGHT["label"]), classes[proposed], classes, evidence)


def label_suspects(vectors: Vectors, facts: Facts, settings: SuspectSettings | None = None) -> list[Suspect]:
    """The clips that `settings.right` lets stand, most suspicious first. Raises as `doubt_labels`."""
    settings = settings or SuspectSettings()
    doubts = doubt_labels(vectors, facts, settings)
    places = np.flatnonzero(listed(doubts.ranks, RIGHT["label"], settings.right)).tolist()
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


def _claims_of_others(claims: Floats) -> tuple[Floats, Ints]:
    """(n, K) the claim of the best other class, were each class the label, and (n, K) which that is."""
    order = np.argsort(-claims, axis=1, kind="stable")[:, :2]
    first, second = order[:, :1], order[:, 1:]
    best = np.where(np.arange(claims.shape[1]) == first, second, first)
    other = np.take_along_axis(claims, best, axis=1)
    return (other + FLOOR) / (claims + other + 2 * FLOOR), best


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
            f"{per_cent(probe[other])} and {given!r} {per_cent(probe[own])}. "
            f"{beyond(doubts.ranks[place], 'labels')}"
        ),
        rank=float(doubts.ranks[place]),
        suggestion=f"Listen; if you agree, relabel it {proposed!r}.",
        proposed=proposed,
    )
