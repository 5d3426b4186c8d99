"""What people see: the report of a check and the table of a result, as text."""

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from nearfield import cli
from nearfield.analysis.explain.challenge import challenge_table
from nearfield.analysis.explain.clusters import cluster_report
from nearfield.analysis.explain.explain import Explanation
from nearfield.analysis.run_table import Folds, Listed, Overview, over_folds
from nearfield.analysis.suspects.signals import silence_report
from nearfield.cli.analysis import fold_table
from nearfield.cli.output import Terminal, fits, progress_display, show
from nearfield.cli.tables import (
    _challenge,
    _clusters,
    _silence,
    all_runs,
    explanation,
    report,
    result_table,
    show_result,
)
from nearfield.data.check import Report
from nearfield.data.faults import Problem
from nearfield.metrics.registry import HEADLINES
from nearfield.training.events import Stage
from nearfield.training.recipe import Recipe, differing, flat

MEASURES = {
    "probe/macro_f1": 0.712,
    "retrieval_from_train/recall_at_1": 0.681,
    "retrieval_from_train/map_at_r": 0.463,
    "retrieval/recall_at_1": 0.594,
    "tagging/roc_auc": 0.875,
    "tagging/pr_auc": 0.326,
    "retrieval/multilabel_recall_at_1": 0.407,
    "clusters/nmi": 0.538,
}


def printed(draw: Callable[[Console], None], width: int) -> str:
    """What a terminal so wide is sent."""
    out = io.StringIO()
    draw(Terminal(file=out, width=width, highlight=False, markup=False, emoji=False))
    return out.getvalue()


def shown(result: dict[str, object]) -> str:
    return printed(lambda console: console.print(result_table(result, "run")), 100)


def test_every_space_that_has_a_figure_gets_a_row() -> None:
    metrics = {
        "probe/macro_f1": 0.5,
        "clusters/nmi": 0.25,
        "retrieval/multilabel_recall_at_1": 0.3,
        "baseline/mfcc_stats/probe/macro_f1": 0.4,
        "baseline/same_recording/retrieval_with_group/multilabel_recall_at_1": 1.0,  # another measure
        "baseline/hub/retrieval/multilabel_recall_at_1": 0.2,
        "baseline/chance/clusters/nmi": 0.1,
    }
    text = shown({"metrics": metrics, "intervals": {"probe/macro_f1": [0.4, 0.6]}, "notes": []})
    assert [line.split("│")[0].strip() for line in text.splitlines()[3:]][1:] == [
        "trained space",
        "95 % interval",
        "MFCC statistics",
        "most-tagged hub",
        "chance",
    ]
    assert "0.40–0.60" in text
    assert "untrained" not in text


def test_a_result_keeps_every_figure_in_a_narrow_terminal() -> None:
    spaces = {"": 0.0, "baseline/random_encoder/": 0.1, "baseline/mfcc_stats/": 0.2, "baseline/chance/": 0.3}
    metrics = {
        space + name: value - less for space, less in spaces.items() for name, value in MEASURES.items()
    }
    result = {
        "metrics": metrics,
        "intervals": {name: [value - 0.05, value + 0.05] for name, value in MEASURES.items()},
        "notes": [],
    }
    for width in (40, 80, 200):
        text = printed(lambda console: show_result(console, result, "run"), width)
        assert "…" not in text
        assert sorted(re.findall(r"-?0\.\d{3}\b", text)) == sorted(
            f"{value:.3f}" for value in metrics.values()
        )
        assert "0.66–0.76" in text
        assert width == 40 or max(map(len, text.splitlines())) <= width
    assert "\nMAP@R from train" in printed(lambda console: show_result(console, result, "run"), 80)


def test_a_run_on_clips_without_labels_or_tags_says_where_to_go_on() -> None:
    result = {"metrics": {"geometry/mean_norm": 1.0}, "intervals": {}, "notes": ["a note"]}
    text = printed(lambda console: show_result(console, result, "out"), 80)
    assert text.startswith("out: nothing to measure without labels or tags; continue with `nearfield index`")
    assert text.endswith("\na note\n")
    assert "│" not in text


