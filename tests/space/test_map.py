"""Layouts compared with closed forms and with laws: distances kept, groups kept apart, same bits again."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

import nearfield.space.map as under_test
from nearfield.core.errors import RequestError
from nearfield.core.types import Vectors
from nearfield.space.map import SpaceMap, map_beside, neighbors
from nearfield.training.events import Event, Stage


def groups(count: int, apart: float = 6.0) -> tuple[Vectors, np.ndarray]:
    """Three groups of points in ten dimensions, and which group each is of."""
    chance = np.random.default_rng(0)
    which = np.arange(count) % 3
    centres = apart * np.eye(3, 10)
    return (centres[which] + chance.normal(size=(count, 10), scale=0.5)).astype(np.float32), which


def test_pca_keeps_the_distances_of_a_plane() -> None:
    chance = np.random.default_rng(0)
    flat = chance.normal(size=(40, 2)) * [3.0, 1.0]
    turn = np.linalg.qr(chance.normal(size=(7, 7)))[0][:2]
    made = SpaceMap.of((flat @ turn + 5).astype(np.float32), with_umap=False)
    np.testing.assert_allclose(pdist(made.layouts["pca_2d"]), pdist(flat), atol=1e-4)
    np.testing.assert_allclose(made.layouts["pca_3d"][:, 2], 0, atol=1e-4)
    assert made.trust["pca_2d"] == 1.0
    assert made.layouts["pca_2d"][:, 0].std() > made.layouts["pca_2d"][:, 1].std()


def test_clusters_are_the_groups() -> None:
    vectors, which = groups(90)
    clusters = SpaceMap.of(vectors, with_umap=False).clusters
    pairs = set(zip(which.tolist(), clusters.tolist(), strict=True))
    assert len(pairs) == 3


def test_neighbours_are_those_of_a_full_comparison() -> None:
    chance = np.random.default_rng(0)
    among = (chance.normal(size=(300, 7)) * chance.uniform(0.2, 5, size=(300, 1))).astype(np.float32)
    queries = np.concatenate([among[:20], chance.normal(size=(40, 7))]).astype(np.float32)
    steps: list[tuple[int, int]] = []
    rows, away = neighbors(queries, among, 6, lambda done, of: steps.append((done, of)))
    full = cdist(queries.astype(np.float64), among.astype(np.float64))
    np.testing.assert_array_equal(rows, np.argsort(full, 1, kind="stable")[:, :6])
    np.testing.assert_allclose(away, np.sort(full, 1)[:, :6], atol=1e-5)
    assert steps == [(60, 60)]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_few_points_have_a_map(count: int) -> None:
    vectors = groups(count)[0][:, :2]
    made = SpaceMap.of(vectors, with_umap=count < 4)
    assert {points.shape for points in made.layouts.values()} == {(count, 2), (count, 3)}
    assert all(np.isfinite(points).all() for points in made.layouts.values())


def test_no_points_are_refused() -> None:
    with pytest.raises(RequestError, match="Index some sounds"):
        SpaceMap.of(np.zeros((0, 4), np.float32))


def test_map_is_kept_until_the_vectors_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = groups(3)
    path, ids = tmp_path / "map.parquet", ["a", "b", "c"]
    made: list[Event] = []
    first = map_beside(path, ids, vectors, "one", made.append)
    assert made
    made.clear()
    again = map_beside(path, ids, vectors, "one", made.append)
    assert made == []
    assert list(again.layouts) == list(first.layouts)
    for name, points in first.layouts.items():
        np.testing.assert_array_equal(again.layouts[name], points)
    assert again.trust.keys() == first.trust.keys()
    np.testing.assert_array_equal(again.clusters, first.clusters)
    for change in (lambda: (vectors + 1, "one"), lambda: (vectors, "other")):
        made.clear()
        map_beside(path, ids, *change(), made.append)
        assert made
    path.write_bytes(path.read_bytes()[:100])
    made.clear()
    map_beside(path, ids, vectors, "one", made.append)
    assert made


@pytest.mark.slow
def test_umap_keeps_groups_apart_and_places_the_rest_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "DRAWN", 60)  # the others of 90 are placed by their neighbours
    vectors, which = groups(90)
    told: list[Event] = []
    made = SpaceMap.of(vectors, callback=told.append)
    steps = [(each.done, each.total) for each in told if isinstance(each, Stage) and "UMAP, 2D" in each.name]
    assert steps == sorted(steps)
    assert steps[0][0] == 0  # a quick machine tells no more than where it begins and ends
    assert steps[-1][0] == steps[-1][1] > 1
    assert list(made.layouts) == ["umap_2d", "umap_3d", "pca_2d", "pca_3d"]
    for name, size in (("umap_2d", 2), ("umap_3d", 3)):
        points = made.layouts[name]
        assert points.shape == (90, size)
        near = np.argsort(np.linalg.norm(points[:, None] - points[None], axis=2), axis=1)[:, 1]
        assert (which[near] == which).all(), name
        assert made.trust[name] > 0.7
    again = SpaceMap.of(vectors)
    for name, points in made.layouts.items():
        np.testing.assert_array_equal(again.layouts[name], points)
