"""Arrays that `Run.encode` takes for sounds: read as the file they came from, or refused with a sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import soundfile
import torch
from scipy.io import wavfile

from nearfield.analysis.similarity import similar
from nearfield.core.errors import DataError, RequestError
from nearfield.training.api import evaluate, train
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.trainer import launch
from tests.training.conftest import small

Wave = npt.NDArray[Any]
SUBTYPES = {"uint8": "PCM_U8", "int16": "PCM_16", "int32": "PCM_32", "float32": "FLOAT", "float64": "DOUBLE"}
"""Of wav files whose samples scipy gives in these types."""


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run to which the level of a sound matters."""
    out = tmp_path_factory.mktemp("runs") / "run"
    changes = small(train={"updates": 4}, normalize={"kind": "none"})
    launch(Request(Recipe.of(changes), str(tones), out, device="cpu"))
    return Run.load(out)


@pytest.fixture(scope="module")
def wave(tones: Path) -> Wave:
    """A quarter of a second at 8 kHz."""
    found: Wave = soundfile.read(tones / "c" / "3.wav", dtype="float32")[0][:2000]
    return found


@pytest.mark.filterwarnings("ignore:Chunk:scipy.io.wavfile.WavFileWarning")
@pytest.mark.parametrize("kind", SUBTYPES)
def test_samples_of_every_type_of_file_are_the_file(kind: str, run: Run, wave: Wave, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, wave, 8000, subtype=SUBTYPES[kind])
    samples = wavfile.read(path)[1]
    assert samples.dtype == kind
    np.testing.assert_allclose(run.encode([samples]), run.encode([path]), atol=2e-6)


def test_a_sound_of_two_channels_is_the_file_once_it_is_transposed(
    run: Run, wave: Wave, tmp_path: Path
) -> None:
    both = np.stack([wave, 0.2 * wave[::-1]], axis=1)
    soundfile.write(tmp_path / "two.wav", both, 8000, subtype="FLOAT")
    np.testing.assert_allclose(run.encode([both.T]), run.encode(tmp_path / "two.wav"), atol=2e-6)
    with pytest.raises(DataError, match=r"sound 1: a wave is \(channels, samples\).*\(2000, 2\).*transpose"):
        run.encode([wave, both])


def test_other_libraries_arrays_and_other_sequences_are_the_same_sounds(run: Run, wave: Wave) -> None:
    wanted = run.encode([wave, wave[:1500]])
    held = torch.from_numpy(wave.copy()).requires_grad_()
    positive: list[Any] = [
        (each for each in (wave, wave[:1500])),
        (wave, wave[:1500]),
        [wave.tolist(), wave[:1500].tolist()],
        [held, held[None, :1500]],
        pd.Series([wave, wave[:1500]]),
        np.array([wave, wave[:1500]], dtype=object),
    ]
    for given in positive:
        np.testing.assert_allclose(run.encode(given), wanted, atol=1e-6)
    np.testing.assert_allclose(run.encode([pd.Series(wave)]), wanted[:1], atol=1e-6)
    np.testing.assert_allclose(run.encode(np.stack([wave, wave])[:, None]), wanted[[0, 0]], atol=1e-6)