def test_ten_folds_keep_every_figure_in_a_narrow_terminal() -> None:
    values = [0.701 + 0.002 * number for number in range(10)]
    found = Folds("esc50", None, tuple(range(1, 11)), {HEADLINES[0]: over_folds(values)})
    text = printed(lambda console: show(console, fold_table(found)), 80)
    assert "…" not in text
    assert set(re.findall(r"0\.7\d\d", text)) >= {f"{value:.3f}" for value in values}


def overview_of(differing: int) -> Overview:
    keys = tuple(f"loss.setting_{number}" for number in range(differing))
    runs = tuple(
        Listed(
            f"runs/first-{at}", "esc10", dict.fromkeys(keys, at + 0.25), dict.fromkeys(HEADLINES[:4], 0.625)
        )
        for at in range(2)
    )
    return Overview(runs, keys, HEADLINES[:4], ())


def test_runs_that_differ_in_much_show_what_has_room_and_name_the_rest() -> None:
    many = printed(lambda console: all_runs(console, overview_of(30)), 100)
    assert "…" not in many
    assert many.count("0.625") == 6  # accuracy beside F1 says little more
    assert max(map(len, many.splitlines())) <= 100
    columns = many.count("1.25")
    assert columns >= 1
    named = re.sub(r"\s+", " ", many)
    assert f"{30 - columns} more settings in which they differ (values: --json): loss.setting_" in named
    assert named.count("loss.setting_") == 30 - columns  # a column's head has the section in its own line
    few = printed(lambda console: all_runs(console, overview_of(1)), 120)
    assert "more setting" not in few
    assert few.count("1.25") == 1


def test_runs_of_other_kinds_of_score_stand_in_tables_of_their_own() -> None:
    """Of each the settings in which the runs of that table differ, the kinds before all others."""
    tags = {"kind": "tags"}
    recipes = [
        Recipe.of({"loss": {"kind": "supcon"}, "embedding": {"size": 16}}),
        Recipe.of({"loss": {"kind": "triplet", "margin": 0.3}, "embedding": {"size": 32}}),
        Recipe.of({"relation": tags, "augment": [{"kind": "gain"}], "train": {"updates": 7}}),
    ]
    scores: list[dict[str, float]] = [{HEADLINES[0]: 0.5}, {HEADLINES[0]: 0.6}, {"tagging/pr_auc": 0.7}]
    listed = tuple(
        Listed(f"r{at}", "esc10", flat(recipe.plain()), score)
        for at, (recipe, score) in enumerate(zip(recipes, scores, strict=True))
    )
    found = Overview(listed, (), (HEADLINES[0], "tagging/pr_auc"), ())
    text = printed(lambda console: all_runs(console, found), 100)
    assert max(map(len, text.splitlines())) <= 100
    by_labels, by_tags = text.split("judged by tags")
    assert "judged by labels" in by_labels
    assert all(word in by_labels for word in ("supcon", "triplet", " 16 ", " 32 ", "0.500"))
    assert "PR-AUC" not in by_labels
    assert "PR-AUC" in by_tags
    assert "relation" not in text
    assert "updates" not in text


def test_settings_of_one_kind_alone_are_told_where_they_are_set() -> None:
    """triplet and circle have other keys: at what they are unset the kind says them."""
    recipes = [
        Recipe.of({"loss": loss, "embedding": {"size": size}})
        for loss, size in (
            ({"kind": "triplet", "margin": 0.2}, 16),
            ({"kind": "triplet", "margin": 0.4}, 16),
            ({"kind": "circle", "m": 0.3}, 32),
        )
    ]
    listed = tuple(
        Listed(f"r{at}", "esc10", flat(recipe.plain()), {"probe/macro_f1": 0.5})
        for at, recipe in enumerate(recipes)
    )
    keys = tuple(differing([run.settings for run in listed]))
    text = printed(lambda console: all_runs(console, Overview(listed, keys, HEADLINES[:1], ())), 120)
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("r")}
    assert "smooth" not in text
    assert "loss.margin" not in rows["r0"]
    assert "loss.margin=0.4" in rows["r1"]
    assert "loss.m=0.3" in rows["r2"]
    assert " 16 " in rows["r0"]
    assert " 32 " in rows["r2"]


