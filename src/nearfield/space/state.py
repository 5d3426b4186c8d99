"""A state of a space: the file that says what is in force, and the generation that it names."""

from dataclasses import dataclass
from pathlib import Path

from nearfield.space.generation import Generation
from nearfield.space.rows import Rows
from nearfield.space.spacefile import SpaceFile

GENERATIONS = "generations"
"""The folder of a space with its generations."""


@dataclass(frozen=True)
class State:
    """A state of a space that is in force."""

    file: SpaceFile
    generation: Generation
    rows: Rows

    @classmethod
    def read(cls, folder: Path) -> "State":
        """The present one; raises as `SpaceFile.read` and `check_opening`."""
        file = SpaceFile.read(folder)
        file.check_opening(folder)
        own = generation_folder(folder, file.version)
        return cls(file, Generation(own), Rows(own))


def generation_folder(folder: Path, version: int) -> Path:
    """Where all that belongs to one state lies."""
    return folder / GENERATIONS / f"{version:06d}"
