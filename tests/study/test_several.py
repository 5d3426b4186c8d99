"""A study on several data sets: judged in general and on each, against the means of the sets."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from nearfield.cli.main import app
from nearfield.core.errors import RequestError
from nearfield.study.judge import judge
from nearfield.study.run import Study
from nearfield.study.several import folders_of, judged_together, not_told_apart
from tests.study import trainings
from tests.study.imitations import Here


def test_every_data_set_has_its_own_folder(tmp_path: Path) -> None:
    found = folders_of(["a/esc10", "b/esc10?fold=2", "synthetic:tones"], tmp_path)
    assert [folder.name for folder in found.values()] == ["esc10", "esc10-2", "synthetic-tones"]
    with pytest.raises(RequestError, match=r"2 data sets\. Give one, or 3 at least"):
        folders_of(["a", "b"], tmp_path)
    with pytest.raises(RequestError, match="a is given twice"):
        folders_of(["a", "b", "a"], tmp_path)


def test_three_sets_are_judged_in_general_and_each(tmp_path: Path) -> None:
    trainings.plan(tmp_path)
    data = []
    for number in range(3):
        place = tmp_path / f"set{number}"
        place.mkdir()
        data.append(trainings.sounds(place))
        for label in "abcd":  # other sets: without some of the sounds
            (place / label / f"{number}.wav").unlink()
    folders = folders_of(data, tmp_path / "out")
    for each, folder in folders.items():
        Study.create(tmp_path / "study.yaml", each, folder).run(Here(), device="cpu")  # type: ignore[arg-type]
    asked = ["study", "run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*asked, *(word for each in data for word in ("--data", each))])
    assert result.exit_code == 0, result.output
    assert "in general: " in result.stdout
    found = judged_together(list(folders.values()))
    means = []
    for folder in folders.values():
        facts = json.loads((folder / "facts.json").read_text())
        means.append([facts["conclusion"]["estimates"][arm]["mean"] for arm in ("margin-0.3", "margin-0.6")])
    gaps = np.diff(means, axis=1)[:, 0] * (1 if found.candidate == "margin 0.6" else -1)
    assert found.difference == pytest.approx(gaps.mean(), abs=1e-6)
    half = stats.t.isf(0.05 / 2 / 2, 2) * stats.sem(gaps)  # half of the rate
    assert found.high - found.low == pytest.approx(2 * half, rel=1e-2)
    assert [each.of for each in found.others] == ["on set0", "on set1", "on set2"]
    text = (tmp_path / "out" / "sets.md").read_text()
    assert "| arm | accuracy of the probe over 3 data sets | set0 | set1 | set2 |" in text
    assert (tmp_path / "out" / "arms.svg").read_text().startswith("<?xml")


def test_a_bar_joins_arms_of_which_no_two_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    means = {"a": 0.5, "b": 0.51, "c": 0.7, "d": 0.705, "e": 0.9}
    rows = [
        {"arm": arm, "seed": seed, "score": mean + rng.normal(0, 0.01)}
        for arm, mean in means.items()
        for seed in range(8)
    ]
    found = judge(pd.DataFrame(rows))
    assert not_told_apart(found, list(means)) == [(0, 1), (2, 3)]
