"""Blinded listening tests: pairs, form, analysis."""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from nearfield.core.errors import RequestError
from nearfield.core.files import write_text
from nearfield.core.rng import stream
from nearfield.core.types import Bools, Floats, Ints
from nearfield.data.audio import write_sound
from nearfield.metrics.neighbors import Search, nearest, unit
from nearfield.space.listening.library import ClipLibrary, angles, spherical_mean
from nearfield.space.listening.songs import Joined, Transition, join, pieces_of

# Pairs for a blinded listening test: pairs that are near in the space, and random control pairs.
#
# Each anchor has a pair in every condition, so that conditions are compared within anchors:
#
# - `neighbour`: its nearest clip of another group. `random`: a random clip of another group.
# - `label`: the clip nearest to the centroid of the anchor's label. `shuffled label`: the same with another,
#   random label. Both only if there are labels.

Condition = Literal["neighbour", "random", "label", "shuffled label"]

CONTROLS: dict[Condition, Condition] = {"neighbour": "random", "label": "shuffled label"}
"""Each condition with its control."""


@dataclass(frozen=True)
class Pair:
    """Two clips to be rated."""

    condition: Condition
    anchor: int
    """Row of the library."""
    other: int
    anchor_first: bool
    """Whether the anchor is played first; chosen at random."""


def draw_pairs(library: ClipLibrary, anchors: int, seed: int) -> list[Pair]:
    """The pairs of `anchors` random anchors in random order.

    Raises RequestError if there are fewer than two groups of clips.
    """
    rng, groups = stream(seed, "listening test"), library.groups
    if len(np.unique(groups)) < 2:
        raise RequestError(f"{library.name}: a listening test needs clips of at least two groups.")
    labels = library.labels
    able = np.flatnonzero(labels >= 0) if len(library.label_names) > 1 else np.arange(len(library))
    rows = rng.permutation(able)[:anchors]
    pairs = []
    search = Search(library.vectors[rows], library.vectors, "cosine", rows, groups[rows], groups)
    first = nearest(search, 1)[0][:, 0]
    for row, near in zip(rows.tolist(), first.tolist(), strict=True):
        other = int(rng.choice(np.flatnonzero(groups != groups[row])))
        pairs += [_pair("neighbour", row, near, rng), _pair("random", row, other, rng)]
    if len(library.label_names) > 1:
        pairs += _label_pairs(library, rows, rng)
    return [pairs[at] for at in rng.permutation(len(pairs))]


def _label_pairs(library: ClipLibrary, rows: Ints, rng: np.random.Generator) -> list[Pair]:
    labels, names, pairs = library.labels, library.label_names, []
    for row in rows.tolist():
        others = np.array([number for number in range(len(names)) if number != labels[row]])
        own = _central_clip(library, labels == labels[row], row)
        shuffled = _central_clip(library, labels == rng.choice(others), row)
        if own is not None and shuffled is not None:
            pairs += [_pair("label", row, own, rng), _pair("shuffled label", row, shuffled, rng)]
    return pairs


def _central_clip(library: ClipLibrary, members: Bools, row: int) -> int | None:
    """The clip of another group than the anchor's that is nearest to the centroid of a label."""
    own = np.flatnonzero(members & (library.groups != library.groups[row]))
    if not len(own):
        return None
    apart = angles(library.vectors[own], spherical_mean(library.vectors[members]))
    return int(own[int(np.argmin(apart))])


def _pair(condition: Condition, anchor: int, other: int, rng: np.random.Generator) -> Pair:
    return Pair(condition, anchor, other, bool(rng.integers(2)))


# The form of the listening test: one HTML file for the listeners, and a key that they do not get.
#
# The page contains the sounds and nothing that reveals a condition: no names, no distances, a random order
# of pairs and within pairs. Answers stay in the browser until they are saved as CSV; nothing is sent.

TEMPLATE = Path(__file__).parent / "form.html"
LOWEST, HIGHEST = 1, 10
"""Ratings: not similar at all, and the same."""


@dataclass(frozen=True)
class Form:
    """The files of a listening test."""

    page: Path
    key: Path
    """The condition of each pair; listeners must not see it."""
    id: str
    pairs: int
    conditions: dict[str, int]
    """Number of pairs of each condition."""

    def plain(self) -> dict[str, Any]:
        """The fields as values for JSON."""
        return {
            "form": self.id,
            "page": str(self.page),
            "key": str(self.key),
            "pairs": self.pairs,
            "conditions": self.conditions,
        }


