"""Features against librosa, scipy and an obvious version from the definitions; the laws they promise."""

import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.fft
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds, make
from nearfield.core.types import Floats
from nearfield.models.features import FeatureSettings
from nearfield.models.features.feature import BaseFeatureSettings, Feature
from nearfield.models.features.log_mel import Framing

DCASE = {"kind": "log_mel", "bands": 128, "fft": 1024, "triangles": "mel"}
"""Magnitude, 30 ms by 10 ms, HTK from 50 Hz, ln(x + 1e-6)."""
TAGGING = {
    "kind": "log_mel",
    "window_ms": 32.0,
    "hop_ms": 16.0,
    "bands": 96,
    "low": 0.0,
    "high": 8000.0,
    "power": 2,
    "log": "db",
    "padding": "reflect",
}
"""Power, Hann of 512, hop 256, centred, decibels."""


def feature(given: dict[str, Any], rate: int = 16000, channels: int = 1) -> Feature:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built: Feature = make(FeatureSettings, "feature", given).build(rate, channels)
    return built


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.1


# librosa


def librosa_spectrum(wave: Floats, window: int, hop: int, fft: int, chosen: dict[str, Any]) -> Floats:
    centre = chosen["padding"] != "none"
    if not centre:
        wave = np.pad(wave, ((fft - window) // 2, fft - window - (fft - window) // 2))
    spectrum = librosa.stft(
        wave,
        n_fft=fft,
        hop_length=hop,
        win_length=window,
        window=chosen["taper"],
        center=centre,
        pad_mode={"zero": "constant"}.get(chosen["padding"], chosen["padding"]) if centre else "constant",
    )
    return np.asarray(np.abs(spectrum) ** chosen["power"], dtype=np.float64)


def librosa_log_mel(wave: Floats, rate: int, chosen: dict[str, Any]) -> Floats:
    window, hop = round(chosen["window_ms"] * rate / 1000), round(chosen["hop_ms"] * rate / 1000)
    fft = chosen["fft"] or 2 ** math.ceil(math.log2(window))
    mel = librosa.filters.mel(
        sr=rate,
        n_fft=fft,
        n_mels=chosen["bands"],
        fmin=chosen["low"],
        fmax=chosen["high"] or rate / 2,
        htk=chosen["scale"] == "htk",
        norm="slaney" if chosen["area_norm"] else None,
        dtype=np.float64,
    )
    bands = mel @ librosa_spectrum(wave, window, hop, fft, chosen)
    if chosen["log"] == "ln":
        return np.asarray(np.log(bands + 1e-6))
    decibels = librosa.power_to_db if chosen["power"] == 2 else librosa.amplitude_to_db
    least = {2: 1e-10, 1: 1e-10}[chosen["power"]]
    return np.asarray(decibels(bands, ref=1.0, amin=least, top_db=None), dtype=np.float64)


MEL_SETTINGS = st.fixed_dictionaries(
    {
        "window_ms": st.floats(5.0, 60.0),
        "hop_ms": st.floats(4.0, 30.0),
        "fft": st.sampled_from([None, 1024, 2048, 1000]),
        "bands": st.integers(1, 130),
        "low": st.floats(0.0, 300.0),
        "high": st.sampled_from([None, 3000.0, 3999.0]),
        "taper": st.sampled_from(["hann", "hamming"]),
        "padding": st.sampled_from(["none", "zero", "reflect"]),
        "scale": st.sampled_from(["htk", "slaney"]),
        "area_norm": st.booleans(),
        "power": st.sampled_from([1, 2]),
        "log": st.sampled_from(["ln", "db"]),
    }
)


@given(chosen=MEL_SETTINGS, rate=st.sampled_from([8000, 16000, 22050]), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_log_mel_is_librosas(chosen: dict[str, Any], rate: int, seed: int) -> None:
    assume(chosen["fft"] is None or chosen["window_ms"] * rate / 1000 <= chosen["fft"])
    waves = noise(2, 2, rate // 2, seed=seed)
    ours = feature({"kind": "log_mel", **chosen}, rate, channels=2)(waves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own word on empty bands
        theirs = librosa_log_mel(waves[1, 0].double().numpy(), rate, chosen)
    assert ours.shape == (2, 2, *theirs.shape)
    torch.testing.assert_close(ours[1, 0].double(), torch.from_numpy(theirs), atol=1e-4, rtol=1e-5)


def test_tones_are_librosas() -> None:
    """Between the harmonics of a tone a logarithm shows rounding: compare before it, by the largest band."""
    time = np.arange(16000) / 16000
    wave = np.sin(2 * np.pi * 440 * time) + 0.3 * np.sin(2 * np.pi * 3000 * time)
    chosen: dict[str, Any] = {
        "window_ms": 30.0,
        "hop_ms": 10.0,
        "fft": 1024,
        "bands": 64,
        "low": 50.0,
        "high": None,
    }
    chosen |= {
        "taper": "hann",
        "padding": "none",
        "scale": "htk",
        "area_norm": False,
        "power": 1,
        "log": "ln",
    }
    theirs = np.exp(librosa_log_mel(wave, 16000, chosen))
    ours = feature({"kind": "log_mel", **chosen})(torch.from_numpy(wave).float()[None, None])[0, 0]
    np.testing.assert_allclose(ours.double().exp().numpy() / theirs.max(), theirs / theirs.max(), atol=1e-5)


@pytest.mark.parametrize("orthonormal", [False, True])
def test_mfcc_is_librosas_and_scipys(orthonormal: bool) -> None:
    waves = noise(2, 1, 16000)
    picture = feature(DCASE)(waves)
    ours = feature({**DCASE, "kind": "mfcc", "coefficients": 20, "orthonormal": orthonormal})(waves)
    if orthonormal:
        theirs = librosa.feature.mfcc(S=picture.double().numpy(), n_mfcc=20, dct_type=2, norm="ortho")
    else:
        theirs = scipy.fft.dct(picture.double().numpy(), type=2, axis=2)[:, :, :20] / math.sqrt(2 * 128)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4, rtol=1e-5)


def test_the_taggers_front_end_is_librosas_number_by_number() -> None:
    """Power spectrum, Hann of 512, hop 256, centred on mirrored ends, 96 HTK bands to 8 kHz, 10 log10 from
    1e-10 and no other floor; no band of it is empty."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        taken = make(FeatureSettings, "feature", TAGGING).build(16000, 1)
    wave = torch.cat([noise(40_000), torch.zeros(8_000)])  # silence at the end reaches the floor
    mel = librosa.feature.melspectrogram(
        y=wave.double().numpy(),
        sr=16000,
        n_fft=512,
        hop_length=256,
        window="hann",
        center=True,
        pad_mode="reflect",
        power=2.0,
        n_mels=96,
        fmin=0.0,
        fmax=8000.0,
        htk=True,
        norm=None,
    )
    theirs = librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None)
    ours = taken(wave[None, None])[0, 0]
    assert ours.shape == theirs.shape == (96, 188)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert float(ours.min()) == -100.0


# The obvious version


def obvious_log_mel(wave: Floats) -> Floats:
    """The DCASE form, number by number: 480 samples every 160, 1024 bins, HTK triangles straight in mel."""
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / 480) for n in range(480)]
    low, high = 1127 * math.log(1 + 50 / 700), 1127 * math.log(1 + 8000 / 700)
    turn = np.exp(-2j * np.pi * np.outer(np.arange(513), np.arange(480)) / 1024)
    rows = []
    for frame in range(1 + (len(wave) - 480) // 160):
        magnitude = np.abs(turn @ (wave[frame * 160 : frame * 160 + 480] * hann))
        row = [1e-6] * 128
        for bin_number in range(1, 513):
            place = 1127 * math.log(1 + bin_number * 16000 / 1024 / 700)
            for band in range(128):
                peak = low + (band + 1) * (high - low) / 129
                share = 1 - abs(place - peak) / ((high - low) / 129)
                row[band] += max(0.0, share) * magnitude[bin_number]
        rows.append(np.log(row))
    return np.array(rows).T


def test_log_mel_is_the_obvious_one() -> None:
    wave = noise(1200)
    ours = feature(DCASE)(wave[None, None])[0, 0]
    torch.testing.assert_close(
        ours.double(), torch.from_numpy(obvious_log_mel(wave.double().numpy())), atol=1e-4, rtol=1e-5
    )


def test_decibels_have_the_scale_of_decibels() -> None:
    waves = noise(1, 1, 16000)
    for power in (1, 2):
        taken = feature({**TAGGING, "power": power})
        louder = taken(10 * waves) - taken(waves)
        torch.testing.assert_close(louder, torch.full_like(louder, 20.0), atol=1e-2, rtol=0)
    assert feature(TAGGING)(torch.zeros(1, 1, 16000)).unique().item() == pytest.approx(-100.0)


def test_floor_is_added_before_the_logarithm() -> None:
    silent = feature({"kind": "log_mel", "floor": 1e-3})(torch.zeros(1, 1, 4000))
    assert silent.unique().item() == pytest.approx(math.log(1e-3))


# Shapes


KINDS: list[dict[str, Any]] = [
    {"kind": "log_mel"},
    {"kind": "log_mel", "padding": "zero", "window_ms": 25.0, "fft": 1022},
    {"kind": "log_mel", "padding": "reflect"},
    {"kind": "mfcc", "hop_ms": 12.5},
    {"kind": "multi_log_mel"},
    {"kind": "multi_log_mel", "padding": "zero", "hop_share": 0.3, "resample": "nearest"},
    {"kind": "waveform"},
]


@given(chosen=st.sampled_from(KINDS), samples=st.integers(1, 3000), channels=st.sampled_from([1, 3]))
@settings(max_examples=50, deadline=None)
def test_the_promised_shape_is_the_real_one(chosen: dict[str, Any], samples: int, channels: int) -> None:
    taken = feature(chosen, channels=channels)
    waves = noise(2, channels, samples)
    if taken.frames(samples) == 0:
        with pytest.raises(RequestError, match="too short"):
            taken(waves)
        return
    assert taken(waves).shape == (2, taken.channels, taken.bands, taken.frames(samples))
    assert taken(waves).dtype == torch.float32


@given(
    window=st.integers(2, 64),
    hop=st.integers(1, 80),
    extra=st.integers(0, 20),
    padding=st.sampled_from(["none", "zero", "reflect"]),
    frames=st.integers(1, 40),
)
def test_samples_is_the_least_that_gives_the_frames(
    window: int, hop: int, extra: int, padding: Any, frames: int
) -> None:
    framing = Framing(window, hop, window + window % 2 + 2 * extra, padding)
    samples = framing.samples(frames)
    assert framing.count(samples) >= frames
    assert framing.count(samples - 1) < frames or samples == framing.fewest
    assert framing.cut(torch.zeros(1, samples)).shape == (1, framing.count(samples), window)


def test_one_sample_has_one_frame_where_silence_is_put_around_it() -> None:
    taken = feature({"kind": "log_mel", "padding": "zero"})
    assert taken.samples(1) == taken.frames(1) == 1
    assert taken(noise(1, 1, 1)).shape == (1, 1, 64, 1)


@pytest.mark.parametrize(("seconds", "frames"), [(1, 98), (2, 198), (5, 498), (10, 998)])
def test_frames_of_known_lengths(seconds: int, frames: int) -> None:
    assert feature(DCASE).frames(16000 * seconds) == frames


def test_three_seconds_of_the_tagging_form_are_96_by_188() -> None:
    assert feature(TAGGING)(noise(1, 1, 48000)).shape == (1, 1, 96, 188)


# Laws


@given(
    chosen=st.sampled_from([kind for kind in KINDS if feature(kind).cuttable]),
    first=st.integers(0, 20),
    count=st.integers(1, 30),
)
@settings(max_examples=30, deadline=None)
def test_a_kept_picture_can_be_cut(chosen: dict[str, Any], first: int, count: int) -> None:
    taken = feature(chosen)
    waves = noise(1, 1, 12000)
    begin = first * taken.hop
    piece = taken(waves[..., begin : begin + taken.samples(count)])
    torch.testing.assert_close(taken(waves)[..., first : first + count], piece)


def test_only_features_within_the_sound_are_cuttable() -> None:
    cuttable = [feature(kind).cuttable for kind in KINDS]
    assert cuttable == [True, False, False, True, False, False, True]


@pytest.mark.parametrize("shape", [(40, 1, 4000), (3, 2, 48000), (1, 1, 200_000)])
def test_blocks_leave_no_seam(shape: tuple[int, int, int]) -> None:
    """Many short clips share a block and a long one takes several: each as if alone and at once."""
    waves = noise(*shape)
    taken: Any = feature(DCASE, channels=shape[1])
    whole = taken._log(taken._mel(taken._spectrum(taken.framing.cut(waves.flatten(0, 1)))))
    whole = whole.view(128, shape[0], shape[1], -1).permute(1, 2, 0, 3)
    torch.testing.assert_close(taken(waves), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_any_number_of_threads_gives_the_same_bits(mode: Any) -> None:
    waves, taken = noise(5, 1, 40_000), feature(DCASE)
    before = torch.get_num_threads()
    try:
        pictures = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            with mode():
                pictures.append(taken(waves))
            assert torch.get_num_threads() == threads
            with ThreadPoolExecutor(1) as pool:  # nor are threads of others told to work alone
                assert pool.submit(torch.get_num_threads).result() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(pictures[0], pictures[1])
    assert torch.equal(pictures[0], pictures[2])
    assert not pictures[2].requires_grad


@pytest.mark.parametrize("power", [1, 2])
def test_a_gradient_reaches_the_wave_where_one_is_wanted(power: int) -> None:
    """Twice the wave is `power` x ln 2 more in every cell, so wave x gradient adds up to `power` (Euler)."""
    waves = noise(2, 1, 8000).requires_grad_()
    feature({**DCASE, "power": power, "floor": 1e-12})(waves).mean().backward()
    assert waves.grad is not None
    assert float((waves.detach() * waves.grad).sum()) == pytest.approx(power, rel=1e-3)


def test_an_exported_feature_takes_any_number_of_clips() -> None:
    taken = feature({"kind": "mfcc"})
    batch = torch.export.Dim("batch")
    exported = torch.export.export(taken, (noise(2, 1, 4000),), dynamic_shapes=({0: batch},)).module()
    waves = noise(7, 1, 4000, seed=1)
    torch.testing.assert_close(exported(waves), taken(waves), atol=1e-4, rtol=1e-5)


def test_an_error_on_a_thread_is_raised() -> None:
    from nearfield.core.parallel import spread

    done: list[int] = []

    def task(number: int) -> None:
        if number == 3:
            raise RuntimeError("three")
        done.append(number)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="three"):
            spread(task, range(8))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert 3 not in done


def test_no_clips_give_no_pictures() -> None:
    assert feature(DCASE)(torch.zeros(0, 1, 4000)).shape == (0, 1, 128, 23)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_changes_nothing(kind: dict[str, Any]) -> None:
    taken = feature(kind)
    waves = noise(2, 1, 4000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = taken(waves)
    assert torch.equal(mixed, taken(waves))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_trained_and_nothing_is_stored(kind: dict[str, Any]) -> None:
    taken = feature(kind)
    assert not list(taken.parameters())
    assert not taken.state_dict()


def test_a_tone_is_heard_in_its_band() -> None:
    wave = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)
    picture = feature(DCASE)(wave[None, None])[0, 0]
    edges = np.expm1(np.linspace(math.log1p(50 / 700), math.log1p(8000 / 700), 130)) * 700
    assert picture.mean(dim=1).argmax() == np.abs(edges[1:-1] - 1000).argmin()


# Several windows


def test_windows_become_channels() -> None:
    chosen = {"kind": "multi_log_mel", "bands": 128, "low": 0.0, "power": 2, "padding": "reflect"}
    waves = noise(2, 2, 48000)
    taken = feature({**chosen, "resample": "nearest"}, channels=2)
    picture = taken(waves)
    assert taken.channels == 6
    assert picture.shape == (2, 6, 128, 101)
    for number, ms in enumerate([10.0, 20.0, 30.0]):
        single = feature(
            {**chosen, "kind": "log_mel", "fft": 512, "window_ms": ms, "hop_ms": ms}, channels=2
        )(waves)
        resampled = F.interpolate(single, (128, 101), mode="nearest")
        torch.testing.assert_close(picture[:, [number, 3 + number]], resampled)


def test_area_takes_the_mean_of_the_frames_in_a_frame() -> None:
    chosen = {"kind": "multi_log_mel", "windows_ms": (10.0, 20.0)}
    waves = noise(1, 1, 16000)
    short = feature({"kind": "log_mel", "fft": 512, "window_ms": 10.0, "hop_ms": 10.0})(waves)
    expected = short.view(1, 64, 50, 2).mean(dim=3)
    torch.testing.assert_close(feature(chosen)(waves)[:, 0], expected, atol=1e-5, rtol=1e-5)


SOURCE = {
    "kind": "multi_log_mel",
    "windows_ms": (10.0, 20.0, 30.0),
    "hop_share": 1.0,
    "fft": 512,
    "bands": 128,
    "low": 0.0,
    "power": 2,
    "log": "ln",
    "floor": 1e-6,
    "padding": "reflect",
    "resample": "nearest",
}
"""Three windows, frames side by side, the nearest of the shorter ones kept: 128 x 101 for three seconds."""


def test_three_windows_as_a_tagger_had_them_are_librosas() -> None:
    wave = noise(48_000)
    with pytest.warns(UserWarning, match=r"1 of 128 mel bands are empty \(numbers 0\)"):
        taken = make(FeatureSettings, "feature", SOURCE).build(16000, 1)
    picture = taken(wave[None, None])[0]
    assert picture.shape == (3, 128, 101)
    for channel, window in enumerate((160, 320, 480)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own word on the empty band
            mel = librosa.feature.melspectrogram(
                y=wave.double().numpy(),
                sr=16000,
                n_fft=512,
                win_length=window,
                hop_length=window,
                pad_mode="reflect",
                n_mels=128,
                htk=True,
                norm=None,
            )
        nearest = np.floor(np.arange(101) * (mel.shape[1] / 101)).astype(int)
        np.testing.assert_allclose(picture[channel], np.log(mel + 1e-6)[:, nearest], atol=1e-3)


def test_three_windows_the_better_way_lose_no_frame_and_no_band() -> None:
    """Overlapping frames, the mean of those that fall together, an FFT that every band finds a bin of: all
    channels then hear a click wherever it falls, where the nearest frame alone leaves it out."""
    better = {**SOURCE, "fft": 1024, "hop_share": 0.5, "resample": "area"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        taken: Any = make(FeatureSettings, "feature", better).build(16000, 1)
    source: Any = feature(SOURCE)
    assert all(part.empty_bands == [] for part in taken.parts)
    assert taken.frames(48_000) == 201
    lost = {"better": 0, "source": 0}
    for place in range(8_000, 8_480, 16):
        wave = torch.zeros(1, 1, 16_000)
        wave[..., place] = 1.0
        silence = torch.zeros_like(wave)
        for name, reader in (("better", taken), ("source", source)):
            risen = (reader(wave) - reader(silence)).amax(dim=(0, 2, 3))
            lost[name] += int((risen < 0.1).any())
    assert lost["better"] == 0
    assert lost["source"] > 10


def test_copies_of_one_window_are_the_control() -> None:
    """As many channels and frames as three windows have, and nothing in one that is not in another."""
    waves = noise(2, 2, 48_000)
    copies = feature({**SOURCE, "windows_ms": (30.0, 30.0, 30.0)}, channels=2)(waves)
    assert copies.shape == feature(SOURCE, channels=2)(waves).shape == (2, 6, 128, 101)
    for first in (0, 3):
        assert torch.equal(copies[:, first], copies[:, first + 1])
        assert torch.equal(copies[:, first], copies[:, first + 2])
    one = {key: value for key, value in SOURCE.items() if key not in ("windows_ms", "hop_share", "resample")}
    single = feature({**one, "kind": "log_mel", "window_ms": 30.0, "hop_ms": 30.0}, channels=2)(waves)
    assert torch.equal(copies[:, ::3], single)


# Nothing but the input


@pytest.mark.parametrize(("kind", "settings"), kinds(FeatureSettings).items())
def test_the_module_reads_what_its_settings_say(kind: str, settings: type[BaseFeatureSettings]) -> None:
    assert make(FeatureSettings, "feature", {"kind": kind}).build(16000, 1).modality == settings.modality


def test_wave_and_pixels_are_passed_on() -> None:
    waves, pictures = noise(2, 3, 50), noise(2, 3, 8, 9)
    assert torch.equal(feature({"kind": "waveform"}, channels=3)(waves), waves[:, :, None])
    assert torch.equal(feature({"kind": "pixels"}, channels=3)(pictures), pictures)
    assert feature({"kind": "pixels"}).samples(9) == feature({"kind": "pixels"}).frames(9) == 9
    assert feature({"kind": "waveform"}).samples(9) == 9


# Refusals and warnings


def test_empty_bands_are_named_with_a_cure() -> None:
    with pytest.warns(UserWarning, match="mel bands are empty") as caught:
        taken = make(FeatureSettings, "feature", {"kind": "log_mel", "bands": 128}).build(16000, 1)
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "feature: 1 of 128 mel bands are empty (numbers 3), because they are narrower than the 31.2 Hz "
        "between the bins of an FFT of 512 samples. Use feature.fft = 1024 or feature.bands = 127."
    )
    assert taken.empty_bands == [3]
    assert taken(noise(1, 1, 4000))[0, 0, 3].unique().item() == pytest.approx(math.log(1e-6))
    for cure in ({"fft": 1024}, {"bands": 127}):  # a warning would be an error here
        cured = make(FeatureSettings, "feature", {"kind": "log_mel", "bands": 128, **cure}).build(16000, 1)
        assert cured.empty_bands == []


@given(chosen=MEL_SETTINGS, rate=st.sampled_from([8000, 16000, 22050]))
@settings(max_examples=50, deadline=None)
def test_empty_bands_are_those_without_weight(chosen: dict[str, Any], rate: int) -> None:
    assume(chosen["fft"] is None or chosen["window_ms"] * rate / 1000 <= chosen["fft"])
    taken: Any = feature({"kind": "log_mel", **chosen, "area_norm": False}, rate)
    assert taken.empty_bands == torch.nonzero(taken.weights.amax(dim=1) < 1e-9)[:, 0].tolist()


def test_many_empty_bands_are_listed_in_short() -> None:
    with pytest.warns(UserWarning, match=r"numbers 0, 1, 2, .*, \.\.\.\)"):
        make(FeatureSettings, "feature", {"kind": "log_mel", "bands": 1000, "fft": 1024}).build(16000, 1)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"kind": "log_mel", "high": 9000.0}, "low must be smaller than high, and high at most 8000"),
        ({"kind": "log_mel", "low": 900.0, "high": 800.0}, "from low = 900 to high = 800 Hz do not fit"),
        ({"kind": "log_mel", "fft": 256}, "a window of 30 ms is 480 samples"),
        ({"kind": "log_mel", "hop_ms": 0.01}, "a hop of 0.01 ms is 0,"),
        ({"kind": "mfcc", "bands": 12}, "13 coefficients of 12 bands"),
        ({"kind": "multi_log_mel", "windows_ms": (20.0, 10.0)}, "windows_ms must be above 0, shortest first"),
        ({"kind": "logmel"}, "Did you mean 'log_mel'"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(RequestError, match="feature") as caught:
        make(FeatureSettings, "feature", given).build(16000, 1)
    assert text in str(caught.value)


def test_a_sound_too_short_is_refused_with_what_it_takes() -> None:
    with pytest.raises(RequestError) as caught:
        feature({"kind": "log_mel"})(noise(1, 1, 479))
    assert str(caught.value) == (
        "feature: a sound of 479 samples is too short for one frame of 480 samples. Increase "
        "data.clip_seconds, or shorten the window of the feature."
    )
