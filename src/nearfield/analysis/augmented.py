"""Shows a sound with each augmentation of a recipe, as figures and sounds."""

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
    """A sound without (`kind` "original") or with one augmentation."""

    kind: str
    changes: str
    """The settings in the recipe."""
    wave: Waves | None
    """(C, T) the sound; None if the augmentation changes the feature only."""
    image: Waves
    """(bands, frames) feature of the first channel."""


def augment_each(
    recipe: Recipe, file: Path, others: tuple[Path, ...] = (), start: float = 0.0, seed: int = 0
) -> tuple[Augmented, ...]:
    """Applies each augmentation of a recipe alone to a sound, with probability 1.

    Parameters
    ----------
    recipe
        The recipe.
    file
        The sound file.
    others
        Other sounds of the batch, which `mix` and `shuffle_mix` use; all have the same label.
    start
        Start in the files, in seconds; the length is that of the clips of the recipe.
    seed
        Seed of the augmentations.

    Returns
    -------
    tuple of Augmented
        The original, then one per augmentation.

    Raises
    ------
    RequestError
        If the recipe has no augmentation, or is for images.
    DataError
        If a file cannot be read.
    """
    if not recipe.augment:
        raise RequestError("augment: the recipe has no augmentation to show. Add one to `augment`.")
    if recipe.modality == "image":
        raise RequestError(
            "augment: the recipe is for images, but only sounds can be shown. Use a recipe for sound."
        )
    batch = torch.from_numpy(np.stack([_clip(recipe, each, start) for each in (file, *others)]))
    feature: Feature = recipe.feature.build(recipe.data.sample_rate, batch.shape[1])
    found = [Augmented("original", "", batch[0].numpy(), _first(feature(batch)))]
    for place, settings in enumerate(recipe.augment):
        found.append(_augmented(settings, batch, feature, recipe.data.sample_rate, seed, place))
    return tuple(found)


def write_augmented(found: tuple[Augmented, ...], rate: int, folder: Path) -> tuple[Path, ...]:
    """Writes augmented.png, and N-KIND.wav of each sound; returns the paths."""
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
    """Draws one row per augmentation: the wave and the feature, all on the same scale."""
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
    """Reads (C, T) of a file, cut or padded with zeros to the length of the clips of the recipe."""
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
