"""The wheel: what is installed from it, in a folder of its own, has its recipes and studies and trains."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from nearfield.core.shipped import shipped

ROOT = Path(__file__).parents[1]
ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that the tree stays as it is."""
    home = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, home / name)
    shutil.copytree(ROOT / "src", home / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."]
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=home, check=True)
    (built,) = (home / "dist").glob("nearfield-*.whl")
    return built


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`nearfield` of a fresh environment with the wheel in it; what it needs is that of this environment."""
    home = tmp_path_factory.mktemp("elsewhere")
    venv.create(home / "env", with_pip=False)
    python = home / "env/bin/python"
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    packages = Path(where.stdout.strip())
    words = ["install", "--quiet", "--no-deps", "--no-index", "--prefix", str(home / "env"), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *words, "--ignore-installed"], check=True)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = home / "env/bin/nearfield"
    script.write_text(f"#!{python}\nfrom nearfield.cli.main import main\nmain()\n")
    script.chmod(0o755)
    return script


def told(command: Path, *words: str, home: Path) -> str:
    """Standard output of a command that ends well."""
    done = subprocess.run([command, *words], cwd=home, env=ALONE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_recipe_and_study_is_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for sort in ("recipes", "studies"):
        files = shipped(sort)
        assert len(files) > 15
        assert {f"nearfield/{sort}/{name}.yaml" for name in files} <= names


@pytest.mark.slow
def test_it_trains_by_the_name_of_a_recipe_in_another_folder(command: Path, tmp_path: Path) -> None:
    assert "labels" in told(command, "list", "recipes", home=tmp_path)
    (tmp_path / "mine.yaml").write_text(told(command, "recipe", "demo", home=tmp_path))
    short = ("--data", "synthetic:tones", "--set", "train.updates=3")
    told(command, "train", "mine.yaml", *short, "--out", "one", home=tmp_path)
    told(command, "train", "demo", *short, "--out", "two", home=tmp_path)
    first, second = ((tmp_path / name / "recipe.yaml").read_text() for name in ("one", "two"))
    assert first == second
    where = "import nearfield; print(nearfield.__file__)"
    found = subprocess.check_output([command.parent / "python", "-c", where], env=ALONE, text=True)
    assert found.startswith(str(command.parents[1]))
    plan = told(command, "study", "print", "margin", home=tmp_path)
    assert "question: How does the margin" in plan
