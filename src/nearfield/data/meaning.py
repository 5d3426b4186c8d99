"""What labels, tags, groups and splits of a collection can teach, and what is odd about them."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from nearfield.data.collection import Collection
from nearfield.data.faults import Problem
from nearfield.data.splits import counts_text, find_leaks
from nearfield.data.times import to_number

_OVERLOOKED = frozenset(("Zs", "Pd", "Cf", "Cc"))
"""Blanks, hyphens, signs without width and control characters, as Unicode sorts them."""
TWO_WINDOWS = 2.0
"""Seconds that a clip needs at least so that two windows in it can be neighbours in time."""


def learnable_from(collection: Collection) -> tuple[str, ...]:
    """The relations that the train clips can teach: alike and unlike ones are there."""
    train = collection.table[collection.table["split"] == "train"]
    labels = Counter(label for label in train["label"] if label)
    tags = Counter(tag for own in train["tags"] for tag in own)
    tagged = sum(bool(own) for own in train["tags"])
    shared = Counter(train["recording"])
    found = []
    if len(labels) > 1 and max(labels.values()) > 1:
        found.append("labels")
    if any(1 < count < tagged for count in tags.values()):
        found.append("tags")
    if (train["seconds"] >= TWO_WINDOWS).any() or (
        collection.kind == "sound" and max(shared.values(), default=0) > 1
    ):
        found.append("time")
    if len(train) > 1:
        found.append("views")
    return tuple(found)


def meaning_problems(collection: Collection) -> list[Problem]:
    """Everything odd about labels, tags, groups and splits; about single clips see `problems`."""
    table = collection.table
    found = [*_sides(collection), *_leaks(collection)]
    sides = _by_side(
        (label, side) for label, side in zip(table["label"], table["split"], strict=True) if label
    )
    found += _labels(collection, sides)
    found += _unmarked(collection, "label", [bool(label) for label in table["label"]])
    found += _unmarked(collection, "tags", [bool(tags) for tags in table["tags"]])
    tagged = zip(table["tags"], table["split"], strict=True)
    tags = _by_side((tag, side) for tags, side in tagged for tag in tags)
    found += _unheard("tag", tags)
    found += _alike("tag", tags)
    named = set(table["group"]).difference(table["recording"], table["id"], table["path"])
    found += _alike("group", named)
    return found


def _by_side(pairs: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    """Clips of each mark on each side, marks in the order of their names."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for mark, side in pairs:
        found[mark][side] += 1
    return {mark: found[mark] for mark in sorted(found)}


def _sides(collection: Collection) -> Iterator[Problem]:
    counts = Counter(collection.table["split"])
    for side, purpose in (("train", "learnt"), ("test", "judged")):
        if not counts[side]:
            reason = f"there are no {side} clips, so nothing can be {purpose}."
            yield _warning(f"no_{side}", collection.name, reason, f"Give some clips the split {side}.")


def _leaks(collection: Collection) -> Iterator[Problem]:
    table = collection.table
    for group, counts in find_leaks(list(table["group"]), list(table["split"])).items():
        reason = f"the group is on more than one side of the split: {counts_text(counts)}."
        yield _warning("leak", group, reason, "Put it on one side; until then figures flatter.")


def _labels(collection: Collection, sides: dict[str, Counter[str]]) -> Iterator[Problem]:
    if len(sides) == 1:
        (label,) = sides
        reason = "every clip that has a label has this one, so labels cannot tell clips apart."
        yield _warning("one_label", label, reason, "Add clips of other labels, or train without labels.")
    for label, counts in sides.items():
        if counts.total() == 1:
            reason = "a single clip has this label, so it is like no other."
            yield _warning("single", label, reason, "Add clips, or join the label with another.")
    yield from _unheard("label", sides)
    yield from _alike("label", sides)


def _unheard(what: str, sides: dict[str, Counter[str]]) -> Iterator[Problem]:
    """Marks that are judged but not in train; where that is so for all of them, it is meant so."""
    judged = [mark for mark, counts in sides.items() if counts["test"] or counts["val"]]
    absent = [mark for mark in judged if not sides[mark]["train"]]
    heard = any(counts["train"] for counts in sides.values())
    if heard and absent and len(absent) == len(judged):
        reason = f"no {what} of val or test is in train: the split asks for what is new altogether."
        yield _warning(
            "unheard", f"{len(absent)} {what}s", reason, f"If that is not meant, share the {what}s out."
        )
    elif heard:
        for mark in absent:
            reason = f"the {what} is not in train ({counts_text(sides[mark])})."
            yield _warning("unheard", mark, reason, "Move a group of it to train, or take it out.")


def _alike(what: str, marks: Iterable[str]) -> Iterator[Problem]:
    """Marks that differ in ways that the eye overlooks."""
    seen: dict[str, str] = {}
    for mark in sorted(marks):
        plain = _plain(mark)
        if plain in seen:
            reason = f"it differs from the {what} {seen[plain]!r} {_how(mark, seen[plain])} alone."
            yield _warning("alike", mark, reason, "Write both the same way if they mean the same.")
        seen.setdefault(plain, mark)


def _plain(mark: str) -> str:
    """A mark without case, blanks, hyphens and underscores; one form of each letter; 01 and 1.0 as 1."""
    number = to_number(mark)
    if number is not None:
        return repr(number)
    folded = unicodedata.normalize("NFKC", mark.casefold())
    return "".join(sign for sign in folded if unicodedata.category(sign) not in _OVERLOOKED and sign != "_")


def _how(one: str, other: str) -> str:
    """In what two marks that look alike differ."""
    if to_number(one) is not None:
        return "in the way the number is written"
    if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other):
        return "in how its accents are encoded (composed or decomposed)"
    forms = [unicodedata.normalize("NFKC", each) for each in (one, other)]
    if (one.isascii() and other.isascii()) or forms == [one, other]:
        return "in case or blanks"
    return "in case, blanks or the form of its letters"


def _unmarked(collection: Collection, what: str, marked: list[bool]) -> Iterator[Problem]:
    missing = marked.count(False)
    if any(marked) and missing:
        first = collection.table["id"].iloc[marked.index(False)]
        marks = "labels" if what == "label" else what
        reason = f"clips have no {what} ({missing} of {len(marked)}, the first being {first})."
        cure = f"Add {marks}; until then these clips are skipped when training on {marks}."
        yield _warning(f"no_{what}", collection.name, reason, cure)


def _warning(kind: str, path: str, reason: str, cure: str) -> Problem:
    return Problem(kind, path, None, reason, cure, "warning")
