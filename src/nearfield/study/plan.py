"""The plan of a study: everything that is fixed before the first training, with a hash."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    Design,
    SearchSettings,
    SeedPlan,
    SeedRange,
    Source,
    StudyFile,
    base_recipe,
    corners,
    read_study,
    resolve,
)
from nearfield.study.measures import Method, check_judge, check_measure, check_target
from nearfield.study.records import BASELINES, Arm, SourceClaim, Task
from nearfield.training.old_names import current_key
from nearfield.training.recipe import Recipe, flat

SMALL = 500
"""A collection with fewer groups is small: its own test split of a fifth of them decides little."""
FOR_SMALL = {"seeds": SeedRange(at_least=3, at_most=3, until=None), "design": Design(folds=5)}
"""The seeds and the design of a study of a small collection, unless its file gives one of them."""


@dataclass(frozen=True)
class Plan:
    """A resolved study file. `Plan.of(plan.plain()) == plan`."""

    title: str
    question: str
    recipe: Recipe
    """The base recipe, which arms change."""
    arms: tuple[Arm, ...]
    """In the given order. For a search: the recipe as it is, until `with_arms` adds the finalists."""
    reference: str
    """`Arm.id` of the reference, which figures compare the other arms with."""
    seeds: SeedPlan
    judge: str
    measures: tuple[str, ...]
    """Further metrics, which the document describes but never compares."""
    meaningful: float
    varied: tuple[str, ...]
    """Dotted keys that differ between arms, or that a search varies."""
    hold: Hold | None
    """What is equal if budgets differ; None: everything."""
    held: str
    """The budget that all arms share, in words."""
    source: SourceClaim | None
    reduced: str
    search: SearchSettings | None
    """The search with its ranges resolved."""
    maps: tuple[Method, ...]
    allow_impossible: bool
    before: tuple[Arm, ...] = ()
    """Trainings that arms depend on; they are not arms themselves."""
    target: float | None = None
    """Validation score for which the document reports how fast each arm reached it; None: no report."""
    smoothing: int | None = None
    """Window of a curve's moving average, in updates; None: a fifteenth of the training."""

    @classmethod
    def load(
        cls, path: str | Path, changes: Iterable[str] = (), groups: Callable[[Recipe], int] | None = None
    ) -> "Plan":
        """Loads the plan of a study file.

        Parameters
        ----------
        path
            The study file, or the name of a study that the package contains.
        changes
            Changes such as "seeds=3" or "train.updates=50".
        groups
            Returns the number of groups of clips in the data, read with the base recipe. Called if the file
            gives neither seeds nor a design: below `SMALL` groups, the plan has 5 folds of 3 seeds.

        Raises
        ------
        RequestError
            If anything in the file is invalid. This check precedes all trainings.
        """
        file = located(path, "studies")
        study = read_study(file, changes)
        check_judge(study.judge, file.name)
        for measure in study.measures:
            check_measure(measure, file.name)
        base = base_recipe(study, file)
        is_free = not study.has_design and study.search is None and base.data.fold is None
        if groups is not None and is_free and groups(base) < SMALL:
            study = study.model_copy(update=FOR_SMALL)
        if base.data.fold is not None and study.design.folds > 1:
            raise RequestError(
                f"{file.name}: data.fold and design.folds are both set. Remove data.fold: the study sets it "
                "for each training."
            )
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
            seeds=SeedPlan.of(study.seeds, study.design, start=1 if search else 0),
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
        """The plan from the values of `plain()`. Raises RequestError if they are no plan or were altered."""
        given = dict(plain)
        stored_hash = given.pop("hash", None)
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
                f"{where}: this is not the plan of a study: {error}. Give the folder of a study."
            ) from None
        if stored_hash is not None and stored_hash != _digest(given):
            raise RequestError(
                f"{where}: the hash does not match the content, so the plan was altered after it was frozen. "
                "Restore the file, or start the study in another folder."
            )
        return plan

    def plain(self) -> dict[str, Any]:
        """All values of the plan as JSON-serializable objects, with their hash."""
        values = self._values()
        return {**values, "hash": _digest(values)}

    @property
    def hash(self) -> str:
        """SHA-256 of the whole plan, in hexadecimal."""
        return _digest(self._values())

    def arm(self, arm_id: str) -> Arm:
        """The arm with this id. Raises RequestError if there is none."""
        known = {arm.id: arm for arm in self.arms}
        if arm_id not in known:
            raise RequestError(f"The plan has no arm {arm_id!r}. {choose(arm_id, known)}")
        return known[arm_id]

    def recipe_of(self, arm_id: str) -> Recipe:
        """The resolved recipe of an arm, or of a training under `before`.

        Raises RequestError if there is no such arm.
        """
        earlier = {arm.id: arm for arm in self.before}
        arm = earlier.get(arm_id) or self.arm(arm_id)
        return self.recipe.changed(arm.changes, f"arm {arm_id!r}")

    def recipe_for(self, task: Task) -> Recipe:
        """The resolved recipe of a task: that of its arm, with the fold of its seed."""
        recipe = self.recipe_of(self.reference if task.arm == BASELINES else task.arm)
        fold = self.seeds.fold(task.seed)
        if fold is None:
            return recipe
        return recipe.model_copy(update={"data": recipe.data.model_copy(update={"fold": fold})})

    def with_arms(self, arms: Sequence[Arm]) -> "Plan":
        """The plan with these arms in place of its own, checked like the arms of a study file.

        A search trains its trials and then its finalists by such plans. The reference stays the same if it is
        one of `arms`; otherwise it is the first of them. Raises RequestError.
        """
        reference = self.reference if self.reference in {arm.id for arm in arms} else arms[0].id
        return _settled(replace(self, arms=tuple(arms), reference=reference), "search")

    def differences(self, planned: "Plan") -> list[str]:
        """The differences from the frozen plan, one sentence each."""
        sentences = []
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
            sentences += _difference(key, getattr(self, key), getattr(planned, key))
        sentences += _difference("seeds", self.seeds.words(), planned.seeds.words())
        sentences += _difference("reference", self.reference, planned.reference)
        mine, theirs = (
            {arm.id: arm.changes for arm in (*plan.before, *plan.arms)} for plan in (self, planned)
        )
        sentences += [
            f"arm {name} was added after the plan was frozen." for name in mine if name not in theirs
        ]
        sentences += [f"arm {name} was planned and is missing." for name in theirs if name not in mine]
        for name in mine:
            if name in theirs:
                sentences += _differences(f"arm {name}: ", mine[name], theirs[name])
        here, there = self._values(), planned._values()
        for part in ("recipe", "search", "source"):
            now, before = (flat(plan[part] or {}, into_lists=False) for plan in (here, there))
            sentences += _differences(f"{part}: ", now, before)
        return sentences

    def _values(self) -> dict[str, Any]:
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        fields |= {
            "recipe": self.recipe.plain(),
            "arms": [asdict(arm) for arm in self.arms],
            "seeds": self.seeds.plain(),
            "source": asdict(self.source) if self.source else None,
            "search": self.search.model_dump(mode="json") if self.search else None,
        }
        fields["before"] = [asdict(arm) for arm in self.before]
        # Plans that were frozen before these keys existed keep their hash.
        for name in ("before", "target", "smoothing"):
            if not fields[name]:
                del fields[name]
        if self.source and self.source.gain is None:
            del fields["source"]["gain"]
        plain: dict[str, Any] = json.loads(_canonical(fields))
        return plain


