"""How often intervals of macro F1 and of accuracy hold the truth, simulated: ours beside plainer ones.

    python benchmarks/intervals.py [--sets 400] [--draws 500]
    python benchmarks/intervals.py --measures [--sets 200]
    python benchmarks/intervals.py --from-train [--sets 2000]

A fixed reader of labels, whose skill differs from class to class and, about it, from group to group (beta),
judges test sets of which the truth is known: the macro F1 and the accuracy of groups without end. Groups lie
in one class each (recordings) or hold every class (speakers).

With `--measures` vectors are drawn, and `evaluate` gives every interval that it has: one training set, many
test sets. The truth is the measure's mean over all those test sets where they are searched within themselves
(it depends on their size), else the mean of its values on ten test sets of ten times as many recordings.

With `--from-train` retrieval from train alone is taken, of many more sets: of the worlds of `--measures`
(the first sets are the same) and of five others of nine classes.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from rich.progress import track
from scipy import stats
from scipy.stats import norm, t

from nearfield.core.types import ClipMetadata, Floats, Ints, Vectors
from nearfield.metrics.classification import classification_scores
from nearfield.metrics.evaluate import evaluate
from nearfield.metrics.intervals import Resamples, share_interval, weighted_mean
from nearfield.metrics.neighbors import Search
from nearfield.metrics.registry import searches_within
from nearfield.metrics.result import EvaluationSettings
from nearfield.metrics.retrieval import label_scores

Ends = tuple[float, float] | None

LIKE_ESC10 = (2, 5, 8, 7, 6, 4, 8, 8, 5, 4)
LIKE_ONESHOTS = (8, 3, 1, 6, 1, 3, 3, 2, 4, 4, 4, 5, 4, 8, 7, 6, 4, 6, 11, 4, 4, 2, 6, 3, 4, 4)
WAYS = {
    "macro F1": ("ours", "percentile", "absent 0, percentile", "absent 0, mirrored"),
    "accuracy": ("ours", "percentile"),
}


@dataclass(frozen=True)
class Sort:
    """A sort of test sets."""

    name: str
    groups: tuple[int, ...]
    """Of each class; a single number where every group holds every class."""
    classes: int
    clips: int
    """Of a group, in each of its classes."""
    skill: float
    """Share of clips told rightly, about which classes differ."""
    positive: float
    """The sum of the parameters of the beta distribution: smaller is more correlation within groups."""


SORTS = (
    Sort("2 to 8 groups a class, as esc10", LIKE_ESC10, 10, 2, 0.85, 4),
    Sort("the same, a good reader", LIKE_ESC10, 10, 2, 0.95, 4),
    Sort("the same, a poor reader", LIKE_ESC10, 10, 2, 0.45, 4),
    Sort("2 groups a class", (2,) * 10, 10, 4, 0.8, 4),
    Sort("2 to 4 groups a class", (2, 3, 4, 2, 3, 4, 2, 3, 4, 2), 10, 3, 0.7, 4),
    Sort("3 classes of 2, 3 and 8 groups", (2, 3, 8), 3, 4, 0.8, 4),
    Sort("1 to 11 groups a class, as oneshots", LIKE_ONESHOTS, 26, 2, 0.85, 4),
    Sort("30 groups a class", (30,) * 5, 5, 3, 0.8, 4),
    Sort("2 speakers of every class", (2,), 10, 20, 0.9, 8),
    Sort("6 speakers of every class", (6,), 20, 3, 0.9, 4),
    Sort("20 speakers of every class", (20,), 10, 2, 0.8, 4),
)


def main() -> None:
    """Prints a Markdown table: shares of sets whose interval holds the truth, then mean widths."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", type=int, default=400, help="simulated test sets of each sort")
    parser.add_argument("--draws", type=int, default=500, help="resamples of each")
    parser.add_argument("--measures", action="store_true", help="every measure that evaluate has")
    parser.add_argument("--from-train", action="store_true", help="retrieval from train, many sets")
    given = parser.parse_args()
    if given.measures:
        measures(given.sets)
        return
    if given.from_train:
        from_train(given.sets)
        return
    heads = [f"{measure}: {way}" for measure, ways in WAYS.items() for way in ways]
    print(f"| test set | {' | '.join(heads)} |\n|{'---|' * (1 + len(heads))}")
    for sort in track(SORTS, "simulating", transient=True):
        print(f"| {sort.name} | {' | '.join(coverage(sort, given.sets, given.draws))} |")


