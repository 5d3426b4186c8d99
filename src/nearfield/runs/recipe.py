"""The recipe: everything that decides a space, in one typed file that refuses what it does not know."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from nearfield.core.errors import RequestError, choose
from nearfield.core.settings import Settings, make
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
        """Reads a YAML file and applies `changes` such as "loss.margin=0.3".

        Raises RequestError naming the file and the key, what was given, what is allowed and the nearest
        right spelling.
        """
        file = Path(path)
        plain = _read(file)
        for change in changes:
            _apply(plain, change)
        return cls.of(plain, file.name)

    @classmethod
    def of(cls, plain: Mapping[str, Any], where: str = "recipe") -> Self:
        """A recipe from plain values; `where` names them in errors."""
        made: Self = make(cls, where, plain)
        return made

    def plain(self) -> dict[str, Any]:
        """Every setting, defaults too, as values that YAML and JSON can hold."""
        return self.model_dump(mode="json")

    def text(self) -> str:
        """The recipe as YAML, with nothing left to defaults."""
        return yaml.safe_dump(self.plain(), sort_keys=False, default_flow_style=None, width=100)


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        near = [p.name for p in file.parent.glob("*.y*ml")] if file.parent.is_dir() else []
        raise RequestError(f"No recipe at {file}. {choose(file.name, sorted(near))}")
    try:
        plain = yaml.load(file.read_text(encoding="utf-8"), _StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError(f"{file.name} is not YAML: {error}") from None
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise RequestError(
            f"{file.name}: a recipe is a list of keys and values. Given: {type(plain).__name__}."
        )
    return plain


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _apply(plain: dict[str, Any], change: str) -> None:
    """Sets one dotted key; a new `kind` clears the section, whose other keys belonged to the old one."""
    key, equals, text = change.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise RequestError(f"--set {change!r}: a change is written KEY=VALUE, as in loss.margin=0.3.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RequestError(f"--set {change!r}: the value {text!r} is not YAML.") from None
    here: Any = plain
    usual = Recipe.model_fields.get(steps[0])
    if len(steps) > 1 and steps[0] not in plain and usual and hasattr(usual.default, "kind"):
        plain[steps[0]] = {"kind": usual.default.kind}
    for step in steps[:-1]:
        here = _step_into(here, step, change)
    if isinstance(here, list):
        here[_position(here, steps[-1], change)] = value
        return
    if steps[-1] == "kind" and here.get("kind") != value:
        here.clear()
    here[steps[-1]] = value


def _step_into(here: Any, step: str, change: str) -> Any:
    if isinstance(here, list):
        return here[_position(here, step, change)]
    inner = here.setdefault(step, {})
    if not isinstance(inner, dict | list):
        raise RequestError(f"--set {change!r}: {step!r} holds {inner!r}, which has no keys below it.")
    return inner


def _position(here: list[Any], step: str, change: str) -> int:
    if not step.isdigit() or int(step) >= len(here):
        raise RequestError(f"--set {change!r}: {step!r} is no place in a list of {len(here)}; count from 0.")
    return int(step)
