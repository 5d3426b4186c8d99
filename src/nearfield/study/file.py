"""The study file: a question, and how it is to be answered. Unknown keys and wrong values are refused."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from nearfield.core.errors import RequestError, choose
from nearfield.core.settings import Settings, make
from nearfield.runs.recipe import Recipe, parse_change, read_keys, set_key
from nearfield.runs.settings_of_runs import flat
from nearfield.study.budget import Hold
from nearfield.study.ranges import SearchSettings
from nearfield.study.seeds import SeedRange


class Source(Settings):
    """Where the question comes from, and what was concluded there."""

    study: str
    """Its id in the list of source studies, such as U1."""
    document: str
    """Who asked first, and when."""
    question: str
    """In the source's words."""
    concluded: str
    """In the source's words."""
    prefers: Any = ""
    """The arm that the source preferred, by name or value; "" where it preferred none."""
    over: tuple[Any, ...] = ()
    """The arms that it was preferred to, none meaning all others. Where it preferred none: the arms that it
    held to be alike; none means that its conclusion is of another kind."""


class StudyFile(Settings):
    """A question, and how it is to be answered."""

    question: str = Field(min_length=1)
    """What the study is to answer, in one sentence."""
    title: str = ""
    """Of the document; none: the file's name."""
    recipe: str | dict[str, Any]
    """Recipe that arms change: its path, from the study file or from the working folder, the name of a
    shipped one, or its keys."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Changes of the recipe that all arms share."""
    vary: dict[str, list[Any]] | None = Field(None, min_length=1)
    """A dotted key and its values, one arm each; of several keys every combination."""
    arms: dict[str, dict[str, Any] | None] | None = Field(None, min_length=1)
    """Named arms, each with its changes; none is the recipe as it is."""
    before: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Trainings that arms build upon, such as a tagger: names and changes of the recipe. Each is trained
    once a seed, before the arms, which name its run as "{name}" in a setting that takes a run."""
    search: SearchSettings | None = None
    """A search over ranges in place of arms that are known beforehand."""
    reference: Any = None
    """The arm that others are drawn against, by name or value; none: the first."""
    judge: str = "probe/macro_f1"
    """The measure, on held-out clips, that verdicts are about."""
    measures: tuple[str, ...] = ()
    """Further measures, described only."""
    seeds: SeedRange = SeedRange(at_least=5, at_most=5, until=None)
    """Trainings of each arm; or at_least, at_most and until: decided."""
    meaningful: float = Field(0.01, gt=0, lt=1)
    """The smallest difference of the judge that would matter."""
    hold: Hold | None = None
    """What is equal between arms whose updates, batches or clip lengths differ; none: all are equal."""
    target: float | None = Field(None, gt=0, le=1)
    """Recall@1 on the validation clips: the document then says how fast each arm reached it. Needs
    train.validate_every; described, never compared."""
    maps: tuple[Literal["pca", "umap", "tsne"], ...] = ("pca",)
    """Maps of the space that the document shows."""
    smoothing: int | None = Field(None, ge=1)
    """Updates that the moving average of training curves goes over, such as 50; none: a fifteenth of the
    training."""
    allow_impossible: bool = False
    """Whether a margin that no vectors can satisfy is trained all the same."""
    source: Source | None = None
    """The study that this one repeats."""
    reduced: str = ""
    """In words, how the study is smaller than its question asks for."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("vary", "arms", "search") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"exactly one of vary, arms and search says what is tried. Given: {found}.")
        return self


def read_study(path: Path, changes: Iterable[str] = ()) -> StudyFile:
    """The study file at `path` with changes such as "seeds=3" (its own keys) or "train.updates=50" (the
    recipe's, for all arms). Raises RequestError."""
    plain = read_keys(path, "study")
    for change in changes:
        key, value = parse_change(change)
        section = key.split(".")[0]
        if section in StudyFile.model_fields:
            set_key(plain, key, value, f"--set {change!r}")
        elif section in Recipe.model_fields:
            plain.setdefault("set", {})[key] = value
        else:
            known = [*StudyFile.model_fields, *Recipe.model_fields]
            raise RequestError(f"--set {change!r}: unknown key {section!r}. {choose(section, known)}")
    made: StudyFile = make(StudyFile, path.name, plain)
    return made


def base_recipe(study: StudyFile, path: Path) -> Recipe:
    """The recipe that arms change, with what all arms share. Raises RequestError."""
    _check_shared(study, path.name)
    shared = flat(study.set, into_lists=False)
    if isinstance(study.recipe, dict):
        return Recipe.of(study.recipe, f"{path.name}: recipe").changed(shared, f"{path.name}: set")
    beside = path.parent / study.recipe
    recipe = Recipe.load(beside if beside.is_file() else study.recipe)
    return recipe.changed(shared, f"{path.name}: set")


def _check_shared(study: StudyFile, where: str) -> None:
    space = study.search.space if study.search else {}
    both = [key for key in flat(study.set, into_lists=False) if key in (study.vary or {}) or key in space]
    if both:
        raise RequestError(
            f"{where}: set: {both[0]} is set for all arms, and it is what the study varies. Leave it out of "
            "set, or change its values."
        )
