"""Where the sound begins and ends, against librosa."""

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfield.data.trimming import sounding


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 9000),
    st.sampled_from([10.0, 40.0, 60.0]),
)
def test_agrees_with_librosa(seed: int, channels: int, samples: int, decibels: float) -> None:
    chance = np.random.default_rng(seed)
    first, last = sorted(chance.integers(0, samples + 1, 2))
    waves = 1e-4 * chance.standard_normal((channels, samples))
    waves[chance.integers(channels), first:last] += 0.3 * chance.standard_normal(last - first)
    wanted = librosa.effects.trim(waves.astype(np.float32), top_db=decibels, aggregate=np.max)[1]
    assert sounding(waves.astype(np.float32), decibels) == tuple(wanted)


@pytest.mark.parametrize("samples", [1, 511, 512, 4000])
def test_silence_is_left_whole(samples: int) -> None:
    assert sounding(np.zeros((2, samples), np.float32), 30.0) == (0, samples)
