"""The quiet cluster, planted and counted by hand."""

import numpy as np
import pytest
from scipy.stats import f_oneway

from nearfield.analysis.suspects.signals import FLOOR, silence_report
from nearfield.core.errors import RequestError


def test_the_planted_quiet_cluster_is_found_and_its_purity_counted() -> None:
    chance = np.random.default_rng(0)
    clusters = np.repeat([0, 1, 2, -1], 50)
    levels = chance.normal(-25, 4, 200)
    levels[50:90] = chance.normal(-75, 2, 40)
    levels[100:105] = -80
    report = silence_report(levels, clusters)
    quiet = report.quiet
    assert quiet.cluster == 1
    assert (quiet.clips, quiet.silent) == (50, 40)
    assert quiet.silent_share == pytest.approx(0.8)
    assert quiet.of_all_silent == pytest.approx(40 / 45)
    assert quiet.level == pytest.approx(levels[50:100].mean())
    assert report.silent_share == pytest.approx(45 / 150)
    assert [row.level for row in report.clusters] == sorted(row.level for row in report.clusters)


def test_what_clusters_explain_agrees_with_the_analysis_of_variance() -> None:
    chance = np.random.default_rng(1)
    clusters = chance.integers(0, 3, 90)
    levels = chance.normal(-30, 5, 90) + 3 * clusters
    share = silence_report(levels, clusters).explained
    f = f_oneway(*(levels[clusters == number] for number in range(3))).statistic
    assert share / (1 - share) * (90 - 3) / 2 == pytest.approx(f)


def test_digital_silence_has_a_floor_and_what_cannot_be_asked_is_refused() -> None:
    report = silence_report(np.array([-np.inf, -20.0]), np.array([0, 1]))
    assert report.quiet.level == FLOOR
    assert report.explained == pytest.approx(1)
    even = silence_report(np.full(4, -20.0), np.array([0, 0, 1, 1]))
    assert (even.explained, even.quiet.of_all_silent) == (0, 0)
    with pytest.raises(RequestError, match="no clip is in a cluster"):
        silence_report(np.zeros(2), np.array([-1, -1]))
    with pytest.raises(RequestError, match="a level is NaN"):
        silence_report(np.array([np.nan, -3.0]), np.array([0, 0]))
