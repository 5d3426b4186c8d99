"""Vectors that are wrong in silence: what the gate and the sounds kept with a run say of them.

Three of these happened to others: a classifier normalized in training only, one vector for every sound, a
signal that vanished before the network.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import normalized_mutual_info_score
from torch import nn

from nearfield.core.errors import DataError, WorkError
from nearfield.space.export import export
from nearfield.space.space import Space
from nearfield.space.vector_file import embed_collection
from nearfield.training.evaluate_run import evaluate_run
from nearfield.training.events import Note
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.trainer import launch
from nearfield.training.vector_checks import VectorWarning, check_vectors, same_groups
from tests.training.conftest import small

Floats = npt.NDArray[Any]


@pytest.fixture(scope="module")
def folder(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    launch(Request(Recipe.of(small(train={"updates": 30})), str(tones), out, device="cpu"))
    evaluate_run(Run.load(out).folder, with_baselines=False)
    return out


@pytest.fixture
def sounds(tones: Path) -> list[Path]:
    return sorted(tones.glob("*/*.wav"))[::3]


class Zeros(nn.Module):
    """Gives zeros in the shape of what another gives."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(self.inner(given))


def without_normalization(run: Run) -> None:
    run.embedder.normalization = nn.Identity()


def without_unit_length(run: Run) -> None:
    run.embedder.settings = run.embedder.settings.model_copy(update={"normalize": False})


def with_other_statistics(run: Run) -> None:
    for part in run.embedder.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()


DROPPED: dict[str, Callable[[Run], None]] = {
    "normalized in training only": without_normalization,
    "vectors of unit length in training only": without_unit_length,
    "statistics of norms lost": with_other_statistics,
}


def test_sounds_are_kept_small_and_vectors_are_those_of_the_weights(folder: Path, tones: Path) -> None:
    path = folder / "canary.safetensors"
    assert path.stat().st_size < 250_000
    kept = load_file(path)
    waves = kept["signals"].numpy()
    assert waves.dtype == np.int16
    assert waves.shape == (4, 1, 3200)
    found = Run.load(folder).encode(list(waves[:, 0] / np.float32(2**15)))
    np.testing.assert_allclose(kept["vectors"].numpy(), found, atol=1e-4)
    heard = [soundfile.read(file, dtype="float32")[0][:3200] for file in tones.glob("*/*.wav")]
    assert all(min(np.abs(one / 2**15 - wave).max() for wave in heard) < 1e-4 for one in waves[:, 0])


@pytest.mark.parametrize("name", DROPPED)
def test_vectors_that_are_not_those_of_training_are_told(name: str, folder: Path, sounds: list[Path]) -> None:
    run = Run.load(folder)
    DROPPED[name](run)
    with pytest.warns(
        VectorWarning, match="other vectors here than when it was trained: those of the 4 sounds"
    ):
        run.encode(sounds)


def test_as_trained_nothing_is_said_by_threads_halves_or_bf16(folder: Path, sounds: list[Path]) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            run = Run.load(folder)
            run.encode(sounds)
            assert run.doubts("bf16") == ()
            run.embedder.half()
            run.encode(sounds)
    finally:
        torch.set_num_threads(before)


def test_other_vectors_are_told_in_every_place_of_use(folder: Path, tones: Path, tmp_path: Path) -> None:
    """The weights stay; the vectors that are kept are those of another training."""
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    other = tmp_path / "other"
    launch(Request(Recipe.of(small(train={"updates": 1})), str(tones), other, seed=9, device="cpu"))
    shutil.copyfile(other / "canary.safetensors", own / "canary.safetensors")
    said: list[str] = []

    def listen(event: Any) -> None:
        if isinstance(event, Note) and event.is_warning:
            said.append(event.text)

    def told() -> bool:
        found = sum("other vectors here" in text for text in said)
        said.clear()
        return found == 1

    result = evaluate_run(Run.load(own).folder, callback=listen, with_baselines=False)
    assert told()
    assert any("other vectors here" in note for note in result["notes"])
    space = Space.create(Run.load(own), tones, tmp_path / "space", listen)
    assert told()
    embed_collection(Run.load(own), str(tones), tmp_path / "vectors.parquet", listen)
    assert told()
    for to in ("huggingface", "projector"):
        export(own, to, tmp_path / to, listen)
        assert told()
    with pytest.warns(VectorWarning, match="other vectors here"):
        space.search(tones / "a" / "0.wav")
    shutil.rmtree(other)


def test_what_is_published_has_made_up_sounds_that_are_heard_again(folder: Path, tmp_path: Path) -> None:
    export(folder, "huggingface", tmp_path / "out")
    kept, published = (load_file(place / "canary.safetensors") for place in (folder, tmp_path / "out"))
    assert published["signals"].shape == kept["signals"].shape
    own, made = (each["signals"].double().flatten(1) for each in (kept, published))
    assert torch.corrcoef(torch.cat([own, made]))[:4, 4:].abs().max() < 0.2
    run = Run.load(tmp_path / "out")
    assert run.doubts() == ()
    without_normalization(run)
    assert Run.doubts(run) == ()  # asked once for this device
    again = Run.load(tmp_path / "out")
    without_normalization(again)
    assert len(again.doubts()) == 1


