"""Shows training triplets: windows, shared labels and tags, figures, sounds, and an HTML page."""

import base64
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape
from itertools import islice
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfield.analysis.explain.examples import Image, log_mel_of
from nearfield.core.errors import DataError, RequestError
from nearfield.core.files import replacing, write_text
from nearfield.core.rng import stream
from nearfield.core.text import clock, visible
from nearfield.core.types import BatchIndices, Bools, ClipMetadata, MixPartner, Pairs
from nearfield.data.audio import Waves, resample, write_sound
from nearfield.data.collection import Collection
from nearfield.data.signals import ArraySignals, Loader
from nearfield.learning.relations import Relation
from nearfield.learning.samplers import Sampler
from nearfield.learning.samplers.base import ExplainsTriplets
from nearfield.training.events import Callback, Note, ignore
from nearfield.training.plotting import COLOURS, draw_picture, loudness, new_figure, quieten, save, short_name
from nearfield.training.prepare import check, check_teaching, open_to_train, open_trained_on, with_predictions
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.setup import build_relation, decodable, decoded, training_sampler

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure


# Triplets as a recipe's sampler draws them: their windows, what is shared, and what a tagger rearranged.

ROLES = ("anchor", "positive", "negative")


@dataclass(frozen=True, eq=False)
class TripletWindow:
    """One window of a triplet, as it is cut for training, before any augmentation."""

    id: str
    """Id of the clip, or of both clips if two are mixed."""
    label: str
    tags: tuple[str, ...]
    """Merged synonyms have the first name of their group."""
    start: float
    """Start time in the file, in seconds."""
    recording: str
    start_time: float
    """Start time on the clock of the recording, in seconds."""
    wave: Waves
    """(C, T) as long as the recipe's clips."""
    log_mel: Image
    """(bands, frames) in decibels."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its label and its tags."""
        return tuple(filter(None, (self.label, *self.tags)))


@dataclass(frozen=True, eq=False)
class ShownTriplet:
    """Three windows of one batch."""

    windows: tuple[TripletWindow, TripletWindow, TripletWindow]
    """Anchor, positive, negative."""
    reason: str = ""
    """How the triplet was sampled, if by a tag, and what changed."""

    def shared(self, role: int) -> tuple[str, ...]:
        """Label and tags that a window shares with the anchor; empty for the anchor itself."""
        own = self.windows[0].names
        return tuple(name for name in self.windows[role].names if name in own) if role else ()


@dataclass(frozen=True, eq=False)
class TripletExplanation:
    """A training triplet and, for the same anchor, the triplet before a tagger's errors changed it."""

    triplet: ShownTriplet
    before: ShownTriplet | None = None
    """The triplet that the sampled tag alone gives; None if no rule changes triplets."""

    def plain(self) -> dict[str, Any]:
        """The triplets as JSON-serializable values."""
        return _plain(self.triplet) | ({"before": _plain(self.before)} if self.before else {})


@dataclass(frozen=True, eq=False)
class DrawnTriplets:
    """Some triplets of the first epoch."""

    shown: tuple[TripletExplanation, ...]
    rate: int
    """Sample rate of the windows in hertz."""
    source: str
    """How the triplets were sampled, and which are not shown."""


def draw_triplets(
    recipe: Recipe,
    data: str,
    count: int = 3,
    seed: int = 0,
    allow_leak: bool = False,
    callback: Callback = ignore,
) -> DrawnTriplets:
    """The first triplets of a training by `recipe` on `data` with `seed`.

    If the sampler does not make triplets itself, anchors are sampled at random from its first batches, each
    with a positive and a negative window of the relation. With sampler.rule=errors, only triplets that the
    tagger's errors change are returned. Raises the errors of training, and RequestError for images.
    """
    check(recipe, callback)
    collection = open_to_train(data, recipe, allow_leak, callback)
    return _draw(recipe, collection, count, seed, callback)


def triplets_of_run(
    folder: RunFolder, data: str | None = None, count: int = 3, callback: Callback = ignore
) -> DrawnTriplets:
    """The first triplets of a run, from its recipe and seed, on its training clips and split."""
    recipe, noted = folder.recipe(), folder.environment()
    collection = open_trained_on(data, noted["data"]["path"], recipe, True, callback)
    return _draw(recipe, collection.with_split(folder.split), count, noted["seed"], callback)


