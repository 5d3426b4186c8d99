"""Studies by folds: mean squares against slow sums, equal arms by simulation, and a study from end to end."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from nearfield.core.errors import RequestError
from nearfield.study.estimate import estimate_cost
from nearfield.study.file import Design, SeedPlan, SeedRange
from nearfield.study.plan import SMALL, Plan
from nearfield.study.run import Study
from nearfield.study.scores import by_group, fold_of_groups, folds_of, round_of
from nearfield.study.statistics.conclude import PlannedTest, conclude
from nearfield.study.statistics.family import FALSE_CLAIMS, all_pairs
from nearfield.study.statistics.planning import power
from nearfield.study.statistics.two_way import Array, MeanSquares
from tests.study import trainings
from tests.study.imitations import Here


@given(st.integers(1, 4), st.integers(2, 5), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_mean_squares_are_those_within_folds(seeds: int, folds: int, most: int, number: int) -> None:
    rng = np.random.default_rng(number)
    fold = np.repeat(np.arange(folds), rng.integers(1, most + 1, folds))
    groups = len(fold)
    table = rng.normal(size=(seeds, groups))
    found, mean = MeanSquares.of(table, fold), table.mean()

    def cell(at: int) -> Array:
        return np.asarray(table[:, fold == at])

    of_groups = sum(seeds * ((cell(f).mean(0) - cell(f).mean()) ** 2).sum() for f in range(folds))
    assert found.mean == pytest.approx(mean)
    few = groups < 2 * folds
    of_all = seeds * ((table.mean(0) - mean) ** 2).sum()
    assert found.group == pytest.approx(of_all / (groups - 1) if few else of_groups / (groups - folds))
    if seeds == 1:
        assert found.dof == (folds - 1, groups - 1 if few else groups - folds)
        between = sum(cell(f).size * (cell(f).mean() - mean) ** 2 for f in range(folds)) / (folds - 1)
        size = sum(cell(f).size ** 2 for f in range(folds)) / groups
        uneven = size * (folds - 1) / (groups - size)
        assert found.seed == pytest.approx(max(0.0, between - found.group) * uneven)
        return
    by_fold = [
        cell(f).shape[1] * ((cell(f).mean(1) - cell(f).mean()) ** 2).sum() / (seeds - 1) for f in range(folds)
    ]
    of_seeds = (seeds - 1) * sum(by_fold)
    within = sum(((cell(f) - cell(f).mean()) ** 2).sum() for f in range(folds))
    shares = np.bincount(fold) / groups
    assert found.seed == pytest.approx(shares @ by_fold)
    assert found.rest == pytest.approx(
        (within - of_groups - of_seeds) / max(1, (seeds - 1) * (groups - folds)), abs=1e-12
    )
    weights = shares * np.bincount(fold)  # of equal mean squares of trainings
    freedom = weights.sum() ** 2 / (weights**2 / (seeds - 1)).sum()
    assert found.dof == (math.floor(freedom + 1e-9), groups - 1 if few else groups - folds)


@pytest.mark.parametrize(("folds", "groups", "seeds"), [(5, 5, 3), (10, 10, 3), (10, 11, 3), (5, 5, 1)])
def test_equal_arms_with_hardly_a_group_in_each_fold_are_rarely_told_apart(
    folds: int, groups: int, seeds: int
) -> None:
    """Leaving out one group at a time, how groups vary shows between folds alone."""
    rng = np.random.default_rng(5)
    studies, fold = 2000, np.sort(np.arange(groups) % folds)
    trained = 0.3 * rng.standard_normal((studies, 2, seeds, folds))[..., fold]
    rest = 0.2 * rng.standard_normal((studies, 2, seeds, groups))
    tables = rng.standard_normal((studies, 2, 1, groups)) + trained + rest
    own, errors, shares, bound = all_pairs(tables, fold)
    claimed = np.abs(own.mean) > bound.limit(shares, FALSE_CLAIMS) * errors
    assert claimed.mean() <= 0.05 + 2 * (0.05 * 0.95 / studies) ** 0.5


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("sizes", [(8, 8, 8, 8, 8), (16, 6, 6, 6, 6), (28, 3, 3, 3, 3)])
def test_the_error_of_uneven_folds_is_that_of_the_mean(sizes: tuple[int, ...], seeds: int) -> None:
    """Trainings alone vary. A fold with most of the groups has most of the error."""
    rng, fold, studies = np.random.default_rng(1), np.repeat(np.arange(5), sizes), 2000
    tables = rng.normal(size=(studies, 2, seeds, 5))[..., fold]
    tables += 0.5 * rng.normal(size=(studies, 2, seeds, len(fold)))
    own, errors, by_seed, bound = all_pairs(tables, fold)
    assert (errors**2).mean() == pytest.approx(own.mean.var(), rel=0.1)
    claimed = np.abs(own.mean) > bound.limit(by_seed, 0.05) * errors
    assert claimed.mean() <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


def test_one_fold_is_no_fold() -> None:
    table = np.random.default_rng(0).normal(size=(3, 7))
    assert MeanSquares.of(table, np.zeros(7, np.int64)) == MeanSquares.of(table)


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_arms_of_learners_are_rarely_told_apart(seeds: int) -> None:
    """Nearest class means of half of the training clips, on data that are equal for both arms on average."""
    rng = np.random.default_rng(3)
    studies, groups, classes, folds = 400, 40, 5, 5
    centers = 0.55 * rng.standard_normal((classes, 8))
    label = np.arange(groups) % classes
    fold = np.sort((np.arange(groups) // classes) % folds)
    label = np.concatenate([label[(np.arange(groups) // classes) % folds == f] for f in range(folds)])
    tables = np.empty((studies, 2, seeds, groups))
    for study in range(studies):
        for arm in range(2):
            clips = centers[label] + rng.standard_normal((groups, 8))
            for number in range(folds):
                known, asked = fold != number, fold == number
                for seed in range(seeds):
                    kept = known & (rng.random(groups) < 0.5)
                    found = {each: kept & (label == each) for each in range(classes)}
                    means = np.stack(
                        [
                            clips[at if at.any() else known & (label == each)].mean(0)
                            for each, at in found.items()
                        ]
                    )
                    nearest = ((clips[asked][:, None] - means) ** 2).sum(2).argmin(1)
                    tables[study, arm, seed, asked] = nearest == label[asked]
    own, errors, shares, bound = all_pairs(tables, fold)
    claimed = np.abs(own.mean) > bound.limit(shares, FALSE_CLAIMS) * errors
    assert claimed.mean() <= 0.05 + 2 * (0.05 * 0.95 / studies) ** 0.5
    # What folds have in common is a part of the truth: without its factor, errors would be too small.
    spread = float(own.mean.std())
    assert float(errors.mean()) > 0.9 * spread


def test_a_plan_by_folds_sees_smaller_differences_than_one_split() -> None:
    parts = (0.02**2, 0.3**2, 0.3**2)
    by_split = power(0.1, parts, 15, 50, 4)
    by_folds = power(0.1, (parts[0] / 5, *parts[1:]), 3, 250, 4, folds=5)
    assert by_folds > by_split + 0.2


def clips(groups: list[int], predicted: list[str]) -> pd.DataFrame:
    label = ["a", "b"] * (len(groups) // 2)
    hits = [float(one == other) for one, other in zip(label, predicted, strict=True)]
    return pd.DataFrame(
        {"id": range(len(groups)), "group": groups, "label": label, "predicted": predicted, "score": hits}
    )


def test_a_round_has_the_groups_of_one_fold_after_the_other() -> None:
    one = clips([4, 4, 7, 7], ["a", "b", "a", "a"])
    other = clips([0, 0, 5, 5, 9, 9], ["a", "b", "b", "a", "a", "b"])
    whole = round_of([one, other])
    assert whole is not None
    assert [list(part["group"]) for part in folds_of(whole)] == [list(one["group"]), list(other["group"])]
    np.testing.assert_array_equal(fold_of_groups([None, whole], "score"), [0, 0, 1, 1, 1])
    found, first, second = (by_group(each, "score") for each in (whole, one, other))
    assert found is not None
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(found, [*first, *second])
    f1 = by_group(whole, "probe/macro_f1")
    assert f1 is not None
    assert len(f1) == 5
    assert f1.mean() == pytest.approx(f1_score(whole["label"], whole["predicted"], average="macro"))
    assert round_of([one, None]) is None
    assert round_of([one]) is one


def test_every_training_has_its_own_seed_and_fold() -> None:
    seeds = SeedPlan.of(SeedRange(at_least=3, at_most=3, until=None), Design(folds=5))
    folds = [seeds.fold(seed) for seed in seeds.take(3)]
    assert len(set(seeds.take(3))) == 15
    assert [fold.number for fold in folds if fold] == [1, 2, 3, 4, 5] * 3
    assert {fold.over for fold in folds if fold} == {"all"}
    assert seeds.words() == "5 folds of 3"
    assert SeedPlan.of(SeedRange(at_least=3, at_most=3, until=None), Design(folds=1)).fold(2) is None


def plan_of(folder: Path, keys: str, groups: int | None = None) -> Plan:
    trainings.plan(folder)
    text = (folder / "study.yaml").read_text().replace("seeds: 3\n", keys)
    (folder / "study.yaml").write_text(text)
    return Plan.load(folder / "study.yaml", (), None if groups is None else lambda recipe: groups)


def test_the_design_is_that_of_the_file_or_folds_where_the_set_is_small(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "design: {folds: 4, seeds: 2, keep_test: true}\n")
    assert (plan.seeds.folds, plan.seeds.at_most, plan.seeds.keep_test) == (4, 2, True)
    assert Plan.of(plan.plain()) == plan
    assert plan_of(tmp_path, "seeds: 3\n", 40).seeds.folds == 1  # the file has decided
    small, large = (plan_of(tmp_path, "", groups).seeds for groups in (SMALL - 1, SMALL))
    assert (small.folds, small.at_most) == (5, 3)
    assert (large.folds, large.at_most) == (1, 5)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("design: {folds: 2}\n", "2 folds train on half"),
        ("design: {folds: 1, keep_test: true}\n", "keep_test needs folds"),
        ("seeds: 3\ndesign: {folds: 5, seeds: 3}\n", "seeds and design.seeds are both given"),
        ("design: {folds: 5}\nset: {data.fold: {of: 3}}\n", "data.fold and design.folds are both set"),
    ],
)
def test_designs_that_cannot_work_are_refused(tmp_path: Path, keys: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        plan_of(tmp_path, keys)


def test_the_cost_of_folds_is_that_of_folds_and_not_of_the_own_splits(tmp_path: Path) -> None:
    """Splits that share groups are no obstacle to folds of whole groups."""
    (tmp_path / "sounds").mkdir()
    folder = trainings.sounds(tmp_path / "sounds")
    clips = [
        {
            "path": f"{label}/{n}.wav",
            "label": label,
            "group": f"{n}",
            "split": ("train", "test")[label == "d"],
        }
        for label in "abcd"
        for n in range(10)
    ]
    pd.DataFrame(clips).to_csv(tmp_path / "sounds/clips.csv", index=False)
    plan = plan_of(tmp_path, "design: {folds: 3, seeds: 1}\nmaps: []\n")
    cost = estimate_cost(plan, f"{folder}/clips.csv", "cpu")
    assert cost.runs == (9, 9)
    assert cost.seconds[0] > 0


def test_every_group_is_judged_once_a_seed_by_trainings_that_never_saw_it(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    data = trainings.sounds(tmp_path / "sounds")
    plan_of(tmp_path, "design: {folds: 3, seeds: 1}\nmaps: []\nmeasures: [clusters/nmi]\n")
    study = Study.create(tmp_path / "study.yaml", data, tmp_path / "out")
    facts = study.run(Here(), device="cpu")  # type: ignore[arg-type]
    judged: dict[str, list[str]] = {}
    for arm in facts.arms:
        assert [run.state for run in arm.runs] == ["done"] * 3
        for run in arm.runs:
            folder = tmp_path / "out" / "runs" / arm.arm.id / f"seed-{run.seed}"
            table = pd.read_parquet(folder / "vectors.parquet", columns=["id", "group", "split"])
            tested = table[table["split"] == "test"]
            assert not set(tested["group"]) & set(table["group"][table["split"] == "train"])
            judged.setdefault(arm.arm.id, []).extend(tested["id"])
    for ids in judged.values():
        assert len(ids) == len(set(ids)) == 40
    (pair, *_) = facts.conclusion.comparisons
    assert (pair.seeds, pair.groups, pair.folds) == (1, 40, 3)
    assert "never saw its fold" in facts.conclusion.procedure
    assert sum(facts.data["split"].values()) == 40
    with pytest.raises(RequestError, match="another design"):
        Study.create(tmp_path / "study.yaml", data, tmp_path / "out", ["design.folds=4"])


def test_arms_are_compared_by_folds_with_a_single_seed() -> None:
    rng = np.random.default_rng(0)
    fold = np.repeat(np.arange(5), 20)
    common = rng.normal(0, 0.3, 100)
    tables = {
        name: (mean + common + rng.normal(0, 0.05, 100))[None] for name, mean in (("a", 0.5), ("b", 0.6))
    }
    found = conclude(PlannedTest("probe/accuracy", 0.02, {}, folds=fold), tables)
    assert [verdict.word for verdict in found.verdicts] == ["worse", "best"]
    silent = conclude(PlannedTest("probe/accuracy", 0.02, {}), tables)
    assert {verdict.word for verdict in silent.verdicts} == {"not_comparable"}


def test_a_judge_without_labels_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    data = trainings.sounds(tmp_path / "sounds")
    trainings.plan(tmp_path, relation={"kind": "time"}, sampler={"kind": "tiles", "batch_size": 4})
    study = Study.create(tmp_path / "study.yaml", data, tmp_path / "out")
    with pytest.raises(RequestError, match=r"judge: probe/accuracy needs labels, .* --set data\.label=label"):
        study.run(Here(), device="cpu")  # type: ignore[arg-type]
