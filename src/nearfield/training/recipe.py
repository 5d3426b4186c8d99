"""The recipe: one typed file that decides a space; its checks; what two recipes differ in."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from nearfield.core.errors import RequestError, choose
from nearfield.core.plain_yaml import read_yaml
from nearfield.core.settings import Settings, make
from nearfield.core.shipped import located, shipped
from nearfield.core.text import shortened
from nearfield.data.settings import DataSettings
from nearfield.learning.losses import LossSettings
from nearfield.learning.losses.triplet import TripletSettings
from nearfield.learning.miners import MinerSettings
from nearfield.learning.miners.gaps import All
from nearfield.learning.optimizers import (
    Adam,
    Constant,
    OptimizerSettings,
    ScheduleSettings,
    WeightPenaltySettings,
)
from nearfield.learning.relations import RelationSettings
from nearfield.learning.relations.labels import Labels
from nearfield.learning.samplers import SamplerSettings
from nearfield.learning.samplers.balanced import Balanced
from nearfield.learning.samplers.base import clip_samplers
from nearfield.learning.train import TrainSettings
from nearfield.models.augmentations import AugmentationSettings
from nearfield.models.backbones import BackboneSettings
from nearfield.models.backbones.convnets import SmallConvnetSettings
from nearfield.models.embedder import EmbeddingSettings
from nearfield.models.features import FeatureSettings
from nearfield.models.features.feature import Modality
from nearfield.models.features.log_mel import LogMelSettings
from nearfield.models.normalization import ClipBandSettings, NormalizationSettings
from nearfield.training.old_names import RECIPES, OldNameWarning, current, current_key, told

# The recipe: everything that decides a space, in one typed file that refuses what it does not know.


class Recipe(Settings):
    """Settings of one training. Every section has a default; `kind` chooses a member of its family."""

    data: DataSettings = DataSettings()
    """What every clip is brought to."""
    feature: FeatureSettings = LogMelSettings()
    """The picture that is made of a sound."""
    normalize: NormalizationSettings = ClipBandSettings()
    """What is taken away from the picture before the network sees it."""
    augment: tuple[AugmentationSettings, ...] = ()
    """How clips are bent while training, in order."""
    backbone: BackboneSettings = SmallConvnetSettings()
    """The network that reads the picture."""
    embedding: EmbeddingSettings = EmbeddingSettings()
    """How the network's map ends in a vector."""
    relation: RelationSettings = Labels()
    """Who is alike."""
    sampler: SamplerSettings = Balanced()
    """What comes together in a batch."""
    miner: MinerSettings = All()
    """Which pairs are kept."""
    loss: LossSettings = TripletSettings()
    """How alike clips are pulled together and unlike ones pushed apart."""
    penalty: WeightPenaltySettings = WeightPenaltySettings()
    """How much large weights cost, coupled to the optimiser."""
    optimizer: OptimizerSettings = Adam()
    """How weights follow the gradient."""
    schedule: ScheduleSettings = Constant()
    """How the learning rate runs."""
    train: TrainSettings = TrainSettings()
    """How long, in what arithmetic, and what is kept."""

    @property
    def modality(self) -> Modality:
        """What its collections hold: that which the feature reads."""
        return self.feature.modality

    @classmethod
    def load(cls, path: str | Path, changes: Iterable[str] = ()) -> Self:
        """Reads a YAML file, or the shipped recipe of that name, and applies `changes` such as
        "loss.margin=0.3".

        Raises RequestError naming the file and the key, what was given, what is allowed and the nearest
        right spelling.
        """
        given = str(path)
        name = RECIPES.get(given, path) if not Path(path).is_file() else path
        file = located(name, "recipes")
        plain, renamed = current(read_keys(file, "recipe"), file.name)
        renamed += [f"{given} -> {name}"] if name != path else []
        for change in changes:
            renamed += _apply(plain, change)
        if renamed:
            warnings.warn(told(file.name, renamed), OldNameWarning, stacklevel=2)
        return cls.of(plain, file.name)

    @classmethod
    def of(cls, plain: Mapping[str, Any], where: str = "recipe") -> Self:
        """A recipe from plain values; `where` names them in errors."""
        made: Self = make(cls, where, current(plain, where)[0])
        return made

    def changed(self, changes: Mapping[str, Any], where: str = "recipe") -> Self:
        """The recipe with dotted keys set, such as {"loss.kind": "circle", "loss.m": 0.3}, in any order.

        A new kind begins with its own settings: the old kind's are forgotten. Raises RequestError as `load`.
        """
        plain = self.plain()
        kinds_first = sorted(changes, key=lambda key: (not key.endswith(".kind"), key.count(".")))
        for key in kinds_first:  # the outer before the inner, which it would clear
            set_key(plain, current_key(key), changes[key], where)
        return self.of(plain, where)

    def plain(self) -> dict[str, Any]:
        """Every setting, defaults too, as values that YAML and JSON can hold."""
        return self.model_dump(mode="json")

    def text(self) -> str:
        """The recipe as YAML, with nothing left to defaults."""
        return yaml.safe_dump(self.plain(), sort_keys=False, default_flow_style=None, width=100)


