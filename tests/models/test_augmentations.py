"""Augmentations: laws that all of them keep, then a closed form or an obvious version of each."""

import itertools
import math
import sys
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds, make
from nearfield.models.augmentations import AugmentationSettings
from nearfield.models.augmentations.augmentation import Augmentation, augment
from nearfield.models.features.log_mel import LogMelSettings
from nearfield.models.normalization import ClipBand

RATE, HOP = 16000, 160
SHAPES = {"wave": (6, 2, 8000), "spectrogram": (6, 2, 20, 50)}
BORROWED = {"stretch", "pitch"}


def augmentation(**given: Any) -> Augmentation:
    built: Augmentation = make(AugmentationSettings, "augment", given).build(RATE, HOP)
    return built


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def signals(domain: str, seed: int = 0) -> Tensor:
    return torch.randn(*SHAPES[domain], generator=chance(seed)) * 0.1


def drawn_and_bent(bender: Augmentation, signal: Tensor, seed: int = 0) -> tuple[dict[str, Tensor], Tensor]:
    drawn = bender.draw(signal.shape, chance(seed))
    return drawn, bender.apply(signal, drawn)


ALL = [{"kind": kind, "probability": 1.0} for kind in kinds(AugmentationSettings)]
ALL.append({"kind": "time_shift", "probability": 1.0, "domain": "wave"})


# Laws of all


@pytest.mark.parametrize("given", ALL, ids=lambda given: str(given["kind"]))
def test_the_same_draw_gives_the_same_sound(given: dict[str, Any]) -> None:
    bender = augmentation(**given)
    signal = signals(bender.domain)
    before = signal.clone()
    drawn, applied = drawn_and_bent(bender, signal)
    assert all(value.device.type == "cpu" for value in drawn.values())
    assert torch.equal(bender.apply(signal, drawn), applied)
    assert torch.equal(augmentation(**given).apply(signal, bender.draw(signal.shape, chance())), applied)
    assert torch.equal(signal, before)
    assert applied.shape == signal.shape
    assert applied.dtype == torch.float32
    assert applied.isfinite().all()
    assert not torch.equal(applied, signal)


@pytest.mark.parametrize("given", ALL, ids=lambda given: str(given["kind"]))
def test_an_item_is_bent_by_its_own_chance_and_else_keeps_its_bits(given: dict[str, Any]) -> None:
    bender = augmentation(**{**given, "probability": 0.5})
    signal = signals(bender.domain)
    drawn, applied = drawn_and_bent(bender, signal)
    assert 0 < int(drawn["applied"].sum()) < len(signal)
    for item in range(len(signal)):
        if not drawn["applied"][item]:
            assert torch.equal(applied[item], signal[item])
    never = augmentation(**{**given, "probability": 0.0})
    assert torch.equal(drawn_and_bent(never, signal)[1], signal)


@pytest.mark.parametrize(
    "given", [given for given in ALL if given["kind"] != "flip"], ids=lambda given: str(given["kind"])
)
def test_items_are_drawn_apart(given: dict[str, Any]) -> None:
    """Six copies of one sound are not bent alike."""
    bender = augmentation(**given)
    copies = signals(bender.domain)[:1].expand(*SHAPES[bender.domain]).contiguous()
    applied = drawn_and_bent(bender, copies)[1]
    if given["kind"] == "mix":  # the background is the same sound: only its level differs
        assert len(set(applied[:, 0, 0].tolist())) > 3
        return
    positive = [torch.equal(applied[a], applied[b]) for a, b in itertools.combinations(range(6), 2)]
    assert sum(positive) <= 3


def test_probability_is_a_share() -> None:
    bender = augmentation(kind="gain", probability=0.3)
    applied = bender.draw(torch.Size((20_000, 1, 1)), chance())["applied"]
    assert float(applied.float().mean()) == pytest.approx(0.3, abs=0.015)


def test_bend_goes_from_one_to_the_next() -> None:
    both = [augmentation(kind="gain"), augmentation(kind="noise")]
    signal, generator = signals("wave"), chance(5)
    step = both[0].apply(signal, both[0].draw(signal.shape, generator))
    step = both[1].apply(step, both[1].draw(step.shape, generator))
    assert torch.equal(augment(signal, both, chance(5)), step)
    assert torch.equal(augment(signal, [], chance()), signal)


# Each


def decibels(ratio: Tensor) -> Tensor:
    return 10 * torch.log10(ratio)


