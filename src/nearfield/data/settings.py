"""What a recipe says about its data: how a clip is brought to one shape, and which columns mean what."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from nearfield.core.settings import Settings

Channels = Literal["mean", "all", "views"] | Annotated[int, Field(ge=0, le=1023)]


Separator = Literal["bar", "comma", "semicolon", "blank"]
SEPARATORS: Mapping[str, str] = {"bar": "|", "comma": ",", "semicolon": ";", "blank": " "}
"""What may stand between the tags of a cell, by the words that a recipe has for it."""


def _is_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"this is no regular expression ({error}).") from None
    return value


Pattern = Annotated[str, AfterValidator(_is_pattern)]
"""A regular expression."""
Choice = str | Literal[False] | None
"""A column by its name, False for none, None for the usual names."""


class Columns(Settings):
    """Which columns of a table to read; None means the usual names, False that there is none."""

    path: str | None = None
    """Column with the files. Usual: `path`, `file_name`, `filename`, `file` and the like."""
    label: Choice = None
    """Column with the one class of a clip. Usual: `label`; without a table, the names of folders."""
    tags: Choice = None
    """Column with any number of tags, `|` between them. Usual: `tags`."""
    tag_separator: Separator | None = None
    """What stands between tags; None means the bar, `|`."""
    split: Choice = None
    """Column with train, val or test, or with fold numbers. Usual: `split`, then `fold`."""
    group: Choice = None
    """Column kept on one side of a split. Usual: first of group, speaker, source, recording, track."""
    group_by: Pattern | None = None
    """Regular expression looked for in each path; clips with the same (first) group in it stay together."""
    recording: Choice = None
    """Column that names the recording on whose clock a clip's moment counts. Usual: `recording`."""
    start: Choice = None
    """Column with the clip's start, in seconds or in the unit that its name says. Usual: `start`,
    `start_time`, then names like `begin`, `onset`, `start_ms` or `Start (s)`."""
    end: Choice = None
    """Column with the clip's end. Usual: `end`, `end_time`, then names like `stop` or `end_s`."""
    seconds: Choice = None
    """Column with the clip's length. Usual: `seconds`, `duration`, then names like `duration_ms`."""
    folder_labels: bool = True
    """Whether the names of folders are labels where nothing else says them and `label` is None."""
    views: bool = False
    """Each channel of a sound becomes a clip of its own, its number (from 0) in the column `channel`."""


class Fold(Settings):
    """One fold of a cross-validation over the clips that train and choose, by which settings can be compared
    again and again while test stays unseen: whole groups, labels (or tags) shared out evenly. One fold judges
    in the place of test and the others train, but for the next one, which chooses,
    where the recipe keeps the best weights or follows a plateau.
    """

    of: int = Field(3, ge=2, le=100)
    """Folds that the clips of train and val are dealt into, the same for every seed."""
    number: int = Field(1, ge=1, le=100)
    """The fold that judges, from 1."""

    def __str__(self) -> str:
        return f"fold {self.number} of {self.of} of train and val"

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.number > self.of:
            raise ValueError(f"there are {self.of} folds, the first is 1: number cannot be {self.number}.")
        return self


def judged(fold: Fold | None, split: str = "test") -> str:
    """Which clips figures are of, in words: a fold of a cross-validation is not the set's own test."""
    return f"{split} clips" if fold is None or split != "test" else f"clips of {fold}"


class DataSettings(Settings):
    """The recipe's `data:` key: what every clip is brought to, and which columns of the table mean what."""

    kind: Literal["data"] = "data"
    sample_rate: int = Field(16000, ge=1000, le=384000)
    """Samples a second to which every sound is brought, in hertz."""
    clip_seconds: float = Field(5.0, gt=0, le=3600)
    """Length of the window that the network hears, in seconds."""
    channels: Channels = "mean"
    """`mean` of all channels; `all` of them side by side in one clip; the number of one, from 0; or `views`:
    each channel a clip of its own at the same moment of the same recording."""
    image_size: int = Field(64, ge=8, le=2048)
    """Side of the square to which every picture is brought, in pixels."""
    image_channels: Literal[1, 3] = 3
    """1 for grey, 3 for red, green and blue."""
    trim_db: float | None = Field(None, gt=0, le=200)
    """Cut away beginning and end that are this many decibels below the clip's peak; None keeps all."""
    path: str | None = None
    """Column with the files; None means `path`, `file_name`, `filename`, `file` and the like."""
    label: Choice = None
    """Column with the one class of a clip; None means `label`, or the names of folders; false: no labels."""
    tags: Choice = None
    """Column with tags, `|` between them; None means `tags`; false: no tags."""
    tag_separator: Separator | None = None
    """What stands between tags; None means the bar, `|`."""
    split: Choice = None
    """Column with train, val or test, or with fold numbers; None means `split`, then `fold`; false: a split
    is made."""
    group: Choice = None
    """Column kept on one side of a split; None: first of group, speaker, source, recording, track; false:
    each recording is a group."""
    group_by: Pattern | None = None
    """Regular expression looked for in each clip's path; clips with the same (first) group in it are kept on
    one side of a split, as in `([^/]+)_\\d+`."""
    recording: Choice = None
    """Column that names the recording a clip was cut from; None: `recording`; false: each file is one."""
    start: Choice = None
    """Column with the start of the clip in its file; None means `start` and names like it; false: none."""
    end: Choice = None
    """Column with the end of the clip in its file; None means `end` and names like it; false: none."""
    seconds: Choice = None
    """Column with the length of the clip; None means `seconds` and names like it; false: none."""
    only: dict[str, str | int] = Field(default_factory=dict)
    """Columns and the value that a clip must have in each, as in {imbalanced: 1}; others are left out."""
    val_trains: bool = False
    """Val clips train too: for a last training, whose settings are chosen. Nothing is chosen on them then."""
    fold: Fold | None = None
    """The clips of train and val make a cross-validation and this is its fold; those of test take no part.
    None: all sides as they are. `nearfield folds --over` trains them all."""
    patch: str | None = None
    """Table of decisions that mend the collection (see `nearfield suspects`); None: it is as it is."""
    patch_sides: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")
    """Sides of the split that are mended. Arms of a study that compares a faulty collection with a mended one
    must be judged alike: mend test in both, or in neither."""

    @property
    def columns(self) -> Columns:
        """What `Collection.load` wants to know: the columns, and whether each channel is a clip."""
        named = {
            name: getattr(self, name) for name in Columns.model_fields if name in DataSettings.model_fields
        }
        return Columns(**named, views=self.channels == "views")
