"""Writes every figure of an explanation that applies into one folder."""

from pathlib import Path

import numpy as np

from nearfield.learning.losses.focal import Focal
from nearfield.runs.events import Watcher, nobody
from nearfield.runs.explain import Explanation
from nearfield.runs.explain_examples import clip_row, drawn_clips, neighbourhoods, tile
from nearfield.runs.explain_figures import (
    draw_apart,
    draw_classes,
    draw_clusters,
    draw_confusion,
    draw_focal,
    draw_neighbourhood,
    draw_probe,
    draw_report,
    draw_tile,
)
from nearfield.runs.explain_material import Material


def draw(
    found: Explanation,
    material: Material,
    out: Path,
    clip: str | None = None,
    at: float = 0.0,
    watch: Watcher = nobody,
) -> tuple[Path, ...]:
    """classes.png, clusters.png, centroids.png, confusion.png, report.png, probe.png, focal.png (of a run
    with that loss), clip-N.png, neighbours-N.png: those written.

    `clip`: the id of the one clip to show, from `at` seconds on; three drawn by chance where none is given.
    Raises RequestError for an id that the split does not hold, or a time beyond the clip's end.
    """
    rows = drawn_clips(material) if clip is None else np.array([clip_row(material, clip)])
    paths = [out / "clusters.png"]
    draw_clusters(paths[0], found)
    if found.class_counts:
        paths.append(out / "classes.png")
        draw_classes(paths[-1], found.class_counts)
    if found.apart is not None:
        paths.append(out / "centroids.png")
        draw_apart(paths[-1], found.apart)
    if found.confusion is not None:
        paths.append(out / "confusion.png")
        draw_confusion(paths[-1], found.confusion)
        paths.append(out / "report.png")
        draw_report(paths[-1], found.confusion)
    if found.probe_curve is not None:
        paths.append(out / "probe.png")
        draw_probe(paths[-1], found.probe_curve)
    if isinstance(material.run.recipe.loss, Focal):
        paths.append(out / "focal.png")
        draw_focal(paths[-1], material.run.recipe.loss.gamma)
    for number, row in enumerate(rows.tolist() if material.is_sound else (), 1):
        paths.append(out / f"clip-{number}.png")
        draw_tile(paths[-1], tile(material, row, at))
    if len(material.rows) > 1:
        for number, each in enumerate(neighbourhoods(material, rows, watch=watch), 1):
            paths.append(out / f"neighbours-{number}.png")
            draw_neighbourhood(paths[-1], each)
    return tuple(paths)
