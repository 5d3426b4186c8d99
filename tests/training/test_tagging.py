"""Taggers: their heads, what they say of files, and what samplers learn of their mistakes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score

from nearfield.analysis.suspects.listing import propose_tags
from nearfield.core.errors import RequestError, WorkError
from nearfield.data.collection import Collection
from nearfield.training.api import train
from nearfield.training.events import Event, Note
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder
from nearfield.training.tagging import read_predictions, tag, write_predictions
from nearfield.training.vector_checks import VectorWarning
from tests.training.conftest import small

TAGGED = {
    "normalize": {"kind": "none"},
    "relation": {"kind": "tags"},
    "sampler": {"kind": "shuffle", "batch_size": 16},
}


@pytest.fixture(scope="module")
def tagger(chords: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = Recipe.of(
        small(
            **TAGGED,
            loss={"kind": "bce"},
            embedding={"size": 8, "normalize": False},
            optimizer={"kind": "adam", "lr": 0.01},
            train={"updates": 100},
        )
    )
    return train(recipe, chords, tmp_path_factory.mktemp("tagger") / "r", device="cpu")


def test_a_tagger_tells_tones_apart(tagger: Run) -> None:
    assert tagger.metrics["tagger/pr_auc"] > tagger.metrics["baseline/chance/tagging/pr_auc"] + 0.2
    assert {"tagger/roc_auc", "tagging/pr_auc"} <= set(tagger.metrics)


def test_vectors_that_are_wrong_are_told_before_their_tags(tagger: Run, chords: Path, tmp_path: Path) -> None:
    """The network gives one vector for all, or others than when it was trained."""
    files, said = [chords / "0.wav", chords / "3.wav"], list[str]()

    def listen(event: Event) -> None:
        if isinstance(event, Note) and event.is_warning:
            said.append(event.text)

    other = Run.load(tagger.folder.path)
    with torch.no_grad():
        next(other.embedder.head.parameters()).mul_(0.5)
    tag(other, files, listen)
    propose_tags(other, str(chords), callback=listen)
    assert sum("other vectors here" in text for text in said) == 2
    with pytest.warns(VectorWarning, match="other vectors here"):
        tag(other, files)
    with torch.no_grad():
        next(other.embedder.head.parameters()).zero_()
    for tells in (
        lambda: tag(other, files, listen),
        lambda: propose_tags(other, str(chords), callback=listen),
    ):
        with pytest.raises(WorkError, match=r"All \d+ vectors are the same, and the sounds are not"):
            tells()


def test_what_is_said_of_files_is_the_head_on_the_windows_averaged(tagger: Run, chords: Path) -> None:
    files = [chords / "0.wav", chords / "3.wav"]
    names, said = tag(tagger, files)
    assert names == ("high", "low", "middle", "top")
    head = load_file(tagger.folder.head)
    for file, row in zip(files, said, strict=True):
        wave, _ = soundfile.read(file, dtype="float32")
        windows = [wave[:3200], wave[800:]]  # 0.4 s each, the last flush with the end
        vectors = tagger.encode(windows)
        logits = vectors @ head["tags.weight"].numpy().T + head["tags.bias"].numpy()
        np.testing.assert_allclose(row, (1 / (1 + np.exp(-logits))).mean(0), atol=1e-4)


def test_a_tag_may_be_called_as_the_column_of_ids_is(chords: Path, tmp_path: Path) -> None:
    table = chords.with_name("ids.csv")
    lines = (chords / "labels.csv").read_text().replace("low", "id").replace("high", "=id").splitlines()
    table.write_text("\n".join(f"{chords}/{line}" if ".wav" in line else line for line in lines) + "\n")
    collection = Collection.load(table)
    metadata = collection.metadata()
    assert metadata.tag_names == ("=id", "id", "middle", "top")
    said = np.random.default_rng(0).integers(0, 2, (len(collection), 4)).astype(np.float64)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/recipe.yaml").touch()
    folder = RunFolder(tmp_path / "run")
    write_predictions(folder.predictions, list(collection.table["id"]), metadata.tag_names, said)
    np.testing.assert_array_equal(read_predictions(folder.path, collection, metadata), said)


def test_the_figure_is_that_of_the_predictions_kept(tagger: Run, chords: Path) -> None:
    collection = Collection.load(chords)
    metadata, rows = collection.metadata(), collection.rows("test")
    said = read_predictions(tagger.folder.path, collection, metadata)[rows]
    tags = metadata.tags[rows]
    areas = [
        average_precision_score(tags[:, at], said[:, at]) for at in range(4) if 0 < tags[:, at].mean() < 1
    ]
    assert tagger.metrics["tagger/pr_auc"] == pytest.approx(np.mean(areas), abs=1e-6)


def test_a_run_that_is_no_tagger_answers_by_a_probe(chords: Path, tmp_path: Path) -> None:
    recipe = Recipe.of(small(**TAGGED, loss={"kind": "nt_xent"}, train={"updates": 5}))
    run = train(recipe, chords, tmp_path / "r", device="cpu")
    names, said = tag(run, [chords / "0.wav"])
    assert said.shape == (1, len(names))
    assert ((said > 0) & (said < 1)).all()
    collection = Collection.load(chords)
    with pytest.raises(RequestError, match=r"sampler.tagger.*has no predictions.parquet"):
        read_predictions(run.folder.path, collection, collection.metadata())


def test_triplets_can_be_drawn_from_a_taggers_mistakes(chords: Path, tmp_path: Path) -> None:
    hasty = Recipe.of(small(**TAGGED, loss={"kind": "bce"}, train={"updates": 1}))
    train(hasty, chords, tmp_path / "hasty", device="cpu")  # one that is never wrong gives no such triplets
    tagger = str(tmp_path / "hasty")
    sampler = {"kind": "tag_triplets", "batch_size": 4, "rule": "errors", "top": 2, "tagger": tagger}
    changes = {**TAGGED, "sampler": sampler}
    run = train(Recipe.of(small(**changes, train={"updates": 3})), chords, tmp_path / "r", device="cpu")
    assert run.metrics["retrieval/multilabel_recall_at_1"] > 0
    assert not any(name.startswith("tagger/") for name in run.metrics)


@pytest.mark.parametrize("frozen", [True, False])
def test_an_embedding_begins_from_the_taggers_backbone(
    frozen: bool, tagger: Run, chords: Path, tmp_path: Path
) -> None:
    backbone = {"kind": "small_convnet", "width": 4, "blocks": 2, "weights": str(tagger.folder.path)}
    embedding = {"size": 8, "train": "head" if frozen else "all"}
    changes = {**TAGGED, "backbone": backbone, "embedding": embedding, "loss": {"kind": "nt_xent"}}
    run = train(Recipe.of(small(**changes, train={"updates": 3})), chords, tmp_path / "r", device="cpu")
    before, after = tagger.embedder.backbone.state_dict(), run.embedder.backbone.state_dict()
    same = all(torch.equal(before[name], after[name]) for name in before)
    assert same == frozen


def test_tags_are_proposed_to_clips_that_lack_them_and_fill_in_what_was_blanked(
    tagger: Run, chords: Path, tmp_path: Path
) -> None:
    """Of a copy of the table every third clip is blanked: what is accepted goes back to those clips."""
    lines = (chords / "labels.csv").read_text().splitlines()[1:]
    true = {name: set(tags.split("|")) for name, tags, _ in (line.split(",") for line in lines)}
    blanked = [name for at, name in enumerate(true) if at % 3 == 0]
    table = tmp_path / "blanked.csv"
    rows = [f"{chords / name},{'' if name in blanked else '|'.join(tags)}" for name, tags in true.items()]
    table.write_text("path,tags\n" + "\n".join(rows) + "\n")

    found = propose_tags(tagger, str(table), at_least=0.5, untagged=True)
    assert found.clips == len(blanked)
    names, scores = tag(tagger, [chords / name for name in blanked])
    expected = {
        (name, names[column])
        for row, name in enumerate(blanked)
        for column in np.flatnonzero(scores[row] >= 0.5)
    }
    assert {(Path(each.path).name, each.after) for each in found.suspects} == expected

    out = tmp_path / "tags.csv"
    assert found.save(out, accept=0.5) == len(expected)
    mended = Collection.load(f"{table}?patch={out}").table
    filled = {Path(path).name: set(tags) for path, tags in zip(mended["path"], mended["tags"], strict=True)}
    for name in true:
        wanted = {tag for clip, tag in expected if clip == name} if name in blanked else true[name]
        assert filled[name] == wanted


def test_clips_that_have_a_tag_are_not_offered_it_again(tagger: Run, chords: Path) -> None:
    lines = (chords / "labels.csv").read_text().splitlines()[1:]
    true = {name: set(tags.split("|")) for name, tags, _ in (line.split(",") for line in lines)}
    found = propose_tags(tagger, str(chords), at_least=0.0)
    proposed = {(Path(each.path).name, each.after) for each in found.suspects}
    everything = {(name, tag) for name in true for tag in ("high", "low", "middle", "top")}
    assert proposed == everything - {(name, tag) for name, tags in true.items() for tag in tags}
    with pytest.raises(RequestError, match=r"all 48 clips .* have tags"):
        propose_tags(tagger, str(chords), untagged=True)


def test_the_command_says_which_threshold_it_uses_and_whose_it_is(tagger: Run, chords: Path) -> None:
    from typer.testing import CliRunner

    from nearfield.cli.main import app

    run, file = str(tagger.folder.path), str(chords / "0.wav")

    def said(*words: str) -> str:
        return CliRunner().invoke(app, ["tag", run, *words]).stderr

    assert "Up to 10 tags are shown, however low their scores; --at-least 0.5 leaves out low ones." in said(
        file
    )
    assert "Up to 1 tag is shown, however low its score;" in said(file, "--top", "1")
    assert "however low" not in said(file, "--at-least", "0.5")
    usual = "(score of 0.5 or more, the default; --at-least sets another)."
    assert usual in said("--data", str(chords))
    assert "(score of 0.5 or more)." in said("--data", str(chords), "--at-least", "0.5")


def test_a_tagger_without_its_head_does_not_answer_by_a_probe(
    tagger: Run, chords: Path, tmp_path: Path
) -> None:
    shutil.copytree(tagger.folder.path, tmp_path / "copy")
    copy = Run.load(tmp_path / "copy")
    copy.folder.head.unlink()
    with pytest.raises(RequestError, match=r"head.safetensors is missing, which this run needs to tag"):
        tag(copy, [chords / "0.wav"])
