"""Writes the golden files: inputs, and what the measures of this version make of them.

    python tests/golden/renew.py

Run it only where a measure was meant to change, and say in the commit which figures moved and why. Inputs are
kept as they are once a file exists; delete a file to draw its input anew.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nearfield.core.rng import stream
from nearfield.core.types import Floats
from nearfield.metrics.chance import expected_label_scores, expected_recall, hub_scores
from nearfield.metrics.classification import classification_scores
from nearfield.metrics.geometry import (
    centroid_scores,
    centroids,
    effective_rank,
    hubness,
    mean_norm,
    pair_scores,
)
from nearfield.metrics.neighbors import Search, available, nearest
from nearfield.metrics.retrieval import label_scores, ranking_scores, relevant_counts, tag_scores
from nearfield.metrics.tagging import tag_areas
from nearfield.metrics.temporal import near_in_time, same_recording

FOLDER = Path(__file__).parent

Plain = dict[str, Any]


def retrieval(given: Plain) -> Plain:
    """Retrieval by label without the own group, and what chance gives."""
    labels, search = np.array(given["labels"]), _search(given)
    relevant = relevant_counts(search, labels, labels)
    return {
        "scores": _lists(label_scores(search, labels, labels)),
        "chance": _lists(expected_label_scores(relevant, available(search))),
    }


def multilabel(given: Plain) -> Plain:
    """Retrieval by tags without the own group, the hub, and what chance gives."""
    tags, search = np.array(given["tags"], dtype=bool), _search(given)
    return {
        "scores": _lists(tag_scores(search, tags, tags) | ranking_scores(search, tags, tags)),
        "chance": _lists(expected_recall(search, tags, tags)),
        "hub": _lists(hub_scores(search, tags, tags)),
    }


def classification(given: Plain) -> Plain:
    """Accuracy and F1, with weights."""
    reference, predicted = np.array(given["reference"]), np.array(given["predicted"])
    return _lists(classification_scores(reference, predicted, np.array(given["weights"], dtype=float)))


def tagging(given: Plain) -> Plain:
    """Areas of tags, with ties."""
    return _lists(tag_areas(np.array(given["tags"], dtype=bool), np.array(given["scores"], dtype=float)))


def geometry(given: Plain) -> Plain:
    """Centroids, rank, hubs, pairs."""
    vectors, labels = np.array(given["vectors"], dtype=np.float32), np.array(given["labels"])
    found = centroids(vectors, labels, tuple("abcdefgh"))
    return {
        "distances": found.distances.tolist(),
        "scores": centroid_scores(found) | pair_scores(vectors, labels, "euclidean"),
        "effective_rank": effective_rank(vectors),
        "hubness": hubness(nearest(Search.within(vectors, "euclidean"), 10)[0]),
        "mean_norm": mean_norm(vectors),
    }


def temporal(given: Plain) -> Plain:
    """Neighbours in time."""
    vectors = np.array(given["vectors"], dtype=np.float32)
    recordings, start_times = np.array(given["groups"]), np.array(given["moments"], dtype=float)
    first = nearest(Search.within(vectors, "euclidean"), 1)[0][:, 0]
    return _lists(
        {
            "same_recording_at_1": same_recording(first, recordings),
            "near_in_time_at_1": near_in_time(first, recordings, start_times, 3.0),
        }
    )


MEASURES: dict[str, Callable[[Plain], Plain]] = {
    "retrieval": retrieval,
    "multilabel": multilabel,
    "classification": classification,
    "tagging": tagging,
    "geometry": geometry,
    "temporal": temporal,
}


def draw(name: str, number: int) -> Plain:
    """An input: vectors on a grid of quarters, where products are exact and some clips are duplicates."""
    chance = stream(number, f"golden {name}")
    count = 25
    return {
        "vectors": (chance.integers(-8, 9, size=(count, 4)) / 4).tolist(),
        "labels": chance.integers(0, 5, count).tolist(),
        "groups": chance.integers(0, 9, count).tolist(),
        "moments": chance.integers(0, 12, count).tolist(),
        "tags": (chance.random((count, 6)) < 0.3).astype(int).tolist(),
        "scores": (chance.integers(0, 9, size=(count, 6)) / 8).tolist(),
        "reference": chance.integers(0, 5, count).tolist(),
        "predicted": chance.integers(0, 6, count).tolist(),
        "weights": chance.integers(0, 3, size=(4, count)).tolist(),
    }


def _search(given: Plain) -> Search:
    return Search.within(np.array(given["vectors"], dtype=np.float32), "euclidean", np.array(given["groups"]))


def _lists(scores: dict[str, Floats]) -> Plain:
    """NaN is not JSON: None."""
    return {name: _defined(values.tolist()) for name, values in scores.items()}


def _defined(value: Any) -> Any:
    if isinstance(value, list):
        return [_defined(item) for item in value]
    return None if np.isnan(value) else value


def main() -> None:
    """Renews every golden file."""
    for name, measure in MEASURES.items():
        for number in range(2):
            path = FOLDER / f"{name}_{number}.json"
            given = json.loads(path.read_text())["input"] if path.exists() else draw(name, number)
            content = {"measure": name, "input": given, "output": measure(given)}
            path.write_text(json.dumps(content, allow_nan=False) + "\n")
            print(path.name)


if __name__ == "__main__":
    main()
