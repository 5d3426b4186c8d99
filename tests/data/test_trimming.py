"""Where the sound begins and ends, against librosa."""

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfield.data.signals import Loudness, sounding


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 30000),
    st.floats(3.0, 40.0),
)
def test_agrees_with_librosa(seed: int, channels: int, samples: int, decibels: float) -> None:
    rng = np.random.default_rng(seed)
    decay = np.exp(-np.abs(np.arange(samples) - rng.integers(samples)) / rng.uniform(100, 2000))
    waves = rng.standard_normal((channels, samples)) * decay * rng.uniform(0, 1, (channels, 1))
    wanted = librosa.effects.trim(waves.astype(np.float32), top_db=decibels, aggregate=np.max)[1]
    assert sounding(waves.astype(np.float32), decibels) == tuple(wanted)


@pytest.mark.parametrize("samples", [1, 511, 512, 4000])
def test_silence_is_left_whole(samples: int) -> None:
    assert sounding(np.zeros((2, samples), np.float32), 30.0) == (0, samples)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 3000), min_size=1, max_size=6))
def test_pieces_are_as_loud_as_the_whole(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    waves = rng.standard_normal((2, sum(cuts))) * np.exp(-np.abs(np.arange(sum(cuts)) - 1000) / 300)
    loudness = Loudness(2)
    for piece in np.split(waves.astype(np.float32), np.cumsum(cuts)[:-1], axis=1):
        loudness.take(piece)
    assert loudness.sounding(20.0) == sounding(waves.astype(np.float32), 20.0)
