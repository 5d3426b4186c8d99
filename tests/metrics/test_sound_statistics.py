"""The plain baseline: against NumPy, scikit-learn, and published figures on a real set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.preprocessing import StandardScaler

from nearfield.core.errors import RequestError
from nearfield.core.types import Ints, Vectors
from nearfield.metrics.classification import classification_scores
from nearfield.metrics.neighbors import Search
from nearfield.metrics.probes import Labelled, fit_label_probe
from nearfield.metrics.retrieval import label_scores
from nearfield.training.baselines import band_statistics, standardized


def test_means_come_first_then_deviations_whatever_the_frames() -> None:
    chance = np.random.default_rng(0)
    pictures = [chance.standard_normal((3, frames)) for frames in (1, 8, 20)]
    found = band_statistics(pictures)
    assert found.shape == (3, 6)
    assert found.dtype == np.float32
    for row, picture in zip(found, pictures, strict=True):
        np.testing.assert_allclose(row, np.r_[picture.mean(axis=1), picture.std(axis=1)], atol=1e-6)
    assert band_statistics([np.zeros((2, 5, 9))]).shape == (1, 20)
    assert band_statistics([]).shape == (0, 0)


def test_standardised_by_train_alone() -> None:
    vectors = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32) * 7 + 3
    train = np.arange(30)
    theirs = StandardScaler().fit(vectors[train]).transform(vectors)
    np.testing.assert_allclose(standardized(vectors, train), theirs, atol=1e-5)


def test_refuses_a_picture_without_frames_and_a_split_without_train() -> None:
    with pytest.raises(RequestError, match=r"spectrogram 1: .* Given: shape \(3, 0\)"):
        band_statistics([np.zeros((3, 2)), np.zeros((3, 0))])
    with pytest.raises(RequestError, match="no training rows"):
        standardized(np.ones((3, 2), dtype=np.float32), np.zeros(0, dtype=np.int64))


def test_reproduces_what_librosa_and_scikit_learn_gave_on_esc10(real_data: Callable[[str], Path]) -> None:
    """Figures of librosa's statistics, scikit-learn's regression and a plain search, made independently."""
    vectors, labels, train, test = _esc10(real_data("esc10"))
    vectors = standardized(vectors, train)
    learn = Labelled(vectors[train], labels[train])
    predicted = fit_label_probe(learn, strength=1.0).predict(vectors[test])
    assert classification_scores(labels[test], predicted)["macro_f1"][0] == pytest.approx(0.725, abs=0.0015)
    from_train = label_scores(Search(vectors[test], learn.vectors, "euclidean"), labels[test], learn.labels)
    inside = label_scores(Search.within(vectors[test], "euclidean"), labels[test], labels[test])
    assert from_train["recall_at_1"].mean() == pytest.approx(0.600, abs=0.0015)
    assert from_train["map_at_r"].mean() == pytest.approx(0.250, abs=0.0015)
    assert inside["recall_at_1"].mean() == pytest.approx(0.675, abs=0.0015)


def _esc10(folder: Path) -> tuple[Vectors, Ints, Ints, Ints]:
    import librosa

    table = pd.read_csv(folder / "labels.csv")
    table = table[table["split"] != "val"]
    pictures = []
    for path in table["path"]:
        wave, rate = soundfile.read(folder / path, dtype="float32")
        assert rate == 16000
        pictures.append(
            librosa.feature.mfcc(y=wave, sr=rate, n_mfcc=20, n_fft=1024, win_length=480, hop_length=160)
        )
    labels = np.asarray(pd.factorize(table["label"], sort=True)[0], dtype=np.int64)
    train, test = (np.flatnonzero(table["split"] == split) for split in ("train", "test"))
    return band_statistics(pictures), labels, train, test