WORLDS = ((5, 10, 2), (9, 5, 4))
"""Classes, recordings of each, clips of each recording."""
SIZE = 12
FROM_TRAIN = ("recall_at_1", "recall_at_2", "recall_at_4", "recall_at_8", "r_precision", "map_at_r")


def measures(sets: int) -> None:
    """A row a measure: how often its interval holds the truth in 100, and its mean width, in each world."""
    rows: dict[str, list[str]] = defaultdict(list)
    for world in WORLDS:
        for name, held in covered(world, sets).items():
            rows[name].append(f"{100 * held[0]:.0f} ({held[1]:.3f})")
    print("| measure | " + " | ".join(" x ".join(map(str, world)) for world in WORLDS) + " |")
    print("|---" * (1 + len(WORLDS)) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def covered(world: tuple[int, int, int], sets: int) -> dict[str, tuple[float, float]]:
    """By measure: the share of test sets whose interval holds the truth, and the mean width."""
    chance = np.random.default_rng(world)
    centres, readings = chance.normal(0, 1.2, (world[0], SIZE)), chance.normal(0, 1, (SIZE, 8))
    train = drawn_set(chance, (centres, readings), world)

    def judged(recordings: int, draws: int) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        test = drawn_set(chance, (centres, readings), (world[0], recordings, world[2]))
        vectors, facts = joined(train, test)
        rows = {"train": np.arange(len(train[0])), "test": len(train[0]) + np.arange(len(test[0]))}
        found = evaluate(vectors, facts, rows, EvaluationSettings(draws=draws, dense_probe=False))
        return found.metrics, found.intervals

    large = [judged(10 * world[1], 0)[0] for _ in range(10)]
    told = [judged(world[1], 300) for _ in track(range(sets), str(world), transient=True)]
    shown = {}
    for name in told[0][1]:
        kept = [(metrics[name], ends[name]) for metrics, ends in told if name in ends]
        within = searches_within(name)
        truth = np.mean([figure for figure, _ in kept] if within else [each[name] for each in large])
        holds = [low <= truth <= high for _, (low, high) in kept]
        shown[name] = (float(np.mean(holds)), float(np.mean([high - low for _, (low, high) in kept])))
    return shown


def from_train(sets: int) -> None:
    """A row a world: how often in 100 an interval holds the truth (the truth lies below it, above it)."""
    print(f"| world | drawn by | {' | '.join(FROM_TRAIN)} |\n|{'---|' * (2 + len(FROM_TRAIN))}", flush=True)
    for world, seed in [*((world, world) for world in WORLDS), *((WORLDS[1], (each,)) for each in range(5))]:
        chance = np.random.default_rng(seed)
        spaces = chance.normal(0, 1.2, (world[0], SIZE)), chance.normal(0, 1, (SIZE, 8))
        train = drawn_set(chance, spaces, world)
        large = (world[0], 10 * world[1], world[2])
        truth = np.mean(
            [found(train, drawn_set(chance, spaces, large)).mean(axis=0) for _ in range(10)], axis=0
        )
        sides = np.zeros((2, len(FROM_TRAIN)))
        for _ in track(range(sets), str(world), transient=True):
            test = drawn_set(chance, spaces, world)
            scores, resamples = found(train, test), Resamples.of(test[1].groups, 300)
            drawn = resamples.apply(weighted_mean(scores))
            for column, figure in enumerate(scores.mean(axis=0)):
                low, high = share_interval(float(figure), drawn[:, column], resamples.groups) or (0.0, 1.0)
                sides[:, column] += truth[column] < low, truth[column] > high
        below, above = 100 * sides / sets
        cells = [
            f"{100 - one - two:.1f} ({one:.1f}, {two:.1f})" for one, two in zip(below, above, strict=True)
        ]
        print(f"| {' x '.join(map(str, world))} | {seed} | {' | '.join(cells)} |", flush=True)


def found(train: tuple[Vectors, ClipMetadata], test: tuple[Vectors, ClipMetadata]) -> Floats:
    """(N, 6) what each test clip scores by the labels of what it finds in train."""
    scores = label_scores(Search(test[0], train[0]), test[1].labels, train[1].labels)
    return np.stack([scores[name] for name in FROM_TRAIN], axis=1)


def drawn_set(
    chance: np.random.Generator, centres: tuple[Floats, Floats], world: tuple[int, int, int]
) -> tuple[Vectors, ClipMetadata]:
    """Vectors about their recording's, and that about its class's; tags are read off the recording's."""
    classes, recordings, clips = world
    groups = np.repeat(np.arange(classes * recordings), clips)
    labels = groups // recordings
    own = centres[0][labels] + chance.normal(0, 1, (classes * recordings, SIZE))[groups]
    tags = own @ centres[1] > 3
    tags[:, 0] |= ~tags.any(axis=1)
    device = chance.integers(0, 3, classes * recordings)[groups]
    heard = own + chance.normal(0, 0.8, own.shape)
    heard[:, :3] += np.eye(3)[device]
    facts = ClipMetadata(
        labels=labels,
        label_names=tuple(f"class {number}" for number in range(classes)),
        tags=tags,
        tag_names=tuple(f"tag {number}" for number in range(tags.shape[1])),
        recordings=groups,
        groups=groups,
        start_times=np.tile(5.0 * np.arange(clips), classes * recordings),
        seconds=np.full(len(groups), 5.0),
        columns={"device": device, "song": groups // 2},
        predictions=(heard @ centres[1] + chance.normal(0, 2, tags.shape)),
    )
    return heard.astype(np.float32), facts


def joined(
    first: tuple[Vectors, ClipMetadata], second: tuple[Vectors, ClipMetadata]
) -> tuple[Vectors, ClipMetadata]:
    """Both sets as one, the second's recordings and songs apart from the first's."""
    one, other = first[1], second[1]
    apart = int(one.groups.max()) + 1
    groups = np.concatenate([one.groups, other.groups + apart])
    columns = {
        "device": np.concatenate([one.columns["device"], other.columns["device"]]),
        "song": np.concatenate([one.columns["song"], other.columns["song"] + apart]),
    }
    assert one.predictions is not None
    assert other.predictions is not None
    facts = replace(
        one,
        labels=np.concatenate([one.labels, other.labels]),
        tags=np.concatenate([one.tags, other.tags]),
        start_times=np.concatenate([one.start_times, other.start_times]),
        seconds=np.concatenate([one.seconds, other.seconds]),
        predictions=np.concatenate([one.predictions, other.predictions]),
        groups=groups,
        recordings=groups,
        columns=columns,
    )
    return np.concatenate([first[0], second[0]]), facts


def coverage(sort: Sort, sets: int, draws: int) -> Iterator[str]:
    """For each way: how often its intervals hold the truth in 100, their mean width, ends of 1 in 100."""
    held: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    chance, truth = np.random.default_rng(5), true_scores(sort)
    for number in range(sets):
        reference, predicted, groups = test_set(sort, chance)
        resamples = Resamples.of(groups, draws, seed=number)
        for named, ends in intervals(reference, predicted, resamples):
            low, high = ends or (0.0, 1.0)
            held[named].append((low <= truth[named[0]] <= high, high - low, high > 0.9995))
    for measure, ways in WAYS.items():
        for way in ways:
            share, width, one = np.mean(held[measure, way], axis=0)
            yield f"{100 * share:.0f} ({width:.2f}{f', {100 * one:.0f} end at 1' if one > 0.005 else ''})"


def intervals(
    reference: Ints, predicted: Ints, resamples: Resamples
) -> Iterator[tuple[tuple[str, str], Ends]]:
    """Every way's interval of one set."""
    plain, groups = classification_scores(reference, predicted), resamples.groups
    figure = float(plain["macro_f1"][0])
    ours = resamples.apply(lambda weights: classification_scores(reference, predicted, weights)["macro_f1"])
    sunk = resamples.apply(absent_score_nothing(reference, predicted))
    yield ("macro F1", "ours"), share_interval(figure, ours, groups)
    yield ("macro F1", "percentile"), percentile_interval(ours, groups)
    yield ("macro F1", "absent 0, percentile"), percentile_interval(sunk, groups)
    yield ("macro F1", "absent 0, mirrored"), mirrored_interval(figure, sunk, groups)
    right = resamples.apply(weighted_mean((reference == predicted).astype(np.float64)))
    yield ("accuracy", "ours"), share_interval(float(plain["accuracy"][0]), right, groups)
    yield ("accuracy", "percentile"), percentile_interval(right, groups)


def percentile_interval(values: Floats, groups: int, level: float = 0.95) -> tuple[float, float] | None:
    """The middle `level` of the draws' `values`, moved outwards for few `groups` as the t distribution asks
    (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", the expanded percentile interval).

    Draws in which the score is undefined are left out; None where none is left or there is but one group.
    """
    kept = values[np.isfinite(values)]
    if not len(kept) or groups < 2:
        return None
    tail = norm.cdf(-np.sqrt(groups / (groups - 1)) * t.ppf((1 + level) / 2, groups - 1))
    low, high = np.quantile(kept, [tail, 1 - tail])
    return float(low), float(high)


def mirrored_interval(
    figure: float, values: Floats, groups: int, level: float = 0.95
) -> tuple[float, float] | None:
    """The percentile interval mirrored about the figure, which takes the bias of small sets off; within 0..1.

    Where the bias is so large that the figure would lie outside, the interval is widened to hold it.
    """
    ends = percentile_interval(values, groups, level)
    if ends is None:
        return None
    low, high = 2 * figure - ends[1], 2 * figure - ends[0]
    return max(0.0, min(low, figure)), min(1.0, max(high, figure))


def absent_score_nothing(reference: Ints, predicted: Ints) -> Callable[[Floats], Floats]:
    """Macro F1 of draws in which a class without a clip of its own scores 0 where it is predicted."""
    classes = int(max(reference.max(), predicted.max())) + 1
    of, told = (np.eye(classes)[side] for side in (reference, predicted))

    def statistic(weights: Floats) -> Floats:
        both = weights @ (of + told)
        f1 = 2 * (weights @ (of * told)) / np.where(both > 0, both, 1)
        return np.asarray(f1.sum(axis=1) / (both > 0).sum(axis=1))

    return statistic


def test_set(sort: Sort, chance: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Labels, what the reader says, and groups, of the clips of one set."""
    skills, taken_for = reader(sort)
    if len(sort.groups) == 1:
        classes = np.tile(np.arange(sort.classes), sort.groups[0])
        groups = np.repeat(np.arange(sort.groups[0]), sort.classes)
        # A speaker is easy or hard in every word.
        quantiles = chance.beta(sort.positive, sort.positive, sort.groups[0])[groups]
        own = stats.beta.ppf(quantiles, *parameters(sort, skills[classes]))
    else:
        classes = np.repeat(np.arange(sort.classes), sort.groups)
        groups = np.arange(len(classes))
        own = chance.beta(*parameters(sort, skills[classes]))
    reference = np.repeat(classes, sort.clips)
    right = chance.random(len(reference)) < np.repeat(own, sort.clips)
    wrong = np.array([chance.choice(sort.classes, p=taken_for[each]) for each in reference])
    return reference, np.where(right, reference, wrong), np.repeat(groups, sort.clips)


def true_scores(sort: Sort) -> dict[str, float]:
    """Of groups without end, classes as frequent as in the sets."""
    skills, taken_for = reader(sort)
    counts = np.ones(sort.classes) if len(sort.groups) == 1 else np.array(sort.groups, np.float64)
    if len(sort.groups) == 1:
        # The quantiles are not drawn evenly, so the mean over speakers is not quite the skill.
        quantiles = stats.beta.ppf((np.arange(2000) + 0.5) / 2000, sort.positive, sort.positive)
        first, second = parameters(sort, skills)
        skills = np.asarray(stats.beta.ppf(quantiles[:, None], first, second)).mean(axis=0)
    told = counts[:, None] * (np.diag(skills) + (1 - skills)[:, None] * taken_for)
    right = np.diag(told)
    f1 = 2 * right / (told.sum(axis=0) + told.sum(axis=1))
    return {"macro F1": float(f1.mean()), "accuracy": float(right.sum() / told.sum())}


def reader(sort: Sort) -> tuple[Floats, Floats]:
    """(classes,) the skill in each class, and (classes, classes) what its clips are taken for when wrong."""
    fixed = np.random.default_rng(7)
    skills = fixed.normal(sort.skill, 0.08, sort.classes).clip(0.05, 0.98)
    taken_for = fixed.dirichlet(np.full(sort.classes, 0.5), sort.classes)
    np.fill_diagonal(taken_for, 0)
    return skills, taken_for / taken_for.sum(axis=1, keepdims=True)


def parameters(sort: Sort, skills: Floats) -> tuple[Floats, Floats]:
    """Of the beta distribution of groups' skills about those of their classes."""
    return skills * sort.positive, (1 - skills) * sort.positive


if __name__ == "__main__":
    main()
