"""The plan: everything that is fixed before the first training, and a hash that says so."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nearfield.core.errors import RequestError, choose
from nearfield.core.settings import make
from nearfield.core.shipped import located
from nearfield.study.arms import (
    AS_IT_IS,
    before_arms,
    check_apart,
    check_networks,
    find_arm,
    named_arms,
    product_arms,
    said_before,
    settle,
    varied_keys,
)
from nearfield.study.budget import Hold, budget, check_budgets, held
from nearfield.study.file import (
    SearchSettings,
    SeedPlan,
    Source,
    StudyFile,
    base_recipe,
    corners,
    read_study,
    resolve,
)
from nearfield.study.measures import Method, check_judge, check_measure, check_target
from nearfield.study.records import Arm, SourceClaim
from nearfield.training.old_names import current_key
from nearfield.training.recipe import Recipe, flat


@dataclass(frozen=True)
class Plan:
    """What a study does, resolved. `Plan.of(plan.plain()) == plan`."""

    title: str
    question: str
    recipe: Recipe
    """The recipe that arms change."""
    arms: tuple[Arm, ...]
    """In the order given. Of a search: the recipe as it is, until `with_arms` adds what was found."""
    reference: str
    """`Arm.id` that others are drawn against."""
    seeds: SeedPlan
    judge: str
    measures: tuple[str, ...]
    """Described, never compared."""
    meaningful: float
    varied: tuple[str, ...]
    """Dotted keys that differ between arms, or that a search ranges over."""
    hold: Hold | None
    """What is equal where budgets differ; None: everything."""
    held: str
    """What all arms have alike, in words."""
    source: SourceClaim | None
    reduced: str
    search: SearchSettings | None
    """With its ranges resolved."""
    maps: tuple[Method, ...]
    allow_impossible: bool
    before: tuple[Arm, ...] = ()
    """Trainings that arms build upon; no arms themselves."""
    target: float | None = None
    """Recall@1 on val whose reaching the document tells of; None: it does not."""
    smoothing: int | None = None
    """Updates that a curve's moving average goes over; None: a fifteenth of the training."""

    @classmethod
    def load(cls, path: str | Path, changes: Iterable[str] = ()) -> "Plan":
        """The plan of a study file, with `changes` such as "seeds=3" or "train.updates=50".

        Raises RequestError for whatever would make the study invalid, before anything is trained.
        """
        file = located(path, "studies")
        study = read_study(file, changes)
        check_judge(study.judge, file.name)
        for measure in study.measures:
            check_measure(measure, file.name)
        base = base_recipe(study, file)
        arms = _arms(study, file.name)
        search = resolve(study.search, base, file.name) if study.search else None
        plan = cls(
            title=study.title or file.stem.replace("_", " ").replace("-", " ").capitalize(),
            question=study.question,
            recipe=base,
            arms=tuple(arms),
            reference=find_arm(
                arms, arms[0].name if study.reference is None else study.reference, f"{file.name}: reference"
            ),
            seeds=SeedPlan.of(study.seeds, start=1 if search else 0),
            judge=study.judge,
            measures=study.measures,
            meaningful=study.meaningful,
            varied=tuple(search.space) if search else (),
            hold=study.hold,
            held="",
            source=_claim(study.source, arms, file.name) if study.source else None,
            reduced=study.reduced,
            search=search,
            maps=study.maps,
            allow_impossible=study.allow_impossible,
            before=before_arms(study.before, base, arms, file.name),
            target=study.target,
            smoothing=study.smoothing,
        )
        if search:
            tried = [Arm(f"corner-{at}", str(changes), changes) for at, changes in enumerate(corners(search))]
            _settled(replace(plan, arms=(*plan.arms, *tried)), f"{file.name}: search", apart=False)
        return _settled(plan, file.name)

    @classmethod
    def of(cls, plain: Mapping[str, Any], where: str = "plan") -> "Plan":
        """The plan that `plain()` wrote down. Raises RequestError where it was altered since, or is none."""
        given = dict(plain)
        said = given.pop("hash", None)
        try:
            plan = cls(
                **{
                    **given,
                    "recipe": Recipe.of(given["recipe"], f"{where}: recipe"),
                    "arms": tuple(_arm(arm) for arm in given["arms"]),
                    "seeds": SeedPlan(**given["seeds"]),
                    "measures": tuple(given["measures"]),
                    "varied": tuple(given["varied"]),
                    "maps": tuple(given["maps"]),
                    "before": tuple(_arm(arm) for arm in given.get("before", ())),
                    "source": _source(given["source"]),
                    "search": make(SearchSettings, f"{where}: search", _search(given["search"]))
                    if given["search"]
                    else None,
                }
            )
        except (KeyError, TypeError) as error:
            raise RequestError(
                f"{where}: this is no study's plan: {error}. Give a folder of a study."
            ) from None
        if said is not None and said != _digest(given):
            raise RequestError(
                f"{where}: its hash is not that of its content, so it was altered after it was frozen. "
                "Put the file back as it was, or begin the study in another folder."
            )
        return plan

    def plain(self) -> dict[str, Any]:
        """Values that JSON can hold, enough to make the plan again, and their hash."""
        values = self._values()
        return {**values, "hash": _digest(values)}

    @property
    def hash(self) -> str:
        """sha256, hexadecimal, over everything in the plan."""
        return _digest(self._values())

    def arm(self, arm_id: str) -> Arm:
        """The arm of that id. Raises RequestError where there is none."""
        known = {arm.id: arm for arm in self.arms}
        if arm_id not in known:
            raise RequestError(f"The plan has no arm {arm_id!r}. {choose(arm_id, known)}")
        return known[arm_id]

    def recipe_of(self, arm_id: str) -> Recipe:
        """The recipe of an arm, or of a training before them, resolved. Raises RequestError where there is
        no such arm."""
        earlier = {arm.id: arm for arm in self.before}
        arm = earlier.get(arm_id) or self.arm(arm_id)
        return self.recipe.changed(arm.changes, f"arm {arm_id!r}")

    def with_arms(self, arms: Sequence[Arm]) -> "Plan":
        """The plan with these arms in place of its own, checked as if a file had named them.

        What a search's trials, and then its finalists, are trained by. The reference stays where it is
        among them, else it is the first. Raises RequestError.
        """
        reference = self.reference if self.reference in {arm.id for arm in arms} else arms[0].id
        return _settled(replace(self, arms=tuple(arms), reference=reference), "search")

    def differences(self, planned: "Plan") -> list[str]:
        """What is otherwise here than in the plan that was frozen, a sentence each."""
        said = []
        for key in (
            "title",
            "question",
            "judge",
            "measures",
            "meaningful",
            "hold",
            "target",
            "smoothing",
            "reduced",
            "maps",
        ):
            said += _otherwise(key, getattr(self, key), getattr(planned, key))
        said += _otherwise("seeds", self.seeds.words(), planned.seeds.words())
        said += _otherwise("reference", self.reference, planned.reference)
        mine, theirs = (
            {arm.id: arm.changes for arm in (*plan.before, *plan.arms)} for plan in (self, planned)
        )
        said += [f"arm {name} was added after the plan was frozen." for name in mine if name not in theirs]
        said += [f"arm {name} was planned and is missing." for name in theirs if name not in mine]
        for name in mine:
            if name in theirs:
                said += _unlike(f"arm {name}: ", mine[name], theirs[name])
        here, there = self._values(), planned._values()
        for part in ("recipe", "search", "source"):
            now, before = (flat(plan[part] or {}, into_lists=False) for plan in (here, there))
            said += _unlike(f"{part}: ", now, before)
        return said

    def _values(self) -> dict[str, Any]:
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        fields |= {
            "recipe": self.recipe.plain(),
            "arms": [asdict(arm) for arm in self.arms],
            "seeds": asdict(self.seeds),
            "source": asdict(self.source) if self.source else None,
            "search": self.search.model_dump(mode="json") if self.search else None,
        }
        fields["before"] = [asdict(arm) for arm in self.before]
        for name in (
            "before",
            "target",
            "smoothing",
        ):  # plans that were frozen before these keys existed keep their hash
            if not fields[name]:
                del fields[name]
        plain: dict[str, Any] = json.loads(_canonical(fields))
        return plain


