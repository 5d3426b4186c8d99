"""Validation while training: the score that is kept by, the loss on fixed batches, curves."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nearfield.core.errors import NearfieldError, RequestError
from nearfield.core.rng import torch_stream
from nearfield.core.types import Batch, BatchIndices, ClipMetadata, Ints, Pairs, Vectors
from nearfield.data.signals import Loader
from nearfield.learning.build import miner_beside
from nearfield.learning.losses.base import PairLoss
from nearfield.learning.miners import Miner
from nearfield.learning.samplers import Sampler
from nearfield.metrics.clusters import silhouette
from nearfield.metrics.geometry import centroid_curves
from nearfield.metrics.neighbors import Search, nearest
from nearfield.training.events import Callback, Note
from nearfield.training.recipe import Recipe
from nearfield.training.setup import TrainingSetup

# The loss on batches that stay the same through a training, with its miner and without.
#
# A training loss is taken over what the miner kept of batches that change; a loss on other clips is often
# taken over all pairs. The two numbers then differ whatever was learnt. Here both are taken over the same
# batches, on any clips: what is left between training and validation clips is not the miner's doing.


class FixedLoss:
    """The first batches of a sampler, kept; `measure` says what the loss of their clips' vectors is."""

    def __init__(
        self,
        sampler: Sampler,
        relation: Callable[[BatchIndices], Pairs],
        miner: Miner,
        loss: PairLoss,
        batches: int = 20,
    ) -> None:
        """`sampler` is built over the rows to measure on; its seed fixes the batches.

        `loss` is the one that trains, so that weights of its own are as trained; it is never changed.
        """
        self.draws = list(
            islice(
                (_alone(indices) for number in count() for indices in sampler.epoch(number)), max(1, batches)
            )
        )
        self.relation, self.miner, self.loss = relation, miner, loss

    def measure(self, vectors: Vectors | Tensor) -> dict[str, float]:
        """`mined` and `unmined`: means over the batches, for the vectors (N, D) of all clips of the table.

        Windows of one clip have the clip's vector. What a miner draws by chance is the same each time.
        """
        given = torch.as_tensor(vectors)
        return self.over(lambda indices, pairs: given[torch.from_numpy(indices.rows)])

    def over(self, embed: Callable[[BatchIndices, Pairs], Tensor]) -> dict[str, float]:
        """The same for the vectors (B, D) that `embed` gives of the windows of each batch."""
        sums = {"mined": 0.0, "unmined": 0.0}
        loss: PairLoss | None = None
        for number, indices in enumerate(self.draws):
            pairs = indices.pairs or self.relation(indices)
            vectors = embed(indices, pairs)
            loss = loss or copy.deepcopy(self.loss).to(vectors.device)
            found = fixed_loss(vectors, pairs, loss, self.miner, torch_stream(0, "fixed loss", number))
            sums = {name: sums[name] + found[name] for name in sums}
        return {name: total / len(self.draws) for name, total in sums.items()}


def _alone(indices: BatchIndices) -> BatchIndices:
    """Every clip by itself: there are no vectors of mixtures."""
    return replace(indices, partner=None)


def fixed_loss(
    vectors: Tensor, pairs: Pairs, loss: PairLoss, miner: Miner, generator: torch.Generator
) -> dict[str, float]:
    """The loss of one batch (B, D), `mined` by the miner and `unmined`, over all `pairs`; no gradient.

    A loss that remembers batches is left as it was.
    """
    with torch.no_grad():
        whole = pairs.to(vectors.device)
        both = {"mined": miner(vectors, whole, generator=generator), "unmined": whole}
        return {name: float(copy.deepcopy(loss)(vectors, kept)) for name, kept in both.items()}


# What a training is validated by: one score that `train.keep` and a plateau go by, and the curves beside it.
#
# Conventions: nothing is bent, no weight moves, and every validation of a run is on the same clips and
# batches. Clips of test are never embedded.
#
# - `val/recall_at_1` (labels): share of val clips whose nearest train clip (cosine) has their label.
# - `val/tag_overlap_at_1` (tags): mean overlap (Jaccard) of the tags of a val clip with those of its nearest
#   train clip.
# - `val/triplet_accuracy` (triplets): share of the triplets (window, alike, unlike) of fixed val batches in
#   which the alike one is nearer, ties half; 0.5 is chance. The relation, or the sampler, says who is alike.
# - `val/loss` (loss): mean loss of the fixed val batches, with the miner, as the training loss is.
# - `val/squared_distance_alike`, `val/squared_distance_unlike`: mean over the pairs of those batches.
# - `val/silhouette`: of the val clips under their labels.
# - `val/score`: the one that decides, the loss with its sign turned: more is better.

