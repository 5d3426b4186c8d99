"""How often a study of equal arms claims a difference, and other promises of the statistics, by simulation.

    python benchmarks/calibration.py [--studies 2000] [--quick]
    python benchmarks/calibration.py --searches [--studies 400]
    python benchmarks/calibration.py --places [--studies 400]
    python benchmarks/calibration.py --promises [--studies 400]

Scores are drawn for arms, seeds and test groups from the models below, and judged exactly as a study judges
them. Standard deviations are those of a difference between two arms: of a training (seed), of a test group,
and of what is left.

With `--searches` vectors are drawn instead, and the measures that search the test clips among themselves are
taken of them: every clip is a query and stands in the gallery of the others. Arms that are equal have their
own idea of every recording, trainings their own noise.

With `--places` the same is done for one space and the parts of recordings that `explain` tells apart: how
often their intervals hold the truth, which is the mean over all the sets.

With `--promises` arms differ, and a study that leaves the first pair open is prolonged to the number of seeds
that it says would decide it, on the same test groups.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
from scipy import stats

from nearfield.analysis.explain.position import PARTS as PLACES
from nearfield.analysis.explain.position import Among, PlaceScore, position_scores
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.metrics.neighbors import Search, nearest
from nearfield.metrics.retrieval import (
    Blocks,
    label_means_without,
    label_scores,
    ranking_scores,
    recall_of_first,
    sharing,
    tag_means_without,
    tag_scores,
)
from nearfield.metrics.temporal import first_is_relevant, of_recording, same_recording
from nearfield.study.records import Comparison
from nearfield.study.scores import left_out_by_block, mean_by_group
from nearfield.study.statistics.conclude import PlannedTest, conclude
from nearfield.study.statistics.family import FALSE_CLAIMS, FOR_ARMS, Bound, all_pairs
from nearfield.study.statistics.looks import shares
from nearfield.study.statistics.planning import cost, power
from nearfield.study.statistics.two_way import Array, MeanSquares, differences

BatchIndices = Callable[[np.random.Generator, tuple[int, ...]], Array]

ARMS, SEEDS, GROUPS = (2, 4, 8), (3, 5, 10), (10, 40, 200)
PARTS = {
    "balanced": (0.7, 1.0, 1.4),
    "seeds": (1.0, 0.1, 1.0),
    "groups": (0.3, 1.5, 1.5),
    "little": (0.1, 0.1, 1.0),
}
"""Model -> standard deviations (seed, group, rest), in any unit."""


def normal(chance: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Standard normal."""
    return chance.standard_normal(shape)