def _arm(plain: Mapping[str, Any]) -> Arm:
    """An arm from a stored plan, with the current names of its keys."""
    arm = Arm(**plain)
    return replace(arm, changes={current_key(key): value for key, value in arm.changes.items()})


def _search(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A search from a stored plan, with the current names of its keys."""
    return {**plain, "space": {current_key(key): value for key, value in plain["space"].items()}}


def _arms(study: StudyFile, where: str) -> list[Arm]:
    if study.vary is not None:
        return product_arms(study.vary, where)
    if study.arms is not None:
        return named_arms(study.arms, where)
    return named_arms({AS_IT_IS: None}, where)


def _settled(plan: Plan, where: str, apart: bool = True) -> Plan:
    """The plan with its arms checked and resolved, and with the fields that depend on them."""
    pairs = [settle(arm, plan.recipe, where, plan.allow_impossible) for arm in plan.arms]
    arms = tuple(arm for arm, _ in pairs)
    recipes = {arm.id: recipe for arm, recipe in pairs}
    if apart:
        check_apart(arms, recipes, where)
    budgets = {arm.name: budget(recipe) for arm, recipe in pairs}
    varied = plan.varied if plan.search else varied_keys(arms)
    if varied != ("train.updates",):  # otherwise the study is about the length of the training
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
        gain=source.gain,
    )


def _source(given: Mapping[str, Any] | None) -> SourceClaim | None:
    return SourceClaim(**{**given, "over": tuple(given["over"])}) if given else None


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(values).encode()).hexdigest()


def _difference(key: str, now: Any, before: Any) -> list[str]:
    return [] if now == before else [f"{key}: {_text(now)}, planned {_text(before)}."]


def _differences(prefix: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    keys = dict.fromkeys([*now, *before])
    return [text for key in keys for text in _difference(prefix + key, now.get(key), before.get(key))]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
