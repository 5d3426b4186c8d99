"""Triplets as a recipe's sampler draws them: their windows, what is shared, and what a tagger rearranged."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from nearfield.core.errors import DataError, RequestError
from nearfield.core.nouns import Beside, Bools, Draw, Facts, Pairs
from nearfield.core.seeds import stream
from nearfield.data.audio import Waves
from nearfield.data.collection import Collection
from nearfield.data.loading import Loader
from nearfield.data.signals import ArraySignals
from nearfield.learning.relations import Relation
from nearfield.learning.relations.synonyms import merge_synonyms
from nearfield.learning.samplers import Sampler, sets_pairs
from nearfield.learning.samplers.by_prediction import ByPrediction
from nearfield.learning.samplers.replacing import Replacing
from nearfield.learning.samplers.tag_triplets import TagTripletSampler
from nearfield.runs.events import Note, Watcher, nobody
from nearfield.runs.explain_examples import Image, log_mel_of
from nearfield.runs.folder import Folder
from nearfield.runs.launch import check, check_teaching, open_to_train, open_trained_on, with_predictions
from nearfield.runs.recipe import Recipe
from nearfield.runs.workbench import build_relation, decodable, decoded, training_sampler

ROLES = ("anchor", "positive", "negative")


@dataclass(frozen=True, eq=False)
class Window:
    """One window of a triplet, as it is cut for training, before any augmentation."""

    id: str
    """The clip's; where two clips are heard together, both."""
    label: str
    tags: tuple[str, ...]
    """Synonyms, where the recipe merges some, by the first name of their group."""
    start: float
    """Where in the file it begins, in seconds."""
    recording: str
    moment: float
    """Where on the clock of the recording it begins, in seconds."""
    wave: Waves
    """(C, T) as long as the recipe's clips."""
    log_mel: Image
    """(bands, frames) in decibels."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its label and its tags."""
        return tuple(filter(None, (self.label, *self.tags)))


@dataclass(frozen=True, eq=False)
class Triplet:
    """Three windows of one batch."""

    windows: tuple[Window, Window, Window]
    """Anchor, positive, negative."""
    said: str = ""
    """By what it was drawn, where a tag decided, and what changed."""

    def shared(self, role: int) -> tuple[str, ...]:
        """Label and tags that a window has in common with the anchor; none of the anchor itself."""
        own = self.windows[0].names
        return tuple(name for name in self.windows[role].names if name in own) if role else ()