def write_form(
    library: ClipLibrary,
    page: Path,
    key: Path | None = None,
    anchors: int = 10,
    seconds: float = 5.0,
    seed: int = 0,
) -> Form:
    """Writes the form of a listening test and its key (JSON; by default next to the page).

    `anchors`: number of clips, each of which gets a pair in every condition; `seconds` of each clip that are
    played. Raises RequestError if the suffix of `page` is not .html or there are too few clips, DataError if
    a file cannot be read.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise RequestError(f"{page}: the form is an HTML page. Give it a name that ends in .html.")
    key = key or page.with_name(f"{page.stem}-key.json")
    pairs = draw_pairs(library, anchors, seed)
    rows = sorted({row for pair in pairs for row in (pair.anchor, pair.other)})
    sounds = {row: _sound(library, row, seconds) for row in rows}
    names = [f"p{number:03d}" for number in range(1, len(pairs) + 1)]
    listed = [_described(library, name, pair) for name, pair in zip(names, pairs, strict=True)]
    own = hashlib.sha256(json.dumps([listed, seed]).encode()).hexdigest()[:12]
    given = [_heard(name, pair, rows) for name, pair in zip(names, pairs, strict=True)]
    content = {
        "form": own,
        "lowest": LOWEST,
        "highest": HIGHEST,
        "pairs": given,
        "sounds": [sounds[row] for row in rows],
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    # A closing tag in the data would end the script.
    write_text(page, text.replace("/*CONTENT*/null", json.dumps(content).replace("</", "<\\/")))
    write_text(key, json.dumps({"form": own, "space": library.name, "seed": seed, "pairs": listed}, indent=1))
    counted = {each["condition"] for each in listed}
    counts = {name: sum(each["condition"] == name for each in listed) for name in sorted(counted)}
    return Form(page, key, own, len(pairs), counts)


def _heard(name: str, pair: Pair, rows: list[int]) -> dict[str, Any]:
    """The entry of a pair in the page: two sounds by number."""
    both = [rows.index(pair.anchor), rows.index(pair.other)]
    return {"pair": name, "sounds": both if pair.anchor_first else both[::-1]}


def _described(library: ClipLibrary, name: str, pair: Pair) -> dict[str, Any]:
    """The entry of a pair in the key."""
    anchor, other = (library.table.iloc[row] for row in (pair.anchor, pair.other))
    left, right = unit(library.vectors[[pair.anchor, pair.other]].astype(np.float64))
    return {
        "pair": name,
        "condition": pair.condition,
        "anchor": str(anchor["id"]),
        "other": str(other["id"]),
        "anchor_label": str(anchor["label"] or ""),
        "other_label": str(other["label"] or ""),
        "distance": float(1 - left @ right),
        "anchor_first": pair.anchor_first,
    }


def _sound(library: ClipLibrary, row: int, seconds: float) -> str:
    """A clip as a FLAC data URL."""
    joined: Joined = join(pieces_of(library.take([row]), seconds), Transition(gap=0.0))
    out = io.BytesIO()
    write_sound(out, joined.wave, joined.rate, ".flac")
    return "data:audio/flac;base64," + base64.b64encode(out.getvalue()).decode()


# Analysis of the answers: ratings by condition, and the difference of each condition to its control.
#
# Conventions: the rating of a pair is the mean over the listeners who rated it. Means have 95 % intervals of
# Student's t over pairs. Differences are within anchors, with interval and p of a paired t test over anchors.
# Both are corrected for m differences by Bonferroni's rule (intervals of level 1 - 0.05 / m, p times m), so
# that an interval excludes 0 exactly if p < 0.05. Holm's rule is more powerful, but has no simple intervals
# that agree with it.
#
# Intervals are clipped to the possible values: the scale for means, plus or minus its length for differences.
# The t test is also used for few anchors because a sign-flip test has no power there: with 5 anchors its
# smallest p is 2 / 2^5 = 0.06. If all differences are equal, t is undefined; then p is that of the sign-flip
# test, and there is no interval.
#
# The results generalize to other clips of this space rated by the same listeners, not to other listeners.

COLUMNS = ("form", "rater", "pair", "rating")
_ROUNDING = 1e-9
"""Tolerance for equal means over listeners: 10/3 - 3 and 4/3 - 1 differ in their last bits."""


@dataclass(frozen=True)
class Rated:
    """The ratings of one condition."""

    condition: str
    pairs: int
    mean: float
    interval: tuple[float, float] | None
    """95 %, clipped to the scale; None for a single pair, and if all ratings are equal."""


@dataclass(frozen=True)
class Against:
    """The difference of a condition to its control."""

    condition: str
    control: str
    anchors: int
    difference: float
    interval: tuple[float, float] | None
    """95 %, corrected for all differences; None for a single anchor, and if all differences are equal."""
    p: float | None
    """Corrected for all differences, as the interval is."""


@dataclass(frozen=True)
class ListeningResult:
    """The results of a listening test."""

    form: str
    raters: tuple[str, ...]
    answers: int
    conditions: tuple[Rated, ...]
    differences: tuple[Against, ...]
    by_rater: dict[str, dict[str, float]]
    """The mean rating of each condition by each listener."""
    with_distance: float | None
    """Rank correlation of ratings and distances of pairs: -1 if nearer pairs always have higher ratings."""

    def plain(self) -> dict[str, Any]:
        """The fields as values for JSON."""
        return asdict(self)


def analyse(answers: Sequence[Path], key: Path) -> ListeningResult:
    """Analyzes the answers of one or more listeners with the key.

    Raises RequestError if a file is invalid or of another form, or has a pair twice, a rating out of range
    or an unknown pair.
    """
    known = _key(key)
    table = pd.concat([_answers(path, known) for path in answers], ignore_index=True)
    doubled = table[table.duplicated(["rater", "pair"])]
    if len(doubled):
        rater, pair = doubled.iloc[0][["rater", "pair"]]
        raise RequestError(
            f"{rater!r} rated {pair} twice. Give each file once, and use a different name for each listener."
        )
    pairs = pd.DataFrame(known["pairs"]).set_index("pair")
    table = table.join(pairs, on="pair")
    mean = table.groupby("pair")["rating"].mean()
    rated = pairs.loc[mean.index].assign(rating=mean)
    means = table.groupby(["rater", "condition"])["rating"].mean()
    return ListeningResult(
        form=known["form"],
        raters=tuple(sorted(set(table["rater"]))),
        answers=len(table),
        conditions=tuple(_rated(name, rated) for name in _ordered(set(rated["condition"]))),
        differences=_differences(rated),
        by_rater={rater: means[rater].to_dict() for rater in sorted(set(table["rater"]))},
        with_distance=_correlation(rated),
    )


def _key(path: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if known["pairs"] and known["form"]:
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise RequestError(
        f"{path} is not the key of a listening test: give the JSON file written with the form."
    )


def _answers(path: Path, known: dict[str, Any]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise RequestError(f"{path} cannot be read as CSV: {error}") from None
    missing = [name for name in COLUMNS if name not in table]
    if missing or not len(table):
        raise RequestError(f"{path} holds no answers: it needs the columns {', '.join(COLUMNS)} and a row.")
    if set(table["form"]) != {known["form"]}:
        raise RequestError(
            f"{path} answers the form {table['form'].iloc[0]}, but the key is of {known['form']}. "
            "Give the key that was written with that form."
        )
    ratings = pd.to_numeric(table["rating"], errors="coerce")
    outside = ~ratings.between(LOWEST, HIGHEST)
    if outside.any():
        given = table["rating"][outside].iloc[0]
        raise RequestError(f"{path}: a rating is a number from {LOWEST} to {HIGHEST}. Given: {given!r}.")
    strangers = set(table["pair"]) - {each["pair"] for each in known["pairs"]}
    if strangers:
        raise RequestError(f"{path}: the key has no pair {sorted(strangers)[0]!r}.")
    return table[["rater", "pair"]].assign(rating=ratings)


def _ordered(names: set[str]) -> list[str]:
    """Each condition before its control."""
    usual = [name for pair in CONTROLS.items() for name in pair]
    return sorted(names, key=lambda name: (usual.index(name) if name in usual else len(usual), name))


def _rated(name: str, rated: pd.DataFrame) -> Rated:
    values = rated["rating"][rated["condition"] == name].to_numpy(np.float64)
    return Rated(name, len(values), float(values.mean()), _interval(values, (LOWEST, HIGHEST)))


def _differences(rated: pd.DataFrame) -> tuple[Against, ...]:
    gaps = {pair: _gap(rated, *pair) for pair in CONTROLS.items()}
    compared = sum(len(gap) > 1 for gap in gaps.values())
    most = float(HIGHEST - LOWEST)
    return tuple(
        Against(
            condition,
            control,
            len(gap),
            float(gap.mean()),
            _interval(gap, (-most, most), 1 - 0.05 / max(compared, 1)),
            _p(gap, compared),
        )
        for (condition, control), gap in gaps.items()
        if len(gap)
    )


def _gap(rated: pd.DataFrame, condition: str, control: str) -> Floats:
    """(anchors,) the rating of each anchor's pair minus that of its control pair."""
    sides = [rated[rated["condition"] == name].set_index("anchor")["rating"] for name in (condition, control)]
    return np.asarray((sides[0] - sides[1]).dropna(), np.float64)


def _p(gap: Floats, compared: int) -> float | None:
    """The p value of the paired t test, times the number of differences, `compared`."""
    if len(gap) < 2:
        return None
    if _all_equal(gap):
        p = 1.0 if abs(gap[0]) <= _ROUNDING else 2.0 ** (1 - len(gap))
    else:
        p = float(stats.ttest_1samp(gap, 0).pvalue)
    return min(1.0, compared * p)


def _interval(values: Floats, scale: tuple[float, float], level: float = 0.95) -> tuple[float, float] | None:
    """The t interval of the mean, clipped to the scale."""
    if len(values) < 2 or _all_equal(values):
        return None
    found = stats.ttest_1samp(values, 0).confidence_interval(level)
    return max(scale[0], float(found.low)), min(scale[1], float(found.high))


def _all_equal(values: Floats) -> bool:
    return float(np.ptp(values)) <= _ROUNDING


def _correlation(rated: pd.DataFrame) -> float | None:
    """Spearman's correlation; None if ratings or distances are constant."""
    if rated["rating"].nunique() < 2 or rated["distance"].nunique() < 2:
        return None
    return float(stats.spearmanr(rated["distance"], rated["rating"]).statistic)