def read_keys(file: Path, noun: str) -> dict[str, Any]:
    """The plain values of a YAML file of keys and values; `noun` says in errors what it should be."""
    if not file.is_file():
        near = [p.name for p in file.parent.glob("*.y*ml")] if file.parent.is_dir() else []
        known = [*sorted(near), *shipped("studies" if noun == "study" else "recipes")]
        raise RequestError(f"No {noun} at {file}. {choose(file.name, known)}")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{file.name} is not YAML: {error}") from None
    plain = read_yaml(text, file.name)
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise RequestError(
            f"{file.name}: a {noun} is a list of keys and values. Given: {type(plain).__name__}."
        )
    return plain


def _apply(plain: dict[str, Any], change: str) -> list[str]:
    """Sets one dotted key, given as "loss.margin=0.3"; what was renamed in it, as "old -> new"."""
    given, value = parse_change(change)
    key = current_key(given)
    steps = key.split(".")
    usual = Recipe.model_fields.get(steps[0])
    if len(steps) > 1 and steps[0] not in plain and usual and hasattr(usual.default, "kind"):
        plain[steps[0]] = {"kind": usual.default.kind}
    set_key(plain, key, value, f"--set {shortened(change)!r}")
    return [] if key == given else [f"{given} -> {key}"]


def parse_change(change: str) -> tuple[str, Any]:
    """The dotted key and the YAML value of "loss.margin=0.3"."""
    key, equals, text = change.partition("=")
    if not equals or not all(key.strip().split(".")):
        said = f"--set {shortened(change)!r}"
        raise RequestError(f"{said}: a change is written KEY=VALUE, as in loss.margin=0.3.")
    return key.strip(), read_yaml(text, f"--set {shortened(change)!r}: the value")


def section(changes: Iterable[str], name: str) -> dict[str, Any]:
    """The keys of one section of a recipe, out of changes such as "data.label=false".

    Raises RequestError for a key of another section.
    """
    found: dict[str, Any] = {}
    for change in changes:
        key, value = parse_change(change)
        if not key.startswith(f"{name}."):
            raise RequestError(
                f"--set {change!r}: only keys of {name} are asked for here, as in {name}.KEY=VALUE."
            )
        set_key(found, key.removeprefix(f"{name}."), value, f"--set {change!r}")
    return found


def set_key(plain: dict[str, Any], key: str, value: Any, said: str) -> None:
    """Sets one dotted key in plain values; a new `kind` clears the section, whose other keys belonged to
    the old one. `said` names the change in errors."""
    *before, last = key.split(".")
    here: Any = plain
    for step in before:
        here = _step_into(here, step, said)
    if isinstance(here, list):
        here[_position(here, last, said)] = value
        return
    if last == "kind" and here.get("kind") != value:
        here.clear()
    here[last] = value


def _step_into(here: Any, step: str, said: str) -> Any:
    if isinstance(here, list):
        return here[_position(here, step, said)]
    if here.get(step) is None:  # missing, or a section that is left out: `fold: null`
        here[step] = {}
    inner = here[step]
    if not isinstance(inner, dict | list):
        raise RequestError(f"{said}: {step!r} holds {shortened(repr(inner))}, which has no keys below it.")
    return inner


def _position(here: list[Any], step: str, said: str) -> int:
    if not step.isdigit() or int(step) >= len(here):
        raise RequestError(f"{said}: {step!r} is no place in a list of {len(here)}; count from 0.")
    return int(step)


# What in a recipe cannot work together across its parts: network, loss, penalty, feature, augmentation.


def check_learning(recipe: Recipe) -> None:
    """Raises RequestError where nothing that a run keeps would learn, or a penalty has nothing to act on."""
    embedding, loss = recipe.embedding, recipe.loss
    is_tagger = "tags" in loss.needs  # its last layer is kept beside the network
    if embedding.train == "none" and not is_tagger:
        raise RequestError(
            f"embedding.train: with 'none' the space stays as it is, and of {loss.kind} nothing is kept: "
            "nothing to train. Set embedding.train to all or head."
        )
    if embedding.train == "head" and embedding.size is None and not is_tagger:
        raise RequestError(
            f"embedding: without a last layer (size: null) and with train: head, {loss.kind} has "
            "nothing to train. Give a size, or set embedding.train to all."
        )
    if embedding.train != "all" and recipe.penalty.strength:
        raise RequestError(
            f"penalty.strength: the penalty is on the backbone's weights, and embedding.train: "
            f"{embedding.train} keeps them as they are. Set penalty.strength to 0, or embedding.train to all."
        )


