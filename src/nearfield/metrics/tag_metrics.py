"""Tag metrics of a split: areas per tag with intervals, probes, retrieval by tags, a tagger's own scores."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.types import Bools, ClipMetadata, Floats, Ints
from nearfield.metrics.chance import expected_recall, hub_scores, recording_first
from nearfield.metrics.checks import check_lengths
from nearfield.metrics.intervals import CELLS, area_interval
from nearfield.metrics.neighbors import Search, available
from nearfield.metrics.result import Case, ClipTagScores, EmbeddedClips, Findings, TagScore
from nearfield.metrics.retrieval import ranking_scores, tag_means_without, tag_scores
from nearfield.metrics.tagging import FEW, Tagged, fit_tag_probe, macro, tag_areas

# Areas of each tag, their means, and the table with intervals.

AREAS = ("roc_auc", "pr_auc")


@dataclass(frozen=True)
class TagTable:
    """Areas of tags, also without each jackknife block."""

    tags: Bools
    """(n, K)"""
    areas: dict[str, Floats]
    """`roc_auc` and `pr_auc`, each (K,); NaN if all clips or none have the tag."""
    without: dict[str, Floats]
    """The same without each block, (B, K); empty if no intervals are wanted."""
    telling: Ints
    """(K,) number of blocks with positives, or with negatives if these are fewer."""

    @classmethod
    def of(cls, tags: Bools, scores: Floats, at: Ints, found: Findings) -> "TagTable":
        """Computes the areas of `scores` (n, K) of the clips at positions `at` of the split."""
        areas = {name: values[0] for name, values in tag_areas(tags, scores).items()}
        if found.blocks is None:
            return cls(tags, areas, {}, np.zeros(tags.shape[1], dtype=np.int64))
        blocks = found.blocks.of[at]
        telling = [min(len(np.unique(blocks[tag])), len(np.unique(blocks[~tag]))) for tag in tags.T]
        return cls(tags, areas, areas_without(tags, scores, blocks), np.array(telling, dtype=np.int64))

    @property
    def scored(self) -> int:
        """Number of tags with a defined area."""
        return int(np.isfinite(self.areas["roc_auc"]).sum())

    @property
    def chance(self) -> float:
        """Mean PR-AUC of random scores, which is the mean fraction of clips that have a tag."""
        return float(self.tags.mean(axis=0)[np.isfinite(self.areas["roc_auc"])].mean())

    def add_means(self, prefix: str, found: Findings) -> None:
        """Adds the means over tags with intervals, and their chance levels."""
        if not self.scored:
            return
        for name, values in self.areas.items():
            figure = found.metrics[f"{prefix}/{name}"] = float(macro(values[None])[0])
            if self.without:
                # A block without which the mean is undefined contributes no deviation.
                means = macro(self.without[name])
                kept = np.where(np.isfinite(means), means, figure)
                found.area(f"{prefix}/{name}", kept, min(len(kept), int(self.telling.sum())))
        found.metrics[f"baseline/chance/{prefix}/roc_auc"] = 0.5
        found.metrics[f"baseline/chance/{prefix}/pr_auc"] = self.chance

    def rows(self, names: tuple[str, ...], positives: Ints, columns: Ints) -> tuple[TagScore, ...]:
        """Returns one row per tag; `columns` (K,) are the numbers of the tags that have areas here."""
        column = {int(tag): place for place, tag in enumerate(columns)}
        return tuple(self._row(name, int(positives[tag]), column.get(tag)) for tag, name in enumerate(names))

    def _row(self, name: str, positives: int, place: int | None) -> TagScore:
        figures = {area: self._figure(area, place) for area in AREAS}
        ends = {area: self._interval(area, place, figures[area]) for area in AREAS}
        return TagScore(
            name=name,
            positives=positives,
            few=positives < FEW,
            roc_auc=figures["roc_auc"],
            pr_auc=figures["pr_auc"],
            roc_auc_interval=ends["roc_auc"],
            pr_auc_interval=ends["pr_auc"],
        )

    def _figure(self, area: str, place: int | None) -> float | None:
        value = np.nan if place is None else self.areas[area][place]
        return float(value) if np.isfinite(value) else None

    def _interval(self, area: str, place: int | None, figure: float | None) -> tuple[float, float] | None:
        if figure is None or place is None or not self.without:
            return None
        return area_interval(figure, self.without[area][:, place], int(self.telling[place]))


def areas_without(tags: Bools, scores: Floats, groups: Ints) -> dict[str, Floats]:
    """Computes `roc_auc` and `pr_auc` of each tag without each group.

    Parameters
    ----------
    tags, scores
        (N, K) tags and scores.
    groups
        (N,) group of each clip.

    Returns
    -------
    dict
        `roc_auc` and `pr_auc`, each (G, K), with groups ascending.
    """
    names, place = np.unique(groups, return_inverse=True)
    step = max(1, CELLS // max(1, len(groups)))
    parts = [
        tag_areas(tags, scores, (place != left[:, None]).astype(np.float64))
        for left in np.split(np.arange(len(names)), range(step, len(names), step))
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


# Metrics that need tags: the tag probe, and retrieval by tags with its baselines.


def measure_tags(case: Case, found: Findings) -> None:
    """Adds all tag metrics that are defined for the split."""
    tagged = case.here.tagged
    at = np.flatnonzero(tagged)
    if not len(at):
        return
    if len(at) < len(tagged):
        found.note(
            f"{len(tagged) - len(at)} of {len(tagged)} clips have no tags; tag metrics leave them out."
        )
    here, train = case.here.keep(tagged), case.train.keep(case.train.tagged)
    distance = case.settings.distance
    _retrieval("retrieval", here, here, here.search(here, distance, barred=True), at, found)
    together = here.search(here, distance, barred=False)
    _retrieval("retrieval_with_group", here, here, together, at, found)
    recordings, tags = here.metadata.recordings, here.metadata.tags
    first = recording_first(together, tags, tags, (recordings, recordings))
    found.averages("baseline/same_recording/retrieval_with_group", first)
    for column in case.settings.barred:
        if column in here.metadata.columns:
            _without(column, case, here, at, found)
    if not len(train):
        found.note("Train has no tagged clips: no tag probe, no retrieval from train.")
        return
    from_train = here.search(train, distance, barred=True)
    _retrieval("retrieval_from_train", here, train, from_train, at, found)
    _probe(case, here, train, at, found)


def _retrieval(
    prefix: str, here: EmbeddedClips, gallery: EmbeddedClips, search: Search, at: Ints, found: Findings
) -> None:
    tags, gallery_tags = here.metadata.tags, gallery.metadata.tags
    able = int((available(search) > 0).sum())
    if able < len(here):
        found.note(
            f"{prefix}: {able} of {len(here)} tagged queries may return a clip; the others are left out."
        )
    found.metrics |= {f"{prefix}/tag_queries": float(able)}
    scores = tag_scores(search, tags, gallery_tags) | ranking_scores(search, tags, gallery_tags)
    if gallery is here:
        found.within(prefix, scores, at, partial(tag_means_without, search, tags))
    else:
        found.means(prefix, scores, at)
    found.averages(f"baseline/chance/{prefix}", expected_recall(search, tags, gallery_tags))
    found.averages(f"baseline/hub/{prefix}", hub_scores(search, tags, gallery_tags))


def _without(column: str, case: Case, here: EmbeddedClips, at: Ints, found: Findings) -> None:
    """Adds retrieval by tags without clips that share the query's value of `column`, as song or artist."""
    search, tags = here.search_without(column, case.settings.distance), here.metadata.tags
    prefix = f"retrieval_without_{column}"
    if not (available(search) > 0).any():
        found.note(f"{prefix}: no clip has another {column} to find.")
        return
    found.within(prefix, tag_scores(search, tags, tags), at, partial(tag_means_without, search, tags))
    found.averages(f"baseline/chance/{prefix}", expected_recall(search, tags, tags))
    found.averages(f"baseline/hub/{prefix}", hub_scores(search, tags, tags))


