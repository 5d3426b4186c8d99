"""The study file: question, arms, search ranges, seeds, budget, judge."""

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from nearfield.core.errors import RequestError, choose
from nearfield.core.extras import has
from nearfield.core.settings import Settings, make
from nearfield.core.text import count
from nearfield.data.settings import Fold
from nearfield.study.budget import Hold
from nearfield.training.old_names import OldNameWarning, current_key, told
from nearfield.training.recipe import Recipe, flat, parse_change, read_keys, set_key
from nearfield.training.validation import keeps_val

# How many seeds a study trains each arm with, and after how many it compares the arms.

VERDICT = 3
"""The smallest number of seeds with a conclusion: two trainings cannot show how much trainings vary."""


class SeedRange(Settings):
    """A range of seeds: seeds are added, for all arms, until the question is answered or the range ends.

    A single number means exactly that many seeds, with one look at the end.
    """

    at_least: int = Field(3, ge=1)
    """Seeds before the first look."""
    at_most: int = Field(12, ge=1, le=1000)
    """The largest number of seeds; the study then ends, decided or not."""
    until: Literal["decided"] | None = "decided"
    """When to stop before `at_most`; none: never."""

    @model_validator(mode="before")
    @classmethod
    def _number(cls, given: Any) -> Any:
        return {"at_least": given, "at_most": given, "until": None} if isinstance(given, int) else given

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.at_most < self.at_least:
            raise ValueError(f"at_most ({self.at_most}) is less than at_least ({self.at_least}).")
        return self


