"""One sound under each augmentation of a recipe, to see and to hear."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing
from nearfield.core.rng import torch_stream
from nearfield.data.audio import Waves, write_sound
from nearfield.data.store import read_sound
from nearfield.models.augmentations import AugmentationSettings
from nearfield.models.features.feature import Feature
from nearfield.training.plotting import COLOURS, new_figure, save
from nearfield.training.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Augmented:
    """A sound as it is (`kind` "original") or under one augmentation."""

    kind: str
    changes: str
    """The settings that the recipe gives."""
    wave: Waves | None
    """(C, T) to be heard; None where only the feature is changed."""
    image: Waves
    """(bands, frames) the feature of the first channel."""


def augment_each(
    recipe: Recipe, file: Path, others: tuple[Path, ...] = (), start: float = 0.0, seed: int = 0
) -> tuple[Augmented, ...]:
    """The sound of `file` from `start` (seconds) on, as long as the recipe's clips, and the same under each
    augmentation alone, applied for certain.

    `others`: sounds of the same batch, which `mix` and `shuffle_mix` take the background from; all count as
    one label. Raises RequestError for a recipe without augmentations or of pictures, DataError for a file
    that cannot be read.
    """
    if not recipe.augment:
        raise RequestError("augment: the recipe has no augmentation to show. Add one under `augment`.")
    if recipe.modality == "image":
        raise RequestError("augment: the recipe is for pictures. Only sounds are shown.")
    batch = torch.from_numpy(np.stack([_clip(recipe, each, start) for each in (file, *others)]))
    feature: Feature = recipe.feature.build(recipe.data.sample_rate, batch.shape[1])
    found = [Augmented("original", "", batch[0].numpy(), _first(feature(batch)))]
    for place, settings in enumerate(recipe.augment):
        found.append(_augmented(settings, batch, feature, recipe.data.sample_rate, seed, place))
    return tuple(found)


def write_augmented(found: tuple[Augmented, ...], rate: int, folder: Path) -> tuple[Path, ...]:
    """augmented.png, and N-KIND.wav of each that can be heard: those written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "augmented.png"]
    draw_augmented(paths[0], found, rate)
    for number, each in enumerate(found):
        if each.wave is not None:
            paths.append(folder / f"{number}-{each.kind}.wav")
            with replacing(paths[-1]) as temporary, temporary.open("wb") as file:
                write_sound(file, np.clip(each.wave, -1, 1), rate, ".wav")
    return tuple(paths)


def draw_augmented(path: Path, found: tuple[Augmented, ...], rate: int) -> None:
    """A row each: the wave on the left, the feature on the right, all on one scale."""
    figure = new_figure(7.2, 0.6 + 1.15 * len(found))
    rows = figure.subplots(len(found), 2, squeeze=False)
    loudest = max(float(np.abs(each.wave).max()) for each in found if each.wave is not None) or 1.0
    values = np.concatenate([each.image.ravel() for each in found])
    limits = float(np.quantile(values, 0.02)), float(values.max())
    for (left, right), each in zip(rows, found, strict=True):
        _draw_wave(left, each, rate, loudest)
        right.imshow(each.image, origin="lower", aspect="auto", vmin=limits[0], vmax=limits[1], cmap="magma")
        right.set_xticks([])
        right.set_yticks([])
        left.set_title(f"{each.kind}  {each.changes}", loc="left", fontsize=8)
    rows[-1, 0].set_xlabel("seconds")
    rows[-1, 1].set_xlabel("feature, over time")
    save(figure, path)


def _draw_wave(axes: "Axes", shown: Augmented, rate: int, loudest: float) -> None:
    axes.set_ylim(-loudest, loudest)
    if shown.wave is None:
        axes.text(0.5, 0.5, "changes the feature only", transform=axes.transAxes, ha="center", fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    axes.plot(np.arange(shown.wave.shape[1]) / rate, shown.wave.mean(0), color=COLOURS[0], linewidth=0.4)


def _clip(recipe: Recipe, file: Path, start: float) -> Waves:
    """(C, T) of a file, as long as the recipe's clips, with zeros behind it where it is shorter."""
    wave = read_sound(file, recipe.data, start, recipe.data.clip_seconds)
    length = round(recipe.data.clip_seconds * recipe.data.sample_rate)
    return np.pad(wave[:, :length], ((0, 0), (0, max(0, length - wave.shape[1]))))


def _augmented(
    settings: AugmentationSettings, batch: Tensor, feature: Feature, rate: int, seed: int, place: int
) -> Augmented:
    augmentation = settings.audible().build(rate, feature.hop)
    signal = batch if augmentation.domain == "wave" else feature(batch)
    labels = torch.zeros(len(batch), dtype=torch.int64)
    drawn = augmentation.draw(signal.shape, torch_stream(seed, "augment", place), labels)
    applied = augmentation.apply(signal, drawn)
    given = settings.model_dump(exclude={"kind", "probability", "domain"}, exclude_defaults=True)
    changes = ", ".join(f"{key} {value}" for key, value in given.items())
    if augmentation.domain == "spectrogram":
        return Augmented(settings.kind, changes, None, _first(applied))
    return Augmented(settings.kind, changes, applied[0].numpy(), _first(feature(applied)))


def _first(images: Tensor) -> Waves:
    return images[0, 0].numpy()
