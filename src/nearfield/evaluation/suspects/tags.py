"""Single tags that are likely wrong or missing on a clip, by neighbourhood and by probe.

For each clip and tag, s is the mean share that the two witnesses of `evidence.py` give to the tag. A tag that
the clip has is the more suspicious the less likely it is, beside the clips that lack it and would have it
wrongly (so a rare tag is not suspicious for being rare); one that a clip lacks the more likely it is, beside
the tags that clips have and would lack wrongly. The score is the chance of `chance.py`. Clips without any tag
are not known to lack them: they teach nothing and are not judged.
"""

import numpy as np

from nearfield.core.errors import DataError
from nearfield.core.nouns import Facts, Floats, Ints, Vectors
from nearfield.evaluation.checks import check_lengths, check_vectors
from nearfield.evaluation.suspects.chance import RIGHT, chances, listed, planted_ranks
from nearfield.evaluation.suspects.evidence import Evidence, SuspectSettings, gather
from nearfield.evaluation.suspects.suspect import Suspect, beyond, descending, per_cent


class TagDoubts:
    """The suspicion against every tag that a clip has, and against every one that it lacks."""

    def __init__(self, rows: Ints, tags: Ints, has: Floats, evidence: Evidence) -> None:
        self.rows = rows
        """(n,) rows of the collection."""
        self.tags = tags
        """(K,) the numbers of the tags that can be asked about."""
        self.has = has.astype(bool)
        """(n, K)"""
        self.evidence = evidence
        self.ranks = self._ranks(evidence.mean)
        """(n, K) 0..1, share of planted errors that would be less suspicious."""
        self.scores: Floats = np.zeros(self.has.shape)
        """(n, K) 0..1, the chance that a tag which the clip has is wrong, that another is missing."""
        for cells in (self.has, ~self.has):
            self.scores[cells] = chances(self.ranks[cells], RIGHT["tag"])

    def _ranks(self, likely: Floats) -> Floats:
        ranks = np.zeros(self.has.shape)
        for tag, has in enumerate(self.has.T):
            ranks[has, tag] = planted_ranks(1 - likely[has, tag], 1 - likely[~has, tag])
        # A tag is on too few clips to be a measure of its own for those that lack it.
        ranks[~self.has] = planted_ranks(likely[~self.has], likely[self.has])
        return ranks


def doubt_tags(vectors: Vectors, facts: Facts, settings: SuspectSettings | None = None) -> TagDoubts:
    """Scores every tag of every clip that has tags; `vectors` (N, D) and `facts` are of the same N clips.

    Raises DataError where no tag is on two clips and off two, RequestError or WorkError for vectors that
    cannot be used.
    """
    settings = settings or SuspectSettings()
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), facts=facts.tags)
    rows = np.flatnonzero(facts.tags.any(axis=1))
    count = facts.tags[rows].sum(axis=0)
    tags = np.flatnonzero((count > 1) & (count < len(rows) - 1))
    if not len(tags):
        raise DataError(
            "tag suspects: a tag that is on two clips or more, and not on all, is needed; "
            f"given: {len(facts.tag_names)} tags on {len(rows)} clips. Look for other faults instead."
        )
    has = facts.tags[np.ix_(rows, tags)].astype(np.float64)
    return TagDoubts(rows, tags, has, gather(vectors[rows], has, "sigmoid", facts.sources[rows], settings))


def tag_suspects(vectors: Vectors, facts: Facts, settings: SuspectSettings | None = None) -> list[Suspect]:
    """Tags that `settings.right` lets stand: first those likely wrong, then those likely missing.

    Each of the two lists is in order of suspicion and at most `settings.most` long. Raises as `doubt_tags`.
    """
    settings = settings or SuspectSettings()
    doubts = doubt_tags(vectors, facts, settings)
    found, stand = [], listed(doubts.ranks, RIGHT["tag"], settings.right)
    for wrong in (True, False):
        clips, tags = np.nonzero((doubts.has == wrong) & stand)
        order = descending(doubts.ranks[clips, tags])[: settings.most]
        found += [_suspect(doubts, int(clips[place]), int(tags[place]), facts) for place in order]
    return found


def _suspect(doubts: TagDoubts, clip: int, tag: int, facts: Facts) -> Suspect:
    name = facts.tag_names[doubts.tags[tag]]
    near, probe = doubts.evidence.neighbours[clip, tag], doubts.evidence.probe[clip, tag]
    said = (
        f"of the clips around it, by weight, {per_cent(near)} have it; a probe that never saw it "
        f"gives it {per_cent(probe)}. {beyond(doubts.ranks[clip, tag], 'tags')}"
    )
    if doubts.has[clip, tag]:
        reason, suggestion = f"Tagged {name!r}, but {said}", f"Listen; if you agree, take {name!r} off."
    else:
        reason, suggestion = f"Not tagged {name!r}, but {said}", f"Listen; if you agree, add {name!r}."
    return Suspect(
        row=int(doubts.rows[clip]),
        kind="tag_wrong" if doubts.has[clip, tag] else "tag_missing",
        score=float(doubts.scores[clip, tag]),
        reason=reason,
        suggestion=suggestion,
        proposed=name,
        rank=float(doubts.ranks[clip, tag]),
    )
