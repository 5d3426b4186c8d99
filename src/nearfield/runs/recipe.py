"""The recipe: everything that decides a space, in one typed file that refuses what it does not know."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from nearfield.core.errors import RequestError, choose
from nearfield.core.plain_yaml import read_yaml
from nearfield.core.settings import Settings, make
from nearfield.core.shipped import located, shipped
from nearfield.core.words import shortened
from nearfield.data.settings import DataSettings
from nearfield.learning.losses import LossSettings
from nearfield.learning.losses.triplet import Triplet
from nearfield.learning.miners import MinerSettings
from nearfield.learning.miners.triplets import All
from nearfield.learning.optimizers import Adam, Constant, OptimizerSettings, ScheduleSettings
from nearfield.learning.relations import RelationSettings
from nearfield.learning.relations.labels import Labels
from nearfield.learning.samplers import SamplerSettings
from nearfield.learning.samplers.balanced import Balanced
from nearfield.learning.train import TrainSettings
from nearfield.models.augmentations import AugmentationSettings
from nearfield.models.backbones import BackboneSettings
from nearfield.models.backbones.small_convnet import SmallConvnetSettings
from nearfield.models.embedder import EmbeddingSettings
from nearfield.models.features import FeatureSettings
from nearfield.models.features.log_mel import LogMelSettings
from nearfield.models.normalisation import ClipBandSettings, NormalisationSettings
from nearfield.models.regularisation import WeightPenaltySettings


class Recipe(Settings):
    """Settings of one training. Every section has a default; `kind` chooses a member of its family."""

    data: DataSettings = DataSettings()
    """What every clip is brought to."""
    feature: FeatureSettings = LogMelSettings()
    """The picture that is made of a sound."""
    normalise: NormalisationSettings = ClipBandSettings()
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
    loss: LossSettings = Triplet()
    """How alike clips are pulled together and unlike ones pushed apart."""
    penalty: WeightPenaltySettings = WeightPenaltySettings()
    """How much large weights cost, coupled to the optimiser."""
    optimizer: OptimizerSettings = Adam()
    """How weights follow the gradient."""
    schedule: ScheduleSettings = Constant()
    """How the learning rate runs."""
    train: TrainSettings = TrainSettings()
    """How long, in what arithmetic, and what is kept."""

    @classmethod
    def load(cls, path: str | Path, changes: Iterable[str] = ()) -> Self:
        """Reads a YAML file, or the shipped recipe of that name, and applies `changes` such as
        "loss.margin=0.3".

        Raises RequestError naming the file and the key, what was given, what is allowed and the nearest
        right spelling.
        """
        file = located(path, "recipes")
        plain = read_keys(file, "recipe")
        for change in changes:
            _apply(plain, change)
        return cls.of(plain, file.name)

    @classmethod
    def of(cls, plain: Mapping[str, Any], where: str = "recipe") -> Self:
        """A recipe from plain values; `where` names them in errors."""
        made: Self = make(cls, where, plain)
        return made

    def changed(self, changes: Mapping[str, Any], where: str = "recipe") -> Self:
        """The recipe with dotted keys set, such as {"loss.kind": "circle", "loss.m": 0.3}, in any order.

        A new kind begins with its own settings: the old kind's are forgotten. Raises RequestError as `load`.
        """
        plain = self.plain()
        kinds_first = sorted(changes, key=lambda key: (not key.endswith(".kind"), key.count(".")))
        for key in kinds_first:  # the outer before the inner, which it would clear
            set_key(plain, key, changes[key], where)
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


def _apply(plain: dict[str, Any], change: str) -> None:
    """Sets one dotted key, given as "loss.margin=0.3"."""
    key, value = parse_change(change)
    steps = key.split(".")
    usual = Recipe.model_fields.get(steps[0])
    if len(steps) > 1 and steps[0] not in plain and usual and hasattr(usual.default, "kind"):
        plain[steps[0]] = {"kind": usual.default.kind}
    set_key(plain, key, value, f"--set {shortened(change)!r}")


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
