"""Deep metric learning in one file: the idea of Nearfield without its parts, and without an import from it.

    python docs/small.py

Made notes of several instruments are turned into spectra; a small network learns vectors in which notes of
one instrument are near each other, whoever plays them; two margins of the triplet loss are compared. The
library does the same with real sounds, in little memory and with many more checks: `tests/test_small.py`
holds that loss, gradient, recall and verdict here are the library's.

    notes -> spectra -> batches by label -> network -> vectors -> triplet loss -> recall@1 -> verdict
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor, nn

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

RATE, SAMPLES = 8000, 2048
INSTRUMENTS, PLAYERS, NOTES = 16, 12, 4
HARMONICS = 10
LEVEL = 0.05
"""Chance of claiming a difference where there is none. The library keeps 0.01 of it for baselines, if any."""


# 1. Data: a table of spectra, the label of each row, and the group that must not be on both sides of a split.


def make_notes(rng: np.random.Generator) -> tuple[Tensor, Ints, Ints]:
    """(N, F) log spectra, (N,) instruments, (N,) players.

    An instrument is a set of strengths of harmonics; each player changes it, and each note has a pitch of its
    own, so that no single band tells an instrument.
    """
    labels, players, spectra = [], [], []
    time = np.arange(SAMPLES) / RATE
    for instrument in range(INSTRUMENTS):
        timbre = rng.normal(0, 6, HARMONICS)  # decibels
        for player in range(PLAYERS):
            own = timbre + rng.normal(0, 2, HARMONICS)
            for _ in range(NOTES):
                pitch = 110 * 2 ** rng.uniform(0, 1)
                wave = rng.normal(0, 0.3, SAMPLES)
                for number, decibels in enumerate(own, start=1):
                    phase = rng.uniform(0, 2 * np.pi)
                    wave += 10 ** (decibels / 20) * np.sin(2 * np.pi * number * pitch * time + phase)
                spectra.append(log_spectrum(wave))
                labels.append(instrument)
                players.append(instrument * PLAYERS + player)
    return torch.tensor(np.array(spectra), dtype=torch.float32), np.array(labels), np.array(players)


def log_spectrum(wave: Floats, bands: int = 96) -> Floats:
    """(T,) -> (bands,) decibels in bands that are evenly spaced in log frequency, less their mean."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    frequencies = np.fft.rfftfreq(len(wave), 1 / RATE)
    edges = np.geomspace(100, RATE / 2, bands + 1)
    decibels = 10 * np.log10(np.interp(np.sqrt(edges[1:] * edges[:-1]), frequencies, power) + 1e-6)
    spectrum: Floats = (decibels - decibels.mean()) / 20
    return spectrum


def split_by_group(labels: Ints, groups: Ints) -> tuple[Ints, Ints]:
    """Rows of train and of test: every third player of each instrument is heard in the test alone."""
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.unique(groups[labels == label])
        is_test |= np.isin(groups, members[::3])
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


# 2. Batches by label: an anchor needs positives (its own label) and negatives (others) within its batch.


def batches(
    labels: Ints, rows: Ints, classes: int, per_class: int, rng: np.random.Generator
) -> Iterator[Ints]:
    """Endless (classes * per_class,) rows: so many rows of each of so many labels."""
    members = {label: rows[labels[rows] == label] for label in np.unique(labels[rows])}
    while True:
        chosen = rng.choice(list(members), classes, replace=False)
        yield np.concatenate([rng.choice(members[label], per_class, replace=False) for label in chosen])


# 3. The loss: every negative is to be farther from its anchor than every positive, by the margin.