FEW_LABELS = 12
"""Labels up to which a curve is kept for every pair of them."""
BATCHES = 20
"""Fixed val batches at most; where an epoch of val has fewer, that many."""

By = Literal["labels", "tags", "triplets", "loss"]
NAMES: dict[By, str] = {
    "labels": "val/recall_at_1",
    "tags": "val/tag_overlap_at_1",
    "triplets": "val/triplet_accuracy",
    "loss": "val/loss",
}
"""The curve that each score is."""
SCORE = "val/score"


@dataclass(frozen=True)
class Validation:
    """The clips and batches of val that every validation of a run is on."""

    setup: TrainingSetup
    by: By
    """What decides."""
    fixed: FixedLoss | None
    """The fixed batches; None where none can be drawn from val."""

    @classmethod
    def build(cls, setup: TrainingSetup, loss: PairLoss, callback: Callback) -> "Validation | None":
        """Of the recipe's own settings; None where it does not validate, or has nothing to validate on and
        nothing rests on it.

        Raises RequestError where `keep: best` or a plateau would go by a score that cannot vary.
        """
        recipe = setup.recipe
        every = recipe.train.validate_every
        if not every:
            return None
        if every > recipe.train.updates:
            callback(Note(_too_late(recipe), is_warning=rests_on_validation(recipe) is not None))
        if not len(setup.collection.rows("val")):
            _without(recipe, f"{setup.collection.name} has no val clips", (), callback)
            return None
        fixed, trouble = _fixed(setup, loss, callback)
        by, asked = scores_by(recipe), recipe.train.validate_by
        why = _constant(by, setup, fixed, trouble)
        if why and asked == "relation" and by != "triplets":
            first, by = why, "triplets"
            why = _constant(by, setup, fixed, trouble)
            if not why:
                callback(Note(f"validated by {NAMES[by]}: {first}"))
        if why:
            able = [name for name in NAMES if not _constant(name, setup, fixed, trouble)]
            _without(recipe, why, able, callback)
            return None
        return cls(setup, by, fixed)

    @property
    def compares_clips(self) -> bool:
        """Whether it asks for vectors of whole clips."""
        return self.by in ("labels", "tags") or self.setup.recipe.train.figures

    @property
    def rows(self) -> Ints:
        """Clips whose vectors it asks for."""
        splits = [self.setup.collection.rows(split) for split in ("train", "val")]
        return np.concatenate(splits) if self.compares_clips else np.zeros(0, np.int64)

    def measure(self, vectors: Vectors | None, encode: Callable[[Batch, int], Tensor]) -> dict[str, float]:
        """Every curve of one validation, and `val/score`.

        `vectors` (N, D): of whole clips, where `compares_clips`. `encode`: what the loss sees of a batch;
        the number says which of the fixed batches it is.
        """
        found: dict[str, float] = {}
        if vectors is not None:
            found |= self._of_clips(vectors)
        if self.fixed is not None:
            found |= self._of_batches(self.fixed, encode)
        value = found[NAMES[self.by]]
        return {SCORE: -value if self.by == "loss" else value, **found}

    def _of_clips(self, vectors: Vectors) -> dict[str, float]:
        metadata, collection = self.setup.metadata, self.setup.collection
        val, train_rows = collection.rows("val"), collection.rows("train")
        found: dict[str, float] = {}
        if _constant_labels(metadata, val, train_rows) is None:
            found[NAMES["labels"]] = recall_at_1(vectors, metadata, val, train_rows)
            found |= label_distances(vectors[val], metadata.labels[val], metadata.label_names)
            inner = silhouette(vectors[val], metadata.labels[val])
            found |= {} if inner is None else {"val/silhouette": inner}
        if _constant_tags(metadata, val, train_rows) is None:
            found[NAMES["tags"]] = tag_overlap_at_1(vectors, metadata, val, train_rows)
        return found

    def _of_batches(self, fixed: FixedLoss, encode: Callable[[Batch, int], Tensor]) -> dict[str, float]:
        batches = iter(
            Loader(self.setup.network_input.signals, iter(fixed.draws), self.setup.network_input.length)
        )
        numbers = count()
        told = TripletCounter()

        def embedded(indices: BatchIndices, pairs: Pairs) -> Tensor:
            vectors = encode(next(batches), next(numbers)).detach()
            told.see(vectors, pairs)
            return vectors

        loss = fixed.over(embedded)["mined"]
        return {NAMES["loss"]: loss, **told.curves()}


