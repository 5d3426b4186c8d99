"""What mending gains: wrong labels planted in what a network learns from, found by its own space, mended.

    python benchmarks/mending.py --data ../shared/data/esc10 --out /tmp/mending [--share 0.1] [--seeds 5]

1. A share of the labels of train and val is flipped, by a patch table; the test clips keep theirs.
2. A network is trained on that, and `find_suspects` lists labels by its space. Those of `--accept` and more
   are accepted `unheard`; or somebody hears all that are listed, and gives each the label that it has (here
   the truth does): `heard`.
3. A study trains `faulty`, `unheard`, `heard` and `right` (nothing flipped) with the same seeds, and judges
   them by the same test clips.

Printed: precision and recall of the list and of what was accepted unheard; the mean of each arm; what each
gained, with simultaneous 95 % intervals. `nearfield mend` does step 3 for decisions of your own.
A score is the estimated chance that a label is wrong; the usual `--accept` takes what is rather wrong.
"""

import argparse
import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from nearfield.analysis.suspects.suspects import find_suspects
from nearfield.data.collection import Collection
from nearfield.data.patches import Patch, join_patch
from nearfield.study.engines.local import LocalSettings
from nearfield.study.facts import Gathered
from nearfield.study.journal import Journal
from nearfield.study.run import Study
from nearfield.study.statistics.looks import Look
from nearfield.training.evaluate_run import evaluate_run
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.trainer import launch

ROOT = Path(__file__).parents[1]
Rows = list[tuple[str, str, str]]
"""Id, the label that stands there, the label that is put in its place."""


def main() -> None:
    """Plants, finds, mends, trains again, tells."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--recipe", type=Path, default=Path("labels"))
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--accept", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the flips and of the first training")
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    wrong = flips(given.data, given.share, given.seed)
    faults = write(given.out / "faults.csv", wrong)
    faulty = join_patch(str(given.data), faults)

    recipe = Recipe.load(given.recipe, [f"train.updates={given.updates}"])
    setup = launch(Request(recipe, faulty, given.out / "run", given.seed, "cpu"))
    run = Run.load(given.out / "run")
    evaluate_run(run.folder, with_baselines=False, setup=setup)
    suspects = find_suspects(run, sorts=("labels",), top=10_000)
    unheard = given.out / "unheard.csv"
    suspects.save(unheard, given.accept)
    learnt_from = set(setup.collection.table["id"][setup.collection.table["split"] != "test"])
    listed = {each.id: each.after for each in suspects.suspects if each.id in learnt_from}
    taken = {each.id: each.after for each in Patch.read(unheard).accepted() if each.id in learnt_from}
    print("listed", json.dumps(told(wrong, listed)))
    print("accepted unheard", json.dumps(told(wrong, taken)), flush=True)
    heard = write(
        given.out / "heard.csv", [(clip, after, before) for clip, before, after in wrong if clip in listed]
    )

    right = write(given.out / "right.csv", [(clip, after, before) for clip, before, after in wrong])
    learnt = ["train", "val"]
    arms = {
        "faulty": {},
        "unheard": {"data.patch": str(unheard), "data.patch_sides": learnt},
        "heard": {"data.patch": str(heard), "data.patch_sides": learnt},
        "right": {"data.patch": str(right), "data.patch_sides": learnt},
    }
    plain = {
        "question": "What does mending the labels gain?",
        "recipe": str(given.recipe.resolve()),
        "set": {"train.updates": given.updates},
        "arms": arms,
        "seeds": given.seeds,
        "measures": ["retrieval_from_train/recall_at_1"],
    }
    file = given.out / "study.yaml"
    file.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    study = Study.create(file, faulty, given.out / "study")
    study.run(LocalSettings(workers=1), "cpu")
    print("\n".join(gains(study)))


def gains(study: Study) -> Iterator[str]:
    """What the arms reached and gained, by the judge and by the further measures."""
    outcomes = Journal(study.folder / "journal.jsonl").outcomes()
    found = Gathered(study.plan, study.folder, outcomes, [Look(study.plan.seeds.at_least)], {})
    arms = [arm.id for arm in study.plan.arms]
    for measure in (study.plan.judge, *study.plan.measures):
        conclusion = found.conclusion(measure)
        yield f"{measure}, {study.plan.seeds.words()} seeds"
        for arm in arms:
            each = conclusion.estimates[arm]
            yield f"  {arm:<24} {each.mean:.3f} ({each.low:.3f} to {each.high:.3f})"
        for pair in conclusion.comparisons:
            if pair.one == "faulty" and pair.other in arms:
                bounds = f"{-pair.high:+.3f} to {-pair.low:+.3f}"
                yield f"  {pair.other + ' over faulty':<24} {-pair.difference:+.3f} ({bounds})"


def flips(data: Path, share: float, seed: int) -> Rows:
    """A share of the clips of train and val with another label, each other one as likely."""
    table = Collection.load(str(data)).table
    rows = np.flatnonzero(((table["label"] != "") & table["split"].isin(["train", "val"])).to_numpy())
    chance, names = np.random.default_rng(seed), sorted(set(table["label"]) - {""})
    chosen = chance.choice(rows, round(share * len(rows)), replace=False).tolist()
    found = []
    for row in chosen:
        label = str(table["label"].iloc[row])
        found.append(
            (str(table["id"].iloc[row]), label, str(chance.choice([n for n in names if n != label])))
        )
    return found


def write(path: Path, rows: Iterable[tuple[str, str, str]]) -> Path:
    """A patch table that puts these labels in place."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = ((clip, "label", before, after, "accepted") for clip, before, after in rows)
        csv.writer(file).writerows([("id", "column", "before", "after", "decision"), *lines])
    return path


def told(wrong: Rows, taken: Mapping[str, str]) -> dict[str, Any]:
    """How proposals, label by clip of train and val, meet what was planted there."""
    truth = {clip: before for clip, before, _ in wrong}
    hits = [clip for clip in taken if clip in truth]
    return {
        "planted": len(truth),
        "found": len(taken),
        "precision": round(len(hits) / max(1, len(taken)), 3),
        "recall": round(len(hits) / len(truth), 3),
        "with the right label": round(sum(taken[clip] == truth[clip] for clip in hits) / len(truth), 3),
    }


if __name__ == "__main__":
    main()
