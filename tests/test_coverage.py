"""docs/coverage.md: every part of the source systems has a file, a test and a figure, and they exist."""

import json
import re
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coverage.md"
COLUMNS = ("id", "what it is", "where", "checked by", "what it showed", "data")
LETTERS = {"D": 13, "T": 16, "X": 10, "M": 20, "L": 9, "R": 11, "V": 30, "P": 11, "U": 20}
IDS = [f"{letter}{number}" for letter, last in LETTERS.items() for number in range(1, last + 1)]
IDS = [each for name in IDS for each in ([f"M7{part}" for part in "abcd"] if name == "M7" else [name])]
NAMED = re.compile(r"`([^`]+)`")


def rows() -> dict[str, dict[str, str]]:
    """The rows of all tables of the page, by id."""
    found: dict[str, dict[str, str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("|") and re.fullmatch(r"[A-Z]\d+[a-d]?", cells[0]):
            assert cells[0] not in found, f"{cells[0]} stands twice"
            found[cells[0]] = dict(zip(COLUMNS, cells, strict=True))
    return found


ROWS = rows() if PAGE.is_file() else {}


def test_every_part_has_its_row_and_no_other() -> None:
    assert sorted(ROWS) == sorted(IDS)


@pytest.mark.parametrize("name", IDS)
def test_a_row_is_filled_and_what_it_names_is_there(name: str) -> None:
    row = ROWS[name]
    for column, cell in row.items():
        assert cell.strip("–- "), f"{name}: nothing stands under {column!r}"
    places = NAMED.findall(row["where"])
    assert places, f"{name}: no file"
    for place in places:
        assert (ROOT / place).exists(), f"{name}: there is no {place}"
    checks = NAMED.findall(row["checked by"])
    assert checks, f"{name}: no test"
    for check in checks:
        path, _, function = check.partition("::")
        file = ROOT / path
        assert path.startswith("tests/"), f"{name}: {path} is no test"
        assert file.is_file(), f"{name}: there is no {path}"
        if function:
            assert re.search(
                rf"^def {re.escape(function)}\(", file.read_text(encoding="utf-8"), re.MULTILINE
            ), f"{name}: {path} has no {function}"


@cache
def _facts(study: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / "studies" / study / "facts.json").read_text())
    return found


FIGURES: dict[str, tuple[str, ...]] = {
    "T9": tuple(f"margin-{margin} @end train/active_fraction" for margin in ("0.3", "1", "10")),
    "T12": ("extreme @end train/active_fraction", "tag @end train/active_fraction"),
    "X4": ("wave", "log-mel"),
    "M8": ("embedding_size: size-2", "embedding_size: size-16", "larger_embedding: size-512"),
    "V2": ("margin-0.3 dense_probe/macro_f1", "margin-0.3"),
    "V8": ("margin-0.3 geometry/overlap", "margin-10 geometry/overlap"),
    "V9": ("margin-0.3 clusters/silhouette", "margin-0.3 baseline/chance/clusters/silhouette"),
    "V11": tuple(f"margin-{margin} geometry/centroid_spread" for margin in ("1", "0.3", "10")),
    "V17": ("margin: margin-0.3 clusters/nmi", "margin: margin-0.3 clusters/ami"),
    "V28": tuple(
        f"loss-triplet_miner-multi-similarity loss/{side}_{way}"
        for side in ("train", "val")
        for way in ("mined", "unmined")
    ),
    "V29": ("triplet-0.1", "triplet-1.0", "circle-0.1", "circle-1.0"),
    "V30": ("triplet @50 val/recall_at_1", "circle @50 val/recall_at_1"),
    "U1": ("margin-10", "margin-0.3"),
    "U2": ("1-s", "2-s", "5-s", "baseline/logmel_stats", "baseline/mfcc_stats", "baseline/random_encoder"),
    "U3": ("size-2", "size-16", "size-32", "size-64"),
    "U4": ("least", "most"),
    "U5": ("log-mel", "mfcc", "wave"),
    "U6": ("least", "most"),
    "U7": ("least", "most"),
    "U8": (
        "time-as-it-was",
        "time-in-the-batch",
        "labels",
        "baseline/random_encoder",
        "baseline/logmel_stats",
    ),
    "U9": (
        *("time-as-it-was", "time-in-the-batch", "albums", "baseline/mfcc_stats", "baseline/random_encoder"),
        *(f"{arm} clusters/nmi" for arm in ("time-as-it-was", "time-in-the-batch", "albums")),
    ),
    "U10": ("triplet", "circle", *(f"triplet - circle {part}" for part in ("difference", "low", "high"))),
    "U11": ("circle-0.4", "circle-1.0", "triplet-0.4", "triplet-1.0"),
    "U12": tuple(
        f"loss-{loss}_miner-{miner}"
        for loss in ("triplet", "circle")
        for miner in ("all", "multi-similarity")
    ),
    "U13": tuple(
        f"backbone-{arm} tagger/{area}" for area in ("pr_auc", "roc_auc") for arm in ("cnn2d", "cnn1d")
    ),
    "U14": ("none", "noise", "shift", "stretch", "all-three", "copies"),
    "U15": ("one", "three-alike", "10-20-30-ms", "10-20-30-ms-as-it-was"),
    "U16": ("focal", "cross-entropy", "focal-alpha-0.25", "rare-tags-weighed"),
    "U17": ("tag", "extreme", "errors", "errors-guarded", "tag-guarded", "baseline/mfcc_stats"),
    "U18": ("distance-cosine", "distance-euclidean"),
    "U19": ("from-chance", "tagger-s-kept", "tagger-s-trained-on", "baseline/mfcc_stats"),
    "U20": ("final", "first"),
}
"""The figures of a row, in its order, by where they stand in the facts of the study that it names: an arm or
a baseline, and a measure other than the judge's; two arms and what of their difference; `@`: a curve."""
CLAIMED: dict[str, dict[tuple[str, str], str]] = {
    "U3": {
        **{("size-2", f"size-{size}"): "worse" for size in (16, 32, 64)},
        ("size-16", "size-32"): "undecided",
        ("size-16", "size-64"): "undecided",
        ("size-32", "size-64"): "undecided",
    },
    "U5": {("log-mel", "mfcc"): "better", ("log-mel", "wave"): "better", ("mfcc", "wave"): "undecided"},
    "U1": {("margin-10", "margin-0.3"): "worse", ("margin-2", "margin-0.3"): "undecided"},
    "U7": {
        ("reduction-non-zero-mean_strength-0", "reduction-mean_strength-0"): "undecided",
        ("reduction-non-zero-mean_strength-0.1", "reduction-mean_strength-0.1"): "undecided",
        ("reduction-non-zero-mean_strength-0.1", "reduction-mean_strength-0"): "worse",
    },
    "U11": {},
    "U12": {
        ("loss-triplet_miner-all", "loss-triplet_miner-multi-similarity"): "undecided",
        ("loss-circle_miner-all", "loss-circle_miner-multi-similarity"): "better",
    },
    "U16": {
        ("cross-entropy", "focal"): "undecided",
        ("cross-entropy", "focal-alpha-0.25"): "better",
        ("rare-tags-weighed", "focal"): "better",
        ("rare-tags-weighed", "focal-alpha-0.25"): "better",
        ("rare-tags-weighed", "cross-entropy"): "undecided",
    },
    "U18": {("distance-cosine", "distance-euclidean"): "equal"},
}
"""What a row says of pairs of arms; of all other studies, that no pair of arms is decided."""
QUOTES = {
    name: studies
    for name, row in ROWS.items()
    if (studies := sorted(set(re.findall(r"docs/studies/(\w+)", " ".join(row.values()))) - {"README"}))
}
"""The studies whose documents a row names."""
THREE_DIGITS = re.compile(r"[+−-]?(?<![\d.,])[01]\.\d{3}(?!\d)")


def _figure(studies: list[str], place: str) -> float:
    """The value that one of FIGURES names."""
    study, _, rest = place.rpartition(": ")
    facts = _facts(study or studies[0])
    conclusion = facts["conclusion"]
    if " - " in rest:
        one, _, other, part = rest.split(" ")
        pair = next(x for x in conclusion["comparisons"] if (x["one"], x["other"]) == (one, other))
        return float(pair[part])
    arm, _, measure = rest.partition(" ")
    means = {x: each["mean"] for x, each in conclusion["estimates"].items() if not x.startswith("baseline/")}
    if arm in ("least", "most"):
        return float({"least": min, "most": max}[arm](means.values()))
    if arm.startswith("baseline/"):
        return float(facts["baselines"][arm.removeprefix("baseline/")][measure or conclusion["measure"]])
    if not measure:
        return float(means[arm])
    runs = next(x["runs"] for x in facts["arms"] if x["arm"]["id"] == arm)
    if not measure.startswith("@"):
        return fmean(run["metrics"][measure] for run in runs)
    at, _, name = measure[1:].partition(" ")
    curves = [run["curves"][name] for run in runs]
    if at == "end":
        return fmean(fmean(curve["values"][-10:]) for curve in curves)
    return fmean(curve["values"][curve["updates"].index(int(at))] for curve in curves)


@pytest.mark.parametrize("name", QUOTES)
def test_every_figure_of_a_row_is_that_of_the_document_that_it_names(name: str) -> None:
    """All figures of three digits, one by one; a document that is made again turns its rows red."""
    told = re.sub(r"`[^`]*`", "", ROWS[name]["what it showed"])  # what commands print is theirs
    said = THREE_DIGITS.findall(told)
    expected = [(place, _figure(QUOTES[name], place)) for place in FIGURES.get(name, ())]
    signed = [
        f"{value:+.3f}" if figure[0] in "+−-" else f"{value:.3f}"
        for figure, (_, value) in zip(said, expected, strict=False)
    ]
    assert len(said) == len(expected), f"{name}: {said} stand in the row, {expected} in the documents"
    assert [figure.replace("−", "-") for figure in said] == signed, f"{name}: {expected}"


@pytest.mark.parametrize("name", [name for name in QUOTES if name.startswith("U")])
def test_what_a_row_says_of_its_arms_is_what_its_document_claims(name: str) -> None:
    (study,) = QUOTES[name]
    found: dict[tuple[str, str], str] = {}
    for pair in _facts(study)["conclusion"]["comparisons"]:
        turned = {"better": "worse", "worse": "better"}.get(pair["claim"], pair["claim"])
        found |= {(pair["one"], pair["other"]): pair["claim"], (pair["other"], pair["one"]): turned}
    arms = {pair: claim for pair, claim in found.items() if not any(x.startswith("baseline/") for x in pair)}
    if name not in CLAIMED:
        assert set(arms.values()) == {"undecided"}, f"{name}: {arms}"
        assert ROWS[name]["what it showed"].startswith("not decided")
    for pair, claim in CLAIMED.get(name, {}).items():
        assert arms[pair] == claim, f"{name}: {pair}"


def test_how_fast_is_what_the_document_says() -> None:
    for speed in _facts("circle_or_triplet")["speeds"]:
        there = [update for update in speed["updates"] if update is not None]
        first, last, never = min(there), max(there), speed["never"]
        told = (
            f"{speed['arm']} {speed['median_updates']}",
            f"({first} to {last}), {speed['median_seconds']:.1f} s",
        )
        row = ROWS["V30"]["what it showed"].replace(" updates", "")
        assert " ".join(told) + (f", {never} of {len(speed['updates'])} never" if never else "") in row


def test_every_probe_of_the_margins_converged() -> None:
    runs = [run for arm in _facts("margin")["arms"] for run in arm["runs"]]
    assert f"converged in all {len(runs)} trainings" in ROWS["R11"]["what it showed"]
    assert all(run["metrics"]["probe/converged"] for run in runs)


def test_every_study_is_checked_by_a_run() -> None:
    runs = re.compile(r"`tests/study/test_study_runs\.py::test_a_shipped_study_runs`")
    assert [name for name in ROWS if name.startswith("U") and not runs.search(ROWS[name]["checked by"])] == []
