"""Figures are drawn from facts alone, the same each time, and nothing in them overlaps or invents."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nearfield.study.claims import rivals
from nearfield.study.document import figures
from nearfield.study.facts import POINTS, _curves
from nearfield.study.records import Curve, RunFacts, StudyFacts
from tests.study.sample import CLASSES, sample_facts

FACTS = sample_facts()


def words(svg: str) -> list[str]:
    """Every text in a figure; a broken SVG fails here."""
    return [text.text or "" for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def all_figures(facts: StudyFacts) -> dict[str, str]:
    return {
        "judge": figures.judge_figure(facts),
        "loss": figures.curve_figure(facts, "train/loss", apart=True),
        "active": figures.curve_figure(facts, "train/active_fraction", apart=False),
        "centroids": figures.centroid_figure(facts),
        "umap": figures.map_figure(facts, "umap"),
    }


def test_equal_facts_give_equal_bytes_without_dates_or_ids_that_clash() -> None:
    first, second = all_figures(FACTS), all_figures(sample_facts())
    assert first == second
    for svg in first.values():
        assert "<metadata" not in svg
        assert "<style" not in svg
        assert "DejaVu" not in svg
    own = [set(re.findall(r'id="([^"]+)"', svg)) for svg in first.values()]
    assert len(set.union(*own)) == sum(map(len, own))


def test_colours_follow_the_page_and_are_fixed_on_paper() -> None:
    svg = figures.judge_figure(FACTS)
    page, paper = figures.for_page(svg), figures.for_print(svg)
    assert "currentColor" in page
    assert "var(--muted)" in page
    for marked in (figures.INK, figures.MUTED):
        assert marked in svg
        assert marked not in page
        assert marked not in paper
    assert "#000000" not in page


def test_the_judge_is_drawn_on_a_numeric_axis_with_every_arm_and_baseline_named() -> None:
    said = words(figures.judge_figure(FACTS))
    for name in ("0.3", "0.5", "0.7", "1", "2", "10", "margin", "Macro F1 of the probe"):
        assert name in said
    assert "MFCC statistics 0.706" in said
    assert "not shown: chance 0.100" in said


def test_the_judge_shows_every_seed() -> None:
    """All single seeds that succeeded: 29 of 30, beside 6 means."""
    svg = figures.judge_figure(FACTS)
    dots = re.findall(r'<use [^>]*style="fill: #010203', svg)
    assert len(dots) == 29


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.3, 0.5, 0.7, 1, 2, 10), "log"),
        ((16, 32, 64), "linear"),
        ((1e-4, 1e-3, 1e-2), "log"),
        ((0, 1e-4, 1e-2, 1), "names"),
        ((1.0,), "names"),
        ((0.2, 0.2), "names"),
    ],
)
def test_an_axis_keeps_neighbours_apart(values: tuple[float, ...], expected: str) -> None:
    assert figures._scale(values) == expected


def test_named_arms_stand_evenly() -> None:
    arms = tuple(
        replace(each, arm=replace(each.arm, name=name))
        for each, name in zip(FACTS.arms, ("circle", "triplet", "a", "b", "c", "d"), strict=True)
    )
    said = words(figures.judge_figure(sample_facts(arms=arms, varied=("loss.kind",))))
    assert {"circle", "triplet"} <= set(said)


@pytest.mark.parametrize(("length", "window"), [(30, 5), (7, 7), (4, 1)])
def test_the_moving_mean_has_no_edges(length: int, window: int) -> None:
    values = np.random.default_rng(0).normal(size=length)
    expected = np.convolve(values, np.ones(window) / window, mode="valid")
    np.testing.assert_allclose(figures.moving_mean(list(values), window), expected)


def test_a_smoothed_constant_stays_at_its_height_to_both_ends() -> None:
    """Zero padding, the usual fault, bends both ends towards zero."""
    curve = Curve(tuple(range(100)), (0.5,) * 100)
    arm = FACTS.arms[0]
    runs = (replace(arm.runs[0], curves={"train/loss": curve}),)
    facts = sample_facts(arms=(replace(arm, runs=runs),))
    svg = figures.curve_figure(facts, "train/loss", apart=False)
    path = next(d for d, style in re.findall(r'<path d="([^"]*)"[^>]*style="([^"]*)"', svg) if "1.5" in style)
    heights = {pair.split()[1] for pair in re.findall(r"[ML] ([\d.]+ [\d.]+)", path)}
    assert len(heights) == 1


def test_labels_move_apart_as_little_as_they_must() -> None:
    assert figures.apart([0.0, 10.0, 20.0], 5.0) == [0.0, 10.0, 20.0]
    assert figures.apart([1.0, 1.0], 2.0) == [0.0, 2.0]
    crowd = list(np.random.default_rng(1).normal(0, 1, 12))
    placed = figures.apart(crowd, 1.0)
    in_order = np.array(placed)[np.argsort(crowd)]
    assert np.diff(in_order).min() >= 1 - 1e-9


def test_labels_at_line_ends_do_not_overlap() -> None:
    svg = figures.curve_figure(FACTS, "train/active_fraction", apart=False)
    places = [
        float(found)
        for found, name in re.findall(r'<text [^>]*? y="([\d.]+)"[^>]*>([^<]+)</text>', svg)
        if name.startswith("margin ")
    ]
    assert len(places) == 6
    assert np.diff(sorted(places)).min() > 7.5


def test_the_mean_curve_leaves_failed_runs_and_gaps_out() -> None:
    arm = FACTS.arms[0]
    one = replace(arm.runs[0], curves={"x": Curve((1, 2, 3), (1.0, None, 3.0))})
    two = replace(arm.runs[1], curves={"x": Curve((1, 2), (3.0, 5.0))})
    dead = replace(arm.runs[2], state="failed", curves={"x": Curve((1,), (100.0,))})
    assert figures._mean_curve(replace(arm, runs=(one, two, dead)), "x") == Curve((1, 2, 3), (2.0, 5.0, 3.0))
    assert figures._mean_curve(replace(arm, runs=(dead,)), "x") == Curve((1,), (100.0,))
    assert figures._mean_curve(arm, "x") is None


def test_the_spread_of_centroids_is_their_coefficient_of_variation() -> None:
    table = np.array(FACTS.arms[1].centroid_distances)
    lower = table[np.tril_indices(len(CLASSES), -1)]
    assert figures.spread(FACTS.arms[1]) == pytest.approx(lower.std() / lower.mean())
    assert figures.spread(replace(FACTS.arms[1], centroid_distances=())) is None


def test_panels_print_variation_and_trustworthiness() -> None:
    assert any(text.startswith("margin 0.5 · CV 0.") for text in words(figures.centroid_figure(FACTS)))
    assert "margin 10 · trustworthiness 0.95" in words(figures.map_figure(FACTS, "umap"))


def test_classes_that_training_never_heard_are_hollow() -> None:
    def hollow(unseen: tuple[str, ...]) -> int:
        arms = tuple(
            replace(each, maps=tuple(replace(found, unseen=unseen) for found in each.maps))
            for each in FACTS.arms
        )
        return figures.map_figure(sample_facts(arms=arms), "pca").count("fill-opacity: 0;")

    assert hollow(()) == 0
    assert hollow(CLASSES[:2]) > 0


def test_every_arm_is_drawn_with_its_difference_from_one() -> None:
    pairs = rivals(FACTS, "margin-0.5")
    said = words(figures.difference_figure(FACTS, pairs))
    assert [name for name in said if name.startswith("margin ")] == [
        "margin 0.3", "margin 0.7", "margin 1", "margin 2",
    ]  # fmt: skip
    assert "difference from margin 0.5 in macro F1 of the probe" in said


def test_two_losses_stand_on_one_axis_of_margins() -> None:
    names = ("triplet 0.1", "triplet 0.4", "triplet 1", "circle 0.1", "circle 0.4", "circle 1")
    arms = []
    for each, name in zip(FACTS.arms, names, strict=True):
        kind, value = name.split()
        changes = {"loss.kind": kind, "loss.margin": float(value)}
        arms.append(replace(each, arm=replace(each.arm, name=name, changes=changes)))
    facts = sample_facts(arms=tuple(arms), varied=("loss.kind", "loss.margin"))
    said = words(figures.judge_figure(facts))
    assert {"triplet", "circle", "0.1", "0.4", "1", "margin"} <= set(said)
    assert not set(names) & set(said)


@pytest.mark.parametrize(
    ("panels", "columns"), [(1, 1), (3, 3), (4, 4), (5, 3), (6, 3), (7, 4), (8, 4), (10, 4)]
)
def test_no_row_of_panels_has_a_single_one(panels: int, columns: int) -> None:
    assert figures.columns(panels) == columns
    assert panels % columns != 1 or panels == 1


def test_validation_loss_is_drawn_dashed_in_the_panel_of_its_arm() -> None:
    def both(run: RunFacts) -> RunFacts:
        return replace(run, curves={**run.curves, "val/loss": run.curves["train/loss"]})

    arms = tuple(replace(each, runs=tuple(map(both, each.runs))) for each in FACTS.arms)
    facts = sample_facts(arms=arms)
    dashed = [figures.curve_figure(facts, "train/loss", True, beside).count("stroke-dasharray")
              for beside in ("", "val/loss")]  # fmt: skip
    assert dashed == [0, 6]


def test_a_moving_average_is_over_as_many_updates_as_asked(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=600)
    lines = [json.dumps({"update": at + 1, "train/loss": float(v)}) for at, v in enumerate(values)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    curve = dict(_curves(tmp_path / "metrics.jsonl", 50, POINTS))["train/loss"]
    expected = dict(zip(range(25, 576), np.convolve(values, np.ones(50) / 50, "valid"), strict=True))
    for update, value in zip(curve.updates, curve.smooth, strict=True):
        assert value == (pytest.approx(expected[update], rel=1e-3) if update in expected else None)
    assert dict(_curves(tmp_path / "metrics.jsonl", None, POINTS))["train/loss"].smooth == ()


def test_many_points_become_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MANY_POINTS", 100)
    svg = figures.map_figure(FACTS, "pca")
    assert "data:image/png" in svg
    assert svg == figures.map_figure(FACTS, "pca")


def test_names_with_markup_or_foreign_letters_stay_text() -> None:
    arms = tuple(replace(each, centroid_names=("<b>&", "$x_1$", "雨", *CLASSES[3:])) for each in FACTS.arms)
    said = words(figures.centroid_figure(sample_facts(arms=arms)))
    assert {"<b>&", "$x_1$", "雨"} <= set(said)