def _draw(recipe: Recipe, collection: Collection, count: int, seed: int, callback: Callback) -> DrawnTriplets:
    if collection.kind != "sound":
        raise RequestError(f"{collection.name}: it contains images, but triplets are shown of sounds only.")
    check_teaching(recipe, collection)
    collection = decodable(recipe, collection, callback)
    signals, metadata = decoded(recipe, collection)
    assert isinstance(signals, ArraySignals)
    metadata = with_predictions(recipe, collection, metadata)
    sampler = training_sampler(recipe, metadata, collection.rows("train"), seed)
    cutter = _WindowCutter(recipe, collection, signals, metadata)
    if isinstance(sampler, ExplainsTriplets):
        shown, source = _by_reason(sampler, cutter, count)
    else:
        shown, source = _by_batch(sampler, build_relation(recipe, collection, metadata), cutter, count, seed)
    if not shown:
        raise DataError(
            f"{collection.name}: no window of the first epoch has both a positive and a negative. Check the "
            "relation and the sampler of the recipe."
        )
    callback(Note(source))
    return DrawnTriplets(
        shown, recipe.data.sample_rate, f"{source} Windows are as cut, before any augmentation."
    )


@dataclass(frozen=True)
class _WindowCutter:
    """Cuts and describes the windows of a batch."""

    recipe: Recipe
    collection: Collection
    signals: ArraySignals
    metadata: ClipMetadata

    def triplet(self, indices: BatchIndices, places: tuple[int, int, int]) -> ShownTriplet:
        """The windows at three places of a batch."""
        at = np.array(places)
        partner = indices.partner and MixPartner(
            indices.partner.rows[at], indices.partner.starts[at], indices.partner.decibels[at]
        )
        some = BatchIndices(indices.rows[at], indices.starts[at], partner=partner)
        samples = round(self.recipe.data.clip_seconds * self.recipe.data.sample_rate)
        (batch,) = Loader(self.signals, [some], samples, workers=0)
        first, second, third = (self._window(some, place, batch.signal[place].numpy()) for place in range(3))
        return ShownTriplet((first, second, third))

    def _window(self, indices: BatchIndices, place: int, wave: Waves) -> TripletWindow:
        row = int(indices.rows[place])
        rows = [row]
        if indices.partner is not None and indices.partner.rows[place] >= 0:
            rows.append(int(indices.partner.rows[place]))
        table, rate = self.collection.table, self.recipe.data.sample_rate
        latest = max(0, self.signals.length(row) - wave.shape[-1]) / rate
        start = min(float(indices.starts[place]), latest)  # as the loader cuts
        trimmed = 0.0 if self.signals.begins is None else float(self.signals.begins[row])
        tags, names = self.tags
        has = tags[rows].any(axis=0)
        labels = dict.fromkeys(table["label"].iloc[rows])
        return TripletWindow(
            id=" + ".join(table["id"].iloc[rows]),
            label=" + ".join(filter(None, labels)),
            tags=tuple(names[tag] for tag in np.flatnonzero(has)),
            start=float(table["start"].iloc[row]) + trimmed + start,
            recording=str(table["recording"].iloc[row]),
            start_time=float(self.metadata.start_times[row]) + start,
            wave=wave,
            log_mel=log_mel_of(wave.mean(axis=0, dtype=np.float32), rate),
        )

    @property
    def tags(self) -> tuple[Bools, tuple[str, ...]]:
        """Tags (N, K) and K names, with synonyms merged as in the sampler or the relation."""
        own = self.recipe.sampler.drawn_tags(self.metadata)
        return own or self.recipe.relation.compared_tags(self.metadata)


def _by_reason(
    sampler: ExplainsTriplets, cutter: _WindowCutter, count: int
) -> tuple[tuple[TripletExplanation, ...], str]:
    """The triplets that the sampler chooses, each with the reason that it gives."""
    choice = sampler.choose(count)
    after = _triplets(sampler, choice.numbers, cutter)
    if choice.before is None:
        return tuple(
            TripletExplanation(_with_reason(sampler, number, each))
            for number, each in zip(choice.numbers, after, strict=True)
        ), choice.source
    before = _triplets(choice.before, choice.numbers, cutter)
    return tuple(
        TripletExplanation(_with_reason(sampler, number, new, old), _with_reason(choice.before, number, old))
        for number, new, old in zip(choice.numbers, after, before, strict=True)
    ), choice.source


