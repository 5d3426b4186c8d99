"""A study's facts, made up as real ones look: six margins, five seeds, a failed run, all kinds of verdict."""

import math
from itertools import combinations
from typing import Any, Literal

import numpy as np

from nearfield.study.records import (
    Arm,
    ArmFacts,
    ClassFacts,
    Comparison,
    Conclusion,
    Curve,
    Estimate,
    Interval,
    MapFacts,
    RunFacts,
    SourceClaim,
    StudyFacts,
    VarianceParts,
    Verdict,
    Word,
)

CLASSES = (
    "chainsaw",
    "clock tick",
    "crackling fire",
    "crying baby",
    "dog",
    "helicopter",
    "rain",
    "rooster",
    "sea waves",
    "sneezing",
)
MEANS = {"0.3": 0.741, "0.5": 0.781, "0.7": 0.778, "1": 0.764, "2": 0.722, "10": 0.512}
PLAIN = {"chance": 0.1, "mfcc_stats": 0.706, "logmel_stats": 0.719, "random_encoder": 0.731}
SEEDS = (0, 1, 2, 3, 4)
FAILED = ("margin-10", 3)


def sample_facts(**changes: Any) -> StudyFacts:
    """A whole study; `changes` replace fields of StudyFacts."""
    fields: dict[str, Any] = {
        "title": "Margin of the triplet loss",
        "question": "How does the margin affect the embedding space?",
        "plan_hash": "9f2c4e7a1b3d5f60718293a4b5c6d7e8f9a0b1c2d3e4f5061728394a5b6c7d8e",
        "judge": "probe/macro_f1",
        "meaningful": 0.01,
        "seeds": SEEDS,
        "planned_seeds": "5",
        "varied": ("loss.margin",),
        "held": "300 updates of 64 clips of 5 s each",
        "recipe": RECIPE,
        "arms": tuple(_arm(name) for name in MEANS),
        "conclusion": sample_conclusion(),
        "baselines": {name: _plain_space(value) for name, value in PLAIN.items()},
        "data": DATA,
        "environment": ENVIRONMENT,
        "deviations": ("The reference arm was named after the plan was frozen: margin-1.",),
        "source": SourceClaim(
            study="U1",
            document="Study doc: Margin experiment, Groeger, April 2020",
            question="How does the margin affect the embedding space?",
            concluded="A margin of 1.0 gives equally distributed distances and is better than all others.",
            prefers="margin-1",
            over=("margin-0.3", "margin-0.5", "margin-0.7", "margin-2"),
        ),
        "command": "nearfield study run studies/u1_margin.yaml --data data/esc10 --out margin",
        "reduced": "300 updates in place of ten epochs, on esc10 in place of DCASE 2018 task 5.",
    }
    return StudyFacts(**(fields | changes))


def sample_conclusion(decided: bool = False) -> Conclusion:
    """Arms 0.3 to 2 compared with each other and with the plain spaces; 10, of which a run failed, is not.

    `decided`: with narrow intervals, so that one arm is best and none is open.
    """
    arms = [f"margin-{name}" for name in MEANS if name != "10"]
    plain = [f"baseline/{name}" for name in PLAIN if name != "chance"]
    pairs = [*combinations(arms, 2), *((arm, space) for arm in arms for space in plain)]
    return Conclusion(
        measure="probe/macro_f1",
        meaningful=0.01,
        estimates={name: _estimate(name) for name in [*(f"margin-{m}" for m in MEANS), *plain]},
        comparisons=tuple(_comparison(one, other, decided) for one, other in pairs),
        verdicts=(
            _verdict("0.3", "worse", "0.5"),
            _verdict("0.5", "best" if decided else "as_good", "0.7"),
            _verdict("0.7", "as_good", "0.5"),
            _verdict("1", "worse" if decided else "undecided", "0.5"),
            _verdict("2", "worse", "0.5"),
            Verdict("margin-10", "not_comparable", "", "1 of its 5 trainings failed: the loss became NaN"),
        ),
        recommended="margin-0.5",
        recommended_because=(
            "it has the highest mean of those that are as good as the best; they cost the same"
        ),
        procedure=(
            "Differences are paired by seed and test group. Their variance divides by crossed random effects "
            "into training chance, test groups and what is left; degrees of freedom by Satterthwaite. "
            "Intervals and p values hold for all comparisons of the study together."
        ),
        candidates=("margin-0.5",) if decided else ("margin-0.5", "margin-0.7", "margin-1"),
        at_most_lost=0.0 if decided else 0.0024,
    )