def test_the_heads_of_a_result_are_explained_below_it() -> None:
    result = {
        "metrics": {"probe/macro_f1": 0.5, "clusters/nmi": 0.4, "baseline/mfcc_stats/probe/macro_f1": 0.6},
        "intervals": {},
        "notes": [],
    }
    text = printed(lambda console: show_result(console, result, "out"), 200)
    assert "probe F1: macro F1 of a linear classifier on the vectors, trained on train. NMI: " in text
    assert "MAP@R" not in text
    result["metrics"] = {"retrieval/multilabel_recall_at_1": 0.4}
    text = printed(lambda console: show_result(console, result, "out"), 200)
    # As metrics/retrieval.py defines it: the share of the query's tags, not of the clips.
    assert "tag R@K: share of the tags of a clip that its K nearest clips have; mean over clips." in text


def test_the_terms_of_a_check_and_of_clusters_are_explained_below_them() -> None:
    text = " ".join(checked().split())
    assert "split from: where train, val and test come from" not in text  # the row is not there
    assert "groups: clips that stay in one split together. recordings: " in text
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    found = cluster_report(vectors, np.repeat([0, 1, 2], 10), ("a", "b", "c"))
    text = " ".join(printed(lambda console: _clusters(console, found), 100).split())
    for word in (
        "whole: all dimensions",
        "elbow: the number",
        "silhouette: ",
        "purity: share of",
        "AMI is 0 for random",
    ):
        assert word in text
    assert ("hdbscan: dense" in text) == any(each.chosen_by == "hdbscan" for each in found.spaces[0].found)


def test_words_break_where_figures_do_not() -> None:
    table = Table("what", show_edge=False)
    table.add_column("95 %", justify="right")
    table.add_row("one two three four five six seven", "-0.125 to 0.250")
    text = printed(lambda console: show(console, table), 30)
    assert "-0.125 to 0.250" in text
    assert max(map(len, text.splitlines())) <= 30
    assert not fits(Console(width=20), table)


def test_names_and_labels_are_shown_as_they_are_and_obeyed_by_nothing() -> None:
    names = ("[noise]", "[/]", "[bold]dog", ":dog:", "\x1b[31mred\a")
    counts = {name: {"all": 1, "train": 1, "val": 0, "test": 0} for name in names}
    found = Report(
        *("[b]", "sound", counts["[/]"], 0.0, 0.0, {}, {}, {}, counts, {}, counts["[/]"], counts["[/]"]),
        *("[/]", {}, (), (Problem("[/]", "[/].wav", 1, "[red]", ":dog:", "warning"),)),
    )
    text = printed(lambda console: report(console, found, "[bold]set"), 100)
    for name in names[:4]:
        assert f"\n{name} " in text
    assert "\n\\x1b[31mred\\x07 " in text
    assert not {"\x1b", "\a"} & set(text)
    assert text.startswith("[bold]set")
    assert "[/].wav (row 1): [/], warning\n  [red]\n  :dog:\n" in text
    runs = tuple(Listed("[/]", "[x]", {"[y]": value}, {}) for value in ("[z]", "[w]"))
    listed = Overview(runs, ("[y]",), (), ("[/]",))
    text = printed(lambda console: all_runs(console, listed), 100)
    assert all(name in text for name in ("[/] ", "[x]", "[y]", "[z]", "[/]: its files"))


def test_every_command_prints_by_the_same_door() -> None:
    for file in Path(cli.__file__).parent.glob("*.py"):
        if file.stem != "output":
            words = file.read_text(encoding="utf-8")
            assert not re.search(r"typer\.echo\(|[^.\w]Console\(", words), file


def checked(*problems: Problem) -> str:
    """The report on a collection with these problems."""
    none = {"all": 0, "train": 0, "val": 0, "test": 0}
    found = Report(
        *("a", "sound", none, 0.0, 0.0, {}, {}, {}, {"dog": none}, {}, none, none, "", {}, ()), problems
    )
    return printed(lambda console: report(console, found, "a"), 100)


def problem(kind: str, number: int, cure: str = "Filter it.") -> Problem:
    return Problem(kind, f"{number}.wav", number, f"it is {kind} {number}.", cure, "warning")


