"""The part of an evaluation that needs tags: the tag probe, and retrieval by tags beside its cheats."""

from functools import partial

import numpy as np

from nearfield.core.nouns import Ints
from nearfield.evaluation.chance import expected_recall, hub_scores, recording_first
from nearfield.evaluation.findings import Case, Findings, Side
from nearfield.evaluation.multilabel import ranking_scores, tag_means_without, tag_scores
from nearfield.evaluation.neighbours import Search, available
from nearfield.evaluation.result import ClipTagScores
from nearfield.evaluation.tag_table import TagTable
from nearfield.evaluation.tagging import Tagged, fit_tag_probe


def measure_tags(case: Case, found: Findings) -> None:
    """Adds every measure of tags that the split allows."""
    tagged = case.here.tagged
    at = np.flatnonzero(tagged)
    if not len(at):
        return
    if len(at) < len(tagged):
        found.note(
            f"{len(tagged) - len(at)} of {len(tagged)} clips have no tags; tag measures leave them out."
        )
    here, train = case.here.keep(tagged), case.train.keep(case.train.tagged)
    distance = case.settings.distance
    _retrieval("retrieval", here, here, here.search(here, distance, barred=True), at, found)
    together = here.search(here, distance, barred=False)
    _retrieval("retrieval_with_group", here, here, together, at, found)
    recordings, tags = here.facts.recordings, here.facts.tags
    first = recording_first(together, tags, tags, (recordings, recordings))
    found.averages("baseline/same_recording/retrieval_with_group", first)
    for column in case.settings.barred:
        if column in here.facts.columns:
            _without(column, case, here, at, found)
    if not len(train):
        found.note("Train holds no tagged clips: no tag probe, no retrieval from train.")
        return
    from_train = here.search(train, distance, barred=True)
    _retrieval("retrieval_from_train", here, train, from_train, at, found)
    _probe(case, here, train, at, found)


def _retrieval(prefix: str, here: Side, gallery: Side, search: Search, at: Ints, found: Findings) -> None:
    tags, gallery_tags = here.facts.tags, gallery.facts.tags
    able = int((available(search) > 0).sum())
    if able < len(here):
        found.note(
            f"{prefix}: {able} of {len(here)} tagged queries have a clip to find; the others do not count."
        )
    found.metrics |= {f"{prefix}/tag_queries": float(able)}
    scores = tag_scores(search, tags, gallery_tags) | ranking_scores(search, tags, gallery_tags)
    if gallery is here:
        found.within(prefix, scores, at, partial(tag_means_without, search, tags))
    else:
        found.means(prefix, scores, at)
    found.averages(f"baseline/chance/{prefix}", expected_recall(search, tags, gallery_tags))
    found.averages(f"baseline/hub/{prefix}", hub_scores(search, tags, gallery_tags))


def _without(column: str, case: Case, here: Side, at: Ints, found: Findings) -> None:
    """Retrieval by tags in which no clip finds one of its own value of `column`: its song, its artist."""
    search, tags = here.search_without(column, case.settings.distance), here.facts.tags
    prefix = f"retrieval_without_{column}"
    if not (available(search) > 0).any():
        found.note(f"{prefix}: no clip has another {column} to find.")
        return
    found.within(prefix, tag_scores(search, tags, tags), at, partial(tag_means_without, search, tags))
    found.averages(f"baseline/chance/{prefix}", expected_recall(search, tags, tags))
    found.averages(f"baseline/hub/{prefix}", hub_scores(search, tags, tags))


def _probe(case: Case, here: Side, train: Side, at: Ints, found: Findings) -> None:
    count = train.facts.tags.sum(axis=0)
    if not ((count > 0) & (count < len(train))).any():
        found.note("No tag is on some clips of train and not on others: no tag probe.")
        return
    val = case.val.keep(case.val.tagged) if case.val is not None else None
    judge = Tagged(val.vectors, val.facts.tags) if val is not None and len(val) else None
    probe = fit_tag_probe(Tagged(train.vectors, train.facts.tags), judge, case.settings.balanced)
    if not probe.chosen:
        found.note(f"No tagged val split to choose the tag probe's strength on: C = {probe.strength:g}.")
    if not probe.model.converged:
        found.note(f"The tag probe did not converge: its gradient is still {probe.model.gradient:.1e}.")
    scores, tags = probe.probabilities(here.vectors), here.facts.tags[:, probe.readable]
    table = TagTable.of(tags, scores, at, found)
    found.metrics |= {
        "tagging/converged": float(probe.model.converged),
        "tagging/strength": probe.strength,
        "tagging/tags": float(table.scored),
        "tagging/tags_left_out": float(len(count) - table.scored),
    }
    if table.scored < len(count):
        found.note(
            f"tagging: {table.scored} of {len(count)} tags are scored; the others are on all of the clips "
            "or on none, or train cannot teach them."
        )
    table.add_means("tagging", found)
    names = here.facts.tag_names
    found.per_tag = table.rows(names, here.facts.tags.sum(axis=0), probe.readable)
    readable = tuple(names[tag] for tag in probe.readable)
    found.tag_scores["tagging"] = ClipTagScores(at, readable, tags, scores)
