"""The part of an evaluation that needs tags: the tag probe, and retrieval by tags beside its cheats."""

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.evaluation.chance import expected_recall, hub_scores, recording_first
from nearfield.evaluation.findings import Case, Findings, Side
from nearfield.evaluation.intervals import mirrored_interval
from nearfield.evaluation.multilabel import ranking_scores, tag_scores
from nearfield.evaluation.neighbours import Search, available
from nearfield.evaluation.result import TagScore
from nearfield.evaluation.tagging import FEW, Tagged, fit_tag_probe, macro, tag_areas


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
    found.means(prefix, tag_scores(search, tags, gallery_tags), at)
    found.means(prefix, ranking_scores(search, tags, gallery_tags), at)
    found.averages(f"baseline/chance/{prefix}", expected_recall(search, tags, gallery_tags))
    found.averages(f"baseline/hub/{prefix}", hub_scores(search, tags, gallery_tags))


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
    areas = {name: values[0] for name, values in tag_areas(tags, scores).items()}
    scored = int(np.isfinite(areas["roc_auc"]).sum())
    found.metrics |= {
        "tagging/converged": float(probe.model.converged),
        "tagging/strength": probe.strength,
        "tagging/tags": float(scored),
        "tagging/tags_left_out": float(len(count) - scored),
    }
    if scored < len(count):
        found.note(
            f"tagging: {scored} of {len(count)} tags are scored; the others are on all of the clips "
            "or on none, or train cannot teach them."
        )
    draws = _areas_drawn(tags, scores, at, found)
    if scored:
        _macro(areas, tags, draws, found)
    groups = found.resamples.groups if found.resamples else 0
    found.per_tag = _table(probe.readable, areas, draws, groups, here)


def _macro(areas: dict[str, Floats], tags: Bools, draws: dict[str, Floats], found: Findings) -> None:
    for name, values in areas.items():
        found.metrics[f"tagging/{name}"] = float(macro(values[None])[0])
        if draws:
            found.drawn(f"tagging/{name}", macro(draws[name]))
    defined = np.isfinite(areas["roc_auc"])
    found.metrics["baseline/chance/tagging/roc_auc"] = 0.5
    found.metrics["baseline/chance/tagging/pr_auc"] = float(tags.mean(axis=0)[defined].mean())


def _areas_drawn(tags: Bools, scores: Floats, at: Ints, found: Findings) -> dict[str, Floats]:
    """Areas of every tag under resampling: names to (draws, K); empty where nothing is resampled."""
    if found.resamples is None:
        return {}
    blocks = [tag_areas(tags, scores, weights[:, at]) for weights in found.resamples.weights()]
    return {name: np.concatenate([block[name] for block in blocks]) for name in ("roc_auc", "pr_auc")}


def _table(
    readable: Ints, areas: dict[str, Floats], draws: dict[str, Floats], groups: int, here: Side
) -> tuple[TagScore, ...]:
    column = {int(tag): place for place, tag in enumerate(readable)}

    def area(name: str, tag: int) -> float | None:
        value = areas[name][column[tag]] if tag in column else np.nan
        return float(value) if np.isfinite(value) else None

    def ends(name: str, tag: int) -> tuple[float, float] | None:
        figure = area(name, tag)
        if figure is None or not draws:
            return None
        return mirrored_interval(figure, draws[name][:, column[tag]], groups)

    return tuple(
        TagScore(
            name=name,
            positives=int(here.facts.tags[:, tag].sum()),
            few=bool(here.facts.tags[:, tag].sum() < FEW),
            roc_auc=area("roc_auc", tag),
            pr_auc=area("pr_auc", tag),
            roc_auc_interval=ends("roc_auc", tag),
            pr_auc_interval=ends("pr_auc", tag),
        )
        for tag, name in enumerate(here.facts.tag_names)
    )