class Design(Settings):
    """Folds: every group of clips is judged, by trainings that never saw it.

    The clips are divided into folds of whole groups, stratified by labels or tags. Each arm is trained with
    every fold as test, with other seeds for every fold.
    """

    folds: int = Field(5, ge=1, le=20)
    """Number of folds; 1: the splits of the collection, without folds."""
    keep_test: bool = False
    """Whether the folds leave out the collection's own test split, which is kept for a last run."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.folds == 2:
            raise ValueError("2 folds train on half of the clips. Give 3 or more, or 1 for no folds.")
        if self.keep_test and self.folds == 1:
            raise ValueError("keep_test needs folds: without them, test is what judges.")
        return self


@dataclass(frozen=True)
class SeedPlan:
    """`at_least` to `at_most` seeds, numbered from `start`. With folds, a training per fold and seed.

    All trainings have different seeds: the first round of folds has the seeds 0 to folds - 1, and so on.
    """

    at_least: int
    at_most: int
    until_decided: bool
    start: int = 0
    """The first seed; above 0 after a search, whose seed must not be used again."""
    folds: int = 1
    """Number of folds; 1: the splits of the collection."""
    keep_test: bool = False
    """Whether the folds leave out the collection's own test split."""

    @classmethod
    def of(cls, asked: SeedRange, design: Design, start: int = 0) -> "SeedPlan":
        """The plan of a study file's `seeds` and `design`."""
        until = asked.until == "decided"
        return cls(asked.at_least, asked.at_most, until, start, design.folds, design.keep_test)

    def plain(self) -> dict[str, Any]:
        """The values as JSON-serializable objects; without folds, only those that version 0.1.0 had."""
        values = asdict(self)
        if self.folds == 1:
            del values["folds"], values["keep_test"]
        return values

    def take(self, number: int) -> tuple[int, ...]:
        """The seeds of the first `number` trainings of an arm, or of that many rounds of folds."""
        return tuple(range(self.start, self.start + number * self.folds))

    def fold(self, seed: int) -> Fold | None:
        """The fold that the training with this seed is judged by; None without folds."""
        if self.folds == 1:
            return None
        number = (seed - self.start) % self.folds + 1
        return Fold(of=self.folds, number=number, over="train_and_val" if self.keep_test else "all")

    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds after which the arms are compared; each 1.5 times the last, up to `at_most`.

        The first is at least `VERDICT`, because fewer seeds allow no verdict.
        """
        if not self.until_decided:
            return (self.at_most,)
        found = [min(self.at_most, max(1 if self.folds > 1 else VERDICT, self.at_least))]
        while found[-1] < self.at_most:
            found.append(min(self.at_most, math.ceil(1.5 * found[-1])))
        return tuple(found)

    def counted(self) -> str:
        """ "1 seed", "5 folds of 3 seeds", or "3 to 12 seeds, until decided"."""
        folds = f"{self.folds} folds of " if self.folds > 1 else ""
        if self.until_decided:
            return f"{folds}{self.at_least} to {count(self.at_most, 'seed')}, until decided"
        return folds + count(self.at_most, "seed")

    def words(self) -> str:
        """ "5", "5 folds of 3", or "3 to 12, until decided"."""
        folds = f"{self.folds} folds of " if self.folds > 1 else ""
        if self.until_decided:
            return f"{folds}{self.at_least} to {self.at_most}, until decided"
        return f"{folds}{self.at_most}"


# The space of a search: ranges and choices by key. Missing ends and types come from the recipe's settings.

CORNERS = 256
"""The largest number of combinations of range ends that are checked, without training, before a search."""


class Range(Settings):
    """The values of one key in a search. Missing ends are the limits of the recipe's setting."""

    low: float | None = None
    """The smallest value."""
    high: float | None = None
    """The largest value."""
    log: bool = False
    """Whether values are distributed uniformly in the logarithm."""
    step: float | None = Field(None, gt=0)
    """Distance between two values; none: any number in the range."""
    choices: tuple[Any, ...] = ()
    """The values themselves, in place of ends."""
    whole: bool = False
    """Whether values are integers; set from the recipe's setting."""

    @model_validator(mode="before")
    @classmethod
    def _list(cls, given: Any) -> Any:
        return {"choices": given} if isinstance(given, list) else given

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.choices and (self.low, self.high, self.step) != (None, None, None):
            raise ValueError("choices exclude low, high and step. Leave low, high and step out.")
        if self.log and self.step:
            raise ValueError("a logarithmic range has no step. Leave step out, or give choices.")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low ({self.low:g}) must be less than high ({self.high:g}).")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError(f"a logarithmic range must start above 0. Given: low {self.low:g}.")
        return self

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that are checked before a search: both ends, or every choice."""
        return self.choices or (self.typed(self.low), self.typed(self.high))

    def typed(self, value: Any) -> Any:
        """A value of the range, rounded if the setting is an integer."""
        return round(value) if self.whole else value

    def place(self, value: Any) -> float:
        """The position of a value in the range, from 0 to 1. Always 0 if the choices are not numbers."""
        low, high = self.low, self.high
        if self.choices:
            if not all(isinstance(c, int | float) and not isinstance(c, bool) for c in self.choices):
                return 0.0
            low, high = float(min(self.choices)), float(max(self.choices))
        assert low is not None
        assert high is not None
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low) if high > low else 0.0


class SearchSettings(Settings):
    """A search over ranges. The best trials are trained again with new seeds and reported."""

    method: Literal["grid", "random", "tpe"] = "tpe"
    """grid: every combination; random; tpe: near good trials (Bergstra et al. 2011)."""
    trials: int | None = Field(None, ge=1, le=10000)
    """Number of trials; a grid has one per point."""
    space: dict[str, Range] = Field(min_length=1)
    """Dotted keys and their ranges: {low, high, log, step}, or a list of choices."""
    pruning: Literal["none", "halving"] = "none"
    """halving: after each round, the best third of the trials train again, three times as long."""
    keep: int = Field(3, ge=2, le=16)
    """With halving: the factor by which the trials decrease and the trainings become longer each round."""
    together: int = Field(4, ge=1, le=256)
    """With tpe: trials per batch of suggestions. Fixed, so that the number of workers changes no result."""
    final: int = Field(3, ge=1, le=32)
    """Trials that are trained again with new seeds: the best, the next best, and neighbors of the best."""


History = tuple[dict[str, Any], dict[int, float]]
"""A finished trial: its changes, and its scores by the length of the training, in updates."""


def resolve(settings: SearchSettings, recipe: Recipe, where: str) -> SearchSettings:
    """The settings with the missing ends and types of ranges taken from the recipe's settings.

    Raises RequestError if a key is unknown, an end is missing, or the number of trials is missing.
    """
    where = f"{where}: search"
    if "train.updates" in settings.space:
        raise RequestError(
            f"{where}: space: train.updates must be the same for all trials. Remove it; to study the length "
            "of the training, put its values under vary."
        )
    if not recipe.train.validate_every:
        raise RequestError(
            f"{where}: trials are ranked by their validation scores, but train.validate_every is 0. Set it, "
            f"for example to {max(1, recipe.train.updates // 9)}."
        )
    if not keeps_val(recipe):
        raise RequestError(
            f"{where}: trials are ranked by their validation scores, but a fold has validation clips only if "
            "they also choose the weights. Set train.keep=best."
        )
    if "relation.kind" in settings.space and recipe.train.validate_by == "relation":
        raise RequestError(
            f"{where}: space: trials of different relations have different validation scores. Set "
            "train.validate_by to one that all have: labels, tags, triplets or loss."
        )
    space = {key: _filled(key, given, recipe, f"{where}: space") for key, given in settings.space.items()}
    if settings.method == "grid":
        points = len(list(grid(space)))
        if settings.trials not in (None, points):
            raise RequestError(
                f"{where}: trials: a grid always has all of its {points} points as trials. Given: "
                f"{settings.trials}. Leave trials out, or use the method random."
            )
        return settings.model_copy(update={"space": space, "trials": points})
    if not has("search"):
        raise RequestError(
            f"{where}: method: {settings.method!r} needs Optuna. Run: pip install 'nearfield[search]', or "
            "use the method grid."
        )
    if settings.trials is None:
        raise RequestError(f"{where}: trials: missing. Give the number of trials; 20 to 40 are usual.")
    return settings.model_copy(update={"space": space})


def grid(space: Mapping[str, Range]) -> Iterator[dict[str, Any]]:
    """Every combination of the values of a space. Raises RequestError if a range has infinitely many."""
    values = []
    for key, given in space.items():
        if not given.choices and not given.step:
            raise RequestError(
                f"search: space: {key}: a grid needs a list of choices, or low, high and step. "
                "Give them, or use the method random or tpe."
            )
        if given.choices:
            values.append(list(given.choices))
            continue
        low, high, step = float(given.low or 0.0), float(given.high or 0.0), float(given.step or 1.0)
        number = math.floor((high - low) / step + 1e-9) + 1
        values.append([given.typed(round(low + at * step, 12)) for at in range(number)])
    for point in itertools.product(*values):
        yield dict(zip(space, point, strict=True))


def corners(settings: SearchSettings) -> list[dict[str, Any]]:
    """Combinations of the ends of all ranges, at most `CORNERS` of them."""
    ends = itertools.product(*(values.ends for values in settings.space.values()))
    return [dict(zip(settings.space, point, strict=True)) for point in itertools.islice(ends, CORNERS)]


def _filled(key: str, given: Range, recipe: Recipe, where: str) -> Range:
    """The range with its missing ends and its type taken from the setting."""
    if given.choices:
        return given
    field = _field(key, recipe, where)
    kinds = _types(field.annotation)
    choices = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    if bool in kinds:
        choices = [False, True]
    if choices:
        return given.model_copy(update={"choices": tuple(choices), "low": None, "high": None, "step": None})
    limits = {
        name: getattr(mark, name) for mark in field.metadata for name in ("ge", "le") if hasattr(mark, name)
    }
    low = given.low if given.low is not None else limits.get("ge")
    high = given.high if given.high is not None else limits.get("le")
    if low is None or high is None:
        raise RequestError(
            f"{where}: {key}: {'low' if low is None else 'high'} is missing, and the setting itself has no "
            "such limit. Give low and high."
        )
    whole = int in kinds and float not in kinds
    filled = {**given.model_dump(), "low": float(low), "high": float(high), "whole": whole}
    try:
        return Range(**filled)
    except ValueError as error:
        raise RequestError(f"{where}: {key}: {error}") from None


def _field(key: str, recipe: Recipe, where: str) -> FieldInfo:
    """The field of a dotted key. Raises RequestError, with the closest spelling, if there is none."""
    *before, last = key.split(".")
    here: Any = recipe
    for step in before:
        here = here[int(step)] if isinstance(here, tuple) and step.isdigit() else getattr(here, step, None)
    fields: Mapping[str, FieldInfo] = getattr(type(here), "model_fields", {})
    if last not in fields:
        recipe.changed({key: None}, where)  # raises the error for an unknown key
        raise RequestError(f"{where}: {key}: the type of this key is not known. Give choices.")
    return fields[last]


def _types(annotation: Any) -> list[Any]:
    """The members of a union, or the type itself."""
    if get_origin(annotation) is Literal or not get_args(annotation):
        return [annotation]
    return [kind for member in get_args(annotation) for kind in _types(member)]


# The study file: a question and how to answer it.


class Source(Settings):
    """The source of the question, and its conclusion."""

    study: str
    """Its id in the list of source studies, such as U1."""
    document: str
    """Who asked the question first, and when."""
    question: str
    """In the source's words."""
    concluded: str
    """In the source's words."""
    prefers: Any = ""
    """The arm that the source preferred, by name or value; "" if it preferred none."""
    over: tuple[Any, ...] = ()
    """The arms that it was preferred to; empty means all others. If the source preferred none: the arms that
    it found equal; empty means that its conclusion does not compare arms."""
    gain: float | None = Field(None, gt=0)
    """How much better the source found the preferred arm, in units of the judge. An open comparison may still
    exclude a gain of that size."""

    @model_validator(mode="after")
    def _gain_of_an_arm(self) -> Self:
        if self.gain is not None and self.prefers == "":
            raise ValueError("gain needs prefers: the arm that the source found better.")
        return self