def _arm(plain: Mapping[str, Any]) -> Arm:
    """An arm that a plan wrote down, its keys under their present names."""
    arm = Arm(**plain)
    return replace(arm, changes={current_key(key): value for key, value in arm.changes.items()})


def _search(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A search that a plan wrote down, its keys under their present names."""
    return {**plain, "space": {current_key(key): value for key, value in plain["space"].items()}}


def _arms(study: StudyFile, where: str) -> list[Arm]:
    if study.vary is not None:
        return product_arms(study.vary, where)
    if study.arms is not None:
        return named_arms(study.arms, where)
    return named_arms({AS_IT_IS: None}, where)


def _settled(plan: Plan, where: str, apart: bool = True) -> Plan:
    """The plan with its arms checked and resolved, and what follows from them filled in."""
    pairs = [settle(arm, plan.recipe, where, plan.allow_impossible) for arm in plan.arms]
    arms = tuple(arm for arm, _ in pairs)
    recipes = {arm.id: recipe for arm, recipe in pairs}
    if apart:
        check_apart(arms, recipes, where)
    budgets = {arm.name: budget(recipe) for arm, recipe in pairs}
    varied = plan.varied if plan.search else varied_keys(arms)
    if varied != ("train.updates",):  # the length of the training is then itself what is studied
        check_budgets(budgets, plan.hold, where)
    check_networks({arm.name: recipe for arm, recipe in pairs}, where)
    check_target(plan.target, recipes, where)
    words = held(budgets, plan.hold, pairs[0][1].data.clip_seconds) + said_before(plan.before)
    return replace(plan, arms=arms, varied=varied, held=words)


def _claim(source: Source, arms: Sequence[Arm], where: str) -> SourceClaim:
    place = f"{where}: source"
    return SourceClaim(
        source.study,
        source.document,
        source.question,
        source.concluded,
        prefers="" if source.prefers == "" else find_arm(arms, source.prefers, f"{place}: prefers"),
        over=tuple(find_arm(arms, other, f"{place}: over") for other in source.over),
    )


def _source(given: Mapping[str, Any] | None) -> SourceClaim | None:
    return SourceClaim(**{**given, "over": tuple(given["over"])}) if given else None


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(values).encode()).hexdigest()


def _otherwise(key: str, now: Any, before: Any) -> list[str]:
    return [] if now == before else [f"{key}: {_say(now)}, planned {_say(before)}."]


def _unlike(prefix: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    keys = dict.fromkeys([*now, *before])
    return [said for key in keys for said in _otherwise(prefix + key, now.get(key), before.get(key))]


def _say(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
