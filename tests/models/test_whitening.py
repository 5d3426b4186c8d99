"""Whitening against scikit-learn's, and what it promises of spreads, cosines and rows before it is fitted."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from nearfield.core.errors import DataError
from nearfield.models.embedder import FLOOR, Whitening


def skewed(count: int = 400, size: int = 6) -> torch.Tensor:
    """Rows that lie off the origin and spread from 4 to 0.5 along directions that are no axes."""
    chance = torch.Generator().manual_seed(0)
    turned: torch.Tensor = torch.linalg.qr(torch.randn(size, size, generator=chance))[0]
    spread = torch.linspace(4, 0.5, size)
    return torch.randn(count, size, generator=chance) * spread @ turned + 3


def whitened(rows: torch.Tensor, power: float) -> torch.Tensor:
    whitening = Whitening(rows.shape[1], power)
    whitening.fit(rows)
    result: torch.Tensor = whitening(rows)
    return result


def test_power_1_is_scikit_learns_turned_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfield.models.embedder.FLOOR", 0.0)
    rows = skewed()
    peer = PCA(whiten=True).fit(rows.numpy())
    wanted = peer.transform(rows.numpy()) @ peer.components_ * np.sqrt(len(rows) / (len(rows) - 1))
    np.testing.assert_allclose(whitened(rows, 1.0), wanted, atol=1e-4)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_each_direction_is_divided_by_its_spread(power: float) -> None:
    rows = skewed()
    _, spread, directions = np.linalg.svd((rows - rows.mean(0)).double().numpy(), full_matrices=False)
    spread = spread / np.sqrt(len(rows))
    found = whitened(rows, power).double().numpy()
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    wanted = spread / (spread + FLOOR * spread.max()) ** power
    np.testing.assert_allclose((found @ directions.T).std(0), wanted, rtol=1e-4)


def test_rows_come_out_as_they_went_in_before_it_is_fitted() -> None:
    rows = skewed()
    assert torch.equal(Whitening(6, 1.0)(rows), rows)


def test_directions_without_spread_stay_finite() -> None:
    rows = torch.zeros(5, 3)
    assert whitened(rows, 1.0).isfinite().all()
    rows[:, 0] = torch.arange(5)
    assert whitened(rows, 1.0).abs().max() < 2


def test_half_precision_stays_outside() -> None:
    rows = skewed()
    whitening = Whitening(6, 1.0)
    whitening.fit(rows)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(whitening(rows), whitening(rows.float()))
        assert whitening(rows).dtype == torch.float32


def test_one_clip_has_no_spread() -> None:
    with pytest.raises(DataError, match=r"embedding\.whiten: whitening needs two clips.*there are 1"):
        Whitening(4, 1.0).fit(torch.ones(1, 4))
