"""Settings of data: format of clips, and columns of the table."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from nearfield.core.settings import Settings

Channels = Literal["mean", "all", "views"] | Annotated[int, Field(ge=0, le=1023)]


Separator = Literal["bar", "comma", "semicolon", "blank"]
SEPARATORS: Mapping[str, str] = {"bar": "|", "comma": ",", "semicolon": ";", "blank": " "}
"""Names of separators of tags in a recipe to characters."""


def _is_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"this is no regular expression ({error}).") from None
    return value


Pattern = Annotated[str, AfterValidator(_is_pattern)]
"""A regular expression."""
Choice = str | Literal[False] | None
"""The name of a column, False for none, None for the usual names."""


class Columns(Settings):
    """Columns of a table to read; None means the usual names, False none."""

    path: str | None = None
    """Column with the paths of files. Usual: `path`, `file_name`, `filename`, `file` and similar."""
    label: Choice = None
    """Column with the class of a clip. Usual: `label`; without a table, the names of folders."""
    tags: Choice = None
    """Column with any number of tags, separated by `|`. Usual: `tags`."""
    tag_separator: Separator | None = None
    """Separator of tags; None means the bar, `|`."""
    split: Choice = None
    """Column with train, val or test, or with fold numbers. Usual: `split`, then `fold`."""
    group: Choice = None
    """Column whose values stay in one split. Usual: first of group, speaker, source, recording, track."""
    group_by: Pattern | None = None
    """Regular expression for paths; clips with the same match of its (first) group stay together."""
    recording: Choice = None
    """Column with the recording that the clip's time refers to. Usual: `recording`."""
    start: Choice = None
    """Column with the start of the clip, in seconds or in the unit of its name. Usual: `start`,
    `start_time`, then names like `begin`, `onset`, `start_ms` or `Start (s)`."""
    end: Choice = None
    """Column with the end of the clip. Usual: `end`, `end_time`, then names like `stop` or `end_s`."""
    seconds: Choice = None
    """Column with the length of the clip. Usual: `seconds`, `duration`, then names like `duration_ms`."""
    folder_labels: bool = True
    """Whether names of folders are labels if there is no column of labels and `label` is None."""
    views: bool = False
    """Each channel of a sound becomes its own clip, with its number (from 0) in the column `channel`."""


class Fold(Settings):
    """A fold of a cross-validation over train and val, to compare settings while test stays unseen; or over
    all clips.

    Folds consist of whole groups, stratified by labels (or tags). One fold is used as test. The others are
    train, except the next one, which is val if the recipe keeps the best weights or follows a plateau.
    """

    of: int = Field(3, ge=2, le=100)
    """Number of folds, the same for each seed."""
    number: int = Field(1, ge=1, le=100)
    """The fold that is test, from 1."""
    over: Literal["train_and_val", "all"] = "train_and_val"
    """The clips that are divided into folds; all: also those of the collection's own test split."""

    def __str__(self) -> str:
        over = "all clips" if self.over == "all" else "train and val"
        return f"fold {self.number} of {self.of} of {over}"

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.number > self.of:
            raise ValueError(f"there are {self.of} folds, the first is 1: number cannot be {self.number}.")
        return self


def judged(fold: Fold | None, split: str = "test") -> str:
    """Returns which clips are evaluated, in words; a fold of a cross-validation is not the test split."""
    return f"{split} clips" if fold is None or split != "test" else f"clips of {fold}"


class DataSettings(Settings):
    """The recipe's section `data`: format of clips, and columns of the table."""

    kind: Literal["data"] = "data"
    sample_rate: int = Field(16000, ge=1000, le=384000)
    """Sample rate to which all sounds are resampled, in hertz."""
    clip_seconds: float = Field(5.0, gt=0, le=3600)
    """Length of the windows for the network, in seconds."""
    channels: Channels = "mean"
    """`mean` of all channels; `all` channels of a clip together; the number of one, from 0; or `views`: each
    channel is its own clip at the same time of the same recording."""
    image_size: int = Field(64, ge=8, le=2048)
    """Size of the square to which all images are resized, in pixels."""
    image_channels: Literal[1, 3] = 3
    """1 for gray, 3 for red, green and blue."""
    trim_db: float | None = Field(None, gt=0, le=200)
    """Trim beginning and end that are this many decibels below the peak of the clip; None: no trimming."""
    path: str | None = None
    """Column with the paths of files; None means `path`, `file_name`, `filename`, `file` and similar."""
    label: Choice = None
    """Column with the class of a clip; None means `label`, or the names of folders; false: no labels."""
    tags: Choice = None
    """Column with tags, separated by `|`; None means `tags`; false: no tags."""
    tag_separator: Separator | None = None
    """Separator of tags; None means the bar, `|`."""
    split: Choice = None
    """Column with train, val or test, or with fold numbers; None means `split`, then `fold`; false: a split
    is made."""
    group: Choice = None
    """Column whose values stay in one split; None: first of group, speaker, source, recording, track; false:
    each recording is a group."""
    group_by: Pattern | None = None
    """Regular expression for paths, as in `([^/]+)_\\d+`; clips with the same match of its (first) group stay
    in one split."""
    recording: Choice = None
    """Column with the recording that a clip was cut from; None: `recording`; false: each file is one."""
    start: Choice = None
    """Column with the start of the clip in its file; None means `start` and similar names; false: none."""
    end: Choice = None
    """Column with the end of the clip in its file; None means `end` and similar names; false: none."""
    seconds: Choice = None
    """Column with the length of the clip; None means `seconds` and similar names; false: none."""
    only: dict[str, str | int] = Field(default_factory=dict)
    """Required values of columns, as in {imbalanced: 1}; other clips are left out."""
    val_trains: bool = False
    """Whether val is added to train, for a final training with settings already chosen on val."""
    fold: Fold | None = None
    """A fold of a cross-validation over train and val; test is not used. None: the splits of the collection.
    `nearfield folds --over` trains all folds."""
    patch: str | None = None
    """Patch table with corrections of the collection (see `nearfield suspects`); None: no corrections."""
    patch_sides: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")
    """Splits that are corrected. Arms of a study that compare a collection with its corrected form need the
    same test: correct it in both, or in neither."""

    @property
    def columns(self) -> Columns:
        """The arguments of `Collection.load`: the columns, and whether each channel is a clip."""
        named = {
            name: getattr(self, name) for name in Columns.model_fields if name in DataSettings.model_fields
        }
        return Columns(**named, views=self.channels == "views")