def _triplets(sampler: Sampler, numbers: Sequence[int], cutter: _WindowCutter) -> list[ShownTriplet]:
    """Triplets of the first epoch by their numbers."""
    at = [(indices, places) for indices in sampler.epoch(0) for places in _paired(indices.pairs, None)]
    return [cutter.triplet(*at[number]) for number in numbers]


def _with_reason(
    sampler: ExplainsTriplets, number: int, triplet: ShownTriplet, before: ShownTriplet | None = None
) -> ShownTriplet:
    """Adds to a triplet how it was drawn."""
    same = None
    if before is not None:
        _, positive, negative = (
            one.id == other.id for one, other in zip(triplet.windows, before.windows, strict=True)
        )
        same = positive, negative
    return replace(triplet, reason=sampler.reason(number, triplet.windows[2].tags, same))


def _by_batch(
    sampler: Sampler, relation: Relation, cutter: _WindowCutter, count: int, seed: int
) -> tuple[tuple[TripletExplanation, ...], str]:
    """Triplets of the first batches: those of the sampler, or random ones that fit the relation."""
    rng, kind, shown = stream(seed, "triplets"), cutter.recipe.sampler.kind, list[TripletExplanation]()
    decides = cutter.recipe.sampler.sets_pairs
    for indices in sampler.epoch(0):
        found = _paired(indices.pairs, None) if decides else _paired(relation(indices), rng)
        shown += [
            TripletExplanation(cutter.triplet(indices, places))
            for places in islice(found, count - len(shown))
        ]
        if len(shown) == count:
            break
    if decides:
        return tuple(shown), f"Drawn by sampler.kind={kind}."
    return tuple(shown), (
        f"From batches by sampler.kind={kind}: a random anchor with a positive and a negative by "
        f"relation.kind={relation.kind}."
    )


def _paired(pairs: Pairs | None, rng: np.random.Generator | None) -> Iterator[tuple[int, int, int]]:
    """The places of each anchor with a positive and a negative window.

    Without `rng`, anchors are in order, with the first window of each kind; otherwise all are random.
    """
    assert pairs is not None
    positive, negative = pairs.positive.numpy(), pairs.negative.numpy()

    def order(some: Bools) -> list[int]:
        at = np.flatnonzero(some)
        return (at if rng is None else rng.permutation(at)).tolist()

    for anchor in order(np.logical_and(positive.any(axis=1), negative.any(axis=1))):
        yield anchor, order(positive[anchor])[0], order(negative[anchor])[0]


def _plain(triplet: ShownTriplet) -> dict[str, Any]:
    found: dict[str, Any] = {"said": triplet.reason}
    for place, (role, window) in enumerate(zip(ROLES, triplet.windows, strict=True)):
        found[role] = {
            "id": window.id,
            "label": window.label,
            "tags": list(window.tags),
            "shared": list(triplet.shared(place)),
            "start": window.start,
            "recording": window.recording,
            "moment": window.start_time,
        }
    return found


# Training triplets as figures and sounds: waves and log-mels side by side, with shared names below.

_DATES = 10 * 365 * 86400.0
"""Start times above this many seconds are dates, counted from 1970."""
_LISTED = 16
"""Largest number of names below a window; the figure states how many more there are."""


