"""Each tag under each arm: areas against scikit-learn, intervals against a known truth, bars and facts."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from nearfield.study.document import facts_from_json
from nearfield.study.document.content import Figure, Table
from nearfield.study.document.figures import shown_tags, tag_figure
from nearfield.study.document.sections import document
from nearfield.study.document.tables import tag_table
from nearfield.study.records import TagArea, TagFacts
from nearfield.study.scores import tag_facts, told_by
from tests.study.overclaims import check_overclaims
from tests.study.sample import sample_facts

NAMES = ("piano", "drums", "rare", "everywhere")


class Named:
    """Stands for the folder of a run: its result names the tags."""

    vectors = Path("nowhere")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def result(self) -> dict[str, Any]:
        return {"per_tag_of_tagger": [{"name": name} for name in self.names]}


def clips(tags: Any, scores: Any, groups: Any) -> pd.DataFrame:
    return pd.DataFrame({"group": groups, "tagger/tags": list(tags), "tagger/scores": list(scores)})


def study(seeds: int = 3) -> dict[str, list[pd.DataFrame | None]]:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 2)
    tags = rng.random((60, 4)) < 0.4
    tags[:, 2] = groups < 2  # two groups alone
    tags[:, 3] = True
    return {
        arm: [clips(tags, shift * tags + rng.normal(size=tags.shape), groups) for _ in range(seeds)]
        for arm, shift in (("first", 0.5), ("final", 1.5))
    }


def facts(runs: dict[str, list[pd.DataFrame | None]], reference: str = "first") -> tuple[TagFacts, ...]:
    return tag_facts(runs, Named(NAMES), "tagger", reference)  # type: ignore[arg-type]


def test_areas_are_scikit_learns_and_gaps_their_differences() -> None:
    runs = study()
    found = facts(runs)
    assert [tag.name for tag in found] == list(NAMES)
    for place, tag in enumerate(found[:3]):
        for area, function in (("roc_auc", roc_auc_score), ("pr_auc", average_precision_score)):
            wanted = {
                arm: np.mean([
                    function(
                        np.stack(list(each["tagger/tags"]))[:, place],
                        np.stack(list(each["tagger/scores"]))[:, place],
                    )
                    for each in frames
                    if each is not None
                ])
                for arm, frames in runs.items()
            }  # fmt: skip
            told = tag.areas[area]
            assert {arm: one.mean for arm, one in told.items()} == pytest.approx(wanted)
            assert told["final"].gap == pytest.approx(wanted["final"] - wanted["first"])
            assert (told["first"].gap, told["first"].p_holm) == (None, None)


def test_what_too_few_groups_tell_has_no_interval_and_what_all_clips_have_no_area() -> None:
    piano, _, rare, everywhere = facts(study())
    assert everywhere.areas == {"roc_auc": {}, "pr_auc": {}}
    assert everywhere.positives == 60
    assert (rare.few, rare.positives) == (True, 4)
    assert rare.areas["roc_auc"]["final"].interval is None
    low, high = piano.areas["roc_auc"]["final"].interval or (0.0, 0.0)
    assert 0 <= low < piano.areas["roc_auc"]["final"].mean < high <= 1


def test_areas_that_never_vary_have_no_interval_and_no_p() -> None:
    """Both arms order all clips alike in every seed, one rightly and one wrongly."""
    tags, groups = np.arange(60)[:, None] % 2 == 0, np.repeat(np.arange(15), 4)
    runs: dict[str, list[pd.DataFrame | None]] = {
        arm: [clips(tags, sign * tags.astype(float), groups) for _ in range(3)]
        for arm, sign in (("wrong", -1), ("right", 1), ("alike", 1))
    }
    (tag,) = tag_facts(runs, Named(("piano",)), "tagger", "wrong")  # type: ignore[arg-type]
    right = tag.areas["roc_auc"]["right"]
    assert (right.mean, right.gap) == (1.0, 1.0)
    assert (right.interval, right.gap_interval, right.p_holm) == (None, None, None)
    (tag,) = tag_facts(runs, Named(("piano",)), "tagger", "right")  # type: ignore[arg-type]
    positive = tag.areas["roc_auc"]["alike"]
    assert (positive.gap, positive.gap_interval, positive.p_holm) == (0.0, None, 1.0)


def test_a_failed_training_is_left_out_and_an_arm_of_failures_is_missing() -> None:
    runs = study()
    whole = facts(runs)
    runs["final"][1] = None
    fewer = facts(runs)
    assert fewer[0].areas["roc_auc"]["final"].mean != whole[0].areas["roc_auc"]["final"].mean
    assert fewer[0].areas["roc_auc"]["first"] == whole[0].areas["roc_auc"]["first"]
    assert set(facts({**runs, "final": [None, None, None]})[0].areas["roc_auc"]) == {"first"}


def test_p_values_are_held_over_all_tags() -> None:
    names = tuple(map(str, range(20)))
    rng = np.random.default_rng(0)
    tags, groups = rng.random((90, 20)) < 0.5, np.repeat(np.arange(30), 3)
    runs: dict[str, list[pd.DataFrame | None]] = {
        arm: [clips(tags, rng.normal(size=tags.shape), groups) for _ in range(3)] for arm in ("a", "b")
    }
    found = tag_facts(runs, Named(names), "tagger", "a")  # type: ignore[arg-type]
    assert min(tag.areas["roc_auc"]["b"].p_holm or 0.0 for tag in found) > 0.05


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Scores normal around 0 and 1.2 with chance of the group, the clip and the seed; the truth by the normal
    distribution. 400 tags in place of 400 studies."""
    rng = np.random.default_rng(5)
    count, each, seeds, number = 45, 2, 3, 400
    groups = np.repeat(np.arange(count), each)
    tags = (rng.random((count, number)) < 0.3)[groups]
    by_group = rng.normal(0, 0.5, (count, number))[groups]
    by_clip = rng.normal(0, 0.5, tags.shape)
    shift = 1.2
    spread = np.sqrt(2 * (0.5**2 + 0.5**2 + 0.5**2))
    truth = norm.cdf(shift / spread)
    runs: dict[str, list[pd.DataFrame | None]] = {
        "only": [
            clips(tags, shift * tags + by_group + by_clip + rng.normal(0, 0.5, tags.shape), groups)
            for _ in range(seeds)
        ]
    }
    names = tuple(map(str, range(number)))
    found = tag_facts(runs, Named(names), "tagger", "only")  # type: ignore[arg-type]
    ends = [tag.areas["roc_auc"]["only"].interval for tag in found]
    held = [low <= truth <= high for low, high in (each for each in ends if each)]
    assert len(held) == number
    assert 0.93 <= np.mean(held) <= 0.99


