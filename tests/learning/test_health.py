"""The numbers of a space's health, against closed forms, and the alarm on planted collapses."""

import math

import pytest
import torch

from nearfield.learning.collapse import PATIENCE, CollapseWatch, effective_rank, spread


def test_effective_rank_of_known_spaces() -> None:
    point = torch.ones(10, 4)
    line = torch.linspace(-1, 1, 10)[:, None] * torch.tensor([[1.0, 2.0, 3.0]])
    cross = torch.cat([torch.eye(4), -torch.eye(4)])
    assert effective_rank(point) == 0
    assert effective_rank(line) == pytest.approx(1)
    assert effective_rank(cross) == pytest.approx(4)


def test_spread_is_the_root_mean_squared_distance_over_the_length() -> None:
    vectors = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    pairs = torch.cdist(vectors, vectors).square().mean()
    length = vectors.square().sum(1).mean()
    assert float(spread(vectors)) == pytest.approx(float((pairs / length).sqrt()), rel=1e-5)
    assert float(spread(torch.ones(5, 3))) == 0


def healthy() -> dict[str, float]:
    return {"train/loss": 0.2, "train/spread": 1.2, "train/effective_rank": 20.0}


def test_a_healthy_space_raises_nothing() -> None:
    callback = CollapseWatch(mined_hard=False)
    assert [callback.see(healthy()) for _ in range(200)] == [None] * 200


@pytest.mark.parametrize(
    ("hard", "text"),
    [
        (
            True,
            "The embedding has collapsed: all embeddings lie at one point. "
            "Likely cause: the miner keeps only the hardest pairs from the start. "
            "Set miner.kind to semihard or all.",
        ),
        (
            False,
            "The embedding has collapsed: all embeddings lie at one point. "
            "Likely cause: the learning rate is too high for this loss, or pairs are contradictory. "
            "Lower optimizer.lr, check that the relation fits the data, or use another loss.",
        ),
    ],
)
def test_a_point_is_told_once_within_patience(hard: bool, text: str) -> None:
    callback = CollapseWatch(mined_hard=hard)
    said = [callback.see({**healthy(), "train/spread": 0.001}) for _ in range(60)]
    assert said[PATIENCE - 1] == text
    assert sum(word is not None for word in said) == 1


def test_a_line_is_told() -> None:
    callback = CollapseWatch(mined_hard=False)
    said = [callback.see({**healthy(), "train/effective_rank": 1.02}) for _ in range(PATIENCE)]
    assert said[-1] is not None
    assert said[-1].startswith(
        "The embedding has collapsed: all embeddings lie on one line (effective rank 1.02)."
    )


def test_nan_is_told_at_once() -> None:
    # As the loop measures vectors that are not numbers.
    gone = torch.full((8, 4), torch.nan)
    measured = {"train/spread": float(spread(gone)), "train/effective_rank": effective_rank(gone)}
    said = CollapseWatch(mined_hard=False).see({"train/loss": math.nan, **measured})
    assert said is not None
    assert said.startswith("The embedding has collapsed: the loss is no longer a number.")