def write_triplets(found: DrawnTriplets, folder: Path) -> tuple[Path, ...]:
    """Writes triplet-N.png and triplet-N-anchor.wav, -positive.wav and -negative.wav for each triplet.

    Windows that a tagger's errors replaced are written as -before-positive.wav and so on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, shown in enumerate(found.shown, 1):
        paths.append(folder / f"triplet-{number}.png")
        draw_triplet(paths[-1], shown, found.rate)
        for name, window in named_windows(shown):
            paths.append(folder / f"triplet-{number}-{name}.wav")
            with replacing(paths[-1]) as temporary, temporary.open("wb") as file:
                write_sound(file, np.clip(window.wave, -1, 1), found.rate, ".wav")
    return tuple(paths)


def named_windows(shown: TripletExplanation) -> list[tuple[str, TripletWindow]]:
    """The windows of a triplet by role, then the different windows of the triplet before the change."""
    named = list(zip(ROLES, shown.triplet.windows, strict=True))
    if shown.before is None:
        return named
    before = zip(ROLES, shown.before.windows, strict=True)
    return named + [(f"before-{role}", window) for role, window in before if not is_among(window, shown)]


def is_among(window: TripletWindow, shown: TripletExplanation) -> bool:
    """Whether the changed triplet contains this window in any role."""
    return any((window.id, window.start) == (each.id, each.start) for each in shown.triplet.windows)


def draw_triplet(path: Path, shown: TripletExplanation, rate: int) -> None:
    """Draws anchor, positive and negative side by side, below the triplet before the tagger's errors."""
    rows = [shown.triplet] if shown.before is None else [shown.before, shown.triplet]
    names = ["before", "after"] if shown.before else [""]
    lines = [1 + max(len(_window_names(window, ())) for window in each.windows) for each in rows]
    heights = [2.6 + 0.15 * count for count in lines]
    figure = new_figure(9.0, sum(heights))
    loudest = max(float(np.abs(window.wave).max()) for each in rows for window in each.windows) or 1.0
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, each, name in zip(parts, rows, names, strict=True):
        title = f"{name}: {each.reason}" if name else each.reason
        part.suptitle("\n".join(wrap(title, 125)), x=0.01, ha="left", fontsize=8.5)
        _draw_triplet(part, each, rate, loudest)
    save(figure, path)


def _draw_triplet(part: "SubFigure", triplet: ShownTriplet, rate: int, loudest: float) -> None:
    panels = part.subplots(2, 3, squeeze=False, gridspec_kw={"height_ratios": [1, 1.8]})
    for role, window in enumerate(triplet.windows):
        above, below = panels[:, role]
        _draw_window(above, below, window, rate, loudest)
        above.set_title(
            f"{ROLES[role]} · {short_name(window.id, 40)}\n{when(window, rate)}", loc="left", fontsize=7.5
        )
        above.set_xticks([])
        below.locator_params("x", nbins=4)
        below.xaxis.set_major_formatter("{x:g} s")
        below.set_xlabel("\n".join(_window_names(window, triplet.shared(role))) or " ")
        if role:
            above.set_yticks([])
            below.set_yticks([])
    panels[0, 0].set_ylabel("wave")
    panels[1, 0].set_ylabel("log-mel band")


def _draw_window(above: "Axes", below: "Axes", window: TripletWindow, rate: int, loudest: float) -> None:
    seconds = window.wave.shape[1] / rate
    above.plot(
        np.arange(window.wave.shape[1]) / rate, window.wave.mean(axis=0), color=COLOURS[0], linewidth=0.4
    )
    above.set_xlim(0, seconds)
    above.set_ylim(-loudest, loudest)
    extent = (0.0, seconds, 0.0, float(len(window.log_mel)))
    draw_picture(below, window.log_mel, extent, loudness(window.log_mel))


def when(window: TripletWindow, rate: int) -> str:
    """The time span of a window in its file and, if it differs, its time on the recording's clock."""
    end = window.start + window.wave.shape[1] / rate
    span = f"{clock(window.start)} to {clock(end)}"
    if abs(window.start_time - window.start) < 1e-3:
        return span
    of = "" if window.recording == window.id else f" of {short_name(window.recording, 34)}"
    if window.start_time < _DATES:
        return f"{span}\nrecording: {clock(window.start_time)}{of}"
    return f"{span}\nrecording: {datetime.fromtimestamp(window.start_time, UTC):%Y-%m-%d %H:%M:%S}{of}"


def window_image(window: TripletWindow, rate: int) -> bytes:
    """A PNG with the wave above the log-mel, without text or margins."""
    figure = new_figure(3.4, 1.7)
    figure.set_layout_engine("none")
    above, below = figure.add_axes((0, 0.67, 1, 0.33)), figure.add_axes((0, 0, 1, 0.65))
    _draw_window(above, below, window, rate, float(np.abs(window.wave).max()) or 1.0)
    for axes in (above, below):
        axes.set_axis_off()
    quieten(figure)
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=150, transparent=True)
    return held.getvalue()