class TripletCounter:
    """Counts, batch after batch, how often the alike window is nearer than the unlike one, and how far both
    are (squared Euclidean)."""

    def __init__(self) -> None:
        self.right, self.triplets = 0.0, 0
        self.sums = {"alike": 0.0, "unlike": 0.0}
        self.pairs = {"alike": 0, "unlike": 0}

    def see(self, vectors: Tensor, pairs: Pairs) -> None:
        """Takes in a batch: (B, D) vectors, and who of them is alike."""
        apart = torch.cdist(vectors.double(), vectors.double()).square().cpu()
        positive, negative = pairs.positive.cpu(), pairs.negative.cpu()
        for name, cells in (("alike", positive), ("unlike", negative)):
            self.sums[name] += float(apart[cells].sum())
            self.pairs[name] += int(cells.sum())
        for anchor in range(len(apart)):
            near, far = apart[anchor, positive[anchor]], apart[anchor, negative[anchor]]
            below, equal = near[:, None] < far[None, :], near[:, None] == far[None, :]
            self.right += float(below.sum()) + 0.5 * float(equal.sum())
            self.triplets += below.numel()

    def curves(self) -> dict[str, float]:
        """What was counted; nothing of what no batch had."""
        found = {NAMES["triplets"]: self.right / self.triplets} if self.triplets else {}
        means = {
            f"val/squared_distance_{name}": total / self.pairs[name]
            for name, total in self.sums.items()
            if self.pairs[name]
        }
        return found | means


def rests_on_validation(recipe: Recipe) -> str | None:
    """The setting that goes by the validations, with its value; None where they are only looked at."""
    if recipe.train.keep == "best":
        return "train.keep: 'best'"
    return None if recipe.schedule.plateau() is None else f"schedule.kind: {recipe.schedule.kind!r}"


def scores_by(recipe: Recipe) -> By:
    """What a recipe asks to be validated by."""
    asked = recipe.train.validate_by
    return recipe.relation.validate_by if asked == "relation" else asked


def keeps_val(recipe: Recipe) -> bool:
    """Whether clips are kept for val: a fold of a cross-validation gives up some only where a setting goes by
    them, since they would teach otherwise."""
    if recipe.data.fold is not None:
        return bool(recipe.train.validate_every) and rests_on_validation(recipe) is not None
    return bool(recipe.train.validate_every)


def recall_at_1(vectors: Vectors, metadata: ClipMetadata, val: Ints, train: Ints) -> float:
    """Share of the labelled `val` clips whose nearest labelled `train` clip (cosine) has their label."""
    val, train = val[metadata.labels[val] >= 0], train[metadata.labels[train] >= 0]
    found = nearest(Search(vectors[val], vectors[train]), 1)[0][:, 0]
    return float(np.mean(metadata.labels[val] == metadata.labels[train][found]))


def tag_overlap_at_1(vectors: Vectors, metadata: ClipMetadata, val: Ints, train: Ints) -> float:
    """Mean overlap of the tags of each tagged `val` clip with those of its nearest tagged `train` clip."""
    val, train = val[metadata.tags[val].any(1)], train[metadata.tags[train].any(1)]
    found = nearest(Search(vectors[val], vectors[train]), 1)[0][:, 0]
    mine, theirs = metadata.tags[val], metadata.tags[train][found]
    return float(np.mean((mine & theirs).sum(1) / (mine | theirs).sum(1)))


def label_distances(vectors: Vectors, labels: Ints, names: tuple[str, ...]) -> dict[str, float]:
    """`val/centroids/A_to_B`: Euclidean distances between the centroids of the labels of (n, D) val clips.

    Empty where there are more than `FEW_LABELS` of them: nobody reads a thousand curves.
    """
    if not 2 <= len(names) <= FEW_LABELS:
        return {}
    curves = centroid_curves([(0, vectors)], labels, names).curves()
    return {f"val/centroids/{pair}": distances[0] for pair, distances in curves.items()}