def test_only_judges_over_tags_have_the_table() -> None:
    assert told_by("tagger/pr_auc") == "tagger"
    assert told_by("tagging/roc_auc") == "tagging"
    assert told_by("retrieval/recall_at_1") is None


def two_arms() -> Any:
    sample = sample_facts()
    tags = tuple(
        TagFacts(
            f"tag {number}",
            10 * number,
            number < 2,
            {"roc_auc": {
                "margin-0.3": TagArea(0.6 + 0.05 * number, (0.5, 0.99)),
                "margin-0.5": TagArea(0.9, None, 0.1),
            }, "pr_auc": {}},
        )
        for number in range(5)
    )  # fmt: skip
    return replace(sample, arms=sample.arms[:2], tags=tags)


def test_the_figure_has_a_row_an_arm_and_a_bar_a_tag() -> None:
    sample = two_arms()
    assert [tag.name for tag in shown_tags(sample)] == [f"tag {number}" for number in (4, 3, 2, 1, 0)]
    svg = tag_figure(sample)
    assert svg == tag_figure(sample)
    assert svg.count("ROC-AUC") == 2
    assert all(f"tag {number}" in svg for number in range(5))
    assert all(name in svg for name in ("0.3", "0.5"))
    fewer = replace(sample, tags=sample.tags[1:])
    assert svg.count("<path") - tag_figure(fewer).count("<path") >= 3  # two bars and an interval


def test_the_document_shows_the_tags_of_a_study_of_taggers() -> None:
    sample = replace(two_arms(), judge="tagger/roc_auc")
    names = [block.name for block in document(sample, {}).blocks() if isinstance(block, Table | Figure)]
    assert names.count("tags") == 2  # bars and table
    rows = {row.cells[0]: row.cells for row in tag_table(sample).rows}
    assert rows["tag 4"] == ("tag 4", "40", "0.80", "0.90 (+0.10)", "—", "—")
    captions = [block.caption for block in document(sample, {}).blocks() if isinstance(block, Table | Figure)]
    assert [each for each in captions if check_overclaims(each, sample)] == []
    assert "tags" not in [
        block.name for block in document(sample_facts(), {}).blocks() if isinstance(block, Table)
    ]


def test_the_facts_travel_through_json() -> None:
    sample = two_arms()
    assert facts_from_json(json.loads(json.dumps(asdict(sample)))) == sample
