"""How many seeds a study trains each arm with, and after how many it looks at what they say."""

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from nearfield.core.settings import Settings
from nearfield.core.words import count

VERDICT = 3
"""Seeds below which nothing is concluded: the spread of trainings cannot be told from two of them."""


class SeedRange(Settings):
    """Seeds are added, for all arms alike, until the question is answered or the budget ends.

    A number alone is that many, with one look at the end.
    """

    at_least: int = Field(3, ge=1)
    """Seeds before the first look."""
    at_most: int = Field(12, ge=1, le=1000)
    """Seeds with which the study ends, decided or not."""
    until: Literal["decided"] | None = "decided"
    """When to stop before `at_most`; none: never."""

    @model_validator(mode="before")
    @classmethod
    def _number(cls, given: Any) -> Any:
        return {"at_least": given, "at_most": given, "until": None} if isinstance(given, int) else given

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.at_most < self.at_least:
            raise ValueError(f"at_most ({self.at_most}) is less than at_least ({self.at_least}).")
        return self


@dataclass(frozen=True)
class SeedPlan:
    """From `at_least` to `at_most` seeds, numbered from `start`."""

    at_least: int
    at_most: int
    until_decided: bool
    start: int = 0
    """The first seed's number; above 0 after a search, whose seeds must not be used again."""

    @classmethod
    def of(cls, asked: SeedRange, start: int = 0) -> "SeedPlan":
        """The plan of a study file's `seeds`."""
        return cls(asked.at_least, asked.at_most, asked.until == "decided", start)

    def take(self, number: int) -> tuple[int, ...]:
        """The first `number` seeds."""
        return tuple(range(self.start, self.start + number))

    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds after which one looks; each about half as many again, the last is `at_most`.

        The first is one that can decide: fewer than `VERDICT` seeds leave no arm that is open.
        """
        if not self.until_decided:
            return (self.at_most,)
        found = [min(self.at_most, max(VERDICT, self.at_least))]
        while found[-1] < self.at_most:
            found.append(min(self.at_most, math.ceil(1.5 * found[-1])))
        return tuple(found)

    def counted(self) -> str:
        """ "1 seed", "5 seeds", or "3 to 12 seeds, until decided"."""
        if self.until_decided:
            return f"{self.at_least} to {count(self.at_most, 'seed')}, until decided"
        return count(self.at_most, "seed")

    def words(self) -> str:
        """ "5", or "3 to 12, until decided"."""
        return (
            f"{self.at_least} to {self.at_most}, until decided" if self.until_decided else str(self.at_most)
        )
