"""`nearfield suspects` and `nearfield mend`, from the command to the table and back; the page's table too."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from nearfield.cli.analysis import gain, mend, mending_study, suspects
from nearfield.cli.main import check
from nearfield.core.errors import RequestError
from nearfield.data.collection import Collection
from nearfield.server.decisions import Decisions, ReviewDecision, read_suspects
from nearfield.study.plan import Plan
from nearfield.study.run import Study
from nearfield.training.api import train
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder
from tests.training.conftest import small

app = typer.Typer()
app.command()(suspects)
app.command()(mend)
app.command()(check)


def nearfield(*words: str) -> str:
    """Standard output of a command that ends well."""
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def flips(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A patch table that puts wrong labels on every fifth clip to learn from."""
    table = Collection.load(tones).table
    learnt = table[table["split"] != "test"].iloc[::5]
    path = tmp_path_factory.mktemp("flips") / "flips.csv"
    lines = [
        f"{clip},label,{label},{'bcda'['abcd'.index(label)]},accepted"
        for clip, label in zip(learnt["id"], learnt["label"], strict=True)
    ]
    path.write_text("\n".join(["id,column,before,after,decision", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tones: Path, flips: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained on the wrong labels."""
    recipe = Recipe.of(small(train={"updates": 25}, normalize={"kind": "none"}))
    return train(recipe, f"{tones}?patch={flips}", tmp_path_factory.mktemp("run") / "r", device="cpu")


def test_check_looks_through_a_table(tones: Path, flips: Path) -> None:
    plain, patched, named = (
        json.loads(nearfield("check", *words, "--json"))
        for words in ([str(tones)], [str(tones), "--patch", str(flips)], [f"{tones}?patch={flips}"])
    )
    assert patched["labels"] == named["labels"] != plain["labels"]


def test_the_run_knows_its_patched_data_from_anywhere(run: Run, flips: Path) -> None:
    data = RunFolder(run.folder.path).environment()["data"]
    assert data["path"].endswith(f"?patch={flips.resolve()}")
    wrong = Collection.load(data["path"], run.recipe.data.columns).table
    right = Collection.load(data["path"].partition("?")[0], run.recipe.data.columns).table
    differ = (wrong["label"] != right["label"]).to_numpy()
    assert differ.sum() == len(flips.read_text().splitlines()) - 1


def test_suspects_are_shown_and_saved_for_the_page(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "suspects.csv"
    words = ["suspects", str(run.folder.path), "--kind", "labels", "--top", "5", "--out", str(out), "--json"]
    found = json.loads(nearfield(*words, "--accept", "0.9"))
    assert 0 < len(found["suspects"]) <= 5
    assert found["accepted"] == sum(each["score"] >= 0.9 for each in found["suspects"])
    assert out.read_text().count(',"accepted",') == found["accepted"]
    saved = tmp_path / "suspects.json"
    saved.write_text(json.dumps(found))
    shown = read_suspects(saved)
    assert {"id", "kind", "score", "reason", "suggestion", "proposed", "other"} <= set(shown[0])
    text = nearfield("suspects", str(run.folder.path), "--kind", "labels", "--top", "5")
    assert all(each["id"] in text and each["reason"] in text for each in found["suspects"])
    with pytest.raises(RequestError, match="--out"):
        suspects(run.folder.path, accept=0.9)


def test_suspects_says_how_many_more_there_are(run: Run) -> None:
    words = ["suspects", str(run.folder.path), "--kind", "labels"]
    found = json.loads(nearfield(*words, "--json"))
    assert found["count"] == len(found["suspects"]) > 2
    every, some = (CliRunner().invoke(app, [*words, *more]).stderr for more in ([], ["--top", "2"]))
    assert every.splitlines()[-1].endswith(f": {found['count']} suspects among {found['clips']} clips")
    said = f": the first 2 of {found['count']} suspects, at most 2 of a kind, among {found['clips']} clips"
    assert some.splitlines()[-1].endswith(said)


def test_ten_suspects_are_printed_where_a_table_holds_all(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearfield.cli.analysis.SHOWN", 2)
    out = tmp_path / "suspects.csv"
    words = ["suspects", str(run.folder.path), "--kind", "labels", "--out", str(out)]
    found = CliRunner().invoke(app, words)
    assert len(found.stdout.splitlines()) == 4  # two lines each
    told = len(out.read_text().splitlines()) - 1
    assert told > 2
    assert f": {told} suspects, the first 2 are above; 0 accepted. Decide" in found.stderr.splitlines()[-1]


def test_the_table_of_the_page_mends_the_collection(tones: Path, tmp_path: Path) -> None:
    table = Decisions(tmp_path / "decisions.csv")
    ids = list(Collection.load(tones).table["id"])

    def decide(clip: str, column: str, before: str, after: str, decision: str = "accepted") -> None:
        given = {"id": clip, "kind": "label", "column": column, "before": before, "after": after}
        table.add(ReviewDecision.model_validate({**given, "decision": decision, "reason": 'so, "it" is'}))

    def mended() -> dict[str, tuple[str, tuple[str, ...]]]:
        opened = Collection.load(tones, patch=table.path).table
        cells = zip(opened["label"], opened["tags"], strict=True)
        return dict(zip(opened["id"], cells, strict=True))

    decide(ids[0], "label", "a", "b")
    decide(ids[1], "tags", "", "hum")
    decide(ids[2], "use", "yes", "no")
    decide(ids[3], "label", "a", "c", "rejected")
    found = mended()
    assert found[ids[0]] == ("b", ())
    assert found[ids[1]] == ("a", ("hum",))
    assert ids[2] not in found
    assert found[ids[3]] == ("a", ())
    decide(ids[0], "label", "a", "d")
    assert mended()[ids[0]][0] == "d"
    table.undo()
    assert mended()[ids[0]][0] == "b"
    while table.undo():
        pass
    assert mended() == dict.fromkeys(ids, ()) | {each: (each[0], ()) for each in ids}


def test_a_study_takes_arms_that_differ_in_what_is_mended(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(yaml.safe_dump(small()))
    for keep_test in (False, True):
        file = tmp_path / "study.yaml"
        file.write_text(yaml.safe_dump(mending_study(recipe, tmp_path / "p.csv", 3, keep_test=keep_test)))
        plan = Plan.load(file)
        first, second = (plan.recipe_of(arm.id).data for arm in plan.arms)
        assert Plan.of(plan.plain()) == plan
        assert second.patch == str(tmp_path / "p.csv")
        assert ("test" in second.patch_sides) is not keep_test
        # Both are judged by the same clips.
        tested = [bool(each.patch) and "test" in each.patch_sides for each in (first, second)]
        assert tested[0] is tested[1]


def test_a_shipped_recipe_is_named(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(mending_study(Path("labels"), tmp_path / "p.csv", 3)))
    assert Plan.load(file).recipe == Recipe.load("labels")


def test_fewer_seeds_than_can_decide_are_refused_before_they_are_trained(tmp_path: Path) -> None:
    words = ["mend", "r.yaml", "--data", "tones", "--patch", "p.csv", "--out", str(tmp_path), "--seeds", "2"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "--seeds" in done.output
    assert "equal to 3" in done.output


@pytest.mark.slow
def test_mending_is_studied_to_its_gain(run: Run, tones: Path, flips: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(yaml.safe_dump(small(train={"updates": 8}, normalize={"kind": "none"})))
    # The table that makes all right again.
    right = tmp_path / "right.csv"
    head, *rows = flips.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    turned = [",".join((clip, column, after, before, word)) for clip, column, before, after, word in cells]
    right.write_text("\n".join([head, *turned]) + "\n")
    words = ["mend", str(recipe), "--data", f"{tones}?patch={flips}", "--patch", str(right), "--keep-test"]
    words += ["--out", str(tmp_path / "study"), "--seeds", "3"]
    found = json.loads(nearfield(*words, "--json"))
    assert found == gain(Study.load(tmp_path / "study").report())
    said = nearfield(*words)  # trained before: only told
    assert f"mended {found['mended']:.3f}" in said
    assert str(tmp_path / "study" / "study.html") in said
    runs = {
        arm: [
            RunFolder(tmp_path / "study" / "runs" / arm / f"seed-{seed}").result()["metrics"][found["judge"]]
            for seed in range(3)
        ]
        for arm in ("as-it-is", "mended")
    }
    assert found["as_it_is"] == pytest.approx(np.mean(runs["as-it-is"]), abs=0.02)
    assert found["gained"] == pytest.approx(found["mended"] - found["as_it_is"])
    assert found["low"] <= found["gained"] <= found["high"]
    assert found["seeds"] == 3
    labels = {
        arm: Collection.load(str(tones), patch=flips).with_patch(right, sides).table["label"]
        for arm, sides in (("as-it-is", ()), ("mended", ("train", "val")))
    }
    assert (labels["mended"] == Collection.load(tones).table["label"]).all()
    assert (labels["as-it-is"] != labels["mended"]).any()


def test_check_says_what_the_decisions_of_a_patch_table_change(tones: Path, tmp_path: Path) -> None:
    table = tmp_path / "decisions.csv"
    rows = ["id,column,before,after,decision", "a/0.wav,label,a,b,accepted", "b/1.wav,use,,no,"]
    table.write_text("\n".join(rows) + "\n")
    done = CliRunner().invoke(app, ["check", str(tones), "--patch", str(table)])
    said = f"{table}: 1 accepted, 0 rejected, 1 undecided\n  a/0.wav: label 'a' becomes 'b'\n"
    assert done.stdout.endswith(said)
    done = CliRunner().invoke(app, ["check", str(tones), "--patch", str(table), "--json"])
    assert json.loads(done.stdout)["decisions"]["undecided"] == 1


def test_check_tells_a_decision_on_what_is_no_longer_so_as_not_applied(tones: Path, tmp_path: Path) -> None:
    table = tmp_path / "decisions.csv"
    table.write_text("id,column,before,after,decision\na/0.wav,label,thunder,b,accepted\n")
    done = CliRunner().invoke(app, ["check", str(tones), "--patch", str(table)])
    assert "decisions.csv (row 2): stale_decision, warning" in done.stdout
    assert "\n1 warning; no clip is left out.\n" in done.stdout
    assert done.stdout.endswith(
        f"{table}: 1 accepted (1 not applied), 0 rejected, 0 undecided\n"
        "  a/0.wav: label 'thunder' becomes 'b': not applied, see above\n"
    )
