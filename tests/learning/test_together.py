"""Two processes with half a batch each take the same step as one with the whole: gloo, real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = """
import json
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

def steps_of(loss):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)).double()
    if world()[1] > 1:
        model = sync_batch_norm(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    parts = TrainState(
        encode=lambda batch, update: model(batch.signal),
        relation=lambda indices: Pairs.from_labels(labels[torch.as_tensor(indices.rows)]),
        miner=lambda vectors, pairs, generator: pairs,
        loss=loss, penalty=None, model=model, optimizer=optimizer, rate=lambda update: 1.0)
    steps = [step.measured for step in train(parts, batches, TrainSettings(updates=3), seed=0)]
    state = {name: value.flatten().tolist() for name, value in model.state_dict().items()}
    return {"state": state, "losses": [s["train/loss"] for s in steps],
            "norms": [s["train/gradient_norm"] for s in steps]}

data = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
labels = torch.arange(40) % 4
rng = np.random.default_rng(2)
draws = [BatchIndices(rng.permutation(40)[:size], np.zeros(size)) for size in (12, 13, 11)]
batches = [(indices, Batch(data[torch.as_tensor(own(indices).rows)], own(indices))) for indices in draws]
found = {name: steps_of(loss) for name, loss in losses.items()}
if world()[0] == 0:
    print(json.dumps(found), flush=True)
if dist.is_initialized():  # gloo's threads may end a process that leaves while the other one still talks
    dist.barrier()
    __import__("os")._exit(0)
"""


def run(script: Path, *launcher: str) -> dict[str, dict[str, Any]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, str(script)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, Any]] = json.loads(
        [line for line in done.stdout.splitlines() if line.startswith("{")][-1]
    )
    return found


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Batches of 12, 13 and 11, so also shares of unlike size; three updates, each built on the last."""
    script = tmp_path / "step.py"
    script.write_text(SCRIPT)
    alone = run(script, sys.executable)
    both = run(script, sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    assert set(alone) == {"triplet", "autograd"}
    for loss, one in alone.items():
        other = both[loss]
        for key in ("losses", "norms"):
            assert torch.allclose(torch.tensor(one[key]), torch.tensor(other[key]), rtol=1e-9), loss
        for name, values in one["state"].items():
            found = torch.tensor(other["state"][name])
            assert torch.allclose(torch.tensor(values), found, rtol=1e-8, atol=1e-10), (loss, name)