class StudyFile(Settings):
    """A question, and how to answer it."""

    question: str = Field(min_length=1)
    """The question of the study, in one sentence."""
    title: str = ""
    """Title of the document; none: the file's name."""
    recipe: str | dict[str, Any]
    """Base recipe of all arms: its path from the study file or from the working folder, the name of a recipe
    in the package, or its keys."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Changes of the recipe that all arms share."""
    vary: dict[str, list[Any]] | None = Field(None, min_length=1)
    """Dotted keys and their values: one arm per value, or per combination of several keys' values."""
    arms: dict[str, dict[str, Any] | None] | None = Field(None, min_length=1)
    """Named arms with their changes; an arm without changes is the recipe as it is."""
    before: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Trainings that arms depend on, such as a tagger: names and changes of the recipe. Each is trained once
    per seed, before the arms. Arms refer to its run as "{name}" in a setting that takes a run."""
    search: SearchSettings | None = None
    """A search over ranges, in place of arms."""
    reference: Any = None
    """The arm that figures compare the others with, by name or value; none: the first."""
    judge: str = "probe/macro_f1"
    """The metric, on held-out clips, that decides between arms."""
    measures: tuple[str, ...] = ()
    """Further metrics, which the document describes but never compares."""
    seeds: SeedRange = SeedRange(at_least=5, at_most=5, until=None)
    """Number of trainings of each arm (with folds: per fold); or at_least, at_most and until: decided."""
    design: Design = Design(folds=1)
    """{folds: 5, seeds: 3}: every group is judged, by trainings that never saw it. none: the splits of the
    collection; if neither seeds nor design are given, a small collection is divided into 5 folds of 3
    seeds."""
    meaningful: float = Field(0.01, gt=0, lt=1)
    """The smallest difference of the judge that matters."""
    hold: Hold | None = None
    """What is equal between arms whose updates, batches or clip lengths differ; none: all are equal."""
    target: float | None = Field(None, gt=0, le=1)
    """A value of the validation score: the document then reports how fast each arm reached it. Needs
    train.validate_every; described, never compared."""
    maps: tuple[Literal["pca", "umap", "tsne"], ...] = ("pca",)
    """Maps of the embeddings that the document shows."""
    smoothing: int | None = Field(None, ge=1)
    """Window of the moving average of training curves in updates, such as 50; none: a fifteenth of the
    training."""
    allow_impossible: bool = False
    """Whether to train arms with a margin that no embeddings can satisfy."""
    source: Source | None = None
    """The study that this one repeats."""
    reduced: str = ""
    """How the study is smaller than its question requires, in words."""

    @model_validator(mode="before")
    @classmethod
    def _seeds_of_design(cls, given: Any) -> Any:
        """`design: {folds: 5, seeds: 3}` as `design: {folds: 5}` and `seeds: 3`."""
        design = given.get("design") if isinstance(given, dict) else None
        if not isinstance(design, dict) or "seeds" not in design:
            return given
        if "seeds" in given:
            raise ValueError(
                f"seeds and design.seeds are both given: {given['seeds']} and {design['seeds']}. Give one."
            )
        left = {name: value for name, value in design.items() if name != "seeds"}
        return {**given, "seeds": design["seeds"], "design": left}

    @property
    def has_design(self) -> bool:
        """Whether the file says how many seeds or folds to train."""
        return bool(self.model_fields_set & {"seeds", "design"})

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.search and self.design.folds > 1:
            raise ValueError(
                "a search chooses trials by val, whose clips other folds judge by. Search first, then study "
                "the trials as arms with folds."
            )
        given = [name for name in ("vary", "arms", "search") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"give exactly one of vary, arms and search. Given: {found}.")
        return self


def read_study(path: Path, changes: Iterable[str] = ()) -> StudyFile:
    """The study file at `path`, with changes.

    A change sets a key of the study ("seeds=3") or of the recipe, for all arms ("train.updates=50"). Raises
    RequestError.
    """
    plain, renamed = _current_keys(read_keys(path, "study"))
    for change in changes:
        given, value = parse_change(change)
        key = current_key(given)
        renamed += [f"{given} -> {key}"] if key != given else []
        section = key.split(".")[0]
        if section in StudyFile.model_fields:
            set_key(plain, key, value, f"--set {change!r}")
        elif section in Recipe.model_fields:
            plain.setdefault("set", {})[key] = value
        else:
            known = [*StudyFile.model_fields, *Recipe.model_fields]
            raise RequestError(f"--set {change!r}: unknown key {section!r}. {choose(section, known)}")
    if renamed:
        warnings.warn(told(path.name, renamed), OldNameWarning, stacklevel=3)
    made: StudyFile = make(StudyFile, path.name, plain)
    return made


def _current_keys(plain: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The study's values with the current names of the recipe's keys, and the list of renamed keys."""
    renamed: list[str] = []

    def moved(values: dict[str, Any]) -> dict[str, Any]:
        """Values by dotted key, under the current names."""
        renamed.extend(f"{key} -> {current_key(key)}" for key in values if current_key(key) != key)
        return {current_key(key): value for key, value in values.items()}

    def under(changes: Any) -> Any:
        if not isinstance(changes, dict):
            return changes  # refused later, or an arm without changes
        flat_changes = flat(changes, into_lists=False)
        old = [key for key in flat_changes if current_key(key) != key]
        return moved(flat_changes) if old else changes

    found = dict(plain)
    for section in ("vary", "set"):
        if isinstance(found.get(section), dict):
            found[section] = under(found[section])
    for section in ("arms", "before"):
        if isinstance(found.get(section), dict):
            found[section] = {name: under(changes) for name, changes in found[section].items()}
    search = found.get("search")
    if isinstance(search, dict) and isinstance(search.get("space"), dict):
        found["search"] = search | {"space": moved(search["space"])}
    return found, list(dict.fromkeys(renamed))


def base_recipe(study: StudyFile, path: Path) -> Recipe:
    """The recipe that arms change, with the changes that all arms share. Raises RequestError."""
    _check_shared(study, path.name)
    shared = flat(study.set, into_lists=False)
    if isinstance(study.recipe, dict):
        return Recipe.of(study.recipe, f"{path.name}: recipe").changed(shared, f"{path.name}: set")
    relative = path.parent / study.recipe
    recipe = Recipe.load(relative if relative.is_file() else study.recipe)
    return recipe.changed(shared, f"{path.name}: set")


def _check_shared(study: StudyFile, where: str) -> None:
    space = study.search.space if study.search else {}
    both = [key for key in flat(study.set, into_lists=False) if key in (study.vary or {}) or key in space]
    if both:
        raise RequestError(
            f"{where}: set: {both[0]} is set for all arms, but the study varies it. Remove it from set, or "
            "change the values that the study varies."
        )