REFUSED: dict[str, tuple[Callable[[Wave], Any], str]] = {
    "one wave": (lambda w: w, r"2,000 numbers, which are one wave. Give a list: \[wave\]"),
    "one tensor": (lambda w: torch.from_numpy(w.copy()), "one wave"),
    "one wave as numbers": (lambda w: w.tolist(), "one wave"),
    "one array of two axes": (lambda w: np.stack([w, w]), r"list\(array\).*\[array\].*\[array.T\]"),
    "a number": (lambda w: 0.5, "Given: 0.5"),
    "nothing": (lambda w: None, "Given: None"),
    "bytes": (lambda w: b"a/b.wav", r"a bytes. Give a path as str: os.fsdecode\(path\)"),
    "bytes in a list": (lambda w: [b"a/b.wav"], "sound 0: .*bytes. Give a path as str"),
    "a table": (lambda w: pd.DataFrame({"path": ["a.wav"]}), r"DataFrame. Give its column.*table\['path'\]"),
    "a dict": (lambda w: {"path": "a.wav"}, "a dict"),
    "a set": (lambda w: {"a.wav"}, "a set"),
    "what scipy gives": (lambda w: (8000, w), "a sample rate and a wave"),
    "what soundfile gives": (lambda w: (w, 8000), "a sample rate and a wave"),
    "what scipy gives in a list": (lambda w: [(8000, w)], "sound 0 is a pair of a sample rate and a wave"),
    "no samples": (lambda w: [w[:0]], "sound 0: it has no sound: 0 samples"),
    "no samples of two channels": (lambda w: [np.zeros((2, 0))], "0 samples"),
    "one sample without an axis": (lambda w: [np.float32(0.1), w], r"an array of shape \(\)"),
    "three axes": (lambda w: [w[None, None]], r"shape \(1, 1, 2000\)"),
    "not numbers": (lambda w: [w, np.where(w == w[7], np.nan, w)], "sound 1: 1 of 2000 samples are NaN"),
    "infinite": (lambda w: [w / 0], "NaN or infinite"),
    "1024 channels": (lambda w: [np.zeros((1024, 2000))], "1,024 channels of 2,000 samples"),
    "int64": (lambda w: [(w * 2**15).astype(np.int64)], "samples of int64 have no defined full scale"),
    "16 bits in 32": (lambda w: [(w * 2**14).astype(np.int32)], "For 16-bit samples stored in 32 bits"),
    "uint16": (lambda w: [(w * 2**15 + 2**15).astype(np.uint16)], "samples of uint16"),
    "booleans": (lambda w: [w > 0], "an array of bool"),
    "complex": (lambda w: [w + 0j], "an array of complex"),
    "words": (lambda w: [["a", "b"]], "an array of <U1"),
    "an open file": (lambda w: [open], "sound 0: a file or a wave is expected"),
    "ragged": (lambda w: [[[0.1], [0.1, 0.2]]], "sound 0: a file or a wave is expected. Given: a list"),
    "int16 as float": (lambda w: [np.float32(np.int16(w * 2**15))], "full scale is 1.*integers"),
    "quiet int16 as float": (lambda w: [np.rint(w * 100)], "full scale is 1.*integers"),
    "far too large": (lambda w: [w * 1e30], "full scale is 1"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_what_is_no_list_of_sounds_is_refused_with_what_to_write(name: str, run: Run, wave: Wave) -> None:
    given, said = REFUSED[name]
    with pytest.raises(DataError, match=said):
        run.encode(given(wave))


def test_nothing_gives_no_vectors_and_loud_floats_are_heard(run: Run, wave: Wave) -> None:
    assert run.encode([]).shape == (0, 8)
    assert np.isfinite(run.encode([5.5 * wave])).all()


def test_all_channels_are_those_that_the_run_was_trained_on(tones: Path, tmp_path: Path) -> None:
    for path in sorted(tones.glob("*/*.wav")):
        place = tmp_path / "two" / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        mono = soundfile.read(path, dtype="float32")[0]
        soundfile.write(place, np.stack([mono, 0.5 * mono], axis=1), 8000, subtype="FLOAT")
    data = {"sample_rate": 8000, "clip_seconds": 0.4, "channels": "all"}
    feature = {"kind": "multi_log_mel", "bands": 8}
    out = tmp_path / "run"
    changed = small(data=data, feature=feature, augment=[], train={"updates": 1})
    launch(Request(Recipe.of(changed), str(tmp_path / "two"), out, device="cpu"))
    run = Run.load(out)
    assert run.encode([np.stack([mono, 0.5 * mono])]).shape == (1, 8)
    with pytest.raises(DataError, match="sound 0 has 1 channels, and this run reads sounds of 2"):
        run.encode([mono])


def test_encoding_leaves_the_mode_and_the_weights_as_they_are(run: Run, wave: Wave) -> None:
    wanted = run.encode([wave])
    run.embedder.train()
    try:
        for _ in range(2):
            np.testing.assert_array_equal(run.encode([wave]), wanted)
        assert all(part.training for part in run.embedder.modules())
    finally:
        run.embedder.eval()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precision_are_read_in_float32(
    kind: torch.dtype, run: Run, wave: Wave, tones: Path
) -> None:
    wanted = run.encode([wave])
    other = Run.load(run.folder.path)
    other.embedder.to(kind)
    found = other.encode([wave])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=2e-2 if kind == torch.bfloat16 else 2e-3)
    assert next(other.embedder.parameters()).dtype == kind


def test_data_that_lie_in_memory_are_refused_by_what_wants_a_place(run: Run, tmp_path: Path) -> None:
    table: Any = pd.DataFrame({"path": ["a.wav"], "label": ["a"]})
    for call in (
        lambda: train(run.recipe, table, tmp_path / "out"),
        lambda: evaluate(run.folder.path, table),
    ):
        with pytest.raises(DataError, match=r"Data are given by name.*DataFrame.*to_csv"):
            call()
    assert not (tmp_path / "out").exists()


def test_two_files_are_aligned_and_no_arrays(wave: Wave, tones: Path) -> None:
    assert similar(str(tones / "a" / "0.wav"), str(tones / "a" / "0.wav")).similarity == 1
    given: Any = wave
    with pytest.raises(
        RequestError, match=r"similar expects the paths of two sound files\. Given: a ndarray"
    ):
        similar(given, tones / "a" / "0.wav")