def check_units(recipe: Recipe) -> None:
    """Raises RequestError where an augmentation takes the picture for another than the feature gives."""
    for bend in recipe.augment:
        if recipe.modality == "image" and bend.build(recipe.data.sample_rate, 1).domain == "wave":
            raise RequestError(
                f"augment: {bend.kind!r} changes waves, and the feature {recipe.feature.kind!r} reads "
                "images. Leave it out."
            )
        unit = bend.reads_unit()
        if unit is None:
            continue
        given = recipe.feature.unit
        if given is None:
            raise RequestError(
                f"augment: {bend.kind!r} bends log-mel pictures, and the feature {recipe.feature.kind!r} "
                "gives others. Leave it out, or set feature.kind to log_mel."
            )
        if unit != given:
            raise RequestError(
                f"augment: {bend.kind!r} takes the picture for {unit!r}, and the feature gives {given!r} "
                f"(feature.log, feature.power). Set unit of {bend.kind!r} to {given}."
            )


def check_copies(recipe: Recipe) -> None:
    """Raises RequestError where augmented copies of clips cannot be made or cannot stand beside them."""
    if not recipe.train.augmented_copies:
        return
    given = f"train.augmented_copies: {recipe.train.augmented_copies}"
    mixing = [each.kind for each in recipe.augment if each.reads_batch]
    if not recipe.augment:
        raise RequestError(
            f"{given} copies of each clip would all be as the clip itself, as `augment` is empty. List "
            "augmentations there, or set train.augmented_copies to 0."
        )
    if mixing:
        raise RequestError(
            f"{given}, and augment: {mixing[0]!r} takes another clip of the batch, which is never the same "
            "for a copy. Leave it out, or set train.augmented_copies to 0."
        )
    if not recipe.sampler.clip_by_clip or recipe.sampler.mixes:
        mixed = " with sampler.mixing" if recipe.sampler.clip_by_clip else ""
        raise RequestError(
            f"{given} is for samplers that choose clip by clip and leave them apart: {clip_samplers()}. "
            f"Given: sampler.kind {recipe.sampler.kind!r}{mixed}. Set train.augmented_copies to 0."
        )


# Which settings runs differ in: recipes as flat keys, and the keys that are not the same in all.

Flat = dict[str, Any]
"""A recipe's settings by dotted key, such as {"loss.margin": 0.3}."""


def flat(plain: Mapping[str, Any], into_lists: bool = True) -> Flat:
    """Every setting of plain values; items of lists by their number, from 0, or lists as they are."""
    return dict(_flat(plain, "", Mapping | list if into_lists else Mapping))


def telling(recipes: Sequence[Flat]) -> tuple[Flat, ...]:
    """Of each recipe the settings that are not the same in all, but for those that only some kinds have and
    that stand at what they are without being set: the kind says them already."""
    unlike = differing(recipes)
    shared = {key for key in unlike if all(key in recipe for recipe in recipes)}
    found = []
    for recipe in recipes:
        usual = usual_settings(recipe)
        kept = (key for key in unlike if key in recipe and recipe[key] is not None)
        found.append(
            {key: recipe[key] for key in kept if key in shared or recipe[key] != usual.get(key, object())}
        )
    return tuple(found)


def usual_settings(recipe: Flat) -> Flat:
    """What every setting is where nothing but the kinds of a recipe's sections is set; empty where the kinds
    are not known to this version."""
    kinds: dict[str, Any] = {}
    for key, value in recipe.items():
        section, _, name = key.partition(".")
        if name == "kind" and section != "data":
            kinds[section] = {"kind": value}
    try:
        return flat(Recipe.of(kinds).plain())
    except RequestError:
        return {}


def differing(recipes: Sequence[Flat]) -> dict[str, tuple[Any, ...]]:
    """Keys whose values are not the same in all, with the value of each; None where a recipe has none."""
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    values = {key: tuple(recipe.get(key) for recipe in recipes) for key in keys}
    return {key: each for key, each in values.items() if any(value != each[0] for value in each)}


def _flat(value: Any, at: str, nests: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, nests):
        yield at, value
        return
    for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from _flat(inner, f"{at}.{key}".lstrip("."), nests)
