"""Wrong and missing tags, planted."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nearfield.analysis.suspects.labels import SuspectSettings, doubt_tags, tag_suspects
from nearfield.core.errors import DataError
from nearfield.core.types import Bools, Vectors

from .planted import facts_of

EUCLIDEAN = SuspectSettings(distance="euclidean")


def _tagged(seed: int = 0) -> tuple[Vectors, Bools]:
    """Six tags that the vectors tell apart, of which the first is on every clip, so that none is without."""
    chance = np.random.default_rng(seed)
    vectors = chance.standard_normal((400, 8))
    tags = vectors[:, :6] > np.array([-9, 0, 0.3, 0.6, 0.9, 1.2])
    # Away from the border, so that what is planted is told from what is doubtful.
    return (vectors + 1.5 * np.where(np.pad(tags, ((0, 0), (0, 2))), 1, -1)).astype(np.float32), tags


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_planted_tags_are_found(share: float) -> None:
    vectors, tags = _tagged()
    chance, wrong = np.random.default_rng(1), tags.copy()
    for having in (True, False):
        places = np.argwhere(tags[:, 1:] == having) + np.array([0, 1])
        drawn = places[chance.choice(len(places), round(share * tags[:, 1:].sum()), replace=False)]
        wrong[drawn[:, 0], drawn[:, 1]] = not having
    doubts = doubt_tags(vectors, facts_of(tags=wrong), EUCLIDEAN)
    assert doubts.tags.tolist() == [1, 2, 3, 4, 5]
    bad = (wrong != tags)[:, 1:]
    for having in (True, False):
        among = doubts.has == having
        scores, planted = doubts.ranks[among], bad[among]
        count = int(planted.sum())
        assert roc_auc_score(planted, scores) > 0.97
        assert planted[np.argsort(-scores)[:count]].mean() > 0.8


def test_a_rare_tag_is_not_suspicious_for_being_rare() -> None:
    vectors, tags = _tagged()
    tags[:, 5] = False
    tags[np.flatnonzero(vectors[:, 1] > 2)[:6], 5] = True  # on six of many clips that sound alike
    doubts = doubt_tags(vectors, facts_of(tags=tags), EUCLIDEAN)
    rare = doubts.tags.tolist().index(5)
    has = doubts.has[:, rare]
    assert (1 - doubts.evidence.mean[has, rare] > 0.8).all()
    assert (doubts.scores[has, rare] < 0.5).all()


def test_the_list_names_the_tag_and_says_why() -> None:
    vectors, tags = _tagged()
    clear = int(np.flatnonzero(vectors[:, 1] > 3)[0])
    wrong = tags.copy()
    wrong[clear, 1] = False
    found = tag_suspects(vectors, facts_of(tags=wrong), EUCLIDEAN)
    missing = [each for each in found if each.kind == "tag_missing"]
    mine = next(each for each in missing if each.row == clear and each.proposed == "tag 1")
    assert mine.reason.startswith("The clip lacks the tag 'tag 1', but ")
    assert mine.suggestion == "Listen; if you agree, add 'tag 1'."
    ranks = [each.rank for each in missing]
    assert ranks == sorted(ranks, reverse=True)
    assert all((1 - each.rank) ** 2 <= EUCLIDEAN.right for each in found)
    short = tag_suspects(
        vectors, facts_of(tags=wrong), EUCLIDEAN.model_copy(update={"most": 1, "right": 1.0})
    )
    assert [each.kind for each in short] == ["tag_wrong", "tag_missing"]


def test_clips_without_tags_are_not_known_to_lack_them() -> None:
    vectors, tags = _tagged()
    tags[::7] = False
    doubts = doubt_tags(vectors, facts_of(tags=tags), EUCLIDEAN)
    assert doubts.rows.tolist() == np.flatnonzero(tags.any(axis=1)).tolist()


def test_tags_that_cannot_be_doubted_are_refused() -> None:
    with pytest.raises(
        DataError, match="a tag that is on two clips or more, and missing on two or more, is needed"
    ):
        doubt_tags(np.eye(5, dtype=np.float32), facts_of(tags=np.ones((5, 2), dtype=bool)))
    with pytest.raises(DataError, match="Given: 0 tags on 0 clips"):
        tag_suspects(np.eye(5, dtype=np.float32), facts_of(tags=np.ones((5, 0), dtype=bool)))
