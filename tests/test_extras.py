"""Training, evaluation, an index and a search need no extra; a command that needs one names it."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import pytest

from nearfield.core.extras import EXTRAS
from tests.training.conftest import tones as tones

BLOCKED = """
import importlib.util, json, os, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None
sys.meta_path.insert(0, Missing())
found = importlib.util.find_spec
def find_spec(name, package=None):
    return None if name.partition(".")[0] in {modules!r} else found(name, package)
importlib.util.find_spec = find_spec
from nearfield.cli.main import main
import nearfield.space.query, nearfield.space.space
import nearfield.training.evaluate_run, nearfield.training.trainer
for line in sys.stdin:
    words, out, err = json.loads(line)
    if not os.fork():  # ends as a process of its own would
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        sys.argv = ["nearfield", *words]
        main()
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
"""Commands in processes without `modules`: forks of one, so that what most import is imported once."""
TRAIN = ("train", "labels", "--data", "{data}", "--out", "{out}")
OPTIONAL = sorted({module for modules in EXTRAS.values() for module in modules})
SMALL = (
    *("--set", "data.sample_rate=8000", "--set", "data.clip_seconds=0.4", "--set", "feature.bands=16"),
    *("--set", "backbone.width=4", "--set", "backbone.blocks=2", "--set", "train.updates=10"),
    *("--set", "sampler.classes=4", "--set", "sampler.per_class=4", "--set", "augment=[]", "--device", "cpu"),
)


Nearfield = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def nearfield(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nearfield]:
    """Runs a command in a process that cannot import what extras bring."""
    folder = tmp_path_factory.mktemp("said")
    script = BLOCKED.format(modules=OPTIONAL)
    with subprocess.Popen([sys.executable, "-c", script], text=True, stdin=PIPE, stdout=PIPE) as process:
        given, ended = process.stdin, process.stdout
        assert given is not None
        assert ended is not None

        def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
            place = Path(tempfile.mkdtemp(dir=folder))
            places = [place / "out", place / "err"]
            asked = [[str(word) for word in words], *map(str, places)]
            print(json.dumps(asked), file=given, flush=True)
            code = ended.readline()
            assert code, f"the process that runs the commands has ended: {asked[0]}"
            out, err = (path.read_text() for path in places)
            return subprocess.CompletedProcess(asked[0], int(code), out, err)

        yield run
        given.close()


@pytest.fixture(scope="module")
def run(nearfield: Nearfield, tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained without any extra."""
    folder = tmp_path_factory.mktemp("light") / "run"
    done = nearfield("train", "labels", "--data", tones, "--out", folder, *SMALL)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "tensorboard" not in done.stdout
    assert not (folder / "tensorboard").exists()
    return folder


def test_evaluation_index_and_search_need_no_extra(
    nearfield: Nearfield, run: Path, tones: Path, tmp_path: Path
) -> None:
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
    words: tuple[str, ...], extra: str, nearfield: Nearfield, run: Path, tones: Path, tmp_path: Path
) -> None:
    space = tmp_path / "space"
    if "{space}" in words:
        assert nearfield("index", run, "--data", tones, "--out", space).returncode == 0
    places = {"run": run, "data": tones, "space": space, "out": tmp_path / "out"}
    done = nearfield(*(re.sub(r"\{(\w+)\}", lambda match: str(places[match[1]]), word) for word in words))
    assert done.returncode == 2, done.stderr[-2000:]
    assert re.search(rf"pip install ['\"]nearfield\[{extra}\]", done.stderr), done.stderr[-2000:]
    assert "Traceback" not in done.stderr
