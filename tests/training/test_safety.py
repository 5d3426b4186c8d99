"""A run's folder has one writer, and its data and its files are known again."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file, save_file

from nearfield.analysis.explain.opened_run import OpenedRun
from nearfield.analysis.suspects.suspects import find_suspects
from nearfield.core.errors import DataError, RequestError
from nearfield.core.files import alone, digest
from nearfield.core.machine import commit, package_digest
from nearfield.space.export import export
from nearfield.space.space import Space
from nearfield.space.vector_file import embed_collection
from nearfield.training.api import evaluate, train
from nearfield.training.evaluate_run import read_clips
from nearfield.training.events import Event, Note, Stage
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch
from tests.training.conftest import small
from tests.training.test_resume import remembered

SHORT = {"updates": 6, "checkpoint_seconds": 0}


@pytest.fixture(scope="module")
def whole(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("safe") / "r"
    train(Recipe.of(small(train=SHORT)), tones, out, device="cpu")
    return out


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def flip(path: Path, at: int) -> None:
    """Turns one bit of a file."""
    held = bytearray(path.read_bytes())
    held[at] ^= 64
    path.write_bytes(held)


def hold(path: str, ready: "multiprocessing.synchronize.Event") -> None:
    with alone(Path(path), "busy"):
        ready.set()
        signal.pause()


def test_a_second_training_in_one_folder_is_refused(tones: Path, run: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    new = tmp_path / "new"
    for out, resume in ((new, False), (run, True)):
        ready.clear()
        other = context.Process(target=hold, args=(str(out / "lock"), ready))
        other.start()
        assert ready.wait(20)
        recipe = Recipe.of(small(train={"updates": 9, "checkpoint_seconds": 0}))
        with pytest.raises(RequestError, match=r"a training is already running in this folder"):
            launch(Request(recipe, str(tones), out, device="cpu", resume=resume))
        other.kill()
        other.join()
    assert [path.name for path in new.iterdir()] == ["lock"]
    assert digest(run / "weights.safetensors")
    launch(Request(Recipe.of(small(train=SHORT)), str(tones), new, device="cpu"))  # free again


def test_a_run_is_not_taken_up_on_other_sounds(tones: Path, tmp_path: Path) -> None:
    data, out = Path(shutil.copytree(tones, tmp_path / "tones")), tmp_path / "r"
    recipe = Recipe.of(small(train={"updates": 24, "checkpoint_seconds": 0}))

    def press(event: Event) -> None:
        if isinstance(event, Stage) and event.name == "train" and event.done == 9:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match="stopped after update 9"):
        launch(Request(recipe, str(data), out, device="cpu"), press)
    assert RunFolder(out).state.is_file()  # SIGTERM keeps a checkpoint
    before = (data / "a/0.wav").read_bytes()
    noise = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    soundfile.write(data / "a/0.wav", 0.1 * noise, 8000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"tones: it is not what .* was begun with"):
        launch(Request(recipe, str(data), out, device="cpu", resume=True))
    (data / "a/0.wav").write_bytes(before)
    launch(Request(recipe, str(data), out, device="cpu", resume=True))
    plain = tmp_path / "plain"
    launch(Request(recipe, str(data), plain, device="cpu"))
    assert digest(plain / "weights.safetensors") == digest(out / "weights.safetensors")


def test_measuring_sounds_that_have_changed_says_so(tones: Path, tmp_path: Path) -> None:
    data, out = Path(shutil.copytree(tones, tmp_path / "tones")), tmp_path / "r"
    train(Recipe.of(small(train=SHORT)), data, out, device="cpu")
    quiet: list[Event] = []
    assert not any("has changed" in note for note in evaluate(out, callback=quiet.append).notes)
    for path in (data / "a").iterdir():
        noise = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
        soundfile.write(path, 0.1 * noise, 8000, subtype="FLOAT")
    said: list[Event] = []
    notes = evaluate(out, callback=said.append).notes
    (told,) = [each for each in said if isinstance(each, Note) and "has changed since" in each.text]
    assert told.is_warning
    assert told.text in notes


def test_every_use_of_data_that_have_changed_says_so_once(tones: Path, tmp_path: Path) -> None:
    data, out = Path(shutil.copytree(tones, tmp_path / "tones")), tmp_path / "r"
    train(Recipe.of(small(train=SHORT)), data, out, device="cpu")
    evaluate(out)
    said: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Note) and "has changed since" in event.text:
            said.append(event.text)

    def uses(name: str) -> None:
        run = Run.load(out)
        Space.create(run, None, tmp_path / f"{name}-default", listen)
        Space.create(run, data, tmp_path / f"{name}-given", listen)
        embed_collection(run, str(data), tmp_path / f"{name}.parquet", listen)
        export(out, "parquet", tmp_path / name, listen)
        export(out, "projector", tmp_path / name, listen)
        OpenedRun.open(run, callback=listen)
        find_suspects(run, sorts=["labels"], callback=listen)

    uses("same")
    assert said == []
    os.replace(data / "a/0.wav", data / "b/0.wav")
    noise = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    soundfile.write(data / "a/0.wav", 0.1 * noise, 8000, subtype="FLOAT")
    uses("other")
    assert len(said) == 7
    assert all(
        text.startswith(
            "tones has changed since the run was trained: sounds, labels or sides are other ones. "
        )
        for text in said
    )
    shutil.rmtree(data)
    export(out, "parquet", tmp_path / "gone", listen)  # there is nothing to compare with
    assert len(said) == 7


@pytest.mark.parametrize("name", ["weights.safetensors", "state/last.safetensors"])
def test_a_flipped_bit_of_tensors_is_refused_with_the_files_name(tones: Path, run: Path, name: str) -> None:
    size = (run / name).stat().st_size
    longer = Recipe.of(small(train=SHORT | {"updates": 8}))

    def use(folder: Path) -> None:
        if name == "weights.safetensors":
            Run.load(folder)
        else:
            launch(Request(longer, str(tones), folder, device="cpu", resume=True))

    header = int.from_bytes((run / name).read_bytes()[:8], "little")
    for at in (8 + header + 5, size - 3, 8 + header // 2):
        spoilt = Path(shutil.copytree(run, run.parent / f"spoilt-{at}"))
        flip(spoilt / name, at)
        with pytest.raises(RequestError, match=rf"{name}.*(is damaged|cannot be read)"):
            use(spoilt)


def test_tensors_of_others_hold_no_digest_and_are_taken(run: Path) -> None:
    save_file(load_file(run / "weights.safetensors"), run / "weights.safetensors")
    assert Run.load(run).encode([np.ones(4000, np.float32)]).shape == (1, 8)


@pytest.mark.parametrize("at", [200, -300])
def test_a_flipped_bit_of_the_tables_is_refused_with_the_files_name(run: Path, at: int) -> None:
    flip(run / "vectors.parquet", at)
    with pytest.raises(RequestError, match=r"vectors.parquet is damaged.*nearfield evaluate"):
        Run.load(run).vectors()
    flip(run / "clips.parquet", at)
    with pytest.raises(RequestError, match=r"clips.parquet is damaged.*nearfield evaluate"):
        read_clips(run / "clips.parquet")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "\x00\x01", '{"metrics": 1', "[" * 100_000])
def test_damaged_files_of_words_are_sentences(run: Path, text: str) -> None:
    for name, opened in (
        ("environment.json", lambda: Run.load(run)),
        ("result.json", lambda: Run.load(run).result),
    ):
        before = (run / name).read_text()
        (run / name).write_text(text)
        with pytest.raises(RequestError, match=rf"{name} is damaged"):
            opened()
        (run / name).write_text(before)


@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_a_recipe_that_was_cut_short_is_not_filled_up_by_defaults(run: Path, kept: float) -> None:
    sections = re.split(r"(?m)^(?=\w)", (run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text("".join(sections[: round(kept * len(sections))]))
    with pytest.raises(RequestError, match=r"recipe.yaml is damaged: it has no '(backbone|loss)'"):
        Run.load(run)


def test_weights_of_another_network_are_a_sentence(run: Path) -> None:
    recipe = (run / "recipe.yaml").read_text().replace("width: 4", "width: 5")
    (run / "recipe.yaml").write_text(recipe)
    with pytest.raises(RequestError, match=r"not the weights of the network that recipe.yaml describes"):
        Run.load(run)


def test_a_finished_run_can_be_trained_longer(tones: Path, run: Path, tmp_path: Path) -> None:
    """To the bits of one training of that length, under a rate that does not know the length."""
    longer = Recipe.of(small(train=SHORT | {"updates": 13}))
    once = tmp_path / "once"
    launch(Request(longer, str(tones), once, device="cpu"))
    said: list[Event] = []
    launch(Request(longer, str(tones), run, device="cpu", resume=True), said.append)
    assert digest(once / "weights.safetensors") == digest(run / "weights.safetensors")
    assert remembered(once) == remembered(run)
    assert RunFolder(run).recipe().train.updates == 13
    assert not (run / "result.json").exists()
    told = "trained for 6 updates, going on to 13; the result is that of one training of this length."
    assert told in [event.text for event in said if isinstance(event, Note)]
    with pytest.raises(RequestError, match=r"train.updates differ.*may be larger"):
        launch(Request(Recipe.of(small(train=SHORT)), str(tones), run, device="cpu", resume=True))


def test_a_longer_training_says_what_it_is_worth(tones: Path, tmp_path: Path) -> None:
    """With a state that was kept it goes on under another course of the rate; without, it begins again."""
    for kept, same in ((True, False), (False, True)):
        seconds = {"checkpoint_seconds": 0 if kept else 60}
        falling = Recipe.of(small(train=SHORT | seconds, schedule={"kind": "cosine"}))
        more, folder, once = (
            falling.changed({"train.updates": 8}),
            tmp_path / f"{kept}",
            tmp_path / f"{kept} once",
        )
        launch(Request(falling, str(tones), folder, device="cpu"))
        assert RunFolder(folder).state.is_file() == kept
        said: list[Event] = []
        launch(Request(more, str(tones), folder, device="cpu", resume=True), said.append)
        launch(Request(more, str(tones), once, device="cpu"))
        assert (digest(once / "weights.safetensors") == digest(folder / "weights.safetensors")) == same
        told = [each.text for each in said if isinstance(each, Note) and "trained for 6 updates" in each.text]
        assert len(told) == 1
        assert ("not that of one training" in told[0]) == (not same)
        assert ("begins again" in told[0]) == same


def test_a_run_records_the_code_that_made_it(run: Path, tmp_path: Path) -> None:
    noted = json.loads((run / "environment.json").read_text())["code"]
    root = Path(__file__).parents[2]
    git = shutil.which("git")
    if git and (root / ".git").exists():
        head = subprocess.check_output([git, "-C", str(root), "rev-parse", "HEAD"], text=True).strip()
        assert noted["commit"] == head
    package = Path(shutil.copytree(root / "src/nearfield", tmp_path / "site/nearfield"))
    assert commit(package) is None
    assert package_digest(package) == noted["package"]
    (package / "core/text.py").write_text("changed")
    assert package_digest(package) != noted["package"]


def test_data_without_the_patch_that_the_run_was_trained_with_are_not_called_changed(
    tones: Path, tmp_path: Path
) -> None:
    data, out = Path(shutil.copytree(tones, tmp_path / "tones")), tmp_path / "r"
    patch = tmp_path / "p.csv"
    patch.write_text("id,column,before,after,decision\na/0.wav,label,a,b,accepted\n")
    train(Recipe.of(small(train=SHORT)), f"{data}?patch={patch}", out, device="cpu")
    evaluate(out)
    run, said = Run.load(out), list[str]()

    def listen(event: Event) -> None:
        if isinstance(event, Note) and ("has changed" in event.text or "trained on" in event.text):
            said.append(event.text)

    def uses(given: str, name: str) -> None:
        Space.create(run, given, tmp_path / name, listen)
        embed_collection(run, given, tmp_path / f"{name}.parquet", listen)
        find_suspects(run, given, sorts=["labels"], callback=listen)

    uses(f"{data}?patch={patch}", "with")
    assert said == []
    uses(str(data), "without")
    wanted = f"the run was trained on {data} with the patch table {patch}, which is not used here"
    assert [text.startswith(wanted) for text in said] == [True] * 3
    assert "?patch=" in said[0]
