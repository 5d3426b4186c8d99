"""A run's reader: kept from one use to the next, and never that of other weights."""

from pathlib import Path

import pytest
import torch

from nearfield.models.embedder import EmbeddingModel
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.trainer import launch
from tests.training.conftest import small


@pytest.fixture(scope="module")
def folder(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one update."""
    out = tmp_path_factory.mktemp("runs") / "run"
    launch(Request(Recipe.of(small(train={"updates": 1, "checkpoint_seconds": 0})), str(tones), out))
    return out


def heard(embedder: EmbeddingModel, picture: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return embedder.embed_spectrogram(picture)


def test_the_reader_is_kept_and_follows_every_change_of_weights(folder: Path) -> None:
    run = Run.load(folder)
    picture = torch.randn(3, *run.embedder.shape)
    reader = run.reader()
    torch.testing.assert_close(heard(reader, picture), heard(run.embedder, picture))
    assert run.reader() is reader

    weights = {name: tensor.clone() for name, tensor in run.embedder.state_dict().items()}
    convolution = next(m for m in run.embedder.backbone.modules() if isinstance(m, torch.nn.Conv2d))
    with torch.no_grad():
        convolution.weight.mul_(-1.7)
    changed = run.reader()
    assert changed is not reader
    torch.testing.assert_close(heard(changed, picture), heard(run.embedder, picture))
    assert not torch.allclose(heard(changed, picture), heard(reader, picture), atol=1e-3)

    convolution.weight = torch.nn.Parameter(convolution.weight.detach() * 0.5)
    torch.testing.assert_close(heard(run.reader(), picture), heard(run.embedder, picture))

    run.embedder.load_state_dict(weights)
    torch.testing.assert_close(heard(run.reader(), picture), heard(reader, picture))


def test_training_steps_and_moving_statistics_are_seen(folder: Path) -> None:
    run = Run.load(folder)
    picture = torch.randn(4, *run.embedder.shape)
    first = run.reader()
    run.embedder.train()
    run.embedder(torch.randn(4, *run.embedder.shape))  # batch norms look at it, nothing else
    assert run.reader() is not first
    assert run.embedder.training
    run.embedder.eval()
    torch.testing.assert_close(heard(run.reader(), picture), heard(run.embedder, picture))
    optimiser = torch.optim.Adam(run.embedder.parameters(), lr=0.1)
    second = run.reader()
    run.embedder(torch.randn(4, *run.embedder.shape)).sum().backward()
    optimiser.step()
    assert run.reader() is not second
    torch.testing.assert_close(heard(run.reader(), picture), heard(run.embedder, picture))


def test_a_reader_that_is_used_between_trainings_has_no_dropout(folder: Path) -> None:
    run = Run.load(folder)
    reader = run.reader()
    run.embedder.train()
    assert run.reader() is reader
    assert not any(part.training for part in reader.modules())