def _probe(case: Case, here: EmbeddedClips, train: EmbeddedClips, at: Ints, found: Findings) -> None:
    count = train.metadata.tags.sum(axis=0)
    if not ((count > 0) & (count < len(train))).any():
        found.note("All train clips have the same tags: no tag probe.")
        return
    val = case.val.keep(case.val.tagged) if case.val is not None else None
    val_clips = Tagged(val.vectors, val.metadata.tags) if val is not None and len(val) else None
    probe = fit_tag_probe(Tagged(train.vectors, train.metadata.tags), val_clips, case.settings.balanced)
    if not probe.chosen:
        found.note(f"No tagged val split to choose the tag probe's regularization: C = {probe.strength:g}.")
    if not probe.model.converged:
        found.note(f"The tag probe did not converge: its gradient is still {probe.model.gradient:.1e}.")
    scores, tags = probe.probabilities(here.vectors), here.metadata.tags[:, probe.readable]
    table = TagTable.of(tags, scores, at, found)
    found.metrics |= {
        "tagging/converged": float(probe.model.converged),
        "tagging/strength": probe.strength,
        "tagging/tags": float(table.scored),
        "tagging/tags_left_out": float(len(count) - table.scored),
    }
    if table.scored < len(count):
        found.note(
            f"tagging: {table.scored} of {len(count)} tags are scored; the others are on all clips or on "
            "none, in the split or in train."
        )
    table.add_means("tagging", found)
    names = here.metadata.tag_names
    found.per_tag = table.rows(names, here.metadata.tags.sum(axis=0), probe.readable)
    readable = tuple(names[tag] for tag in probe.readable)
    found.tag_scores["tagging"] = ClipTagScores(at, readable, tags, scores)


