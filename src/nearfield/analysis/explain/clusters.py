"""Clusters of the embeddings, found without labels, and their agreement with labels.

k-means on the embeddings and on their first principal components, for every number of clusters, with the
number chosen by elbow and by silhouette; and HDBSCAN, which chooses the number itself and leaves clips out
(Campello, Moulavi and Sander 2013). Labels, if any, are only compared with the result.

Metrics
-------
- `purity`: fraction of clips with the most frequent label of their cluster; increases with the number of
  clusters.
- `nmi`: normalized mutual information (arithmetic mean), 0..1. `ami`: the same, adjusted for chance.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from nearfield.core.rng import stream
from nearfield.core.settings import Settings
from nearfield.core.types import Distance, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.clusters import KMeansPath, k_means_path
from nearfield.metrics.neighbors import unit


class ClusterSettings(Settings):
    """Settings of clustering."""

    most: int = Field(20, ge=2, le=200)
    """Largest number of clusters, 2 to 200."""
    components: int = Field(3, ge=1)
    """Number of principal components that are also clustered."""
    distance: Distance = "cosine"
    """Distance of two vectors; cosine normalizes them first."""
    least_members: int = Field(10, ge=2)
    """Smallest number of clips in a cluster of HDBSCAN."""
    most_clips: int = Field(5000, ge=10)
    """Largest number of clips; beyond it, a random subset is clustered."""
    seed: int = 0
    """Seed of the subset and of k-means."""


@dataclass(frozen=True)
class Agreement:
    """One clustering and its agreement with the labels."""

    chosen_by: Literal["elbow", "silhouette", "labels", "hdbscan"]
    """How the number of clusters was chosen; `labels`: the number of labels, for comparison."""
    clusters: int
    left_out: int
    """Number of clips without a cluster (HDBSCAN), which the agreement ignores."""
    members: Ints
    """(n,) cluster of each clip, from 0; -1: none."""
    purity: float | None
    nmi: float | None
    ami: float | None
    contingency: Ints | None
    """(labels, clusters) numbers of clips; None without labels."""


@dataclass(frozen=True)
class ClusteredSpace:
    """The clusterings of one space."""

    name: str
    """`whole`, or for example `pca_3`."""
    variance: float
    """Fraction of the variance that it retains."""
    path: KMeansPath
    found: tuple[Agreement, ...]


@dataclass(frozen=True)
class ClusterReport:
    """The clusterings of a run."""

    rows: Ints
    """(n,) the clustered clips."""
    label_names: tuple[str, ...]
    """Names of the rows of the contingency tables."""
    spaces: tuple[ClusteredSpace, ...]

    def plain(self) -> dict[str, Any]:
        """Returns curves and tables, without the members, as JSON-serializable values."""
        return {
            "clips": len(self.rows),
            "label_names": list(self.label_names),
            "spaces": {space.name: _plain_space(space) for space in self.spaces},
        }


def cluster_report(
    vectors: Vectors,
    labels: Ints | None = None,
    names: tuple[str, ...] | None = None,
    settings: ClusterSettings | None = None,
) -> ClusterReport:
    """Clusters vectors and compares the clusters with labels.

    Parameters
    ----------
    vectors
        (N, D) vectors.
    labels
        (N,) class numbers; -1 means unknown. They are used for comparison only.
    names
        Names of the classes by number.
    settings
        Settings; None: defaults.

    Raises
    ------
    RequestError, WorkError
        If the vectors cannot be clustered.
    """
    settings = settings or ClusterSettings()
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), labels=labels)
    rows = np.arange(len(vectors))
    if len(rows) > settings.most_clips:
        rows = np.sort(
            stream(settings.seed, "clusters").choice(len(rows), settings.most_clips, replace=False)
        )
    space = vectors[rows].astype(np.float64)
    if settings.distance == "cosine":
        space = unit(space)
    given = np.full(len(rows), -1, dtype=np.int64) if labels is None else labels[rows]
    present = np.unique(given[given >= 0])
    small, kept = principal(space, settings.components)
    spaces = (("whole", space, 1.0), (f"pca_{small.shape[1]}", small, kept))
    return ClusterReport(
        rows=rows,
        label_names=tuple(names[number] if names else str(number) for number in present),
        spaces=tuple(_space(name, points, share, given, settings) for name, points, share in spaces),
    )


def principal(space: Floats, components: int) -> tuple[Floats, float]:
    """Computes (N, d) the first principal components, and the fraction of variance that they retain."""
    centred = space - space.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    kept = min(components, space.shape[1])
    total = float(values.clip(0).sum())
    share = float(values[-kept:].clip(0).sum()) / total if total > 0 else 1.0
    return np.asarray(centred @ axes[:, ::-1][:, :kept]), share


def purity(contingency: Ints) -> float:
    """Computes the fraction of clips with the most frequent label of their cluster, from (labels,
    clusters)."""
    total = int(contingency.sum())
    return float(contingency.max(axis=0).sum()) / total if total else 0.0


def _space(
    name: str, points: Floats, variance: float, labels: Ints, settings: ClusterSettings
) -> ClusteredSpace:
    classes = len(np.unique(labels[labels >= 0]))
    path = k_means_path(points, settings.most, settings.seed, classes or None)
    found = [_agreement("elbow", path.at(path.elbow), labels)]
    if path.by_silhouette is not None:
        found.append(_agreement("silhouette", path.at(path.by_silhouette), labels))
    if classes in path.counts:
        found.append(_agreement("labels", path.at(classes), labels))
    if len(points) > settings.least_members:
        found.append(_agreement("hdbscan", _density(points, settings.least_members), labels))
    return ClusteredSpace(name, variance, path, tuple(found))


def _density(points: Floats, least: int) -> Ints:
    """Computes (N,) clusters with HDBSCAN; -1: none."""
    from sklearn.cluster import HDBSCAN

    # `copy` is given because its default will change in scikit-learn.
    return np.asarray(HDBSCAN(min_cluster_size=least, copy=True).fit_predict(points), dtype=np.int64)


def _agreement(
    chosen_by: Literal["elbow", "silhouette", "labels", "hdbscan"], members: Ints, labels: Ints
) -> Agreement:
    from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

    clusters, left_out = len(np.unique(members[members >= 0])), int((members < 0).sum())
    judged = (labels >= 0) & (members >= 0)
    if not judged.any():
        return Agreement(chosen_by, clusters, left_out, members, None, None, None, None)
    codes = np.unique(labels[labels >= 0], return_inverse=True)[1]
    classes = np.full(len(labels), -1)
    classes[labels >= 0] = codes
    contingency = np.zeros((codes.max() + 1, int(members.max()) + 1), dtype=np.int64)
    np.add.at(contingency, (classes[judged], members[judged]), 1)
    truth, found = labels[judged], members[judged]
    return Agreement(
        chosen_by=chosen_by,
        clusters=clusters,
        left_out=left_out,
        members=members,
        purity=purity(contingency),
        nmi=float(normalized_mutual_info_score(truth, found)),
        ami=float(adjusted_mutual_info_score(truth, found)),
        contingency=contingency,
    )


def _plain_space(space: ClusteredSpace) -> dict[str, Any]:
    silhouettes = [None if np.isnan(value) else float(value) for value in space.path.silhouettes]
    return {
        "variance": space.variance,
        "counts": list(space.path.counts),
        "inertias": space.path.inertias.tolist(),
        "silhouettes": silhouettes,
        "elbow": space.path.elbow,
        "by_silhouette": space.path.by_silhouette,
        "found": [_plain_agreement(each) for each in space.found],
    }


def _plain_agreement(found: Agreement) -> dict[str, Any]:
    plain = asdict(found)
    del plain["members"]
    plain["contingency"] = None if found.contingency is None else found.contingency.tolist()
    return plain
