"""What the recipes reach on real sets: three seeds each, medians and ranges, every baseline beside.

    python benchmarks/quality.py [--data ../shared/data] [--rows fsdd esc10] [--seeds 3] [--jobs 2]

The row begun from published weights is left out where no file of them is named: --music-weights FILE, or
NEARFIELD_MUSIC_WEIGHTS, as `python -m nearfield.replication.musicnn_file` makes it of MTT_musicnn.

Each run is the command a person would type, in a process of its own with one thread, so that processor
seconds are honest; `--jobs` runs go side by side. Nothing is chosen on test: settings were, on val. The
tables go to docs/results.md between their marks, and every run's numbers to --out as JSON.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nearfield.metrics.registry import BASELINE_NAMES

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "results.md"


@dataclass(frozen=True)
class Row:
    """One line of the tables: a set, the recipe, and what is changed in it for the set."""

    name: str
    data: str
    recipe: str
    changes: tuple[str, ...] = ()
    judged_on: tuple[str, ...] = ()
    """Other sets whose clips the finished space is judged on (spaces learnt without labels)."""
    allow_leak: bool = False
    begun: bool = False
    """Whether backbone and input norm begin from the file of --music-weights."""


ROWS = (
    Row("fsdd", "fsdd", "words", ("train.updates=1000",)),
    Row("esc10", "esc10", "labels"),
    Row("arabic-commands", "arabic-commands", "words"),
    Row("oneshots", "oneshots", "oneshots"),
    Row("omniglot-small", "omniglot-small", "images", ("data.group=drawer", "data.image_channels=1")),
    Row(
        "blood-cells",
        "blood-cells",
        "images",
        ("data.group=image", "sampler.classes=3", "train.updates=300"),
    ),
    Row(
        "incompetech-tags",
        "incompetech-tags",
        "tag_pairs",
        (
            "data.group=track",
            "data.recording=track",
            "relation.jaccard=0.3",
            "relation.negatives=not_alike",
            "loss.kind=supcon",
        ),
    ),
    Row(
        "incompetech-tags, musicnn",
        "incompetech-tags",
        "music_tags",
        ("data.group=track", "data.recording=track"),
        begun=True,
    ),
    Row("esc10-mix", "esc10-mix", "tags", ("sampler.mixing.share=0.7", "train.updates=600")),
    Row("oneshots, tags", "oneshots", "tags", ("data.clip_seconds=3",)),
    Row(
        "long-recordings",
        "long-recordings",
        "time",
        judged_on=("esc10", "arabic-commands", "oneshots", "fsdd"),
        allow_leak=True,
    ),
    Row(
        "long-recordings, triplets",  # what the row above is set against: one opposite an anchor, no views
        "long-recordings",
        "time",
        (
            "sampler.mode=triplet",
            "loss.kind=triplet",
            "loss.margin=1",
            "loss.distance=squared_euclidean",
            "loss.reduction=non_zero_mean",
            "augment=[]",
            "normalize.kind=none",
            "feature.floor=1.0e-6",
            "embedding.pooling=mean",
            "embedding.read=last",
            "embedding.whiten=0",
            "train.updates=500",
        ),
        judged_on=("esc10", "arabic-commands", "oneshots", "fsdd"),
        allow_leak=True,
    ),
)
LABELS = {
    "probe/macro_f1": "probe F1",
    "retrieval_from_train/recall_at_1": "R@1 from train",
    "retrieval_from_train/map_at_r": "MAP@R from train",
    "retrieval/recall_at_1": "R@1 in test, own group left out",
}
TAGS = {
    "tagging/roc_auc": "ROC-AUC",
    "tagging/pr_auc": "PR-AUC",
    "retrieval/multilabel_recall_at_1": "tag R@1",
    "retrieval/multilabel_recall_at_2": "tag R@2",
    "retrieval/tag_overlap_at_1": "tag overlap@1",
    "retrieval_from_train/multilabel_recall_at_1": "tag R@1 from train",
}
SPACES = {"": "**trained**"} | {
    f"baseline/{name}/": called for name, called in reversed(BASELINE_NAMES.items())
}
TAGGED = ("incompetech-tags", "incompetech-tags, musicnn", "esc10-mix", "oneshots, tags")


def main() -> None:
    """Runs, tables, document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = os.environ.get("NEARFIELD_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--rows", nargs="*", help="names of rows; all where none is given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="measure finished runs anew")
    parser.add_argument("--out", type=Path, default=ROOT / "runs-out")
    weights = os.environ.get("NEARFIELD_MUSIC_WEIGHTS")
    parser.add_argument("--music-weights", type=Path, default=Path(weights) if weights else None)
    given = parser.parse_args()
    asked_for = [row for row in ROWS if not given.rows or row.name in given.rows]
    rows = [begun(row, given.music_weights) for row in asked_for if given.music_weights or not row.begun]
    for row in asked_for:
        if row.begun and not given.music_weights:
            print(f"{row.name}: left out, no --music-weights", file=sys.stderr)
    asked = [(row, seed) for row in rows for seed in range(given.seeds)]
    with ThreadPoolExecutor(given.jobs) as pool:
        for row, seed, line in pool.map(
            lambda each: run(each[0], each[1], given.data, given.out, given.again), asked
        ):
            print(f"{row.name} seed {seed}: {line}", file=sys.stderr, flush=True)
    write(list(tables(given.out)), given.out)


def begun(row: Row, weights: Path | None) -> Row:
    """The same row with its first weights named, where it asks for some."""
    if not row.begun:
        return row
    named = tuple(f"{part}.weights={weights}" for part in ("backbone", "normalize"))
    return replace(row, changes=(*row.changes, *named))


def run(row: Row, seed: int, data: Path, out: Path, again: bool) -> tuple[Row, int, str]:
    """Trains and judges once, unless that was done before; leaves a JSON file."""
    name = f"{row.name.replace(', ', '-')}-{seed}"
    found = out / f"{name}.json"
    folder = out / name
    if found.is_file():
        if again:
            before = json.loads(found.read_text())
            before["result"] = command(["evaluate", str(folder)])[1]
            found.write_text(json.dumps(before))
        return row, seed, "measured anew" if again else "done before"
    leak = ["--allow-leak"] if row.allow_leak else []
    words = ["train", row.recipe, "--data", str(data / row.data), *leak]
    changes = [word for change in row.changes for word in ("--set", change)]
    resume = ["--resume"] if (folder / "recipe.yaml").is_file() else []
    spent, result = command([*words, "--out", str(folder), "--seed", str(seed), *changes, *resume])
    others = {}
    for other in row.judged_on:
        others[other] = command(["evaluate", str(folder), "--data", str(data / other)])[1]
    said = (folder / "recipe.yaml").read_text()
    out.mkdir(exist_ok=True, parents=True)
    shown = [*words[:3], f"DATA/{row.data}", *leak, "--out", "RUN", *changes]
    kept = {"row": row.name, "seed": seed, "cpu_seconds": spent, "recipe": said, "words": shown}
    found.write_text(json.dumps({**kept, "result": result, "others": others}))
    return row, seed, f"{spent:.0f} processor seconds"


def command(words: list[str]) -> tuple[float, dict[str, Any]]:
    """Processor seconds and the JSON answer of one nearfield command with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    script = (
        "import resource, sys; from nearfield.cli.main import app\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "finally:\n"
        "    used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    print('PROCESSOR', used.ru_utime + used.ru_stime, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words, "--json"], env=environment, capture_output=True, text=True
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"nearfield {' '.join(words)} failed:\n{done.stderr[-3000:]}")
    spent = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("PROCESSOR")]
    answer: dict[str, Any] = json.loads(done.stdout)
    return float(spent[-1]), answer


def tables(out: Path) -> Iterator[str]:
    """Markdown, one table a row of ROWS that has results."""
    every = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    for row in ROWS:
        runs = [each for each in every if each["row"] == row.name]
        if not runs:
            continue
        spent = statistics.median(each["cpu_seconds"] for each in runs)
        words = " ".join(told(word) for word in runs[0]["words"])
        yield f"### {row.name}\n\n`nearfield {words}`\n"
        yield f"{len(runs)} seeds, {spent:.0f} processor seconds a run, decoding and baselines included.\n"
        if row.judged_on:
            for other in row.judged_on:
                yield f"Judged on {other}:\n"
                yield table([each["others"][other]["metrics"] for each in runs], LABELS)
        else:
            yield table([each["result"]["metrics"] for each in runs], TAGS if row.name in TAGGED else LABELS)


def told(word: str) -> str:
    """A word of a command without this machine's folders."""
    key, equals, value = word.partition("=")
    if equals and key.endswith(".weights"):
        return f"{key}={Path(value).name}"
    return word


def table(runs: list[dict[str, float]], measures: dict[str, str]) -> str:
    """One line a space: median of the seeds, and the range where there is one."""
    lines = ["| space | " + " | ".join(measures.values()) + " |", "|---" * (len(measures) + 1) + "|"]
    for prefix, space in SPACES.items():
        cells = [cell([run[prefix + name] for run in runs if prefix + name in run]) for name in measures]
        if any(text != "–" for text in cells):
            lines.append(f"| {space} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(values: list[float]) -> str:
    """Median (least to most)."""
    if not values:
        return "–"
    middle = f"{statistics.median(values):.3f}"
    return middle if max(values) - min(values) < 5e-4 else f"{middle} ({min(values):.3f}–{max(values):.3f})"


def write(blocks: list[str], out: Path) -> None:
    """Puts the tables between the marks of docs/results.md, and prints them."""
    if not blocks:
        raise SystemExit(f"{out} holds no results: {DOCUMENT.name} stays as it is")
    text = "\n".join(blocks)
    print(text)
    begin, end = "<!-- quality: begin -->", "<!-- quality: end -->"
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    head = f"Machine: {machine}; largest process {peak} MB.\n"
    DOCUMENT.write_text(f"{before}{begin}\n\n{head}\n{text}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
