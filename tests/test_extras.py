"""Training, evaluation, an index and a search need no extra; a command that needs one names it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nearfield.core.extras import EXTRAS
from tests.training.conftest import tones as tones

BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None
sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
def find_spec(name, package=None):
    return None if name.partition(".")[0] in {modules!r} else found(name, package)
importlib.util.find_spec = find_spec
sys.argv = ["nearfield", *{words!r}]
from nearfield.cli.main import main
main()
"""
TRAIN = ("train", "labels", "--data", "{data}", "--out", "{out}")
OPTIONAL = sorted({module for modules in EXTRAS.values() for module in modules})
SMALL = (
    *("--set", "data.sample_rate=8000", "--set", "data.clip_seconds=0.4", "--set", "feature.bands=16"),
    *("--set", "backbone.width=4", "--set", "backbone.blocks=2", "--set", "train.updates=10"),
    *("--set", "sampler.classes=4", "--set", "sampler.per_class=4", "--set", "augment=[]", "--device", "cpu"),
)


def nearfield(*words: str | Path, modules: list[str] = OPTIONAL) -> subprocess.CompletedProcess[str]:
    """The command in a process in which `modules` cannot be imported."""
    script = BLOCKED.format(modules=modules, words=[str(word) for word in words])
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained without any extra."""
    folder = tmp_path_factory.mktemp("light") / "run"
    done = nearfield("train", "labels", "--data", tones, "--out", folder, *SMALL)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "tensorboard" not in done.stdout
    assert not (folder / "tensorboard").exists()
    return folder


def test_evaluation_index_and_search_need_no_extra(run: Path, tones: Path, tmp_path: Path) -> None:
    for words in (
        ("evaluate", run),
        ("index", run, "--data", tones, "--out", tmp_path / "space"),
        ("search", tmp_path / "space", tones / "a" / "0.wav", "--top", "3", "--where", "label = 'a'"),
        ("suspects", run),
        ("list", "losses"),
        ("check", tones),
    ):
        done = nearfield(*words)
        assert done.returncode == 0, (words, done.stderr[-2000:])
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("explore", "{space}", "--no-browser"), "explore"),
        (("page", "{space}", "--out", "{out}.html"), "map"),
        (("index", "{run}", "--data", "{data}", "--out", "{out}", "--approximate"), "index"),
        (("study", "run", "demo", "--data", "{data}", "--out", "{out}"), "documents"),
        (("explain", "{run}", "--out", "{out}"), "figures"),
        (("export", "{run}", "--to", "onnx", "--out", "{out}.onnx"), "onnx"),
        (("export", "{run}", "--to", "projector", "--out", "{out}"), "tensorboard"),
        ((*TRAIN, "--set", "train.figures=true", *SMALL), "tensorboard"),
        ((*TRAIN, "--set", "augment=[{kind: pitch}]"), "augment"),
    ],
    ids=lambda given: given if isinstance(given, str) else " ".join(given[:2]),
)  # fmt: skip
def test_a_command_that_lacks_its_extra_names_it(
    words: tuple[str, ...], extra: str, run: Path, tones: Path, tmp_path: Path
) -> None:
    space = tmp_path / "space"
    if "{space}" in words:
        assert nearfield("index", run, "--data", tones, "--out", space).returncode == 0
    places = {"run": run, "data": tones, "space": space, "out": tmp_path / "out"}
    done = nearfield(*(re.sub(r"\{(\w+)\}", lambda match: str(places[match[1]]), word) for word in words))
    assert done.returncode == 2, done.stderr[-2000:]
    assert re.search(rf"pip install ['\"]nearfield\[{extra}\]", done.stderr), done.stderr[-2000:]
    assert "Traceback" not in done.stderr
