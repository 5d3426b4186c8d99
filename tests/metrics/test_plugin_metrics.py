"""Metrics of other packages: measured like ours, and named where they break what their rows promise."""

import sys
import types
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from nearfield.core.plugins import Plugin, PluginWarning
from nearfield.core.types import ClipMetadata
from nearfield.metrics import registry
from nearfield.metrics.evaluate import evaluate
from nearfield.metrics.registry import Metric, MetricFamily, MetricPlugin
from nearfield.metrics.result import Case, EvaluationSettings, Findings, Result

CACHES = (registry._plugins, registry.rows, registry._by_name, registry._open)
LABELS = np.arange(40) % 4
VECTORS = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
Measure = Callable[[Case, Findings], None]
Offer = Callable[[Measure, bool], None]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Offer]:
    """`offer(measure, within)`: a package adds the metric mine/share, searched within the split or not."""

    def add(measure: Measure, within: bool = False) -> None:
        module = types.ModuleType("orchard")
        module.__dict__["MINE"] = MetricPlugin(
            MetricFamily("mine", "Mine.", searches_within=within),
            (Metric("share", ("mine",), about="A share."),),
            measure,
        )
        monkeypatch.setitem(sys.modules, "orchard", module)
        found = (Plugin("mine", "orchard:MINE", "orchard 1.0"),)
        monkeypatch.setattr(registry, "plugins", lambda family: found)
        clear()

    def clear() -> None:
        for each in CACHES:
            each.cache_clear()

    yield add
    monkeypatch.undo()
    clear()


def found() -> Result:
    """An evaluation of the last 20 clips, in groups of two."""
    metadata = ClipMetadata.of(LABELS, recordings=np.arange(40) // 2, label_names="abcd")
    settings = EvaluationSettings(dense_probe=False, draws=200)
    return evaluate(VECTORS, metadata, {"train": np.arange(20), "test": np.arange(20, 40)}, settings)


def test_a_mean_over_clips_has_an_interval_and_scores_of_clips(offer: Offer) -> None:
    plain = found()

    def share(case: Case, findings: Findings) -> None:
        findings.means("mine", {"share": (case.here.vectors[:, 0] > 0).astype(float)}, np.arange(20))

    offer(share, False)
    result = found()
    scores = VECTORS[20:, 0] > 0
    assert result.metrics["mine/share"] == scores.mean()
    low, high = result.intervals["mine/share"]
    assert low < scores.mean() < high
    assert np.array_equal(result.clips.scores["mine/share"], scores)
    row = registry.row_of("mine/share")
    assert row is not None
    assert row.family.prefix == "mine"
    assert {name: result.metrics[name] for name in plain.metrics} == plain.metrics
    assert {name: result.intervals[name] for name in plain.intervals} == plain.intervals


def no_row(case: Case, findings: Findings) -> None:
    findings.metrics["mine/other"] = 1.0


def ours(case: Case, findings: Findings) -> None:
    findings.metrics["probe/accuracy"] = 1.0


def not_finite(case: Case, findings: Findings) -> None:
    findings.metrics["mine/share"] = float("nan")


def out_of_range(case: Case, findings: Findings) -> None:
    findings.means("mine", {"share": np.full(20, 1.5)}, np.arange(20))


def without_blocks(case: Case, findings: Findings) -> None:
    findings.means("mine", {"share": np.ones(20)}, np.arange(20))


@pytest.mark.parametrize(
    ("measure", "within", "sentence"),
    [
        (no_row, False, "ValueError: mine/other has no row. Add a Metric to the plugin, or leave it out."),
        (ours, False, "ValueError: probe/accuracy has no row. Add a Metric to the plugin, or leave it out."),
        (out_of_range, False, "ValueError: mine/share is 1.5, and its row has the range 0 to 1."),
        (not_finite, False, "ValueError: mine/share is nan. Leave it out where it is not defined."),
        (
            without_blocks,
            True,
            "ValueError: mine/share searches clips among themselves: add it by found.within.",
        ),
    ],
)
def test_what_breaks_a_promise_is_left_out_and_noted(
    measure: Measure, within: bool, sentence: str, offer: Offer
) -> None:
    plain = found()
    offer(measure, within)
    result = found()
    assert result.metrics == plain.metrics
    assert [note for note in result.notes if note not in plain.notes] == [
        f"The metrics mine/... of another package failed: {sentence}"
    ]


def test_a_metric_that_should_be_low_needs_a_reason_to_judge_no_study(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("orchard")
    row = Metric("error", ("mine",), "lower", about="An error.")
    module.__dict__["MINE"] = MetricPlugin(MetricFamily("mine", "Mine."), (row,), no_row)
    monkeypatch.setitem(sys.modules, "orchard", module)
    with pytest.warns(PluginWarning, match="the metric 'error' with the direction 'lower'"):
        made = registry._Plugins((Plugin("mine", "orchard:MINE", "orchard 1.0"),))
    assert made.found == {}