def _mean(name: str) -> float:
    return PLAIN[name[9:]] if name.startswith("baseline/") else MEANS[name.removeprefix("margin-")]


def _estimate(name: str) -> Estimate:
    mean = _mean(name)
    noise = _generator(name).normal(0, 0.009, len(SEEDS))
    noise -= noise.mean()
    seeds = tuple(None if (name, s) == FAILED else round(mean + float(noise[s]), 4) for s in SEEDS)
    return Estimate(mean, mean - 0.024, mean + 0.024, seeds)


def _comparison(one: str, other: str, decided: bool) -> Comparison:
    difference = round(_mean(one) - _mean(other), 4)
    close = (one, other) == ("margin-0.5", "margin-0.7")
    half = 0.0025 if decided else 0.0055 if close else 0.0194
    low, high = difference - half, difference + half
    claim: Literal["better", "worse", "equal", "undecided"] = "undecided"
    if low > 0 or high < 0:
        claim = "better" if low > 0 else "worse"
    elif low > -0.01 and high < 0.01:
        claim = "equal"
    p = math.erfc(abs(difference) / half * 1.6)
    return Comparison(
        one=one,
        other=other,
        difference=difference,
        low=low,
        high=high,
        p=min(1.0, p * 4),
        p_alone=p,
        seeds=5,
        groups=40,
        parts=VarianceParts(seed=0.012, group=0.031, residual=0.02),
        claim=claim,
        more_seeds=(None if other.startswith("baseline/") else 14) if claim == "undecided" else None,
        power=0.62,
    )


def _verdict(name: str, word: Word, against: str) -> Verdict:
    return Verdict(f"margin-{name}", word, f"margin-{against}", "")


def _arm(name: str) -> ArmFacts:
    arm = Arm(f"margin-{name}", name, {"loss.margin": float(name)})
    fails = arm.id == FAILED[0]
    return ArmFacts(
        arm=arm,
        parameters=392_000,
        runs=tuple(_run(arm, seed) for seed in SEEDS),
        measures={
            "retrieval_from_train/recall_at_1": _shifted(_estimate(arm.id), 0.03),
            "geometry/effective_rank": _shifted(_estimate(arm.id), 11.2),
        },
        classes=tuple(_class(arm, position) for position in range(len(CLASSES))),
        centroid_names=CLASSES,
        centroid_distances=_distances(float(name)),
        maps=(_map(arm, "pca", 0.81), _map(arm, "umap", 0.93)),
        warnings=("One run of it failed.",) if fails else (),
    )


def _shifted(estimate: Estimate, by: float) -> Estimate:
    per_seed = tuple(None if value is None else value + by for value in estimate.per_seed)
    return Estimate(estimate.mean + by, estimate.low + by, estimate.high + by, per_seed)