@given(low=st.floats(-10, 30), width=st.floats(0, 10), seed=st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_noise_reaches_its_ratio(low: float, width: float, seed: int) -> None:
    signal = signals("wave", seed).double()
    drawn, applied = drawn_and_bent(augmentation(kind="noise", ratio_db=(low, low + width)), signal, seed)
    noise = applied - signal
    reached = decibels(signal.square().mean((1, 2)) / noise.square().mean((1, 2)))
    torch.testing.assert_close(reached, drawn["decibels"].double(), atol=1e-3, rtol=0)
    assert bool((reached >= low - 1e-3).all())
    assert bool((reached <= low + width + 1e-3).all())


def test_noise_is_white_and_differs_between_items_and_channels() -> None:
    signal = torch.ones(4, 2, 16384)
    noise = drawn_and_bent(augmentation(kind="noise"), signal)[1] - signal
    rows = noise.flatten(0, 1) / noise.flatten(0, 1).std(dim=1, keepdim=True)
    across = (rows @ rows.t() / rows.shape[1]).fill_diagonal_(0)
    assert across.abs().max() < 6 / math.sqrt(rows.shape[1])
    power = torch.fft.rfft(rows).abs().square()[:, 1:].view(8, 16, -1).mean(dim=2)
    assert (power / power.mean()).sub(1).abs().max() < 0.25


@pytest.mark.parametrize(
    ("unit", "power", "log"), [("ln_magnitude", 1, "ln"), ("ln_power", 2, "ln"), ("db", 2, "db")]
)
def test_noise_floor_adds_one_power_to_every_cell(unit: str, power: int, log: str) -> None:
    waves = signals("wave")
    feature = LogMelSettings(power=power, log=log, floor=1e-20).build(RATE, 2)
    drawn, applied = drawn_and_bent(
        augmentation(kind="noise_floor", unit=unit, depth_db=(10, 30)), feature(waves)
    )
    powers = [
        10 ** (p.double() / 10) if log == "db" else (p.double() * 2 / power).exp()
        for p in (feature(waves), applied)
    ]
    added = powers[1] - powers[0]
    loudest = powers[0].amax(dim=(1, 2, 3))
    torch.testing.assert_close(
        added, (loudest / 10 ** (drawn["depth"] / 10)).view(-1, 1, 1, 1).expand_as(added), rtol=2e-2, atol=0
    )


def test_silence_stays_silent() -> None:
    silence = torch.zeros(6, 2, 800)
    for kind in ("noise", "mix", "gain"):
        assert torch.equal(drawn_and_bent(augmentation(kind=kind), silence)[1], silence)


def test_gain_is_so_many_decibels() -> None:
    signal = signals("wave")
    drawn, applied = drawn_and_bent(augmentation(kind="gain", decibels=(-12, -3)), signal)
    assert bool(((drawn["decibels"] >= -12) & (drawn["decibels"] <= -3)).all())
    reached = decibels(applied.square().mean((1, 2)) / signal.square().mean((1, 2)))
    torch.testing.assert_close(reached, drawn["decibels"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("domain", ["wave", "spectrogram"])
def test_time_shift_rolls_each_item(domain: str) -> None:
    signal = signals(domain)
    drawn, applied = drawn_and_bent(augmentation(kind="time_shift", domain=domain, max_seconds=0.2), signal)
    largest = 3200 if domain == "wave" else 20
    assert largest * 0.4 < int(drawn["steps"].abs().max()) <= largest
    for item in range(len(signal)):
        assert torch.equal(applied[item], signal[item].roll(int(drawn["steps"][item]), -1))


def test_a_shift_of_frames_is_a_shift_of_samples() -> None:
    """Away from the seam, where frames hear both ends, rolled pictures are pictures of rolled waves."""
    feature = LogMelSettings().build(RATE, 2)
    waves = signals("wave")
    bender = augmentation(kind="time_shift", max_seconds=0.1)
    picture = feature(waves)
    drawn = bender.draw(picture.shape, chance())
    rolled = bender.apply(picture, drawn)
    for item, steps in enumerate(drawn["steps"].tolist()):
        shifted = feature(waves[item : item + 1].roll(steps * HOP, -1))[0]
        whole = slice(steps, None) if steps >= 0 else slice(None, picture.shape[-1] + steps)
        torch.testing.assert_close(rolled[item][..., whole], shifted[..., whole])


@pytest.mark.parametrize(
    ("given", "axis", "widest"),
    [
        ({"kind": "frequency_mask", "max_bands": 7, "count": 2}, 2, 7),
        ({"kind": "time_mask", "max_seconds": 0.2, "count": 3}, 3, 20),
        ({"kind": "time_mask", "max_seconds": 9.0}, 3, 50),
    ],
)
def test_masks_cover_what_was_drawn(given: dict[str, Any], axis: int, widest: int) -> None:
    signal = signals("spectrogram")
    drawn, applied = drawn_and_bent(augmentation(**given), signal)
    assert int(drawn["width"].max()) <= widest
    assert bool((drawn["first"] + drawn["width"] <= signal.shape[axis]).all())
    expected = signal.clone()
    for item in range(len(signal)):
        means = signal[item].mean(dim=(1, 2) if axis == 2 else 2, keepdim=True)
        for first, width in zip(drawn["first"][item].tolist(), drawn["width"][item].tolist(), strict=True):
            expected[item].narrow(axis - 1, first, width).copy_(
                means.expand_as(signal[item]).narrow(axis - 1, first, width)
            )
    torch.testing.assert_close(applied, expected)


def test_masks_reach_every_place_and_every_width() -> None:
    drawn = augmentation(kind="frequency_mask", max_bands=4).draw(torch.Size((5000, 1, 8, 9)), chance())
    found = set(zip(drawn["first"][:, 0].tolist(), drawn["width"][:, 0].tolist(), strict=True))
    assert found == {(first, width) for width in range(5) for first in range(8 - width + 1)}


def test_a_masked_band_is_zero_for_clip_band() -> None:
    signal = signals("spectrogram")
    drawn, applied = drawn_and_bent(augmentation(kind="frequency_mask", max_bands=6), signal)
    for item, centred in enumerate(ClipBand(False)(applied)):
        first, width = int(drawn["first"][item, 0]), int(drawn["width"][item, 0])
        assert (centred.abs().amax(dim=(0, 2)) < 1e-6).nonzero()[:, 0].tolist() == [
            *range(first, first + width)
        ]


def test_a_silent_partner_adds_nothing_to_a_loud_item() -> None:
    pair = torch.stack([100 * signals("wave")[0], torch.zeros(2, 8000)])
    assert torch.equal(drawn_and_bent(augmentation(kind="mix"), pair)[1], pair)


@given(seed=st.integers(0, 50), items=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_mix_is_quieter_than_the_item_itself(seed: int, items: int) -> None:
    signal = signals("wave", seed)[:items] * torch.rand(items, 1, 1, generator=chance(seed))
    drawn, applied = drawn_and_bent(augmentation(kind="mix", under_db=(3, 9)), signal, seed)
    if items == 1:
        assert torch.equal(applied, signal)
        return
    assert bool((drawn["partner"] != torch.arange(items)).all())
    added = (applied - signal).double()
    reached = decibels(signal.double().square().mean((1, 2)) / added.square().mean((1, 2)))
    torch.testing.assert_close(reached, drawn["decibels"].double(), atol=1e-2, rtol=0)
    for item, partner in enumerate(drawn["partner"].tolist()):
        cosine = F.cosine_similarity(added[item].flatten(), signal[partner].double().flatten(), dim=0)
        assert float(cosine) == pytest.approx(1.0, abs=1e-4)


def test_mix_meets_every_partner() -> None:
    drawn = augmentation(kind="mix").draw(torch.Size((3000, 1, 4)), chance())["partner"]
    assert bool((drawn != torch.arange(3000)).all())
    few = torch.cat(
        [augmentation(kind="mix").draw(torch.Size((4, 1, 4)), chance(s))["partner"] for s in range(40)]
    )
    assert set(few.tolist()) == {0, 1, 2, 3}


def shuffle_mixed(labels: list[int], pieces: int, seed: int) -> tuple[Tensor, Tensor]:
    """Items of 13 samples, no two alike, in two channels, and what becomes of them."""
    signal = (torch.arange(len(labels) * 26.0) ** 2).view(len(labels), 2, 13)
    bender = augmentation(kind="shuffle_mix", pieces=pieces)
    drawn = bender.draw(signal.shape, chance(seed), torch.tensor(labels))
    return signal, bender.apply(signal, drawn)


@given(seed=st.integers(0, 1000), pieces=st.integers(1, 13))
@settings(max_examples=40, deadline=None)
def test_shuffle_mix_is_half_of_each_of_two_of_one_label_piece_by_piece(seed: int, pieces: int) -> None:
    labels = [0, 1, 0, 1, 0, -1, -1, 2]
    signal, mixed = shuffle_mixed(labels, pieces, seed)
    length = 13 // pieces
    for item, label in enumerate(labels):
        kin = [other for other, own in enumerate(labels) if own == label >= 0 and other != item] or [item]
        places = [range(i * length, (i + 1) * length) for i in range(pieces)]
        for place in places:
            reachable = {
                tuple(((signal[item][:, list(own)] + signal[other][:, list(theirs)]) / 2).flatten().tolist())
                for other in kin
                for own, theirs in itertools.product(places, places)
            }
            assert tuple(mixed[item][:, list(place)].flatten().tolist()) in reachable
        total = mixed[item].sum()  # every piece of both is there once
        assert any(torch.isclose(total, (signal[item] + signal[other]).sum() / 2) for other in kin)


def test_shuffle_mix_meets_every_order_and_every_partner_and_needs_labels_to_mix() -> None:
    labels = [0, 0, 0, 1]
    found = [shuffle_mixed(labels, 2, seed)[1] for seed in range(80)]
    assert len({tuple(each[3].flatten().tolist()) for each in found}) == 2  # alone: two orders of two pieces
    assert len({tuple(each[0].flatten().tolist()) for each in found}) == 2 * 2 * 2  # with two partners
    signal = signals("wave")
    alone = drawn_and_bent(augmentation(kind="shuffle_mix", pieces=4), signal)[1]
    torch.testing.assert_close(alone.sort(-1).values, signal.sort(-1).values)


def tone(hertz: float) -> Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(RATE) / RATE).view(1, 1, -1) * 0.5


def strongest(wave: Tensor) -> float:
    middle = wave[0, 0, 4000:12000] * torch.hann_window(8000)
    return float(torch.fft.rfft(middle, n=RATE).abs().argmax())


def test_pitch_moves_a_tone() -> None:
    for semitones in (-5.0, 4.0):
        applied = drawn_and_bent(augmentation(kind="pitch", semitones=(semitones, semitones)), tone(500))[1]
        assert strongest(applied) == pytest.approx(500 * 2 ** (semitones / 12), rel=0.01)


@pytest.mark.parametrize(("rate", "silent"), [(2.0, True), (0.5, False)])
def test_stretch_keeps_a_tone_and_changes_its_length(rate: float, silent: bool) -> None:
    applied = drawn_and_bent(augmentation(kind="stretch", rate=(rate, rate)), tone(500))[1]
    loud = applied[0, 0, :7000] if silent else applied[0, 0]
    assert float(torch.fft.rfft(loud, n=RATE).abs().argmax()) == pytest.approx(500, abs=5)
    assert (float(applied[..., 9000:].abs().max()) < 1e-3) == silent


@pytest.mark.parametrize(("kind", "name"), [("stretch", "amount"), ("spectrogram_stretch", "rate")])
def test_stretch_keeps_to_the_rates_it_is_given(kind: str, name: str) -> None:
    bender = augmentation(kind=kind, rates=[0.8, 1.25])
    drawn = bender.draw(torch.Size((4000, 1, 2, 2)), chance())[name]
    assert sorted(set(drawn.tolist())) == [pytest.approx(0.8), pytest.approx(1.25)]
    assert float((drawn < 1).float().mean()) == pytest.approx(0.5, abs=0.03)
    free = augmentation(kind=kind).draw(torch.Size((4000, 1, 2, 2)), chance())[name]
    assert len(set(free.tolist())) > 1000
    one = augmentation(kind=kind, rates=[1.25])
    signal = signals(one.domain)[:2]
    limits = augmentation(kind=kind, rate=(1.25, 1.25))
    torch.testing.assert_close(drawn_and_bent(one, signal)[1], drawn_and_bent(limits, signal)[1])


def test_borrowed_bends_any_number_of_channels_without_the_worlds_chance() -> None:
    import random

    signal = signals("wave")[:2].repeat(1, 2, 1)
    random.seed(1)
    state = random.getstate()
    applied = drawn_and_bent(augmentation(kind="pitch"), signal)[1]
    assert applied.shape == (2, 4, 8000)
    assert random.getstate() == state


@pytest.mark.parametrize("kind", sorted(BORROWED))
def test_without_audiomentations_the_cure_is_told(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "audiomentations", None)
    with pytest.raises(RequestError, match=r'pip install "nearfield\[augment\]"'):
        augmentation(kind=kind)


def test_band_shift_moves_rows_and_repeats_the_edge() -> None:
    signal = signals("spectrogram")
    drawn, applied = drawn_and_bent(augmentation(kind="band_shift", max_bands=4), signal)
    assert int(drawn["bands"].abs().max()) in (3, 4)
    for item, bands in enumerate(drawn["bands"].tolist()):
        for row in range(20):
            assert torch.equal(applied[item, :, row], signal[item, :, min(max(row - bands, 0), 19)])


def test_spectrogram_stretch_reads_between_columns() -> None:
    signal = signals("spectrogram")
    drawn, applied = drawn_and_bent(augmentation(kind="spectrogram_stretch", rate=(0.5, 2.0)), signal)
    for item, rate in enumerate(drawn["rate"].tolist()):
        places = (np.arange(50) - 24.5) * rate + 24.5
        for row in range(20):
            expected = np.interp(places, np.arange(50), signal[item, 1, row].numpy())
            np.testing.assert_allclose(applied[item, 1, row], expected, atol=1e-4)


def test_spectrogram_stretch_at_rate_1_changes_nothing() -> None:
    signal = signals("spectrogram")
    torch.testing.assert_close(
        drawn_and_bent(augmentation(kind="spectrogram_stretch", rate=(1.0, 1.0)), signal)[1], signal
    )


def test_colour_adds_a_smooth_curve_that_clip_band_does_not_hear() -> None:
    signal = signals("spectrogram")
    drawn, applied = drawn_and_bent(augmentation(kind="equalizer", points=3, deviation=2.0), signal)
    curve = applied - signal
    torch.testing.assert_close(curve.amin(dim=(1, 3)), curve.amax(dim=(1, 3)))
    for item in range(6):
        heights = drawn["heights"][item, 0].numpy()
        expected = np.interp(np.linspace(0, 2, 20), np.arange(3), heights)
        np.testing.assert_allclose(curve[item, 0, :, 0], expected, atol=1e-5)
    many = augmentation(kind="equalizer", deviation=2.0).draw(torch.Size((5000, 1, 4, 4)), chance())[
        "heights"
    ]
    assert float(many.std()) == pytest.approx(2.0, rel=0.03)
    centred = ClipBand(False)
    torch.testing.assert_close(centred(applied), centred(signal), atol=1e-5, rtol=1e-5)


def test_resized_crop_of_the_whole_changes_nothing() -> None:
    signal = signals("spectrogram")
    bender = augmentation(kind="resized_crop", bands=(1.0, 1.0), frames=(1.0, 1.0))
    torch.testing.assert_close(drawn_and_bent(bender, signal)[1], signal, atol=1e-5, rtol=0)


def test_resized_crop_is_scipys() -> None:
    signal = signals("spectrogram")
    bender = augmentation(kind="resized_crop", bands=(0.5, 2.0), frames=(0.7, 1.1))
    drawn, applied = drawn_and_bent(bender, signal)
    for item in range(len(signal)):
        size = np.array([float(drawn["bands"][item]), float(drawn["frames"][item])])
        shift = np.array([10 * float(drawn["bands_middle"][item]), 25 * float(drawn["frames_middle"][item])])
        middle = np.array([9.5, 24.5])
        expected = scipy.ndimage.affine_transform(
            signal[item, 1].numpy(), size, middle + shift - size * middle, order=1, mode="nearest"
        )
        np.testing.assert_allclose(applied[item, 1], expected, atol=1e-4)


def test_resized_crop_lies_in_the_picture_or_the_picture_in_it() -> None:
    bender = augmentation(kind="resized_crop", bands=(0.5, 2.0), frames=(0.25, 0.5))
    drawn = bender.draw(torch.Size((5000, 1, 4, 4)), chance())
    for name, (least, most) in {"bands": (0.5, 2.0), "frames": (0.25, 0.5)}.items():
        size, middle = drawn[name], drawn[f"{name}_middle"]
        assert float(size.min()) == pytest.approx(least, rel=0.01)
        assert float(size.max()) == pytest.approx(most, rel=0.01)
        assert float(size.log().mean()) == pytest.approx(math.log(least * most) / 2, abs=0.03)
        low, high = middle - size, middle + size  # edges, in halves of a side from the middle
        inside = (low >= -1 - 1e-6) & (high <= 1 + 1e-6)
        around = (low <= -1 + 1e-6) & (high >= 1 - 1e-6)
        assert bool(torch.where(size < 1, inside, around).all())


def test_cut_short_is_a_short_clip_in_its_window() -> None:
    """What the feature makes of a wave with zeros behind it, where no frame straddles the end."""
    wave = signals("wave")
    feature = LogMelSettings(window_ms=10, floor=1e-3).build(RATE, 2)
    picture = feature(wave)
    drawn, applied = drawn_and_bent(
        augmentation(kind="cut_short", silence=math.log(1e-3), least_share=0.2), picture
    )
    assert int(drawn["frames"].min()) >= picture.shape[3] // 5
    assert len(set(drawn["frames"].tolist())) > 3
    for item, frames in enumerate(drawn["frames"].tolist()):
        short = wave[item : item + 1].clone()
        short[..., frames * 160 :] = 0
        torch.testing.assert_close(applied[item], feature(short)[0], atol=1e-4, rtol=1e-4)


def test_affine_by_nothing_changes_nothing() -> None:
    signal = signals("spectrogram")
    given = {"kind": "affine", "max_degrees": 0.0, "max_shift": 0.0, "max_scale": 0.0}
    torch.testing.assert_close(drawn_and_bent(augmentation(**given), signal)[1], signal, atol=1e-5, rtol=0)


def test_affine_is_scipys() -> None:
    """Turn, scale and shift in pixels, about the middle, for pictures that are not square."""
    signal = torch.randn(5, 1, 24, 36, generator=chance())
    bender = augmentation(kind="affine", max_degrees=30.0, max_shift=0.2, max_scale=0.5)
    drawn, applied = drawn_and_bent(bender, signal)
    middle = np.array([11.5, 17.5])
    for item in range(5):
        turn, scale = float(drawn["turn"][item]), float(drawn["scale"][item])
        back = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) / scale
        moved = np.array([24 * float(drawn["down"][item]), 36 * float(drawn["right"][item])])
        offset = middle - back @ (middle + moved)
        expected = scipy.ndimage.affine_transform(
            signal[item, 0].numpy(), back, offset, order=1, mode="nearest"
        )
        np.testing.assert_allclose(applied[item, 0], expected, atol=1e-4)


def test_affine_stays_within_its_limits() -> None:
    bender = augmentation(kind="affine", max_degrees=10.0, max_shift=0.1, max_scale=0.25)
    drawn = bender.draw(torch.Size((4000, 1, 2, 2)), chance())
    assert float(drawn["turn"].abs().max()) == pytest.approx(math.radians(10), rel=0.01)
    assert float(drawn["right"].abs().max()) == pytest.approx(0.1, rel=0.01)
    assert float(drawn["scale"].max()) == pytest.approx(1.25, rel=0.01)
    assert float(drawn["scale"].min()) == pytest.approx(0.8, rel=0.01)


@pytest.mark.parametrize(("axis", "dimension"), [("horizontal", 3), ("vertical", 2)])
def test_flip_mirrors(axis: str, dimension: int) -> None:
    signal = signals("spectrogram")
    bender = augmentation(kind="flip", axis=axis, probability=1.0)
    applied = drawn_and_bent(bender, signal)[1]
    assert torch.equal(applied, signal.flip(dimension))
    assert augmentation(kind="flip").probability == 0.5


# Refusals


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"kind": "noise", "ratio_db": (9, 3)},
            "augment: ratio_db: the smaller number must come first. Given: [9.0, 3.0].",
        ),
        ({"kind": "mix", "under_db": (-3, 3)}, "under_db must be 0 or more, because labels are wrong"),
        ({"kind": "stretch", "rate": (0.05, 1)}, "rate must be from 0.1 to 10"),
        ({"kind": "spectrogram_stretch", "rate": (0.5, 11)}, "rate must be from 0.1 to 10"),
        ({"kind": "stretch", "rates": (0.8, 12)}, "rates must be from 0.1 to 10. Given: [0.8, 12.0]."),
        ({"kind": "spectrogram_stretch", "rates": (0,)}, "rates must be from 0.1 to 10. Given: [0.0]."),
        ({"kind": "pitch", "semitones": (-30, 1)}, "semitones must be from -24 to 24"),
        ({"kind": "gain", "probability": 1.5}, "augment: probability: "),
        ({"kind": "timeshift"}, "Did you mean 'time_shift'?"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(RequestError) as caught:
        augmentation(**given)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "key"),
    [("gain", "decibels"), ("noise", "ratio_db"), ("mix", "under_db"), ("noise_floor", "depth_db")],
)
def test_levels_beyond_what_float32_holds_are_refused(kind: str, key: str) -> None:
    augmentation(kind=kind, **{key: (0, 120)})
    with pytest.raises(RequestError, match="less than or equal to 120"):
        augmentation(kind=kind, **{key: (0, 4000)})
