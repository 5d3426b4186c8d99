"""Two clips heard at once: what sounds then has the tags of both.

Tokozume, Ushiku and Harada 2018, "Learning from between-class examples for deep sound recognition", in which
the mixture is to be told by its parts' shares; here each tag is a question of its own, and both are heard.
"""

from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from nearfield.core.nouns import Beside, Facts, Ints
from nearfield.core.settings import Settings
from nearfield.learning.samplers.windows import random_starts


class Mixing(Settings):
    """Some clips of a batch sound together with another of the same batch."""

    share: float = Field(0.5, gt=0, le=1)
    """Share of clips that do not sound alone."""
    decibels: tuple[float, float] = (-6.0, 6.0)
    """Power of a clip over that of the one beside it: least and most, in decibels; neither may drown."""

    introduction: ClassVar[str] = (
        "Whether clips are heard together, as a mixture that has the tags of both (Tokozume et al. 2018). "
        "There are many more pairs of clips than clips, so a small set is learnt by heart later, and a tag "
        "must be heard in company; where tags speak of the whole, such as a mood or a tempo, a mixture may "
        "have neither."
    )

    @model_validator(mode="after")
    def _neither_drowns(self) -> Self:
        least, most = self.decibels
        if not -30 <= least <= most <= 30:
            raise ValueError(
                f"decibels must be two numbers from -30 to 30, the least first. Given: {list(self.decibels)}."
            )
        return self

    def draw(self, facts: Facts, rows: Ints, clip_seconds: float, chance: np.random.Generator) -> Beside:
        """What the clips of a batch, `rows` (B,), are heard with; each is with another one at most once."""
        turn = chance.permutation(len(rows))
        others = np.empty_like(rows)
        others[turn] = rows[np.roll(turn, 1)]  # one round of all: nobody meets itself
        starts = random_starts(facts, others, clip_seconds, chance)
        alone = chance.random(len(rows)) >= self.share
        return Beside(np.where(alone, -1, others), starts, chance.uniform(*self.decibels, len(rows)))
