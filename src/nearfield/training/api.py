"""The Python entry points: `train`, `evaluate`, `feature`, `backbone`."""

from pathlib import Path
from typing import Any

from torch import nn

from nearfield.core.settings import make
from nearfield.data.arrays import as_data
from nearfield.learning.distributed import world
from nearfield.models.augmentations import AugmentationSettings
from nearfield.models.augmentations.augmentation import Augmentation
from nearfield.models.backbones import BackboneSettings
from nearfield.models.features import FeatureSettings
from nearfield.models.features.feature import Feature
from nearfield.training.evaluate_run import Evaluation, evaluate_run
from nearfield.training.events import Callback, ignore
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch

# One part from its kind and settings: `feature("log_mel", bands=64)`, `backbone("resnet18")`.


def feature(kind: str, *, sample_rate: int = 16000, channels: int = 1, **settings: Any) -> Feature:
    """A feature: waves (B, channels, T) at `sample_rate` Hz -> pictures (B, C, bands, frames).

    Raises RequestError for an unknown kind or setting.
    """
    built: Feature = make(FeatureSettings, "feature", {"kind": kind, **settings}).build(sample_rate, channels)
    return built


def backbone(
    kind: str, *, channels: int = 1, bands: int = 64, frames: int = 98, **settings: Any
) -> nn.Module:
    """A backbone for pictures (B, channels, bands, frames).

    Raises RequestError for an unknown kind or setting.
    """
    built: nn.Module = make(BackboneSettings, "backbone", {"kind": kind, **settings}).build(
        channels, bands, frames
    )
    return built


def augmentation(kind: str, *, sample_rate: int = 16000, hop: int = 160, **settings: Any) -> Augmentation:
    """An augmentation of waves at `sample_rate` Hz, or of spectrograms with a frame every `hop` samples.

    Raises RequestError for an unknown kind or setting.
    """
    made = make(AugmentationSettings, "augmentation", {"kind": kind, **settings})
    built: Augmentation = made.build(sample_rate, hop)
    return built


# The two calls behind `nearfield train` and `nearfield evaluate`.


def train(
    recipe: Recipe | str | Path,
    data: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    allow_leak: bool = False,
    callback: Callback = ignore,
) -> Run:
    """Learns a space from `data` into the folder `out`, measures it on test, and opens the run.

    `data` is a folder, a table, "NAME:PATH" or "synthetic:NAME". Raises RequestError (DataError) for what
    cannot work, before anything is trained; WorkError where training itself fails.
    """
    settled = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    request = Request(settled, as_data(data), Path(out), seed, device, resume, allow_leak)
    setup = launch(request, callback)
    if world()[0] == 0:
        evaluate_run(RunFolder(request.out), callback=callback, setup=setup)
    return Run.load(request.out)


def evaluate(
    run: str | Path,
    data: str | Path | None = None,
    *,
    split: str = "test",
    allow_leak: bool = False,
    callback: Callback = ignore,
) -> Evaluation:
    """Evaluate a finished run on its own data or on other clips.

    Parameters
    ----------
    run : str or Path
        The folder of the run.
    data : str, Path or None
        Other clips than those of the run, as `nearfield evaluate --data` takes them; None: its own.
    split : {"test", "val", "train"}
        The split that is scored.
    allow_leak : bool
        Whether groups may stand in two splits.
    callback : callable
        Called with events: stages of the work, notes.

    Returns
    -------
    Evaluation
        Metrics, intervals, baselines, tables and notes. result.json is written where these are the test
        clips of the run's own data.

    Raises
    ------
    RequestError
        Where there is no trained run, or the run does not fit the data.
    DataError
        Where the split holds no clips, or a file cannot be read.

    Examples
    --------
    >>> found = nearfield.evaluate("my-run")  # doctest: +SKIP
    >>> found.metrics["probe/macro_f1"], found.baselines["mfcc_stats"]["probe/macro_f1"]  # doctest: +SKIP
    """
    given = None if data is None else as_data(data)
    return Evaluation.of(evaluate_run(RunFolder.existing(run), given, split, allow_leak, callback))
