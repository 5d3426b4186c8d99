"""Tags that a run proposes for the clips of a collection, as a list to decide in."""

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Vectors
from nearfield.core.words import count
from nearfield.evaluation.suspects.suspect import Suspect
from nearfield.runs.events import Note, Watcher, nobody
from nearfield.runs.gate import check_vectors, of_table
from nearfield.runs.launch import open_trained_on
from nearfield.runs.run import Run
from nearfield.runs.suspect_list import Suspected, named
from nearfield.runs.tagging import tag_signals
from nearfield.runs.workbench import Workbench, note_left_out


def propose_tags(
    run: Run, data: str, at_least: float = 0.5, untagged: bool = False, watch: Watcher = nobody
) -> Suspected:
    """Tags with a score of `at_least` (0..1) that the clips of `data` do not have, the highest score first.

    `untagged`: only clips without any tag are looked at. Saved, the list is a patch table: an accepted row
    adds its tag to its clip. Raises RequestError where the run knows no tags or no clip is left to look at,
    and as `check_vectors` where the vectors are worthless.
    """
    told = run.folder.environment()["data"]
    collection = open_trained_on(data, told["path"], run.recipe, True, watch)
    note_left_out(collection.problems, watch)
    if untagged:
        rows = np.array([row for row, tags in enumerate(collection.table["tags"]) if not tags], np.int64)
        if not len(rows):
            raise RequestError(
                f"--untagged: all {count(len(collection), 'clip')} of {collection.name} have tags. "
                "Leave --untagged out to have further tags proposed."
            )
        collection = collection.subset(rows)
    bench = Workbench.build(run.recipe, collection, 0, watch, run.embedder)
    collection = bench.collection
    heard = of_table(collection.table, run.recipe.data, run.recipe.feature.kind == "pixels")

    def look(vectors: Vectors) -> None:
        for said in (*run.doubts(), *check_vectors(vectors, list(collection.table["id"]), heard)):
            watch(Note(said, is_warning=True))

    names, scores = tag_signals(run, bench.sight, bench.facts.seconds, look, watch)
    proposed = [
        _proposal(row, names[column], float(scores[row, column]))
        for row, column in np.argwhere(scores >= at_least).tolist()
        if names[column] not in collection.table["tags"].iloc[row]
    ]
    return named(sorted(proposed, key=lambda each: -each.score), collection)


def _proposal(row: int, tag: str, score: float) -> Suspect:
    reason = f"The run gives the tag {tag!r} a score of {score:.2f}."
    return Suspect(row, "tag_missing", score, reason, f"Add {tag!r}?", tag)
