"""The dozen public names, and documents that stay true."""

import re
from pathlib import Path

import pytest
import torch

import nearfield
from nearfield.core.errors import RequestError

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_public_name_is_there_and_documented() -> None:
    for name in nearfield.__all__:
        assert getattr(nearfield, name).__doc__, name
    assert set(dir(nearfield)) == set(nearfield.__all__)


def test_python_in_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    alone = [
        block for block in blocks if "my-run" not in block
    ]  # tests/journeys/test_shell_blocks.py has one
    assert len(alone) == len(blocks) - 1
    for block in alone:
        exec(compile(block, "README.md", "exec"), {})


def test_the_output_in_the_readme_is_that_of_the_walkthrough() -> None:
    (shown,) = re.findall(r"```console\n(.*?)```", README, flags=re.S)
    assert shown in (ROOT / "docs/walkthrough.md").read_text(encoding="utf-8")


def test_what_the_readme_names_is_there() -> None:
    named = re.findall(r"`((?:recipes|benchmarks|docs|app|runs|learning)/[\w/.]+)`", README)
    named += re.findall(r"\]\(([\w/.]+)\)", README)
    assert named
    missing = [
        name for name in named if not (ROOT / name).exists() and not (ROOT / "src/nearfield" / name).exists()
    ]
    assert not missing


def test_every_command_in_the_readme_exists() -> None:
    from typer.main import get_command

    from nearfield.cli.main import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    used = set(re.findall(r"\.venv/bin/nearfield (\w+)", README))
    assert used
    assert used <= known


def test_an_optimizer_and_an_augmentation_are_made_by_kind() -> None:
    made = nearfield.optimizer("sgd", torch.nn.Linear(2, 2), lr=0.5)
    assert isinstance(made, torch.optim.SGD)
    assert made.param_groups[0]["lr"] == 0.5
    gain = nearfield.augmentation("gain", decibels=[-3, 3])
    assert repr(gain) == "Gain(probability=1.0, decibels=(-3.0, 3.0))"
    with pytest.raises(RequestError, match="optimizer: unknown kind 'sdg'"):
        nearfield.optimizer("sdg", torch.nn.Linear(2, 2))
    with pytest.raises(RequestError, match="augmentation: unknown key 'decibel'"):
        nearfield.augmentation("gain", decibel=[-3, 3])
