"""The whole command under torchrun: two processes with half a batch each train what one does alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from nearfield.training.run_folder import load_tensors
from tests.training.conftest import small


@pytest.mark.slow
def test_torchrun_ends_near_one_process(tones: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    # fp32, no dropout and no bends: those draw anew in each process, everything else must agree.
    plain = small(augment=[], embedding={"size": 8}, train={"updates": 6, "precision": "fp32"})
    recipe.write_text(yaml.safe_dump(plain))
    launchers = {
        "one": [sys.executable],
        "two": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"],
    }
    for name, launcher in launchers.items():
        words = ["train", str(recipe), "--data", str(tones), "--out", str(tmp_path / name), "--device", "cpu"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*launcher, "-m", "nearfield", *words, "--json"], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert json.loads(done.stdout.splitlines()[-1])["metrics"]
    one, two = (load_tensors(tmp_path / name / "weights.safetensors")[0] for name in launchers)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor.float(), two[name].float(), atol=2e-3), name
    lines = {name: (tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in launchers}
    first = [json.loads(each[0])["train/loss"] for each in lines.values()]
    assert first[0] == pytest.approx(first[1], rel=1e-4)