def _run(arm: Arm, seed: int) -> RunFacts:
    failed = (arm.id, seed) == FAILED
    updates = tuple(range(0, 120 if failed else 300, 2))
    rng = _generator(f"{arm.id} {seed}")
    margin = float(arm.name)
    t = np.array(updates) / 300
    floor = max(0.0, margin - 3.2) + 0.12 * margin
    loss = floor + (margin * 1.1 - floor * 0.6) * np.exp(-5 * t) + rng.normal(0, 0.05 * margin, len(t))
    active = np.clip(0.08 * margin + 0.75 * np.exp(-4 * t) + rng.normal(0, 0.03, len(t)), 0, 1)
    sparse = updates[:: max(1, len(updates) // 10)]
    top = MEANS[arm.name] + 0.02
    val = [top * (1 - math.exp(-8 * (u + 8) / 300)) + float(rng.normal(0, 0.012)) for u in sparse]
    curves = {
        "train/loss": Curve(updates, tuple(round(max(0.0, float(v)), 4) for v in loss)),
        "train/active_fraction": Curve(updates, tuple(round(float(v), 4) for v in active)),
        "val/recall_at_1": Curve(sparse, tuple(round(v, 4) for v in val)),
    }
    score = _estimate(arm.id).per_seed[seed]
    return RunFacts(
        arm=arm.id,
        seed=seed,
        state="failed" if failed else "done",
        cause="The loss became NaN at update 118." if failed else "",
        metrics={} if score is None else {"probe/macro_f1": score},
        curves=curves,
        notes=("Hubs: 3 clips are nearest to more than a tenth of all.",) if arm.name == "10" else (),
    )


def _class(arm: Arm, position: int) -> ClassFacts:
    f1 = min(0.99, max(0.05, MEANS[arm.name] + 0.16 * math.sin(2.1 * position)))
    return ClassFacts(CLASSES[position], 40, round(f1, 3), (round(f1 - 0.03, 3), round(f1 + 0.02, 3)))


def _distances(margin: float) -> tuple[tuple[float, ...], ...]:
    places = _generator("centroids").normal(size=(len(CLASSES), 4))
    places[:, 0] *= 1 + 1 / margin
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    return tuple(tuple(round(float(v), 4) for v in row) for row in apart)


def _map(arm: Arm, method: Literal["pca", "umap"], trust: float) -> MapFacts:
    rng = _generator(f"{arm.id} {method}")
    reach = 4 if method == "umap" else 2
    centres = _generator(method).normal(size=(len(CLASSES), 2)) * reach
    labels = tuple(name for name in CLASSES for _ in range(24))
    points: list[Interval] = []
    for name in labels:
        x, y = centres[CLASSES.index(name)] + rng.normal(0, 0.6, 2)
        points.append((round(float(x), 3), round(float(y), 3)))
    return MapFacts(method, tuple(points), labels, trust + 0.01 * len(arm.name))


def _plain_space(value: float) -> dict[str, float]:
    return {
        "probe/macro_f1": value,
        "retrieval_from_train/recall_at_1": value + 0.02,
        "geometry/effective_rank": 9.1,
    }


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))


RECIPE: dict[str, Any] = {
    "data": {"kind": "data", "sample_rate": 16000, "clip_seconds": 5.0, "channels": "mean", "label": None},
    "feature": {"kind": "log_mel", "bands": 64, "window_ms": 30.0, "hop_ms": 10.0, "fft": None, "power": 2},
    "normalize": {"kind": "clip_band", "scale": False},
    "augment": [
        {"kind": "time_shift", "max_seconds": 0.6, "probability": 1.0},
        {"kind": "frequency_mask", "max_bands": 8, "probability": 1.0},
    ],
    "backbone": {"kind": "small_convnet", "width": 32, "blocks": 4, "stem_stride": [4, 4]},
    "embedding": {"size": 64, "normalize": True, "dropout": 0.0},
    "relation": {"kind": "labels"},
    "sampler": {"kind": "balanced", "classes": 8, "per_class": 8},
    "miner": {"kind": "all", "margin": None},
    "loss": {"kind": "triplet", "margin": 1.0, "distance": "squared", "reduction": "non_zero_mean"},
    "penalty": {"strength": 0.0, "of": "kernels"},
    "optimizer": {"kind": "adam", "lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8},
    "schedule": {"kind": "cosine", "warm_up": 0.0},
    "train": {"updates": 300, "precision": "bf16"},
}
DATA: dict[str, Any] = {
    "name": "esc10",
    "clips": 400,
    "hours": 0.556,
    "classes": list(CLASSES),
    "split": {"train": 240, "val": 80, "test": 80},
    "groups": 40,
    "fingerprint": "3b1f5c8a9d",
    "problems": [],
    "leaks": [],
}
ENVIRONMENT: dict[str, Any] = {
    "versions": {"nearfield": "0.2.0", "python": "3.11.2", "torch": "2.13.0", "numpy": "2.3.1"},
    "device": "cpu",
    "precision": "bf16",
}