@dataclass(frozen=True, eq=False)
class Shown:
    """A triplet of training, and the one that a tagger's errors rearranged, of the same anchor."""

    triplet: Triplet
    before: Triplet | None = None
    """As the drawn tag alone makes it; None where no rule rearranges triplets."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return _plain(self.triplet) | ({"before": _plain(self.before)} if self.before else {})


@dataclass(frozen=True, eq=False)
class Triplets:
    """Some triplets of the first epoch."""

    shown: tuple[Shown, ...]
    rate: int
    """Samples a second of the windows, in hertz."""
    source: str
    """What drew them, and what is not shown."""


def draw_triplets(
    recipe: Recipe,
    data: str,
    count: int = 3,
    seed: int = 0,
    allow_leak: bool = False,
    watch: Watcher = nobody,
) -> Triplets:
    """The first triplets that a training by `recipe` on `data` with `seed` is given.

    Where the sampler does not make triplets itself, anchors of its first batches are drawn by chance, each
    with a window that the relation calls alike and one that it calls unlike. With sampler.rule=errors those
    are shown that the tagger's errors rearrange. Raises what training would raise, and RequestError for
    pictures.
    """
    check(recipe, watch)
    collection = open_to_train(data, recipe, allow_leak, watch)
    return _draw(recipe, collection, count, seed, watch)


def triplets_of_run(
    folder: Folder, data: str | None = None, count: int = 3, watch: Watcher = nobody
) -> Triplets:
    """The same for a run: by its recipe and seed, on the clips and the split that it was trained on."""
    recipe, noted = folder.recipe(), folder.environment()
    collection = open_trained_on(data, noted["data"]["path"], recipe, True, watch)
    return _draw(recipe, collection.with_split(folder.split), count, noted["seed"], watch)


def _draw(recipe: Recipe, collection: Collection, count: int, seed: int, watch: Watcher) -> Triplets:
    if collection.kind != "sound":
        raise RequestError(f"{collection.name}: it holds pictures. Triplets are shown of sounds only.")
    check_teaching(recipe, collection)
    collection = decodable(recipe, collection, watch)
    signals, facts = decoded(recipe, collection)
    assert isinstance(signals, ArraySignals)
    facts = with_predictions(recipe, collection, facts)
    sampler = training_sampler(recipe, facts, collection.rows("train"), seed)
    booth = _Booth(recipe, collection, signals, facts)
    if isinstance(sampler, TagTripletSampler):
        shown, source = _by_tag(sampler, booth, count)
    else:
        shown, source = _by_batch(sampler, build_relation(recipe, collection, facts), booth, count, seed)
    if not shown:
        raise DataError(
            f"{collection.name}: no window of the first epoch has both an alike and an unlike one."
        )
    watch(Note(source))
    return Triplets(shown, recipe.data.sample_rate, f"{source} Windows are as cut, before any augmentation.")


@dataclass(frozen=True)
class _Booth:
    """Where windows of a draw are cut and described."""

    recipe: Recipe
    collection: Collection
    signals: ArraySignals
    facts: Facts

    def triplet(self, draw: Draw, places: tuple[int, int, int]) -> Triplet:
        """The windows at three places of a draw."""
        at = np.array(places)
        beside = draw.beside and Beside(
            draw.beside.rows[at], draw.beside.starts[at], draw.beside.decibels[at]
        )
        some = Draw(draw.rows[at], draw.starts[at], beside=beside)
        samples = round(self.recipe.data.clip_seconds * self.recipe.data.sample_rate)
        (batch,) = Loader(self.signals, [some], samples, workers=0)
        first, second, third = (self._window(some, place, batch.signal[place].numpy()) for place in range(3))
        return Triplet((first, second, third))

    def _window(self, draw: Draw, place: int, wave: Waves) -> Window:
        row = int(draw.rows[place])
        rows = [row]
        if draw.beside is not None and draw.beside.rows[place] >= 0:
            rows.append(int(draw.beside.rows[place]))
        table, rate = self.collection.table, self.recipe.data.sample_rate
        latest = max(0, self.signals.length(row) - wave.shape[-1]) / rate
        start = min(float(draw.starts[place]), latest)  # as the loader cuts
        trimmed = 0.0 if self.signals.begins is None else float(self.signals.begins[row])
        tags, names = self.tags
        has = tags[rows].any(axis=0)
        labels = dict.fromkeys(table["label"].iloc[rows])
        return Window(
            id=" + ".join(table["id"].iloc[rows]),
            label=" + ".join(filter(None, labels)),
            tags=tuple(names[tag] for tag in np.flatnonzero(has)),
            start=float(table["start"].iloc[row]) + trimmed + start,
            recording=str(table["recording"].iloc[row]),
            moment=float(self.facts.moments[row]) + start,
            wave=wave,
            log_mel=log_mel_of(wave.mean(axis=0, dtype=np.float32), rate),
        )

    @property
    def tags(self) -> tuple[Bools, tuple[str, ...]]:
        """(N, K) and K names, synonyms merged as the sampler or the relation does."""
        of = self.recipe.sampler if self.recipe.sampler.kind == "tag_triplets" else self.recipe.relation
        synonyms = getattr(of, "synonyms", ())
        return merge_synonyms(self.facts.tags, self.facts.tag_names, synonyms, of.kind)


def _by_tag(sampler: TagTripletSampler, booth: _Booth, count: int) -> tuple[tuple[Shown, ...], str]:
    """The first triplets of the first epoch; with errors that replace, the first that are rearranged."""
    rule, drawn = sampler.rule, sampler.triplets(0)
    source, chosen = f"Drawn by sampler.rule={sampler.settings.rule}.", np.arange(len(drawn.tags))
    plain: TagTripletSampler | None = None
    if isinstance(rule, Replacing):
        plain = replace(sampler, rule=rule.by_tag)  # of the same chance: the same anchors in the same order
        anchors = np.searchsorted(sampler.rows, drawn.anchors)
        chosen = np.flatnonzero((rule.missed | rule.wrong)[anchors].any(axis=1))
        source += (
            f" The tagger's errors rearrange {len(chosen):,} of the {len(drawn.tags):,} triplets of the "
            f"first epoch; shown are the first {min(count, len(chosen))} of these."
        )
    numbers = chosen[:count].tolist()
    after, names = _triplets(sampler, numbers, booth), booth.tags[1]
    if plain is None:
        said = [
            _drawn_by(sampler, number, triplet, names) for number, triplet in zip(numbers, after, strict=True)
        ]
        return tuple(
            Shown(replace(each, said=words)) for each, words in zip(after, said, strict=True)
        ), source
    shown = []
    for number, new, old in zip(numbers, after, _triplets(plain, numbers, booth), strict=True):
        changed = replace(new, said=_changed(sampler, number, new, old, names))
        shown.append(Shown(changed, replace(old, said=_drawn_by(plain, number, old, names))))
    return tuple(shown), source


def _triplets(sampler: TagTripletSampler, numbers: list[int], booth: _Booth) -> list[Triplet]:
    """Triplets of the first epoch by their numbers."""
    at = [(draw, places) for draw in sampler.epoch(0) for places in _paired(draw.pairs, None)]
    return [booth.triplet(*at[number]) for number in numbers]


def _drawn_by(sampler: TagTripletSampler, number: int, triplet: Triplet, names: tuple[str, ...]) -> str:
    """By what a triplet of the first epoch was drawn."""
    rule, drawn = sampler.rule, sampler.triplets(0)
    tag = names[drawn.tags[number]]
    if not isinstance(rule, ByPrediction):
        lacks = "shares no tag with the anchor" if sampler.settings.guard else "does not"
        return f"Drawn by the tag {tag}: the positive has it, the negative {lacks}."
    anchor = np.flatnonzero(sampler.rows[rule.anchors] == drawn.anchors[number])[0]
    far = _listed(triplet, rule.far[anchor], names)
    if sampler.settings.rule == "extreme":
        return (
            f"The positive has {tag}, which the tagger finds most probable of the anchor; the negative has "
            f"{far}, which it finds least probable."
        )
    return (
        f"The positive has {tag}, a tag of the anchor that the tagger missed; the negative has {far}, which "
        "it named wrongly."
    )


def _changed(
    sampler: TagTripletSampler, number: int, new: Triplet, old: Triplet, names: tuple[str, ...]
) -> str:
    """What the tagger's errors changed."""
    rule, drawn = sampler.rule, sampler.triplets(0)
    assert isinstance(rule, Replacing)
    place = int(np.searchsorted(sampler.rows, drawn.anchors[number]))
    same = [one.id == other.id for one, other in zip(new.windows, old.windows, strict=True)]
    words = []
    for role, errors, tags, why in (
        (1, rule.missed[place], names[drawn.tags[number]], "which the tagger missed"),
        (2, rule.wrong[place], _listed(new, rule.wrong[place], names), "which the tagger named wrongly"),
    ):
        if not errors.any():
            words.append(f"{ROLES[role]} kept: the tagger made no such error that could be drawn by")
        elif same[role]:
            words.append(f"{ROLES[role]} drawn anew by {tags}, {why}: the same clip came")
        else:
            words.append(f"{ROLES[role]} changed to one with {tags}, {why}")
    text = "; ".join(words)
    return f"{text[0].upper()}{text[1:]}."