def skewed(chance: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Exponential, centred: now and then a training is far off."""
    return chance.standard_exponential(shape) - 1


def heavy(chance: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Student's t with 4 degrees of freedom, of variance 1."""
    return np.asarray(chance.standard_t(4, shape) / 2**0.5)


def scores(
    chance: np.random.Generator,
    shape: tuple[int, int, int, int],
    parts: tuple[float, float, float],
    draw: BatchIndices = normal,
    uneven: float = 1.0,
) -> Array:
    """(studies, A, S, G) scores of equal arms; the seeds of the first vary `uneven` times as much."""
    studies, arms, seeds, groups = shape
    seed, group, rest = (part / np.sqrt(2) for part in parts)
    spread = np.ones((arms, 1, 1))
    spread[0] = uneven
    trained = seed * spread * draw(chance, (studies, arms, seeds, 1))
    heard = group * draw(chance, (studies, arms, 1, groups))
    return np.asarray(trained + heard + rest * normal(chance, shape))


def counted(chance: np.random.Generator, shape: tuple[int, int, int, int]) -> Array:
    """Shares of four clips of each group that are right, 0 to 1: many ties, and no normal in sight."""
    studies, _, _, groups = shape
    ease = chance.normal(1.0, 1.0, (studies, 1, 1, groups))
    return np.asarray(
        chance.binomial(4, stats.norm.cdf(ease + 0.5 * scores(chance, shape, (0.5, 0.7, 0.7)))) / 4
    )


MODELS: dict[str, Callable[[np.random.Generator, tuple[int, int, int, int]], Array]] = {
    **{name: partial(scores, parts=parts) for name, parts in PARTS.items()},
    "skewed": partial(scores, parts=PARTS["balanced"], draw=skewed),
    "heavy": partial(scores, parts=PARTS["balanced"], draw=heavy),
    "counted": counted,
}


def in_parts(model: str, studies: int, arms: int, seeds: int, groups: int) -> Iterator[Array]:
    """Some studies at a time, so that memory stays small."""
    chance = np.random.default_rng([len(model), arms, seeds, groups])
    most = max(1, 4_000_000 // (arms * seeds * groups))
    for first in range(0, studies, most):
        yield MODELS[model](chance, (min(most, studies - first), arms, seeds, groups))


def false_claims(tables: Array, level: float = FOR_ARMS) -> Array:
    """For each study, whether it claims any difference."""
    own, errors, share, bound = all_pairs(tables)
    return np.asarray((np.abs(own.mean) > bound.limit(share, level) * errors).any(1))


def covered(tables: Array) -> Array:
    """For each study, whether the first arm's own 95 % interval holds the truth, which is 0."""
    squares = MeanSquares.of(tables[:, 0])
    limit = Bound(2, *squares.dof).limit(squares.share, 0.05)
    return np.asarray(np.abs(squares.mean) <= limit * np.sqrt(squares.variance))


def pair_covered(tables: Array) -> Array:
    """For each study, whether the 95 % interval of its first pair, taken alone, holds 0."""
    own, errors, share, bound = all_pairs(tables)
    limit = Bound(2, bound.by_seed, bound.by_group).limit(share, 0.05)
    return np.asarray((np.abs(own.mean) <= limit * errors)[:, 0])


def upper(count: int, of: int) -> float:
    """Upper end of the one-sided 95 % interval of a share (Clopper & Pearson 1934)."""
    return float(stats.beta.ppf(0.95, count + 1, of - count)) if count < of else 1.0


def _head(names: tuple[str, ...]) -> None:
    print("\n| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|", flush=True)


def main_table(studies: int, cells: list[tuple[int, int, int]]) -> None:
    """False claims of equal arms, coverage, and stated against found power."""
    by_model = f"false claims, % by model: {', '.join(MODELS)}"
    heads = ("arms", "seeds", "groups", by_model, "worst, upper bound", "an arm's interval covers, %",
             "a pair's covers, %", "power stated, found, %")  # fmt: skip
    _head(heads)
    for arms, seeds, groups in cells:
        rates, own, pair = [], [], []
        for model in MODELS:
            tables = list(in_parts(model, studies, arms, seeds, groups))
            rates.append(sum(int(false_claims(each).sum()) for each in tables))
            if model != "counted":  # whose truth is not 0 for a single arm
                own.append(sum(int(covered(each).sum()) for each in tables) / studies)
            pair.append(sum(int(pair_covered(each).sum()) for each in tables) / studies)
        stated, found = powers(studies, arms, seeds, groups)
        shown = " ".join(f"{100 * rate / studies:.1f}" for rate in rates)
        print(
            f"| {arms} | {seeds} | {groups} | {shown} | {100 * upper(max(rates), studies):.1f} "
            f"| {100 * min(own):.1f} to {100 * max(own):.1f} "
            f"| {100 * min(pair):.1f} to {100 * max(pair):.1f} "
            f"| {100 * stated:.0f}, {100 * found:.0f} |",
            flush=True,
        )


def powers(studies: int, arms: int, seeds: int, groups: int) -> tuple[float, float]:
    """Power as a document would state it, and as found, for a difference of 2.5 true standard errors."""
    seed, group, rest = (part**2 for part in PARTS["balanced"])
    size = 3.5 * np.sqrt(seed / seeds + group / groups + rest / (seeds * groups))
    hits = 0
    for tables in in_parts("balanced", studies, arms, seeds, groups):
        tables[:, 0] += size
        own, errors, share, bound = all_pairs(tables)
        hits += int((own.mean > bound.limit(share, FOR_ARMS) * errors)[:, 0].sum())
    return power(float(size), (seed, group, rest), seeds, groups, arms), hits / studies


def rivals(studies: int, cells: list[tuple[int, int, int]]) -> None:
    """What other procedures do with the same equal arms."""
    names = ("ours", "pooled variance alone", "each pair's own", "seeds alone, Tukey", "Holm on paired t",
             "sign flips", "bootstrap over seeds")  # fmt: skip
    _head(("model", "arms", "seeds", "groups", *names))
    models = {"balanced": (1.0, normal), "uneven": (3.0, normal)}
    for (name, (uneven, draw)), (arms, seeds, groups) in product(models.items(), cells):
        chance = np.random.default_rng([3, arms, seeds, groups])
        some = 100  # at a time: the bootstrap takes memory
        rows = []
        for _ in range(max(1, studies // some)):
            tables = scores(chance, (some, arms, seeds, groups), PARTS["balanced"], draw, uneven)
            rows.append([float(rate) * 100 for rate in rival_rates(tables, chance)])
        row = np.mean(rows, axis=0)
        print(
            f"| {name} | {arms} | {seeds} | {groups} | " + " | ".join(f"{rate:.1f}" for rate in row) + " |",
            flush=True,
        )


def rival_rates(tables: Array, chance: np.random.Generator) -> Iterator[float]:
    """Share of studies with any false claim, for each procedure."""
    arms = tables.shape[1]
    own = MeanSquares.of(differences(tables))
    together = own.pooled(arms - 1)
    yield false_claims(tables).mean()
    for squares in (together, own):
        limit = Bound(arms, *squares.dof).limit(squares.share, FALSE_CLAIMS)
        yield (np.abs(own.mean) > limit * np.sqrt(squares.variance)).any(1).mean()
    by_seed = differences(tables.mean(3)[..., None])[..., 0]  # (studies, pairs, S)
    seeds = by_seed.shape[-1]
    t = np.abs(by_seed.mean(-1)) / (by_seed.std(-1, ddof=1) / np.sqrt(seeds))
    pooled = np.sqrt((by_seed.var(-1, ddof=1)).mean(1, keepdims=True) / seeds)
    limit = Bound(arms, (arms - 1) * (seeds - 1), 1).limit(np.ones(()), FALSE_CLAIMS)
    yield (np.abs(by_seed.mean(-1)) > limit * pooled).any(1).mean()
    p = 2 * stats.t.sf(t, seeds - 1)
    yield (p.min(1) * p.shape[1] < FALSE_CLAIMS).mean()  # Holm claims something where its first step does
    signs = np.array(list(product((1, -1), repeat=min(seeds, 10))))
    flipped = np.abs(by_seed @ signs.T / seeds)
    share = (flipped >= np.abs(by_seed.mean(-1))[..., None] - 1e-12).mean(-1)
    yield (share.min(1) * share.shape[1] <= FALSE_CLAIMS).mean()
    drawn = chance.integers(0, seeds, (400, seeds))
    means = by_seed[..., drawn].mean(-1)
    level = 100 * FALSE_CLAIMS / by_seed.shape[1] / 2
    low, high = np.percentile(means, [level, 100 - level], axis=-1)
    yield ((low > 0) | (high < 0)).any(1).mean()


def sequences(studies: int) -> None:
    """Seeds added until something is claimed, at most 12; the first arm then is better by 3.5 errors."""
    looks = (3, 5, 8, 12)
    careless, even = "if every look spent the whole rate, %", "if the rate were spent evenly, %"
    _head(("arms", "groups", "looks", "false claims, %", careless, "the difference is claimed, %", even))
    for arms, groups in product((2, 4, 8), (10, 40)):
        own, proportional = shares(looks, arms), [seeds / looks[-1] for seeds in (3, 2, 3, 4)]
        whole = [1.0] * len(looks)
        found = {name: np.zeros(0, bool) for name in ("false", "careless", "late", "even")}
        seed, group, rest = PARTS["balanced"]
        gap = 3.5 * (seed**2 / looks[-1] + group**2 / groups + rest**2 / (looks[-1] * groups)) ** 0.5
        for tables in in_parts("balanced", studies, arms, looks[-1], groups):
            apart = tables.copy()
            apart[:, 0] += gap
            for name, given, levels in (
                ("false", tables, own),
                ("careless", tables, whole),
                ("late", apart, own),
                ("even", apart, proportional),
            ):
                claims = [
                    false_claims(given[:, :, :look], FOR_ARMS * level)
                    for look, level in zip(looks, levels, strict=True)
                ]
                found[name] = np.append(found[name], np.any(claims, axis=0))
        cells = " | ".join(f"{100 * each.mean():.1f}" for each in found.values())
        print(f"| {arms} | {groups} | {looks} | {cells} |", flush=True)


WORLDS = ((10, 6, 1), (5, 10, 2), (9, 5, 4))
"""Classes, recordings of each, clips of each recording: 45 to 60 recordings."""
SEARCHED = ("recall_at_1", "r_precision", "map_at_r", "multilabel_recall_at_1", "tag_overlap_at_4", "tag_map",
            "tag_ndcg")  # fmt: skip


def searches(studies: int) -> None:
    """False claims of equal arms by measures that search the test clips among themselves."""
    heads = ("classes x recordings x clips", "arms", *SEARCHED)
    print("\nFalse claims, %: each recording left out on both sides (in brackets: of the queries alone).")
    _head(heads)
    for world, arms in product(WORLDS, (2, 4)):
        chance = np.random.default_rng([*world, arms])
        claims = np.zeros((2, len(SEARCHED)))
        for _ in range(studies):
            both = searched(chance, world, arms, 3)
            claims += [[bool(false_claims(each[name][None])[0]) for name in SEARCHED] for each in both]
        shown = [f"{ours:.1f} ({old:.1f})" for ours, old in (100 * claims / studies).T]
        print(f"| {' x '.join(map(str, world))} | {arms} | " + " | ".join(shown) + " |", flush=True)


def searched(
    chance: np.random.Generator, world: tuple[int, int, int], arms: int, seeds: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """By measure (A, S, G) scores of equal arms: recordings left out on both sides, and as queries alone."""
    classes, recordings, clips = world
    labels, groups = _numbers(classes, recordings, clips)
    size = 12
    centres = chance.normal(0, 1.3, (classes, size))
    own = centres[labels] + chance.normal(0, 1, (groups[-1] + 1, size))[groups]
    heard = own + chance.normal(0, 0.5, own.shape)
    tags = own @ chance.normal(0, 1, (size, 8)) > 3.5
    tags[:, 0] |= ~tags.any(axis=1)
    found: tuple[dict[str, list[Floats]], ...] = ({}, {})
    for _ in range(arms):
        taken = heard + chance.normal(0, 0.7, (groups[-1] + 1, size))[groups]
        for _ in range(seeds):
            vectors = (taken + chance.normal(0, 0.5, own.shape)).astype(np.float32)
            for each, rows in zip(found, both_ways(vectors, labels, tags, groups), strict=True):
                for name, row in rows.items():
                    each.setdefault(name, []).append(row)

    def stacked(rows: dict[str, list[Floats]]) -> dict[str, Array]:
        return {name: np.stack(each).reshape(arms, seeds, -1) for name, each in rows.items()}

    return stacked(found[0]), stacked(found[1])


def both_ways(
    vectors: Vectors, labels: Ints, tags: Bools, groups: Ints
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """By measure (G,) pseudo-values: of recordings left out on both sides, and of the queries alone."""
    search, blocks = Search.within(vectors, sources=groups), Blocks.by(groups)
    scores = label_scores(search, labels, labels) | tag_scores(search, tags, tags)
    scores |= ranking_scores(search, tags, tags)
    without = label_means_without(search, labels, blocks) | tag_means_without(search, tags, blocks)
    ours = {
        name: left_out_by_block(float(np.nanmean(scores[name])), without[name][blocks.of], groups)
        for name in SEARCHED
    }
    return ours, {name: mean_by_group(scores[name], groups) for name in SEARCHED}


CASES = {
    "2": ((0.0, 0.0), (0.03, 0.03), 0.05),
    "2, trainings vary more": ((0.0, 0.0), (0.06, 0.06), 0.05),
    "4": ((0.0,) * 4, (0.03,) * 4, 0.05),
    "2, and 2 far below": ((0.0, 0.0, -0.3, -0.5), (0.03,) * 4, 0.05),
    "2, and 2 far below that vary more": ((0.0, 0.0, -0.3, -0.5), (0.03, 0.03, 0.12, 0.12), 0.05),
    "2 equal": ((0.0, 0.0), (0.03, 0.03), 0.0),
}
"""Arms: their means; the spread of their trainings; that of what is drawn for each, by which they differ."""
MEANINGFUL = 0.02


def promises(studies: int) -> None:
    """How often the number of seeds that a study names decides its first pair."""
    heads = ("arms", "seeds", "open", "a number is named", "kept, %", "said not to help", "decided by 100, %")
    print("\nOf the studies that leave their first pair open; true differences are drawn.")
    _head(heads)
    for number, ((name, case), seeds) in enumerate(product(CASES.items(), (3, 5))):
        chance = np.random.default_rng([number, seeds])
        told = np.sum([promise(chance, *case, seeds) for _ in range(studies)], axis=0)
        still, promised, kept, vain, wrong = told
        shares = f"{100 * kept / max(1, promised):.0f}", f"{100 * wrong / max(1, vain):.0f}"
        print(f"| {name} | {seeds} | {still} | {promised} | {shares[0]} | {vain} | {shares[1]} |", flush=True)


def promise(
    chance: np.random.Generator, base: tuple[float, ...], spreads: tuple[float, ...], gap: float, seeds: int
) -> Ints:
    """Whether the pair is open, has a number of seeds, is decided by them; has none, is decided by 100."""
    means = np.asarray(base) + chance.normal(0, gap, len(base))
    trained, heard = chance.normal(size=(len(base), 100, 1)), chance.normal(size=(len(base), 1, 40))
    rest = chance.normal(size=(len(base), 100, 40))
    tables = means[:, None, None] + np.asarray(spreads)[:, None, None] * (trained + 0.7 * heard + 1.5 * rest)
    names = [f"arm {number}" for number in range(len(base))]
    asked = PlannedTest("score", MEANINGFUL, dict.fromkeys(names, 1.0))

    def first(count: int) -> Comparison:
        return conclude(asked, dict(zip(names, tables[:, :count], strict=True))).comparisons[0]

    found = first(seeds)
    if found.claim != "undecided":
        return np.zeros(5, int)
    if found.more_seeds:
        return np.array([1, 1, first(found.more_seeds).claim != "undecided", 0, 0])
    in_vain = cost(found).startswith("more seeds will not help")
    return np.array([1, 0, 0, in_vain, in_vain and first(100).claim != "undecided"])


CUT = ((5, 10, 10), (4, 6, 20), (1, 30, 10))
"""Classes, recordings of each, clips of each recording; one class is judged by the recording alone."""


def places(sets: int) -> None:
    """How often the intervals of the parts of recordings hold the truth."""
    heads = [*PLACES, *(f"middle less {part}" for part in PLACES if part != "middle")]
    print("\nHeld, %: each recording left out on both sides (in brackets: of the queries alone).")
    _head(("classes x recordings x clips", "score", *heads))
    for world, by_recording in product(CUT, (False, True)):
        if world[0] == 1 and not by_recording:
            continue
        chance = np.random.default_rng([*world, by_recording])
        centres = chance.normal(0, 1, (world[0], 12))
        found = [placed(chance, centres, world, by_recording) for _ in range(sets)]
        told = np.array([[_five(parts) for parts in both] for both in found])  # (sets, 2, 5, 3)
        truth = np.nanmean(told[:, 0, :, 0], axis=0)
        held = 100 * ((told[..., 1] <= truth) & (truth <= told[..., 2])).mean(axis=0)
        shown = [f"{ours:.0f} ({alone:.0f})" for ours, alone in held.T]
        name = "same_recording_at_1" if by_recording else "multilabel_recall_at_1"
        print(f"| {' x '.join(map(str, world))} | {name} | " + " | ".join(shown) + " |", flush=True)


def placed(
    chance: np.random.Generator, centres: Floats, world: tuple[int, int, int], by_recording: bool
) -> tuple[tuple[PlaceScore, ...], tuple[PlaceScore, ...]]:
    """The parts' scores of one drawn set, whose ends are noisier, both ways."""
    labels, groups = _numbers(*world)
    where = np.tile((np.arange(world[2]) + 0.5) / world[2], world[0] * world[1])
    own = centres[labels] + chance.normal(0, 0.5 if by_recording else 1, (groups[-1] + 1, 12))[groups]
    noise = np.where(np.abs(where - 0.5) > 0.4, 0.9, 0.6)[:, None]
    vectors = (own + noise * chance.normal(0, 1, own.shape)).astype(np.float32)
    search = Search.within(vectors, sources=None if by_recording else groups)
    if by_recording:
        scores = same_recording(nearest(search, 1)[0][:, 0], groups)
        among = Among(search, partial(of_recording, groups), first_is_relevant)
    else:
        tags = np.eye(world[0], dtype=np.bool_)[labels]
        scores = tag_scores(search, tags, tags, (1,))["multilabel_recall_at_1"]
        among = Among(search, partial(sharing, tags), partial(recall_of_first, tags))
    return position_scores(scores, where, groups, among=among), position_scores(scores, where, groups)


def _five(parts: tuple[PlaceScore, ...]) -> list[tuple[float, float, float]]:
    """Three means and two differences, each with its interval; one that says nothing holds everything."""
    rows = [(part.score, part.interval) for part in parts]
    rows += [(part.less, part.less_interval) for part in parts if part.less is not None]
    return [(np.nan if figure is None else figure, *(ends or (-1.0, 1.0))) for figure, ends in rows]


def _numbers(classes: int, recordings: int, clips: int) -> tuple[Ints, Ints]:
    """(N,) the class and the recording of each clip."""
    groups = np.repeat(np.arange(classes * recordings), clips)
    return groups // recordings, groups


def main() -> None:
    """Prints Markdown tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--quick", action="store_true", help="a few cells only")
    parser.add_argument("--searches", action="store_true", help="searches within the test clips")
    parser.add_argument("--places", action="store_true", help="such searches by place in the recording")
    parser.add_argument("--promises", action="store_true", help="seeds that are said to decide")
    given = parser.parse_args()
    if given.searches:
        print(f"{given.studies} studies of equal arms and 3 seeds a cell.")
        searches(given.studies)
        return
    if given.promises:
        print(f"{given.studies} studies a row.")
        promises(given.studies)
        return
    if given.places:
        print(f"{given.studies} sets a row.")
        places(given.studies)
        return
    cells = list(product(ARMS, SEEDS, GROUPS))
    print(f"{given.studies} studies a cell; a family-wise level of {FALSE_CLAIMS:.0%} for all claims,")
    print(f"of which {FOR_ARMS:.0%} go to the arms among each other, as here.")
    main_table(given.studies, cells[::9] if given.quick else cells)
    rivals(given.studies, [(4, 3, 40)] if given.quick else list(product((2, 4, 8), (3, 5, 10), (40,))))
    sequences(given.studies)


if __name__ == "__main__":
    main()
