"""Draws the README's picture from a finished run: the test clips in two spaces, side by side.

python docs/demo.py demo docs/demo.png
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from sklearn.decomposition import PCA

from nearfield.core.types import Vectors
from nearfield.training.baselines import standardized, statistics_vectors
from nearfield.training.encode import vectors_of
from nearfield.training.prepare import open_collection
from nearfield.training.run import Run
from nearfield.training.setup import TrainingSetup


def main(folder: str, picture: str) -> None:
    """Two panels: MFCC statistics and the trained space, by principal components fitted on train."""
    run = Run.load(folder)
    environment = run.folder.environment()
    collection = open_collection(environment["data"]["path"], run.recipe, allow_leak=False)
    collection = collection.with_split(run.folder.split)
    setup = TrainingSetup.build(run.recipe, collection, environment["seed"], embedder=run.embedder)
    train = collection.rows("train")
    mfcc = dict(statistics_vectors(setup))["mfcc_stats"]
    spaces = {
        "MFCC statistics": (standardized(mfcc, train), "baseline/mfcc_stats/"),
        "trained space": (vectors_of(run.embedder, setup), ""),
    }
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    for place, (name, (vectors, prefix)) in zip(axes, spaces.items(), strict=True):
        recall = run.metrics[f"{prefix}retrieval_from_train/recall_at_1"]
        draw(place, vectors, setup, f"{name}: recall@1 {recall:.2f}")
    axes[1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(picture, dpi=130)


def draw(axes: Axes, vectors: Vectors, setup: TrainingSetup, title: str) -> None:
    """The test clips on the first two components of train, a colour a label."""
    rows = setup.collection.rows("test")
    points = PCA(2).fit(vectors[setup.collection.rows("train")]).transform(vectors[rows])
    colours = plt.get_cmap("tab10")
    for number, label in enumerate(setup.metadata.label_names):
        chosen = points[np.flatnonzero(setup.metadata.labels[rows] == number)]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=22, color=colours(number), label=label, linewidths=0)
    axes.set_title(title, fontsize=11)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color("0.8")


if __name__ == "__main__":
    main(sys.argv[1], str(Path(sys.argv[2])))
