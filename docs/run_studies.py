"""Runs the shipped studies whose documents are missing or of an older plan, one after the other.

    python docs/run_studies.py [--minutes 60] [--work studies-work] [--data ../shared/data] [NAME...]

A study in docs/studies whose facts have the hash of its shipped plan is left alone. The others are run in
the work folder and taken into docs/studies as they end. With --minutes, the study that is running then is
stopped; the same command continues it. `make studies` runs them all; docs/log.md says how long that
takes.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from nearfield.core.shipped import shipped
from nearfield.study.plan import Plan

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "docs" / "studies"
FORM = re.compile(r"# (?P<id>[UQ]\d+), made for (?P<data>.+)\.")


def listed() -> dict[str, str]:
    """The names of the shipped studies of sources and questions, with the data that each is made for."""
    found = {}
    for name, path in shipped("studies").items():
        form = FORM.fullmatch(path.read_text(encoding="utf-8").split("\n")[0])
        if form and not name.startswith("sources/"):
            found[name] = (form["id"][0] != "U", int(form["id"][1:]), form["data"])
    return {name: found[name][2] for name in sorted(found, key=lambda name: found[name][:2])}


def is_published(name: str) -> bool:
    """Whether the facts in docs/studies are those of the shipped plan."""
    path = PUBLISHED / Path(name).name / "facts.json"
    if not path.is_file():
        return False
    plain = json.loads(path.read_text(encoding="utf-8"))
    return bool(plain["plan_hash"] == Plan.load(name).hash and plain.get("looks"))


def run(name: str, data: str, work: Path, end: float) -> bool:
    """Runs a study and takes it into docs/studies; False if the time was over."""
    folder = work / Path(name).name
    command = [sys.executable, "-m", "nearfield", "study", "run", name, "--data", data, "--out", str(folder)]
    began = time.monotonic()
    with (work / f"{folder.name}.log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            code = process.wait(max(1.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.terminate()  # nothing is lost by a kill; SIGINT is ignored in the background
            process.wait()
            return False
    took = (time.monotonic() - began) / 60
    if code:
        print(f"{name}: ended with {code} after {took:.0f} min; see {log.name}", flush=True)
        return True
    subprocess.run([sys.executable, str(ROOT / "docs" / "studies.py"), str(folder)], check=True)
    print(f"{name}: {took:.0f} min", flush=True)
    return True


def main() -> None:
    """Runs what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="Studies to run; all that are listed by default.")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--work", type=Path, default=ROOT / "studies-work")
    default = os.environ.get("NEARFIELD_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    given = parser.parse_args()
    given.work = given.work.resolve()
    given.work.mkdir(parents=True, exist_ok=True)
    known, end = listed(), time.monotonic() + 60 * given.minutes
    missing = [name for name in given.names or known if not is_published(name)]
    print(f"{len(missing)} of {len(given.names or known)} studies are to be run.", flush=True)
    for name in missing:
        data = known[name]
        if not data.startswith("synthetic:"):  # relative, because documents print the command
            data = os.path.relpath(given.data / data, ROOT)
        if time.monotonic() >= end or not run(name, data, given.work, end):
            print("The time is over; the same command continues.", flush=True)
            return


if __name__ == "__main__":
    main()
