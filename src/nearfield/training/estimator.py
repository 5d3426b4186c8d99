"""`Embedder`: the scikit-learn estimator, and a training on sounds at hand without a folder."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Number
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from nearfield.core.errors import DataError
from nearfield.core.machine import disable_malloc_trim
from nearfield.core.types import Vectors
from nearfield.data.arrays import Input, as_sounds, as_wave
from nearfield.data.audio import Waves
from nearfield.data.collection import Collection
from nearfield.data.listing import Kind
from nearfield.data.signals import ArraySignals, Signals
from nearfield.data.store import Store
from nearfield.training.device import Precision, best_precision, open_device
from nearfield.training.events import Callback, ignore
from nearfield.training.prepare import check, check_teaching
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder, load_tensors
from nearfield.training.setup import TrainingSetup
from nearfield.training.trainer import Training
from nearfield.training.windows import prepared

# A training on sounds at hand, as libraries for learning want it: no table, no split, no folder kept.


def fit(
    recipe: Recipe,
    inputs: Iterable[Input],
    labels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    callback: Callback = ignore,
) -> Run:
    """Learns a space from all of `inputs`: files, or else waves (T,) or (C, T) at the recipe's sample rate.

    `labels`: one an input, where the recipe's relation asks for them. The run that comes back encodes; its
    folder is gone, and it was measured on nothing. Raises RequestError for what cannot work, before anything
    is trained; DataError for unusable files; WorkError where the loss stops being a number.
    """
    disable_malloc_trim()
    chosen = best_precision(device) if recipe.train.precision == "auto" else recipe.train.precision
    precision: Precision = "bf16" if chosen == "bf16" else "fp32"
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"precision": precision})})
    check(recipe, callback)
    sounds = as_sounds(inputs)
    collection = _collection(recipe, sounds, labels)
    check_teaching(recipe, collection)
    signals = _signals(recipe, collection, sounds)
    setup = TrainingSetup.build(recipe, collection, seed, callback, signals=signals)
    place = open_device(device, precision)
    with tempfile.TemporaryDirectory(prefix="nearfield-") as name:
        folder = RunFolder(Path(name))
        Training(setup, folder, place, precision, callback).run()
        weights, _ = load_tensors(folder.weights)
    embedder = setup.embedder.cpu()
    embedder.load_state_dict(weights)
    return Run(folder, recipe, embedder.eval())


def _collection(recipe: Recipe, sounds: list[Path | Waves], labels: Sequence[str] | None) -> Collection:
    """A row a sound, all to train on; waves have their number for a path."""
    paths = [str(given) if isinstance(given, Path) else f"wave {n}" for n, given in enumerate(sounds)]
    rows = pd.DataFrame(
        {
            "id": [str(number) for number in range(len(paths))],
            "path": paths,
            "seconds": 0.0,  # whole files
            "label": [""] * len(paths) if labels is None else list(labels),
            "split": "train",
        }
    )
    kind: Kind = "picture" if recipe.modality == "image" else "sound"
    return Collection.from_rows(rows, kind, "what was given")


def _signals(recipe: Recipe, collection: Collection, sounds: list[Path | Waves]) -> Signals:
    if all(isinstance(given, Path) for given in sounds):
        return Store().open(collection, recipe.data)
    waves = []
    for number, wave in enumerate(sounds):
        if isinstance(wave, Path):
            raise DataError(f"sound {number} is a file among waves. Give files alone, or waves alone.")
        waves.append(prepared(wave, recipe.data)[0])
        if len(waves[-1]) != len(waves[0]):
            raise DataError(
                f"sound {number} has {len(wave)} channels, and sound 0 has {len(waves[0])}. Give all of them "
                "as many, or set data.channels: mean."
            )
    return ArraySignals.of(waves, recipe.data.sample_rate)


# `Embedder`: a space as a scikit-learn estimator, for pipelines, grids and cross-validation.

MOST_CLASSES = 8
"""Labels in a batch of the usual recipe, where there are as many."""


class FitError(DataError, ValueError):
    """What was given cannot be learnt from; a ValueError too, as scikit-learn's own tools expect."""


class Embedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Learns a space in which sounds of one label are near each other; transforms sounds to vectors.

    Parameters
    ----------
    recipe : Recipe, path of a recipe, dict of changes, or None
        None: the usual recipe. A dict changes it by dotted keys: {"loss.margin": 0.3}. In both, batches take
        as many labels as there are, 8 at most.
    max_iter : int or None
        Optimizer steps; None: the recipe's own.
    random_state : int, RandomState or None
        Seed of every random draw: the same data and seed give the same vectors on the same machine. A
        RandomState or None draws the seed.
    n_neighbors : int
        Training clips that vote in `score`.
    device : str
        auto, cpu, cuda, cuda:N or mps.

    Attributes
    ----------
    run_ : Run
        The learnt space; its folder is gone, `encode` works.
    classes_ : (K,) the labels, where they were given.
    n_iter_ : the optimizer steps that were taken.
    vectors_ : (N, D) float32 vectors of the training sounds; `labels_` (N,) theirs.

    X is a sequence of files; or of waves (T,) or (C, T) of any lengths at the recipe's sample rate; or an
    array (N, T) of waves of one length, which is then the length of every array to come. Nothing but files
    is resampled. Validation while training needs a split, which this has not: `nearfield.train` has.
    """

    def __init__(
        self,
        recipe: Recipe | str | Path | Mapping[str, Any] | None = None,
        *,
        max_iter: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        n_neighbors: int = 1,
        device: str = "auto",
    ) -> None:
        self.recipe = recipe
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_neighbors = n_neighbors
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Self:
        """Trains from scratch on all of X. `y` (N,): labels, needed where the relation is that of labels.

        Raises RequestError (FitError, DataError) where the recipe and the data do not go together.
        """
        seed = self._seed()
        sounds = self._sounds(X, reset=True)
        names = None if y is None else self._labels(y, len(sounds))
        recipe = self._recipe(0 if names is None else len(self.classes_))
        if names is None and "labels" in recipe.relation.gives:
            raise FitError(
                "Embedder: this recipe requires y to be passed, but the target y is None. Give a label for "
                'each sound, or a recipe that needs none, as {"relation.kind": "views", ...}.'
            )
        self.run_: Run = fit(recipe, sounds, names, seed=seed, device=self.device)
        self.vectors_: Vectors = self.run_.encode(sounds)
        self.n_iter_ = self.run_.recipe.train.updates
        self._n_features_out = self.vectors_.shape[1]
        return self

    def transform(self, X: Any) -> Vectors:
        """(N, D) float32 vectors; longer sounds are cut into windows whose vectors are averaged."""
        check_is_fitted(self, "run_")
        return self.run_.encode(self._sounds(X, reset=False))

    def score(self, X: Any, y: Any) -> float:
        """Share of the sounds whose label is that of the nearest training sound (recall at 1); with more
        `n_neighbors` that of most of them.

        Of the sounds it was fitted on the score is 1 or nearly so, since each is its own nearest: score
        others, as `sklearn.model_selection.cross_val_score` does.
        """
        check_is_fitted(self, "run_")
        if not hasattr(self, "labels_"):
            raise FitError("Embedder: score needs labels, and fit was given none.")
        nearest = KNeighborsClassifier(min(self.n_neighbors, len(self.vectors_)))
        nearest.fit(self.vectors_, self.labels_)
        return float(nearest.score(self.transform(X), column_or_1d(y)))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        tags.input_tags.string = True
        return tags

    def _labels(self, y: Any, count: int) -> list[str]:
        """Names of the labels, one a sound; notes the labels themselves."""
        self.labels_ = column_or_1d(y, warn=True)
        if self.labels_.dtype == object:
            _check_names(self.labels_)
        check_consistent_length(range(count), self.labels_)
        self.classes_, numbers = np.unique(self.labels_, return_inverse=True)
        if len(self.classes_) < 2:
            raise FitError(
                f"Embedder: y has 1 class ({self.classes_[0]!r}); near and far need two at least. "
                "Give sounds of other labels."
            )
        if len(self.classes_) == count:
            raise FitError(
                f"Embedder: each of the {count} labels of y stands once, so that no two sounds are alike. "
                "Give labels that sounds share, or a recipe that needs none, as "
                '{"relation.kind": "views", ...}.'
            )
        check_classification_targets(self.labels_)
        width = len(str(len(self.classes_)))
        return [f"{number:0{width}d} {self.classes_[number]}" for number in numbers]

    def _recipe(self, classes: int) -> Recipe:
        recipe = self.recipe
        if isinstance(recipe, str | Path):
            recipe = Recipe.load(recipe)
        if not isinstance(recipe, Recipe | Mapping | None):
            raise FitError(
                "Embedder: recipe is a Recipe, the path of one, a dict of changes as {'loss.margin': 0.3}, "
                f"or None. Given: {recipe!r}. The number of updates is max_iter=."
            )
        if not isinstance(recipe, Recipe):
            usual = Recipe()
            if classes:
                usual = usual.changed({"sampler.classes": min(MOST_CLASSES, classes)})
            recipe = usual.changed(dict(recipe or {}), "Embedder")
        return (
            recipe if self.max_iter is None else recipe.changed({"train.updates": self.max_iter}, "Embedder")
        )

    def _seed(self) -> int:
        state = self.random_state
        if isinstance(state, Integral) and not isinstance(state, bool):
            return int(state)
        if state is None or isinstance(state, np.random.RandomState):
            return int(check_random_state(state).randint(2**31))
        raise FitError(
            f"Embedder: random_state is a whole number, a numpy RandomState or None. Given: {state!r}. "
            "Leave it out for 0; to see how much depends on the seed, fit with several."
        )

    def _sounds(self, X: Any, reset: bool) -> list[Path | Waves]:
        """Files or waves, checked; X as one array of numbers goes through scikit-learn's own checks first."""
        try:
            if not _is_array(X):
                return as_sounds(X)
            waves = validate_data(self, X, reset=reset)
            return [as_wave(wave, f"sound {number}") for number, wave in enumerate(waves)]
        except DataError as error:
            raise FitError(f"Embedder: {error}") from None