# Metrics of a tagger's own scores, under `tagger/...` (`tagging/...` are of a probe of the embeddings).
#
# Conventions: scores (N, K) of any scale, one column per tag; larger means that the tag is more likely. Rows
# of NaN are left out. Clips without tags may not have been tagged, and are left out as well.


def measure_tagger(scores: Floats, metadata: ClipMetadata, found: Findings) -> tuple[TagScore, ...]:
    """Adds `tagger/roc_auc` and `tagger/pr_auc` with intervals and chance levels, and scores per clip.

    Parameters
    ----------
    scores
        (N, K) scores of the tagger for the clips of the split.
    metadata
        Metadata of these clips.
    found
        The results to add to.

    Returns
    -------
    tuple of TagScore
        One row per tag; empty if no clip can be scored.

    Raises
    ------
    RequestError
        Unless there is one column per tag of the collection.
    """
    check_lengths(len(metadata), predictions=scores)
    if scores.ndim != 2 or scores.shape[1] != len(metadata.tag_names):
        raise RequestError(
            f"predictions: one column for each of the {len(metadata.tag_names)} tags is expected; "
            f"given: shape {scores.shape}."
        )
    scored = np.isfinite(scores).all(axis=1) if scores.shape[1] else np.zeros(len(metadata), dtype=bool)
    at = np.flatnonzero(scored & metadata.tags.any(axis=1))
    if not len(at):
        return ()
    if len(at) < len(metadata):
        found.note(f"tagger: {len(at)} of {len(metadata)} clips have tags and scores of the tagger.")
    tags, every = metadata.tags[at], np.arange(scores.shape[1])
    table = TagTable.of(tags, scores[at], at, found)
    table.add_means("tagger", found)
    found.metrics["tagger/tags"] = float(table.scored)
    found.tag_scores["tagger"] = ClipTagScores(at, metadata.tag_names, tags, scores[at])
    return table.rows(metadata.tag_names, tags.sum(axis=0), every)
