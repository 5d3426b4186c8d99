"""The Containerfile: pinned, of files that are there, at versions that tests run with, ending in a demo."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = (ROOT / "Containerfile").read_text(encoding="utf-8")
STEPS = re.findall(r"^([A-Z]+) (.*)$", FILE.replace("\\\n", " "), re.MULTILINE)


def test_it_begins_from_a_pinned_python_that_the_package_allows() -> None:
    (begun,) = [rest for word, rest in STEPS if word == "FROM"]
    version = re.search(r":(\d+)\.(\d+)\.(\d+)-", begun)
    assert version, begun
    wanted = re.search(r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert wanted
    assert [int(part) for part in version.groups()][:2] >= [int(part) for part in wanted.groups()]


def test_torch_is_the_one_that_tests_run_with_and_the_rest_keeps_to_the_constraints() -> None:
    pinned = re.findall(r"torch==([\d.]+)", FILE)
    assert pinned == re.findall(r"^torch==([\d.]+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    installs = re.findall(r"pip install (.*?)(?=&&|$)", " ".join(rest for _, rest in STEPS))
    assert len(installs) == 2
    assert "--constraint constraints.txt" in installs[1]


def test_it_runs_the_demo_without_setting_up_again() -> None:
    """`make demo` sets up where .venv/ready is missing or older than what it was made of."""
    assert STEPS[-1] == ("CMD", '["make", "demo"]')
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo: setup$", makefile, re.MULTILINE)
    assert re.search(r"^setup: \.venv/ready$", makefile, re.MULTILINE)
    words = [word for word, _ in STEPS]
    (made,) = [place for place, (_, rest) in enumerate(STEPS) if "touch .venv/ready" in rest]
    assert made > words.index("COPY")
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ".venv" in ignored
    assert not {"src", "constraints.txt", "Makefile"} & set(ignored)
