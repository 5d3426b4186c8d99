"""Training budgets of arms. A study refuses arms with different budgets, which cannot be compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nearfield.core.errors import RequestError
from nearfield.learning.samplers import Sampler, SamplerSettings
from nearfield.training.recipe import Recipe

Hold = Literal["updates", "clips", "seconds"]

TOLERANCE = 0.01
"""Largest relative difference between equal budgets; nonzero because updates are integers."""


@dataclass(frozen=True)
class Budget:
    """The updates, clips and seconds of a whole training."""

    updates: int
    clips: int
    """Windows seen, repeats counted."""
    seconds: float
    """Seconds of sound, repeats counted; 0 for images."""

    @property
    def batch(self) -> int:
        """Windows per update."""
        return self.clips // self.updates

    def words(self) -> str:
        """The budget in words, for tables and messages."""
        sound = f", {self.seconds:,.0f} s of sound" if self.seconds else ""
        return f"{self.updates} updates of {self.batch}, {self.clips:,} in all{sound}"


def budget(recipe: Recipe) -> Budget:
    """The budget of a training by `recipe`."""
    updates = recipe.train.updates
    clips = updates * batch_size(recipe.sampler)
    is_sound = recipe.modality == "audio"
    return Budget(updates, clips, clips * recipe.data.clip_seconds if is_sound else 0.0)


def batch_size(sampler: SamplerSettings) -> int:
    """Windows in a full batch."""
    return sampler.windows()


def real_batch(sampler: SamplerSettings, built: Sampler) -> int:
    """Windows in a full batch of this collection; fewer than `batch_size` if it has too few labels or clips.

    `built` is the sampler of the same settings.
    """
    return min(batch_size(sampler), built.batch_size, built.clips_per_epoch)


def reduced(
    recipes: Mapping[str, Recipe], batches: Mapping[str, int], hold: Hold | None, where: str
) -> dict[str, int]:
    """The arms, by name, whose batches hold fewer windows than their recipe sets, with that number.

    Smaller batches are allowed if all arms still have equal budgets; otherwise raises RequestError. `batches`
    holds the results of `real_batch`.
    """
    fewer = {name: each for name, each in batches.items() if each < batch_size(recipes[name].sampler)}
    if fewer:
        real = {}
        for name, recipe in recipes.items():
            asked = budget(recipe)
            clips = recipe.train.updates * batches[name]
            real[name] = Budget(asked.updates, clips, asked.seconds * clips / max(1, asked.clips))
        smaller = "; ".join(
            f"{name!r} has {each} instead of {batch_size(recipes[name].sampler)}"
            for name, each in fewer.items()
        )
        check_budgets(real, hold, f"{where}: the clips to train on allow only smaller batches: {smaller}")
    return fewer


def check_budgets(budgets: Mapping[str, Budget], hold: Hold | None, where: str) -> None:
    """Raises RequestError, with the names of two arms, if their budgets differ in `hold`.

    None means that updates, clips and seconds must all be equal.
    """
    if not budgets:
        return
    (name, first), *others = budgets.items()
    for other, theirs in others:
        wanted: tuple[Hold, ...] = (hold,) if hold else ("updates", "clips", "seconds")
        differing = [sum_ for sum_ in wanted if not _is_equal(getattr(first, sum_), getattr(theirs, sum_))]
        if differing:
            raise RequestError(
                f"{where}: arms {name!r} and {other!r} have different budgets: {first.words()} and "
                f"{theirs.words()}. This could cause any difference between them. "
                + _cure(first, theirs, other, hold)
            )


def held(budgets: Mapping[str, Budget], hold: Hold | None, clip_seconds: float) -> str:
    """The budget that all arms share, in words."""
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


def _is_equal(one: float, other: float) -> bool:
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
        "Give both the same train.updates, batch size and data.clip_seconds; or choose what is held equal "
        f"and set the updates accordingly: hold: {sum_}, with train.updates: {updates} for {other!r}."
    )