def test_many_problems_of_one_kind_are_told_as_one_with_examples() -> None:
    text = checked(problem("clipped", 1), *(problem("offset", number) for number in range(2, 98)))
    assert "\n1.wav (row 1): clipped, warning\n  it is clipped 1.\n  Filter it.\n" in text
    assert (
        "\n96 times: offset, warning\n"
        "  2.wav (row 2): it is offset 2.\n  3.wav (row 3): it is offset 3.\n"
        "  4.wav (row 4): it is offset 4.\n"
        "  and 93 more: see --json\n  Filter it.\n"
    ) in text
    assert "5.wav" not in text
    assert text.endswith("\n97 warnings; no clip is left out.\n")


def test_few_problems_and_unlike_cures_are_told_each() -> None:
    few = checked(*(problem("offset", number) for number in range(3)))
    assert few.count("Filter it.") == 3
    negative = checked(*(problem("missing", number, f"Its folder has {number}.") for number in range(4)))
    assert "it is missing 2. Its folder has 2.\n  and 1 more: see --json\n" in negative
    assert "Its folder has 3." not in negative
    one = checked(problem("offset", 1))
    assert one.endswith("\n1 warning; no clip is left out.\n")
    fatal = Problem("missing", "a.wav", None, "there is no such file.", "Bring it back.")
    assert checked(fatal).endswith("\n1 problem for which clips are left out.\n")
    both = checked(fatal, problem("offset", 1), problem("offset", 2))
    assert both.endswith("\n1 problem for which clips are left out, and 2 warnings.\n")
    assert checked().endswith("\nNo problems found.\n")
    assert "\n1 label " in one


def test_without_labels_clusters_are_counted_and_nothing_is_told_of_how_good_they_are() -> None:
    vectors = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)

    def told(labels: bool) -> str:
        clusters = cluster_report(vectors, np.arange(60) % 2 if labels else None, ("dog", "cat"))
        found = Explanation(
            "r", "a", "test", 60, "cosine", clusters, None, None, None, (), None, None, {}, ()
        )
        return printed(lambda console: explanation(console, found), 100)

    text = told(labels=False)
    assert text.startswith("r: 60 test clips of a\n\nClusters: no clip has a label to compare them with.\n")
    assert "–" not in text
    assert "purity" not in text
    assert re.search(r"whole \(100% of variance\): \d+ by elbow", text)
    assert "purity" in told(labels=True)


def test_a_gap_to_what_was_published_stands_beside_its_interval() -> None:
    chance = np.random.default_rng(0)
    labels = np.arange(9).repeat(8)
    near = np.where(chance.random(72) < 0.6, labels, chance.integers(0, 9, 72))
    for predicted, undecided in ((near, True), (labels, False)):
        table = challenge_table(predicted, labels, np.ones(72, bool), np.arange(72), draws=200)
        text = printed(partial(_challenge, found=table), 120)
        low, high = table.intervals["all"]
        assert f"{low:.1f} to {high:.1f}" in text
        thesis = next(line for line in text.splitlines() if "thesis" in line)
        assert ("within 95 %" in thesis) == undecided == (low <= 62.19 <= high)
        assert re.search(r"clips .* 0 .* 72 .* 72", text)


def test_silence_is_not_shared_out_where_there_is_none() -> None:
    loud = silence_report(np.linspace(-20, -10, 8), np.arange(8) % 2)
    quiet = silence_report(np.array([-90.0, -80, -20, -10]), np.array([0, 0, 1, 1]))
    assert "no clip of any cluster silent (below -60 dB)" in printed(partial(_silence, found=loud), 200)
    told = printed(partial(_silence, found=quiet), 200)
    assert "2 of them silent, 100% of all silence (below -60 dB)" in told


def test_progress_in_a_file_is_one_line_a_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    numbers = {"train/loss": 1.5, "train/active_fraction": 0.02, "val/recall_at_1": 0.9, "val/loss": 2.25}
    with progress_display() as callback:
        callback(Stage("train", 800, 800, numbers))
    assert capsys.readouterr().err.splitlines() == [
        "training 800/800 loss 1.500  2% of pairs active  val R@1 0.900  val loss 2.250"
    ]
