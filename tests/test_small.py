"""docs/small.py, the whole idea in one file: what it computes is what the library computes."""

import ast
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import nearfield
from nearfield.metrics.neighbors import Search, nearest
from nearfield.study.statistics.conclude import PlannedTest, conclude
from tests.scripts import script

FILE = Path(__file__).parents[1] / "docs" / "small.py"


@pytest.fixture(scope="module")
def small() -> ModuleType:
    """The file, as a module."""
    return script("small")


def test_it_is_short_and_imports_nothing_of_the_package() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    named = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            named |= {each.name.split(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add(str(node.module).split(".")[0])
    assert named == {"collections", "numpy", "scipy", "torch"}


@pytest.mark.parametrize("margin", [0.05, 0.3, 1.0])
def test_its_loss_and_gradient_are_the_librarys(small: ModuleType, margin: float) -> None:
    rng = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(24, 5, generator=rng, dtype=torch.float64), dim=1)
    labels = torch.arange(24) % 5
    found, wanted = vectors.clone().requires_grad_(), vectors.clone().requires_grad_()
    loss = small.triplet_loss(found, labels, margin)
    library = nearfield.loss("triplet", margin=margin)(wanted, labels)
    loss.backward()
    library.backward()
    assert loss.item() == pytest.approx(library.item(), rel=1e-6)
    torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-5, atol=1e-8)


def test_its_recall_is_the_librarys(small: ModuleType) -> None:
    rng = np.random.default_rng(1)
    drawn = torch.from_numpy(rng.normal(size=(60, 4)).astype(np.float32))
    vectors = torch.nn.functional.normalize(drawn, dim=1)
    labels = np.arange(60) % 7
    gallery, queries = np.arange(0, 60, 2), np.arange(1, 60, 2)
    found = small.recall_at_1(vectors, labels, gallery, queries)
    rows, _ = nearest(Search(vectors[queries].numpy(), vectors[gallery].numpy()), 1)
    assert 0 < found.mean() < 1
    np.testing.assert_array_equal(found, labels[gallery][rows[:, 0]] == labels[queries])


@pytest.mark.parametrize("shift", [-0.2, -0.05, 0.0, 0.02, 0.3])
@pytest.mark.parametrize("spread", [0.0, 0.001, 0.05])
def test_its_verdict_is_the_librarys(small: ModuleType, shift: float, spread: float) -> None:
    rng = np.random.default_rng(2)
    other = np.clip(0.5 + 0.1 * rng.standard_normal((5, 12)), 0, 1)
    one = other + shift + spread * (rng.standard_normal((5, 1)) + rng.standard_normal((5, 12)))
    asked = PlannedTest("recall", meaningful=0.03, costs={}, within=(0.0, 1.0))
    (library,) = conclude(asked, {"one": one, "other": other}).comparisons
    claim, difference, low, high = small.verdict(one, other, 0.03)
    assert claim == library.claim
    assert (difference, low, high) == pytest.approx((library.difference, library.low, library.high), abs=1e-5)


def test_players_of_train_and_test_are_apart_and_batches_are_by_label(small: ModuleType) -> None:
    labels, players = np.repeat(np.arange(4), 12), np.repeat(np.arange(12), 4)
    train, test = small.split_by_group(labels, players)
    assert not set(players[train]) & set(players[test])
    assert set(labels[train]) == set(labels[test]) == {0, 1, 2, 3}
    batch = next(small.batches(labels, train, 3, 5, np.random.default_rng(0)))
    assert sorted(np.unique(labels[batch], return_counts=True)[1]) == [5, 5, 5]
    assert len(set(batch)) == 15
    assert set(batch) <= set(train)


def test_it_learns(small: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    small.main(seeds=2, updates=60)
    plain, first, second, said = capsys.readouterr().out.splitlines()
    assert min(float(line.split()[-1]) for line in (first, second)) > float(plain.split()[-1])
    assert said.startswith("margin 0.2 against 1.0: ")