def _check_names(labels: Any) -> None:
    """Raises FitError where labels as objects are missing or of more than one type."""
    missing = [number for number, label in enumerate(labels) if pd.isna(label)]
    if missing:
        raise FitError(
            f"Embedder: y has no label for sound {missing[0]} ({labels[missing[0]]!r}), {len(missing)} in "
            "all. Leave these sounds out, or give each a label."
        )
    kinds = sorted({type(label).__name__ for label in labels})
    if len(kinds) > 1:
        raise FitError(
            f"Embedder: the labels of y are of several types ({', '.join(kinds)}), and 1 and '1' may be one "
            "label or two. Give all of one: [str(label) for label in y]."
        )


def _is_array(X: Any) -> bool:
    """Whether X is what scikit-learn takes for an array: numbers (N, T), rows of numbers, a sparse matrix, a
    table of numbers, or nothing. Its own checks then say what is wrong with it."""
    if hasattr(X, "columns"):
        return all(getattr(kind, "kind", "O") in "biuf" for kind in X.dtypes)
    if len(getattr(X, "shape", (0,))) != 1 or not hasattr(X, "__iter__"):
        return True
    if isinstance(X, str | bytes | Mapping | tuple):
        return False
    return hasattr(X, "__len__") and isinstance(next(iter(X), 0.0), Number | list)
