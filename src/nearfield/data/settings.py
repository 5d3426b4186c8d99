"""What a recipe says about its data: how a clip is brought to one shape, and which columns mean what."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nearfield.core.settings import Settings

Channels = Literal["mean", "all", "views"] | Annotated[int, Field(ge=0, le=1023)]


class Columns(Settings):
    """Which columns of a table to read; None means the usual names."""

    label: str | None = None
    """Column with the one class of a clip. Usual: `label`."""
    tags: str | None = None
    """Column with any number of tags, `|` between them. Usual: `tags`."""
    split: str | None = None
    """Column with train, val or test, or with fold numbers. Usual: `split`, then `fold`."""
    group: str | None = None
    """Column kept on one side of a split. Usual: first of group, speaker, source, recording, track."""
    recording: str | None = None
    """Column that names the recording on whose clock a clip's moment counts. Usual: `recording`."""
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
            raise ValueError(f"there are {self.of} folds, the first being 1: number cannot be {self.number}.")
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
    label: str | None = None
    """Column with the one class of a clip; None means `label`."""
    tags: str | None = None
    """Column with tags, `|` between them; None means `tags`."""
    split: str | None = None
    """Column with train, val or test, or with fold numbers; None means `split`, then `fold`."""
    group: str | None = None
    """Column kept on one side of a split; None: first of group, speaker, source, recording, track."""
    recording: str | None = None
    """Column that names the recording a clip was cut from; None means `recording`."""
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

    introductions: ClassVar[dict[str, str]] = {
        "clip_seconds": (
            "The length of sound that the network hears at once. Too short, and many windows hold nothing "
            "that tells classes apart, silence for instance; too long, and short events drown in what "
            "surrounds them, while time and memory grow in proportion. Longer windows at the same number "
            "of updates also mean more sound heard, which a comparison must hold equal."
        ),
        "sample_rate": (
            "Samples a second, twice the highest frequency that can be heard. Too low cuts off what tells "
            "some sounds apart; too high costs time for what the recordings may not hold."
        ),
    }

    @property
    def columns(self) -> Columns:
        """What `Collection.open` wants to know: the columns, and whether each channel is a clip."""
        return Columns(
            label=self.label,
            tags=self.tags,
            split=self.split,
            group=self.group,
            recording=self.recording,
            views=self.channels == "views",
        )