VANISHED: dict[str, Callable[[Run], None]] = {
    "a front end of zeros": lambda run: setattr(run.embedder, "feature", Zeros(run.embedder.feature)),
    "a network of zeros": lambda run: setattr(run.embedder, "backbone", Zeros(run.embedder.backbone)),
}


@pytest.mark.parametrize("name", VANISHED)
@pytest.mark.filterwarnings("ignore::nearfield.training.vector_checks.VectorWarning")
def test_one_vector_for_every_sound_is_an_error(
    name: str, folder: Path, sounds: list[Path], tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.load(folder)
    for attribute in ("channels", "bands", "hop", "frames", "samples", "cuttable"):
        monkeypatch.setattr(Zeros, attribute, getattr(run.embedder.feature, attribute), raising=False)
    VANISHED[name](run)
    said = r"All 14 vectors are the same, and the sounds are not, as .*0\.wav and .*\.wav\."
    with pytest.raises(WorkError, match=said):
        run.encode(sounds)
    with pytest.raises(WorkError, match=r"All 40 vectors are the same.*a/0\.wav and"):
        Space.create(run, tones, tmp_path / "space")
    assert not (tmp_path / "space" / "space.json").exists()
    assert run.encode([sounds[0], sounds[0]]).shape == (2, 8)  # one sound twice
    quiet = np.random.default_rng(0).standard_normal((3, 4000)) * 1e-6
    assert run.encode(list(quiet)).shape == (3, 8)  # silence is all alike


def test_weights_that_are_no_numbers_and_sounds_that_give_none(
    folder: Path, tones: Path, tmp_path: Path
) -> None:
    run = Run.load(folder)
    with torch.no_grad():
        run.embedder.head.bias.fill_(torch.nan)  # type: ignore[operator]
    with pytest.raises(WorkError, match=r"None of the 2 vectors has finite numbers: the weights are damaged"):
        run.encode([tones / "a" / "0.wav", tones / "b" / "0.wav"])
    with pytest.raises(DataError, match=r"sound 1: the network gives no finite numbers of 1 of 3 sounds"):
        check_vectors(np.array([[1, 0], [np.nan, 0], [0, 1]], np.float32), *made(3))


def made(count: int) -> tuple[list[str], Callable[[int], Floats]]:
    """Names of so many sounds, and noises that all differ."""
    noise = np.random.default_rng(1).standard_normal((count, 1, 500)).astype(np.float32)
    return [f"sound {row}" for row in range(count)], lambda row: noise[row]


def test_a_vector_shared_by_sounds_that_differ_is_told_and_copies_are_not() -> None:
    vectors = np.random.default_rng(2).standard_normal((30, 6)).astype(np.float32)
    names, noise = made(30)
    assert check_vectors(vectors, names, noise) == []
    vectors[20] = vectors[7]
    (said,) = check_vectors(vectors, names, noise)
    assert "2 of 30 vectors are shared by sounds that differ: sound 7 and sound 20." in said

    def heard(row: int) -> Floats:
        """Sound 20 is sound 7, quieter, turned over, with silence behind it."""
        return np.pad(-0.1 * noise(7), ((0, 0), (0, 300))) if row == 20 else noise(row)

    assert check_vectors(vectors, names, heard) == []
    assert check_vectors(vectors, names, lambda row: None) == []  # files that are gone: nothing is claimed


@pytest.mark.parametrize("far", [1e-7, 3e-6])
def test_vectors_that_differ_by_rounding_are_shared_wherever_they_lie(far: float) -> None:
    chance = np.random.default_rng(3)
    names, noise = made(200)
    for _ in range(20):
        vectors = chance.standard_normal((200, 64)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[20] = vectors[7] + chance.uniform(-far, far, 64) * np.abs(vectors).max()
        (said,) = check_vectors(vectors, names, noise)
        assert "2 of 200 vectors are shared by sounds that differ: sound 7 and sound 20." in said
    vectors[20] += 1e-3
    assert check_vectors(vectors, names, noise) == []


@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_the_same_vectors_among_many_are_those_of_all_pairs(spread: float) -> None:
    chance = np.random.default_rng(4)
    vectors = (1 + spread * chance.standard_normal((3000, 16))).astype(np.float32)
    copies = chance.permutation(3000)[:600].reshape(2, 300)
    vectors[copies[0]] = vectors[copies[1]] + chance.uniform(-1e-6, 1e-6, (300, 16))
    near = np.abs(vectors[:, None] - vectors[None]).max(axis=2) <= 1e-5
    wanted = connected_components(near, directed=False)[1]
    found = same_groups(vectors, 1e-5)
    assert normalized_mutual_info_score(wanted, found) == pytest.approx(1)
    assert len(np.unique(found)) == 2700


def test_a_point_and_a_line_are_told_and_two_classes_fully_apart_are_no_point() -> None:
    chance = np.random.default_rng(3)
    names, noise = made(200)
    near = (1 + 0.001 * chance.standard_normal((200, 6))).astype(np.float32)
    assert "nearly on one point" in check_vectors(near, names, noise)[0]
    line = (chance.standard_normal((200, 1)) * np.ones(6)).astype(np.float32)
    assert "on one line (effective rank 1.0" in check_vectors(line, names, noise)[0]
    two = np.where(np.arange(200)[:, None] % 2, np.eye(6)[0], np.eye(6)[1])
    spread = (two + 0.02 * chance.standard_normal((200, 6))).astype(np.float32)
    assert check_vectors(spread, names, noise) == []
