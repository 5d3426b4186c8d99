"""How often intervals of areas under curves of tags hold the truth, simulated through `evaluate`'s own table.

    python benchmarks/areas.py [--sets 300]

A tag is on a given share of the recordings and lifts their scores. Noise is of three kinds: common to all
tags of a recording, common to its clips, and of a single clip. The truth is the mean area, over the tags
that a set can score, in a very large set (20,000 recordings). In brackets: how often the interval holds the
mean area of sets of the same size, which differs by the bias.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from rich.progress import track

from nearfield.core.types import Bools, Floats
from nearfield.metrics.intervals import Resamples
from nearfield.metrics.result import Findings
from nearfield.metrics.retrieval import Blocks
from nearfield.metrics.tag_metrics import AREAS, TagTable
from nearfield.metrics.tagging import tag_areas


@dataclass(frozen=True)
class World:
    """Where test sets come from."""

    groups: int
    clips: int
    tags: int
    shares: tuple[float, float]
    """Of the recordings that have the rarest and the most common tag."""
    lift: float
    """Of scores where the tag is there, about which tags differ by a third."""
    shared: float = 0.7
    """Share of the noise's variance that the clips of a recording share."""


WORLDS = (
    World(41, 3, 44, (0.03, 0.4), 0.4),
    World(41, 3, 44, (0.03, 0.4), 1.2),
    World(41, 3, 44, (0.05, 0.4), 2.8),
    World(41, 3, 44, (0.02, 0.06), 1.5),
    World(57, 2, 5, (0.2, 0.5), 1.2),
    World(57, 2, 5, (0.2, 0.5), 3.0),
    World(57, 2, 5, (0.06, 0.12), 1.2),
    World(57, 2, 5, (0.06, 0.12), 3.2),
    World(45, 4, 8, (0.08, 0.3), 1.2),
    World(50, 2, 1, (0.2, 0.2), 1.2),
    World(57, 2, 1, (0.8, 0.8), 1.2),
    World(20, 3, 20, (0.05, 0.4), 1.2),
    World(200, 2, 20, (0.03, 0.4), 1.2),
)


def main() -> None:
    """Prints a Markdown table: shares of sets whose interval holds the truth, and mean widths."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", type=int, default=300, help="simulated test sets of each world")
    given = parser.parse_args()
    heads = ("recordings x clips", "tags", "share with a tag", "true PR-AUC", "its bias")
    shown = ("mean ROC-AUC", "mean PR-AUC", "ROC-AUC of one tag", "PR-AUC of one tag")
    print("| " + " | ".join(heads + shown) + " |\n" + "|---" * len(heads + shown) + "|")
    for number, world in enumerate(track(WORLDS, "simulating", transient=True)):
        low, high = world.shares
        share = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        row = covered(world, number, given.sets)
        print(f"| {world.groups} x {world.clips} | {world.tags} | {share} | {row} |", flush=True)


def covered(world: World, seed: int, sets: int) -> str:
    """The other cells of a row."""
    chance = np.random.default_rng([seed, 4])
    large = {name: values[0] for name, values in tag_areas(*drawn(world, chance, 20_000)).items()}
    means: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in AREAS}
    single: dict[str, list[bool]] = {name: [] for name in AREAS}
    for _ in range(sets):
        tags, scores = drawn(world, chance, world.groups)
        at = np.arange(len(tags))
        groups = at // world.clips
        # Nothing is drawn: areas take the blocks alone.
        found = Findings(len(at), Resamples.of(groups, 0), Blocks.by(groups))
        table = TagTable.of(tags, scores, at, found)
        table.add_means("tags", found)
        rows = table.rows(tuple(map(str, range(world.tags))), tags.sum(axis=0), np.arange(world.tags))
        for name in AREAS:
            scored = np.isfinite(table.areas[name])
            if f"tags/{name}" in found.intervals:
                low, high = found.intervals[f"tags/{name}"]
                means[name].append((found.metrics[f"tags/{name}"], large[name][scored].mean(), low, high))
            ends = [getattr(row, f"{name}_interval") for row in rows]
            single[name] += [
                each[0] <= truth <= each[1] for each, truth in zip(ends, large[name], strict=True) if each
            ]
    biased = np.mean([figure - truth for figure, truth, _, _ in means["pr_auc"]])
    cells = [f"{large['pr_auc'].mean():.2f}", f"{biased:.3f}"]
    for name in AREAS:
        figure, truth, low, high = np.array(means[name]).T
        sized = truth + (figure - truth).mean()
        held, also = (100 * np.mean((low <= each) & (each <= high)) for each in (truth, sized))
        cells.append(f"{held:.0f} ({also:.0f}), width {np.mean(high - low):.3f}")
    return " | ".join(cells + [f"{100 * np.mean(single[name]):.0f}" for name in AREAS])


def drawn(world: World, chance: np.random.Generator, groups: int) -> tuple[Bools, Floats]:
    """(N, K) tags and scores of the clips of one set."""
    shape = (groups, world.tags)
    has = chance.random(shape) < np.geomspace(*world.shares, world.tags)
    lifts = world.lift * np.linspace(0.67, 1.33, world.tags) if world.tags > 1 else world.lift
    own = 0.8 * chance.normal(size=shape) + 0.6 * chance.normal(size=(groups, 1))
    scores = np.repeat(has * lifts + np.sqrt(world.shared) * own, world.clips, axis=0)
    scores += np.sqrt(1 - world.shared) * chance.normal(size=scores.shape)
    return np.repeat(has, world.clips, axis=0), scores


if __name__ == "__main__":
    main()