def _listed(triplet: Triplet, tags: Bools, names: tuple[str, ...]) -> str:
    """Those of some tags (K,) that the negative has."""
    return " and ".join(names[tag] for tag in np.flatnonzero(tags) if names[tag] in triplet.windows[2].tags)


def _by_batch(
    sampler: Sampler, relation: Relation, booth: _Booth, count: int, seed: int
) -> tuple[tuple[Shown, ...], str]:
    """Triplets of the first batches: the sampler's own, else by chance of what the relation says."""
    chance, kind, shown = stream(seed, "triplets"), booth.recipe.sampler.kind, list[Shown]()
    decides = sets_pairs(booth.recipe.sampler)
    for draw in sampler.epoch(0):
        found = _paired(draw.pairs, None) if decides else _paired(relation(draw), chance)
        shown += [Shown(booth.triplet(draw, places)) for places in islice(found, count - len(shown))]
        if len(shown) == count:
            break
    if decides:
        return tuple(shown), f"Drawn by sampler.kind={kind}."
    return tuple(shown), (
        f"Out of batches by sampler.kind={kind}: an anchor by chance, a window that relation.kind="
        f"{relation.kind} calls alike, and one that it calls unlike."
    )


def _paired(pairs: Pairs | None, chance: np.random.Generator | None) -> Iterator[tuple[int, int, int]]:
    """Each anchor with an alike and an unlike window, by their places: in order and the first of each, or by
    chance."""
    assert pairs is not None
    alike, unlike = pairs.alike.numpy(), pairs.unlike.numpy()

    def order(some: Bools) -> list[int]:
        at = np.flatnonzero(some)
        return (at if chance is None else chance.permutation(at)).tolist()

    for anchor in order(np.logical_and(alike.any(axis=1), unlike.any(axis=1))):
        yield anchor, order(alike[anchor])[0], order(unlike[anchor])[0]


def _plain(triplet: Triplet) -> dict[str, Any]:
    found: dict[str, Any] = {"said": triplet.said}
    for place, (role, window) in enumerate(zip(ROLES, triplet.windows, strict=True)):
        found[role] = {
            "id": window.id,
            "label": window.label,
            "tags": list(window.tags),
            "shared": list(triplet.shared(place)),
            "start": window.start,
            "recording": window.recording,
            "moment": window.moment,
        }
    return found