def _fixed(setup: TrainingSetup, loss: PairLoss, callback: Callback) -> tuple[FixedLoss | None, str]:
    """The fixed batches of val, or why there are none."""
    recipe = setup.recipe
    try:
        sampler = _sampler_over_val(setup)
        batches = max(1, min(BATCHES, -(-sampler.clips_per_epoch // sampler.batch_size)))
        fixed = FixedLoss(sampler, setup.relation(), miner_beside(recipe.miner, recipe.loss), loss, batches)
    except NearfieldError as error:
        return None, f"no batch can be drawn from the val clips ({error})"
    largest, usual = max(map(len, fixed.draws)), setup.sampler().batch_size
    if largest < usual and recipe.train.validate_every <= recipe.train.updates:
        callback(
            Note(
                f"val/loss is of batches of {largest} clips, train/loss of {usual}: compare how the two run, "
                "not how high they are."
            )
        )
    return fixed, ""


def _sampler_over_val(setup: TrainingSetup) -> Sampler:
    """The recipe's sampler over val, as it is set for validations."""
    rows = setup.collection.rows("val")
    chosen = setup.recipe.sampler.for_validation(setup.metadata.labels[rows])
    recipe = setup.recipe.model_copy(update={"sampler": chosen})
    return replace(setup, recipe=recipe).sampler_over(rows)


def _constant(by: By, setup: TrainingSetup, fixed: FixedLoss | None, trouble: str) -> str | None:
    """Why a score would be the same at every validation; None where it can vary."""
    metadata, val, train = setup.metadata, setup.collection.rows("val"), setup.collection.rows("train")
    if by == "labels":
        return _constant_labels(metadata, val, train)
    if by == "tags":
        return _constant_tags(metadata, val, train)
    if fixed is None:
        return trouble
    is_mute = by == "loss" and setup.recipe.loss.zero_without_positives
    if is_mute and not any(bool(_pairs(indices, fixed).positive.any()) for indices in fixed.draws):
        return "no two val clips are alike"
    if by == "triplets" and not any(_has_triplet(indices, fixed) for indices in fixed.draws):
        return "no val clip has both an alike and an unlike one"
    return None


def _constant_labels(metadata: ClipMetadata, val: Ints, train: Ints) -> str | None:
    known = np.unique(metadata.labels[train][metadata.labels[train] >= 0])
    if not np.isin(metadata.labels[val], known).any():
        return "no val clip has a label that a train clip has"
    return "all train clips have one label" if len(known) < 2 else None


def _constant_tags(metadata: ClipMetadata, val: Ints, train: Ints) -> str | None:
    shared = metadata.tags[val].any(0) & metadata.tags[train].any(0)
    if not shared.any():
        return "no val clip has a tag that a train clip has"
    tagged = metadata.tags[train][metadata.tags[train].any(1)]
    return "all train clips have the same tags" if (tagged == tagged[0]).all() else None


def _has_triplet(indices: BatchIndices, fixed: FixedLoss) -> bool:
    pairs = _pairs(indices, fixed)
    return bool((pairs.positive.any(1) & pairs.negative.any(1)).any())


def _pairs(indices: BatchIndices, fixed: FixedLoss) -> Pairs:
    return indices.pairs or fixed.relation(indices)


def _without(recipe: Recipe, why: str, able: Sequence[By], callback: Callback) -> None:
    """Says that there is no validation; refuses where a setting goes by one. `able`: scores that can vary."""
    resting = rests_on_validation(recipe)
    if resting is None:
        callback(Note(f"no validation: {why}."))
        return
    cures = ["train.keep=last" if recipe.train.keep == "best" else "another schedule (schedule.kind=cosine)"]
    cures.append("give the split such val clips")
    if able:
        cures.append(f"choose what is validated by: train.validate_by={', '.join(able)}")
    raise RequestError(
        f"{resting} goes by the validations, and {why}: they would all be the same. "
        f"Set {', '.join(cures[:-1])}, or {cures[-1]}."
    )


def _too_late(recipe: Recipe) -> str:
    every, updates = recipe.train.validate_every, recipe.train.updates
    resting = rests_on_validation(recipe)
    what = f"; {resting} changes nothing" if resting else ""
    return f"no validation: train.validate_every is {every}, and training ends after {updates} updates{what}."
