"""Two processes with half a batch each take the same step as one with the whole: gloo, real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = """
import json, sys
import numpy as np, torch, torch.distributed as dist
from torch import nn
from nearfield.core.types import Batch, BatchIndices, Pairs
from nearfield.learning.losses.autograd import AutogradLoss
from nearfield.learning.losses.triplet import TripletLoss
from nearfield.learning.distributed import own, world
from nearfield.learning.train import TrainState, TrainSettings, train
from nearfield.models.normalization import sync_batch_norm

class Hardest(AutogradLoss):
    distance = "squared_euclidean"

    def rowwise(self, distances, positive, negative, weight):
        nearest = distances.where(negative, torch.inf).amin(1)
        return ((distances * weight).amax(1) - nearest + 1).clamp_min(0)

triplet = TripletLoss(margin=1.0, distance="squared_euclidean")
losses = {"triplet": triplet, "autograd": Hardest()}
if "RANK" in __import__("os").environ:
    dist.init_process_group("gloo")
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)).double()
if world()[1] > 1:
    model = sync_batch_norm(model)
data = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
labels = torch.arange(40) % 4
rng = np.random.default_rng(2)
draws = [BatchIndices(rng.permutation(40)[:size], np.zeros(size)) for size in (12, 13, 11)]
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
parts = TrainState(
    encode=lambda batch, update: model(batch.signal),
    relation=lambda indices: Pairs.from_labels(labels[torch.as_tensor(indices.rows)]),
    miner=lambda vectors, pairs, generator: pairs,
    loss=losses[sys.argv[1]],
    penalty=None, model=model, optimizer=optimizer, rate=lambda update: 1.0)
batches = [(indices, Batch(data[torch.as_tensor(own(indices).rows)], own(indices))) for indices in draws]
steps = [step.measured for step in train(parts, batches, TrainSettings(updates=3), seed=0)]
if world()[0] == 0:
    state = {name: value.flatten().tolist() for name, value in model.state_dict().items()}
    print(json.dumps({"state": state, "losses": [s["train/loss"] for s in steps],
                      "norms": [s["train/gradient_norm"] for s in steps]}))
if dist.is_initialized():
    dist.destroy_process_group()
"""


def run(script: Path, loss: str, *launcher: str) -> dict[str, object]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, str(script), loss],
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, object] = json.loads(
        [line for line in done.stdout.splitlines() if line.startswith("{")][-1]
    )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["triplet", "autograd"])
def test_two_processes_equal_one(loss: str, tmp_path: Path) -> None:
    """Batches of 12, 13 and 11, so also shares of unlike size; three updates, each built on the last."""
    script = tmp_path / "step.py"
    script.write_text(SCRIPT)
    alone = run(script, loss, sys.executable)
    both = run(
        script, loss, sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"
    )
    for key in ("losses", "norms"):
        assert torch.allclose(torch.tensor(alone[key]), torch.tensor(both[key]), rtol=1e-9)
    one, other = alone["state"], both["state"]
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    for name, values in one.items():
        assert torch.allclose(torch.tensor(values), torch.tensor(other[name]), rtol=1e-8, atol=1e-10), name
