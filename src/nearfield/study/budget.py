"""What an arm may spend on learning. Arms with unlike budgets cannot be compared, so they are refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from nearfield.core.errors import RequestError
from nearfield.learning.samplers import SamplerSettings
from nearfield.learning.samplers.balanced import Balanced
from nearfield.learning.samplers.tag_triplets import TagTriplets
from nearfield.learning.samplers.tiles import Tiles
from nearfield.runs.recipe import Recipe

Hold = Literal["updates", "clips", "seconds"]

TOLERANCE = 0.01
"""Share by which held sums may differ: updates are whole."""


@dataclass(frozen=True)
class Budget:
    """What a training sees in all."""

    updates: int
    clips: int
    """Windows seen, repeats counted."""
    seconds: float
    """Of sound, repeats counted; 0 for pictures."""

    @property
    def batch(self) -> int:
        """Windows an update."""
        return self.clips // self.updates

    def words(self) -> str:
        """In a table's row."""
        sound = f", {self.seconds:,.0f} s of sound" if self.seconds else ""
        return f"{self.updates} updates of {self.batch}, {self.clips:,} in all{sound}"


def budget(recipe: Recipe) -> Budget:
    """The budget of a training by `recipe`."""
    updates = recipe.train.updates
    clips = updates * batch_size(recipe.sampler)
    is_sound = recipe.feature.kind != "pixels"
    return Budget(updates, clips, clips * recipe.data.clip_seconds if is_sound else 0.0)


def batch_size(sampler: SamplerSettings) -> int:
    """Windows in a full batch."""
    if isinstance(sampler, Balanced):
        return sampler.classes * sampler.per_class
    if isinstance(sampler, TagTriplets):
        return 3 * sampler.batch
    if isinstance(sampler, Tiles):
        company = 2 * sampler.neighbours if sampler.mode == "triplet" else sampler.neighbours
        return sampler.batch * (1 + company)
    return sampler.batch_size


def check_classes(sampler: SamplerSettings, clips: Iterable[int], arm: str) -> None:
    """Raises RequestError where a sampler would take fewer labels than the plan counted with.

    `clips`: of each label that training has. A single run may do with fewer; a study has said beforehand how
    large the batches of its arms are.
    """
    if not isinstance(sampler, Balanced):
        return
    there = sampler.labels_to_take(clips)
    if 2 <= there < sampler.classes:
        raise RequestError(
            f"arm {arm!r}: sampler.classes is {sampler.classes}, but the clips to train on have {there} "
            "labels to choose from, so batches would be smaller than the plan says. "
            f"Set sampler.classes to {there} or less (--set sampler.classes={there}, or in the arm)."
        )


def check_budgets(budgets: Mapping[str, Budget], hold: Hold | None, where: str) -> None:
    """Raises RequestError, naming two arms, where budgets differ in more than `hold` leaves free.

    None holds everything: updates, clips and seconds.
    """
    if not budgets:
        return
    (name, first), *others = budgets.items()
    for other, theirs in others:
        wanted: tuple[Hold, ...] = (hold,) if hold else ("updates", "clips", "seconds")
        unlike = [sum_ for sum_ in wanted if not _alike(getattr(first, sum_), getattr(theirs, sum_))]
        if unlike:
            raise RequestError(
                f"{where}: arms {name!r} and {other!r} have unlike budgets: {first.words()} against "
                f"{theirs.words()}. Whatever the arms differ in, this could be the cause. "
                + _cure(first, theirs, other, hold)
            )


def held(budgets: Mapping[str, Budget], hold: Hold | None, clip_seconds: float) -> str:
    """What all arms have alike, in words."""
    sums = list(budgets.values())
    first = sums[0]
    if all(each == first for each in sums):
        what = f"clips of {clip_seconds:g} s each" if first.seconds else "pictures"
        return f"{first.updates} updates of {first.batch} {what}"
    if hold is None:
        return "everything but the length of the training"
    batches = sorted({each.batch for each in sums})
    return {
        "updates": f"{first.updates} updates; their clips differ",
        "clips": f"{first.clips:,} clips in all, in batches of {' or '.join(map(str, batches))}",
        "seconds": f"{first.seconds:,.0f} s of sound in all; updates differ",
    }[hold]


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE * max(one, other)


def _cure(first: Budget, theirs: Budget, other: str, hold: Hold | None) -> str:
    sum_: Hold = hold or (
        "clips" if first.clips * theirs.seconds == theirs.clips * first.seconds else "seconds"
    )
    if first.batch == theirs.batch and sum_ == "clips":
        return f"Give {other!r} train.updates: {first.updates}."
    updates = round(theirs.updates * getattr(first, sum_) / getattr(theirs, sum_))
    if hold:
        return f"To hold {hold} equal, give {other!r} train.updates: {updates}."
    return (
        "Give both the same train.updates, batch and data.clip_seconds; or say what is held equal and set "
        f"the updates to match: hold: {sum_}, with train.updates: {updates} for {other!r}."
    )
