"""Judgements of tables: against scipy and the statistics of studies, in every form a table can have."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner, Result

import nearfield
from nearfield.cli.main import app
from nearfield.core.errors import DataError, RequestError
from nearfield.study.judge import Judgement, judge, means_text, write
from nearfield.study.ledger import FALSE_KEEPS, keep, level, weight
from nearfield.study.statistics.conclude import PlannedTest, conclude


def called(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def scores(
    *means: float,
    seeds: int = 5,
    groups: int = 40,
    spread: float = 0.02,
    apart: float = 0.0,
    number: int = 0,
) -> pd.DataFrame:
    """Arms a, b, ... of these means; `spread` of trainings, `apart` of groups between arms."""
    rng = np.random.default_rng(number)
    common = rng.normal(0, 0.2, groups)
    rows = []
    for name, mean in zip("abcdef", means, strict=False):
        own = common + rng.normal(0, apart, groups)
        for seed in range(seeds):
            table = mean + own + rng.normal(0, spread) + rng.normal(0, 2 * spread, groups)
            rows += [(name, seed, group, score) for group, score in enumerate(table)]
    return pd.DataFrame(rows, columns=["arm", "seed", "group", "score"])


def same(one: Judgement, other: Judgement) -> bool:
    """Whether both have the same verdict and numbers."""
    keys = ("candidate", "against", "verdict", "difference", "low", "high", "p")
    return all(
        getattr(one, key) == pytest.approx(getattr(other, key))
        if isinstance(getattr(one, key), float)
        else getattr(one, key) == getattr(other, key)
        for key in keys
    )


def test_it_is_the_conclusion_of_a_study() -> None:
    frame = scores(0.7, 0.8, 0.75)
    cubes = {
        str(arm): rows.pivot(index="seed", columns="group", values="score").to_numpy()
        for arm, rows in frame.groupby("arm")
    }
    wanted = conclude(PlannedTest("score", 0.02, {}), cubes)
    found = nearfield.judge(frame, meaningful=0.02)
    assert found.conclusion == wanted
    assert (found.candidate, found.verdict) == ("b", "better")
    pair = next(each for each in wanted.comparisons if (each.one, each.other) == ("b", found.against))
    assert (found.difference, found.low, found.high) == (pair.difference, pair.low, pair.high)


def test_without_seeds_two_arms_are_the_paired_t_test_over_groups() -> None:
    frame = scores(0.7, 0.73, seeds=1).drop(columns="seed")
    found = judge(frame)
    wide = frame.pivot(index="group", columns="arm", values="score")
    result = stats.ttest_rel(wide["b"], wide["a"])
    ends = result.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-2)
    assert found.p == pytest.approx(result.pvalue, rel=1e-2, abs=1e-6)
    assert "these arms as they are" in found.answer
    assert (found.seeds, found.groups) == (1, 40)


def test_without_groups_two_arms_are_the_paired_t_test_over_seeds() -> None:
    frame = scores(0.7, 0.73, seeds=8, groups=1).drop(columns="group")
    wide = frame.pivot(index="seed", columns="arm", values="score")
    ends = stats.ttest_rel(wide["b"], wide["a"]).confidence_interval(0.95)
    found = judge(frame)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-2)
    assert found.more_groups is None


def test_a_wide_table_and_a_file_say_the_same_as_the_long_one(tmp_path: Path) -> None:
    frame = scores(0.7, 0.74, 0.72)
    wide = frame.pivot(index=["seed", "group"], columns="arm", values="score").reset_index()
    wide.to_parquet(tmp_path / "wide.parquet")
    frame.to_csv(tmp_path / "long.csv", index=False)
    renamed = frame.rename(columns={"arm": "model", "seed": "run", "group": "item", "score": "f1"})
    found = judge(frame)
    assert same(found, judge(wide))
    assert same(found, judge(tmp_path / "wide.parquet"))
    assert same(found, judge(tmp_path / "long.csv"))
    assert same(found, judge(renamed, "model", "run", "item", "f1"))
    shuffled = frame.sample(frac=1, random_state=1)
    assert judge(shuffled, candidate="b", against="a").p == pytest.approx(
        judge(frame, candidate="b", against="a").p
    )


def test_lower_is_better_mirrors_everything() -> None:
    frame = scores(0.7, 0.8, 0.5)
    found, mirrored = judge(frame), judge(frame.assign(score=-frame["score"]), lower_is_better=True)
    assert (mirrored.candidate, mirrored.verdict) == (found.candidate, found.verdict) == ("b", "better")
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))
    assert mirrored.means["b"] == pytest.approx(-found.means["b"])
    assert judge(frame, candidate="b", lower_is_better=True).verdict == "worse"
    assert means_text(judge(frame, lower_is_better=True), "b") == means_text(found, "b")


def test_cells_that_are_missing_take_their_seed_or_group_with_them() -> None:
    frame = scores(0.7, 0.8)
    whole = judge(frame[frame["group"] != 3])
    hole = frame.drop(frame[(frame["group"] == 3) & (frame["arm"] == "a")].index)
    found = judge(hole)
    assert same(found, whole)
    assert found.notes == ("1 group left out, because not every arm has a score there.",)
    empty = frame.copy()
    empty.loc[(empty["seed"] == 2) & (empty["arm"] == "b"), "score"] = np.nan
    assert same(judge(empty), judge(frame[frame["seed"] != 2]))


def test_several_rows_of_a_cell_are_averaged_and_reported() -> None:
    frame = scores(0.7, 0.8)
    twice = pd.concat([frame.assign(score=frame["score"] + 0.01), frame.assign(score=frame["score"] - 0.01)])
    found = judge(twice)
    assert same(found, judge(frame))
    assert "Up to 2 rows" in found.notes[0]


def test_seeds_that_have_nothing_in_common_are_repetitions() -> None:
    frame = scores(0.7, 0.8)
    apart = frame.assign(
        seed=[seed + 100 * (arm == "b") for arm, seed in zip(frame["arm"], frame["seed"], strict=True)]
    )
    with pytest.raises(RequestError, match=r"0 seeds that all arms share.*--unpaired"):
        judge(apart)
    found = judge(apart, is_paired=False)
    assert found.verdict == "better"
    assert found.means == pytest.approx(judge(frame).means)


def test_sorting_the_rows_of_unpaired_seeds_makes_no_claim() -> None:
    rng, claims = np.random.default_rng(3), 0
    for _ in range(60):
        score = rng.normal(size=16)
        frame = pd.DataFrame({"arm": ["a"] * 8 + ["b"] * 8, "seed": range(16), "score": score})
        ordered = judge(frame.sort_values("score"), is_paired=False)
        claims += ordered.verdict != "undecided"
        assert same(judge(frame, candidate=ordered.candidate, is_paired=False), ordered)
    assert claims <= 8  # pairing low with low claims something in every second table


def test_an_arm_that_may_be_better_is_not_equal() -> None:
    base = np.linspace(-1, 1, 40)
    z = np.random.default_rng(0).normal(size=40)
    z = (z - z.mean()) / z.std(ddof=1)
    frame = pd.DataFrame({"group": range(40), "a": base, "b": base + 0.05 + 0.17 * z})
    found = judge(frame, meaningful=0.02)
    assert found.low > -0.02
    assert (found.verdict, judge(frame, against="a", meaningful=0.02).verdict) == ("undecided", "undecided")


def test_a_ledger_tests_a_candidate_against_its_nearest_rival() -> None:
    """c equals its rival b, whose noise is large, and is surely better than a: it is not to be kept."""
    rng = np.random.default_rng(1)
    base = rng.normal(0, 0.2, 40)
    frame = pd.DataFrame(
        {
            "group": range(40),
            "c": base,
            "b": base + rng.normal(0, 0.5, 40),
            "a": base - rng.normal(0.02, 0.02, 40),
        }
    )
    found = judge(frame, candidate="c")
    against_b = judge(frame, candidate="c", against="b")
    assert found.p_better == against_b.p_better
    assert found.p_better > 0.05
    assert judge(frame, candidate="c", against="a").p_better < 1e-4


def test_columns_of_a_wide_table_that_are_no_numbers_are_named() -> None:
    frame = scores(0.7, 0.8).pivot(index=["seed", "group"], columns="arm", values="score").reset_index()
    found = judge(frame.assign(c="0,7"))
    assert "Not numbers, and left out: c." in found.notes[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("group,a,b\n1,2,3,\n2,3,4,\n", "cannot be read"),
        ("arm;seed;group;score\na;0;0;1\n", "a single column"),
        ("group,score,score,arm\n1,2,3,a\n", "two columns have the same name"),
        ("arm,seed,group,score\na,0,0,inf\nb,0,0,1\n", "'inf' .row 2. is not a finite number"),
        ("arm,seed,group,score\na,0,0,1e300\nb,0,0,1\n", "is not a finite number"),
        ("arm,seed,group,score\na,0,0,1\nb,0,0,1\nc,0,0,\n", "c has no score at all"),
        ("id,seed,a,b\n1,0,2,3\n2,1,2,3\n", "id may be no arm"),
        (",seed,a,b\n1,0,2,3\n2,1,2,3\n", "may be no arm"),
        ("arm,group,score\n" + "".join(f"a,{n},1\nb,{n + 9},2\n" for n in range(6)), "share no group"),
    ],
)
def test_tables_that_would_mislead_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "odd.csv").write_text(text)
    with pytest.raises(RequestError, match=words):
        judge(tmp_path / "odd.csv")


def test_an_arm_may_be_called_none_and_numbers_keep_their_names(tmp_path: Path) -> None:
    frame = scores(0.7, 0.9).replace({"arm": {"a": "None", "b": "1e-4"}})
    frame.to_csv(tmp_path / "scores.csv", index=False)
    found = judge(tmp_path / "scores.csv", candidate="1e-4")
    assert (found.against, found.verdict) == ("None", "better")
    (tmp_path / "empty.csv").write_text((tmp_path / "scores.csv").read_text() + ",0,0,5\n")
    assert "1 row without arm left out." in judge(tmp_path / "empty.csv").notes


def test_verdicts_of_planted_tables() -> None:
    assert judge(scores(0.7, 0.9)).verdict == "better"
    assert judge(scores(0.9, 0.7)).verdict == "worse"
    assert judge(scores(0.7, 0.701, spread=0.005), meaningful=0.05).verdict == "equal"
    open_ = judge(scores(0.7, 0.74, seeds=4, groups=20, spread=0.02, apart=0.08))
    assert open_.verdict == "undecided"
    assert open_.answer.startswith("Not decided between b and a")
    assert open_.more_seeds or open_.more_groups
    several = judge(scores(0.7, 0.7, 0.7, 0.2, spread=0.05))
    assert set(several.candidates) == {"a", "b", "c"}
    assert "Any of a, b and c may be the best." in several.answer


def test_the_groups_that_are_said_to_decide_do_so_in_most_cases() -> None:
    kept, promised = 0, 0
    for number in range(60):
        rng = np.random.default_rng(number)
        big = scores(0.7, 0.75, seeds=4, groups=400, spread=0.01, apart=0.1, number=number)
        order = rng.permutation(400)
        found = judge(big[big["group"].isin(order[:15])])
        if found.verdict == "undecided" and found.more_groups:
            promised += 1
            more = big[big["group"].isin(order[: found.more_groups])]
            kept += judge(more).verdict != "undecided"
    assert promised >= 10
    assert kept / promised > 0.5


@pytest.mark.parametrize(
    ("frame", "given", "words"),
    [
        (scores(0.7, 0.8).drop(columns="arm"), {}, "no column 'arm'.*--arm"),
        (scores(0.7, 0.8).drop(columns=["seed", "group"]), {}, "neither a column 'seed' nor 'group'"),
        (scores(0.7, 0.8).rename(columns={"score": "f1"}), {}, "no column 'score'.*--score"),
        (scores(0.7), {}, "two arms are needed. Given: a"),
        (scores(0.7, 0.8, seeds=2), {}, "2 seeds that all arms share; 3 are needed"),
        (scores(0.7, 0.8, seeds=1, groups=3).drop(columns="seed"), {}, "3 groups that all arms share"),
        (scores(0.7, 0.8), {"candidate": "z"}, "there is no arm 'z'. Known: a, b"),
        (scores(0.7, 0.8), {"candidate": "a", "against": "a"}, "the same arm"),
        (scores(0.7, 0.8), {"meaningful": -1.0}, "meaningful must be 0 or more"),
        (
            scores(0.7, 0.8),
            {"score": "nope"},
            "no column 'nope'",
        ),
    ],
)
def test_what_cannot_be_concluded_is_refused_with_the_cure(
    frame: pd.DataFrame, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        judge(frame, **given)


def test_a_word_in_place_of_a_number_is_named_with_its_row() -> None:
    frame = scores(0.7, 0.8).astype({"score": object})
    frame.loc[4, "score"] = "bad"
    with pytest.raises(DataError, match=r"'bad' \(row 6\) is not a number"):
        judge(frame)
    with pytest.raises(DataError, match="the table cannot be read"):
        judge(Path(__file__).with_suffix(".parquet").parent / "__init__.py")


def test_the_command_prints_the_answer_and_tells_the_verdict_by_its_exit_code(tmp_path: Path) -> None:
    def code(frame: pd.DataFrame, *words: str) -> int:
        frame.to_csv(tmp_path / "scores.csv", index=False)
        return called("judge", str(tmp_path / "scores.csv"), *words).exit_code

    assert code(scores(0.7, 0.9)) == 0
    assert code(scores(0.9, 0.7)) == 1
    assert code(scores(0.9, 0.7), "--lower-is-better") == 0
    assert code(scores(0.7, 0.701, spread=0.005), "--meaningful", "0.05") == 3
    assert code(scores(0.7, 0.7, seeds=3, spread=0.05)) == 4
    said = called("judge", str(tmp_path / "scores.csv"), "--json", "--out", str(tmp_path / "out"))
    assert (
        json.loads(said.stdout)["answer"] == json.loads((tmp_path / "out/judge.json").read_text())["answer"]
    )
    assert (tmp_path / "out/differences.svg").read_text().lstrip().startswith("<?xml")
    assert "differences.svg" in (tmp_path / "out/judge.md").read_text()


def test_names_of_arms_cannot_break_the_document(tmp_path: Path) -> None:
    frame = scores(0.7, 0.9).replace({"arm": {"a": "x|y", "b": "$b_2$"}})
    write(judge(frame), tmp_path)
    assert "| x\\|y |" in (tmp_path / "judge.md").read_text()


def test_the_levels_of_a_ledger_are_those_of_the_formula() -> None:
    assert sum(weight(number) for number in range(1, 200_000)) == pytest.approx(1, abs=2e-3)
    assert level([]) == pytest.approx(0.25 * FALSE_KEEPS * weight(1) / 2)
    worse, open_, tried = (0.9, False), (0.4, False), (0.1, False)
    assert level([worse] * 50) == level([tried] * 50) == level([])
    assert level([open_] * 9) == pytest.approx(0.25 * FALSE_KEEPS * weight(10) / 2)
    tests = [open_, (1e-4, True), worse, open_, (1e-5, True), open_, (1e-6, True), open_]
    wanted = weight(5) / 2 + weight(4) / 2 + weight(3) + weight(2)  # written out, from the tests above
    assert level(tests) == pytest.approx(0.25 * FALSE_KEEPS * wanted)


def test_of_many_candidates_that_are_no_better_a_ledger_keeps_hardly_any(tmp_path: Path) -> None:
    kept_ledger, kept_higher = 0, 0
    for number in range(60):
        found = judge(scores(0.7, 0.7, seeds=3, groups=20, number=number))
        kept_ledger += keep(found, tmp_path / "ledger.jsonl", "made")["kept"]
        kept_higher += found.difference > 0
    assert kept_ledger <= 1
    assert kept_higher > 20
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == list(range(1, 61))
    better = keep(judge(scores(0.7, 0.9, seeds=10, spread=0.005)), tmp_path / "ledger.jsonl", "made")
    assert better["kept"]
    again = keep(judge(scores(0.7, 0.9, seeds=10, spread=0.005)), tmp_path / "ledger.jsonl", "made")
    assert again == better
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) == 61
    with pytest.raises(RequestError, match="Name it with --candidate"):
        keep(judge(scores(0.7, 0.9, 0.8)), tmp_path / "ledger.jsonl", "made")
    (tmp_path / "other.jsonl").write_text("no ledger\n")
    with pytest.raises(DataError, match="no ledger"):
        keep(judge(scores(0.7, 0.9)), tmp_path / "other.jsonl", "made")


def test_groups_of_folds_are_judged_as_in_a_study_by_folds() -> None:
    table = scores(0.5, 0.6, seeds=2, groups=20, apart=0.1)
    folds = {group: number % 5 for number, group in enumerate(sorted(table["group"].unique()))}
    table["part"] = table["group"].map(folds)
    found = judge(table, fold="part")
    arms = {
        str(arm): own.pivot(index="seed", columns="group", values="score").to_numpy(np.float64)
        for arm, own in table.groupby("arm")
    }
    columns = table.pivot_table(index="arm", columns="group", values="score").columns
    asked = PlannedTest("score", 0.0, {}, folds=np.array([folds[group] for group in columns]))
    (pair,) = conclude(asked, arms).comparisons
    assert (found.difference, found.low, found.high) == pytest.approx(
        (-pair.difference, -pair.high, -pair.low)
    )
    with pytest.raises(RequestError, match="2 seeds that all arms share; 3 are needed"):
        judge(table.assign(part=0), fold="part")  # a single fold is no fold
    with pytest.raises(RequestError, match="is in 2 folds"):
        judge(table.assign(part=table["seed"]), fold="part")


def test_baselines_of_a_study_have_no_seeds() -> None:
    table = scores(0.5, 0.6, seeds=4, groups=20, apart=0.1)
    plain = table[(table["arm"] == "a") & (table["seed"] == 0)].assign(arm="baseline/plain")
    found = judge(pd.concat([table, plain]))
    assert (found.seeds, found.groups, len(found.means)) == (4, 20, 3)
    everywhere = [plain.assign(seed=seed) for seed in range(4)]
    assert same(found, judge(pd.concat([table, *everywhere])))


def test_trainings_in_folds_need_no_common_seed() -> None:
    table = scores(0.5, 0.6, seeds=3, groups=20, apart=0.1)
    table["fold"] = table["group"] % 5
    found = judge(table)
    assert "3 seeds and 20 groups in 5 folds" in found.answer
    numbered = table.assign(seed=5 * table["seed"] + table["fold"])  # each training has a seed of its own
    assert same(judge(numbered), found)
    apart = numbered.assign(seed=numbered["seed"] + 100 * (numbered["arm"] == "b"))
    found = judge(apart, is_paired=False)
    assert (found.seeds, found.groups, found.folds, found.notes) == (3, 20, 5, ())
    one = table[table["seed"] == 0]
    found = judge(one)
    assert (found.seeds, found.folds) == (1, 5)
    assert "holds for other trainings and other groups" in found.answer
    assert same(judge(one.drop(columns="seed")), found)
    with pytest.raises(RequestError, match="1 seed that all arms share; 3 are needed"):
        judge(one.drop(columns="seed").assign(fold=one["group"] % 2))


def test_data_sets_in_general_are_compared_on_the_groups_that_all_arms_have(tmp_path: Path) -> None:
    sets = [
        scores(0.5, 0.5, seeds=3, groups=12, apart=0.02, number=number).assign(dataset=f"set {number}")
        for number in range(4)
    ]
    whole = pd.concat(sets)
    hard = (whole["arm"] == "b") & (whole["group"] < 4)
    easier = whole.assign(score=whole["score"] - 0.4 * (whole["group"] < 4))[~hard]
    means = easier[easier["group"] >= 4].groupby(["dataset", "arm"])["score"].mean().unstack()
    found = judge(easier)
    assert found.difference == pytest.approx((means["b"] - means["a"]).mean())
    assert found.means["a"] == pytest.approx(means["a"].mean())
    assert "4 data sets" in found.answer
    easier.to_csv(tmp_path / "easier.csv", index=False)
    result = called("judge", str(tmp_path / "easier.csv"), "--out", str(tmp_path / "out"))
    assert "Note: on set 0: 4 groups left out" in " ".join(result.output.split())
    document = (tmp_path / "out/judge.md").read_text()
    assert "in general: " in document.splitlines()[2]
    assert "- on set 3: 4 groups left out" in document
    wide = whole.pivot_table(index=["dataset", "seed", "group"], columns="arm", values="score").reset_index()
    assert same(judge(wide), judge(whole))
    apart = judge(whole, is_paired=False)  # seeds have nothing in common, data sets do
    assert (apart.low, apart.high) == pytest.approx((judge(whole).low, judge(whole).high))


def test_errors_say_which_measure_or_data_set_they_are_about() -> None:
    sets = [scores(0.5, 0.6, 0.7, seeds=3, number=n).assign(dataset=f"s{n}") for n in range(3)]
    lacking = sets[1][sets[1]["arm"] != "c"]
    with pytest.raises(RequestError, match=r"^dataset s1: seed: 2 seeds"):
        judge(pd.concat([sets[0], sets[1][sets[1]["seed"] < 2], sets[2]]))
    measures = pd.concat([sets[0].assign(measure="f1"), lacking.assign(measure="loss")])
    with pytest.raises(RequestError, match=r"^loss: candidate: there is no arm 'c'"):
        judge(measures.drop(columns="dataset"), candidate="c")
    empty = pd.concat(sets, ignore_index=True)
    empty.loc[3, "dataset"] = ""
    with pytest.raises(DataError, match="dataset: row 5 has no dataset"):
        judge(empty)
    table = scores(0.5, 0.6)
    assert same(judge(table, score=[]), judge(table))
    sizes = table.assign(arm=table["arm"].map({"a": 8, "b": 16}))  # arms may be numbers
    assert judge(sizes, candidate=16, against=8).candidate == "16"  # type: ignore[arg-type]
    assert same(judge(table, score=["score", "score"]), judge(table))


def test_several_data_sets_are_judged_in_general_and_each() -> None:
    sets = []
    for number, gap in enumerate((0.1, 0.3, 0.2, 0.25)):
        own = scores(0.5, 0.5 + gap, seeds=4, groups=12, apart=0.1, number=number)
        sets.append(own.assign(dataset=f"set {number}"))
    found = judge(pd.concat(sets))
    assert (found.of, [each.of for each in found.others]) == ("in general", [f"on set {n}" for n in range(4)])
    means = pd.concat(sets).groupby(["dataset", "arm"])["score"].mean().unstack()
    assert "4 data sets" in found.answer
    gaps = means["b"] - means["a"]
    half = stats.t.isf(0.05 / 2 / 2, 3) * stats.sem(gaps)  # half of the rate
    assert (found.low, found.high) == pytest.approx((gaps.mean() - half, gaps.mean() + half), rel=1e-3)
    alone = judge(sets[0].drop(columns="dataset"))
    assert found.others[0].difference == pytest.approx(alone.difference)
    assert found.others[0].high - found.others[0].low > alone.high - alone.low
    with pytest.raises(RequestError, match="2 data sets with all arms; 3 are needed"):
        judge(pd.concat(sets[:2]))
    wide = pd.concat([means.reset_index(), pd.DataFrame({"dataset": ["more"], "a": [0.5], "b": [0.7]})])
    assert judge(wide).groups == 5  # a score for each arm and set: the sets are the groups


def sets_of(gain: float) -> pd.DataFrame:
    """Six data sets of unlike difficulty, and two arms."""
    return pd.concat(
        scores(0.5 + number, 0.5 + number + gain, seeds=3, groups=12, number=number).assign(dataset=number)
        for number in range(6)
    )


def test_what_an_arm_lacks_on_a_data_set_is_left_out_in_general_too() -> None:
    table = sets_of(0.1)
    table.loc[table["group"] < 3, "score"] += 10
    found = judge(table[(table["arm"] != "b") | (table["group"] >= 3)])
    assert found.verdict == "better"
    assert found.difference == pytest.approx(np.mean([each.difference for each in found.others]))
    assert found.others[0].notes == ("3 groups left out, because not every arm has a score there.",)
    without = table[(table["arm"] != "b") | (table["dataset"] != 2)]
    with pytest.raises(RequestError, match="dataset 2: arm: two arms are needed"):
        judge(without)


def test_data_sets_are_paired_where_seeds_are_not() -> None:
    table = sets_of(0.1)
    assert same(judge(table, is_paired=False), judge(table))


def test_a_judgement_in_general_speaks_of_data_sets() -> None:
    found = judge(sets_of(0.1))
    assert (found.seeds, found.groups) == (1, 6)
    assert found.answer.endswith("6 data sets). It holds in the mean over other data sets of this kind.")
    assert "data sets would decide it" in judge(sets_of(0.01)).answer
    assert "3 seeds and 12 groups)" in found.others[0].answer


def test_several_measures_divide_the_error_rate() -> None:
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {"arm": ["a", "b"] * 30, "group": np.repeat(np.arange(30), 2), "f1": rng.normal(size=60)}
    ).assign(loss=lambda each: -2 * each["f1"])
    found = judge(table, score=["f1", "loss"])
    gaps = table["f1"].to_numpy()[1::2] - table["f1"].to_numpy()[::2]
    half = stats.t.isf(0.05 / 2 / 2, 29) * stats.sem(gaps)
    assert (found.of, found.others[0].of) == ("f1", "loss")
    assert found.high - found.low == pytest.approx(2 * half, rel=1e-3)
    assert found.others[0].difference == pytest.approx(-2 * found.difference)
    long = table.melt(["arm", "group"], ["f1", "loss"], "measure", "score")
    assert same(judge(long), found)


def test_equal_arms_on_many_sets_are_rarely_said_to_differ_anywhere() -> None:
    studies, false = 200, 0
    for study in range(studies):
        numbers = range(4 * study, 4 * study + 4)
        sets = [scores(0.5, 0.5, seeds=3, groups=8, apart=0.1, number=n).assign(dataset=n) for n in numbers]
        found = judge(pd.concat(sets))
        false += any(each.verdict in ("better", "worse") for each in (found, *found.others))
    assert false <= stats.binom.ppf(0.99, studies, 0.05)
