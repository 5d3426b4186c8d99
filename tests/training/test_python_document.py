"""The Python of docs/python.md runs, in one go, on a small run; its figures are those of the code."""

import re
from pathlib import Path

import pytest
import soundfile
import torch

from nearfield.training.canary import COUNT, TOLERANCE
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.trainer import launch
from tests.training.conftest import small

TEXT = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "mine"
    launch(Request(Recipe.of(small(train={"updates": 8})), str(tones), out, device="cpu"))
    return Run.load(out)


def test_the_blocks_run_and_train(run: Run, tones: Path) -> None:
    paths = sorted(tones.glob("*/*.wav"))
    waves = [soundfile.read(path, dtype="float32")[0] for path in paths]
    batch = torch.stack([torch.from_numpy(wave) for wave in waves]), torch.arange(40) // 10
    before = run.encode(paths)
    names = {"run": run, "left": waves[0], "right": waves[1], "paths": paths, "batches": [batch, batch]}
    for block in re.findall(r"```python\n(.*?)```", TEXT, flags=re.S):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["vectors"].shape == before.shape
    assert abs(names["vectors"] - before).max() > 1e-4


def test_figures_are_those_of_the_code() -> None:
    assert COUNT == 4
    assert "A run stores four short sounds" in TEXT
    assert f"up to {TOLERANCE['fp32']} of a vector's length" in TEXT
    assert f"up to {TOLERANCE['bf16']} in bfloat16" in TEXT


def test_a_run_is_shown_in_a_line_and_opened_on_a_device(run: Run) -> None:
    assert re.fullmatch(r"Run\('.*mine': log_mel, small_convnet, vectors of 8, [\d,]+ weights\)", repr(run))
    here = Run.load(run.folder.path, device="auto")
    assert here.encode([torch.zeros(4000)]).shape == (1, 8)