def _window_names(window: TripletWindow, shared: tuple[str, ...]) -> list[str]:
    """Label and tags, with shared ones first and marked."""
    ordered = sorted(window.names, key=lambda name: name not in shared)
    listed = [short_name(name, 40) + (" ✓" if name in shared else "") for name in ordered[:_LISTED]]
    more = len(ordered) - len(listed)
    return listed + ([f"and {more} more"] if more else [])


# Training triplets as one HTML file with figures and sounds, which needs neither server nor network.

RATE = 16000
"""Largest sample rate of the sounds in the page, in hertz."""
TEMPLATE = Path(__file__).with_name("triplets.html")


def write_triplets_page(found: DrawnTriplets, out: Path, title: str) -> None:
    """Writes all triplets, with their figures and sounds, to the file `out`."""
    write_text(out, triplets_page(found, title))


def triplets_page(found: DrawnTriplets, title: str) -> str:
    """The page as text."""
    body = "\n".join(_article(number, shown, found.rate) for number, shown in enumerate(found.shown, 1))
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in (("TITLE", _text(title)), ("SOURCE", _text(found.source)), ("TRIPLETS", body)):
        text = text.replace(f"<!--{name}-->", value)
    return text


def page_policy() -> str:
    """The content security policy for serving the page: no external resources, and only its own script."""
    text = TEMPLATE.read_text(encoding="utf-8")
    own = {
        tag: base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        for tag, inside in re.findall(r"<(style|script)>(.*?)</\1>", text, re.DOTALL)
    }
    allowed = f"style-src 'sha256-{own['style']}'; script-src 'sha256-{own['script']}'"
    closed = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return f"{closed}; img-src data:; media-src data:; {allowed}"


def _article(number: int, shown: TripletExplanation, rate: int) -> str:
    if shown.before is None:
        return f"<article><h2>Triplet {number}</h2>{_section('', shown.triplet, rate, None)}</article>"
    before = _section("By a random tag", shown.before, rate, shown)
    after = _section("Changed by errors of the tagger", shown.triplet, rate, None)
    return f"<article><h2>Triplet {number}</h2>{before}{after}</article>"


def _section(name: str, triplet: ShownTriplet, rate: int, now: TripletExplanation | None) -> str:
    """Three windows side by side; a window that the triplet `now` also contains has its player there."""
    head = f"<h3>{_text(name)}</h3>" if name else ""
    cells = []
    for role, window in enumerate(triplet.windows):
        sound = None if now is not None and is_among(window, now) else _sound(window, rate)
        cells.append(_window(role, window, triplet.shared(role), rate, sound))
    return f'<section>{head}<p>{_text(triplet.reason)}</p><div class="three">{"".join(cells)}</div></section>'


def _window(role: int, window: TripletWindow, shared: tuple[str, ...], rate: int, sound: str | None) -> str:
    image = base64.b64encode(window_image(window, rate)).decode()
    ordered = sorted(window.names, key=lambda name: name not in shared)
    names = "".join(
        f"<li class=shared>{_text(name)} <b>shared</b></li>" if name in shared else f"<li>{_text(name)}</li>"
        for name in ordered
    )
    player = f'<audio controls preload=auto src="{sound}"></audio>' if sound else "<p>See below.</p>"
    return (
        f"<figure><figcaption><small>{ROLES[role]}</small> <strong>{_text(window.id)}</strong>"
        f"{''.join(f'<small>{_text(line)}</small>' for line in when(window, rate).splitlines())}</figcaption>"
        f'<div class=picture><img alt="Wave and log-mel" src="data:image/png;base64,{image}"><i></i></div>'
        f"{player}<ul>{names}</ul></figure>"
    )


def _sound(window: TripletWindow, rate: int) -> str:
    """The sound of a window as a data URI that browsers can play."""
    target = min(rate, RATE)
    wave = resample(window.wave.mean(axis=0, keepdims=True), rate, target)
    held = io.BytesIO()
    write_sound(held, np.clip(wave, -1, 1), target, ".wav")  # browsers fail to seek in short FLAC
    return "data:audio/wav;base64," + base64.b64encode(held.getvalue()).decode()


def _text(words: str) -> str:
    return escape(visible(words))