def triplet_loss(vectors: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Mean of max(0, d(a, p) - d(a, n) + margin) over the triplets of a batch in which it is above 0.

    (B, D) vectors, (B,) labels. d is the Euclidean distance; all B^3 triplets are looked at (Hermans et al.
    2017). 0 where no triplet is above 0.
    """
    distance = (vectors[:, None] - vectors[None]).norm(dim=2)
    same = labels[:, None] == labels[None]
    positive, negative = same & ~torch.eye(len(labels), dtype=torch.bool), ~same
    violation = (distance[:, :, None] - distance[:, None, :] + margin).clamp(min=0)
    violation = violation * (positive[:, :, None] & negative[:, None, :])
    loss: Tensor = violation.sum() / (violation > 0).sum().clamp(min=1)
    return loss


# 4. Training: a network whose vectors have unit length, and Adam.


class Network(nn.Module):
    """(B, bands) -> (B, size) vectors of unit length; convolved, as another pitch shifts the bands."""

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 32, 49, padding=24), nn.BatchNorm1d(32), nn.ReLU(),
            nn.AdaptiveMaxPool1d(3), nn.Flatten(), nn.Linear(96, size),
        )  # fmt: skip

    def forward(self, spectra: Tensor) -> Tensor:
        vectors: Tensor = nn.functional.normalize(self.layers(spectra[:, None]), dim=1)
        return vectors


def train(spectra: Tensor, labels: Ints, rows: Ints, margin: float, seed: int, updates: int) -> Network:
    """A network that has learnt from `rows`; the same for the same seed."""
    torch.manual_seed(seed)
    network, rng = Network(), np.random.default_rng(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _, batch in zip(range(updates), batches(labels, rows, 8, 6, rng), strict=False):
        loss = triplet_loss(network(spectra[batch]), torch.from_numpy(labels[batch]), margin)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network


# 5. Evaluation: what the nearest training note says of a test note.


def recall_at_1(vectors: Tensor, labels: Ints, gallery: Ints, queries: Ints) -> Floats:
    """(Q,) 1 where the nearest row of the gallery has the label of the query, else 0."""
    nearest = torch.cdist(vectors[queries], vectors[gallery]).argmin(dim=1).numpy()
    return np.where(labels[gallery[nearest]] == labels[queries], 1.0, 0.0)


def by_group(scores: Floats, groups: Ints) -> Floats:
    """(Q,) scores -> (G,) mean of each group: notes of one player are no independent evidence."""
    return np.array([scores[groups == group].mean() for group in np.unique(groups)])


# 6. A verdict: seeds and groups are both chance, and a difference must exceed what both bring about.


def verdict(one: Floats, other: Floats, meaningful: float) -> tuple[str, float, float, float]:
    """(S, G) scores of two settings, by seed and group -> claim, difference, and its interval.

    Two-way random effects: difference[s, g] = mean + seed[s] + group[g] + rest[s, g]. The variance of the
    mean is (MS_seed + max(0, MS_group - MS_rest)) / (S G); the bound is Student's t for both degrees of
    freedom, weighed by the share of the variance that each stands for (Cochran 1964).
    """
    table = one - other
    seeds, groups = table.shape
    mean, by_seed, by_column = table.mean(), table.mean(1), table.mean(0)
    of_seed = groups * ((by_seed - mean) ** 2).sum() / (seeds - 1)
    of_group = seeds * ((by_column - mean) ** 2).sum() / (groups - 1)
    rest = table - by_seed[:, None] - by_column[None] + mean
    of_rest = (rest**2).sum() / ((seeds - 1) * (groups - 1))
    whole = of_seed + max(0.0, of_group - of_rest)
    if whole == 0:
        return "undecided", float(mean), -1.0, 1.0
    share = of_seed / whole
    bound = share * stats.t.isf(LEVEL / 2, seeds - 1) + (1 - share) * stats.t.isf(LEVEL / 2, groups - 1)
    reach = bound * (whole / (seeds * groups)) ** 0.5
    low, high = float(max(-1.0, mean - reach)), float(min(1.0, mean + reach))
    claim = "undecided"
    if low > 0 or high < 0:
        claim = "better" if low > 0 else "worse"
    elif -meaningful < low and high < meaningful:
        claim = "equal"
    return claim, float(mean), low, high


def main(margins: tuple[float, float] = (0.2, 1.0), seeds: int = 5, updates: int = 150) -> None:
    """Compares two margins on the same notes."""
    torch.set_num_threads(1)  # the matrices are small: threads would wait for each other
    spectra, labels, players = make_notes(np.random.default_rng(0))
    gallery, queries = split_by_group(labels, players)
    plain = by_group(recall_at_1(spectra, labels, gallery, queries), players[queries])
    print(f"spectra as they are   recall@1 {plain.mean():.3f}")
    scores = []
    for margin in margins:
        table = []
        for seed in range(seeds):
            network = train(spectra, labels, gallery, margin, seed, updates)
            with torch.no_grad():
                found = recall_at_1(network.eval()(spectra), labels, gallery, queries)
            table.append(by_group(found, players[queries]))
        scores.append(np.array(table))
        print(f"margin {margin:<14} recall@1 {scores[-1].mean():.3f}")
    claim, difference, low, high = verdict(scores[0], scores[1], meaningful=0.02)
    interval = f"{difference:+.3f}, from {low:+.3f} to {high:+.3f}"
    print(f"margin {margins[0]} against {margins[1]}: {claim}; {interval}")


if __name__ == "__main__":
    main()
