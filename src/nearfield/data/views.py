"""Channels as views: each channel of a sound becomes a clip of its own, at the same moment."""

import numpy as np
import pandas as pd

from nearfield.core.nouns import Ints
from nearfield.data.probing import channel_counts

CHANNEL = "channel"
"""The column with the channel's number, from 0."""


def channel_rows(table: pd.DataFrame) -> tuple[Ints, pd.DataFrame]:
    """For each new row the one it came from, and a table of clips with a row for each channel of each.

    Channels of a clip follow one another; all is the same but the id (`NAME#channel2`) and the column
    `channel`. A column of that name that the source had becomes `given_channel`.
    """
    counts = channel_counts(table["path"])
    each = [counts[path] for path in table["path"]]
    rows = np.repeat(np.arange(len(table), dtype=np.int64), each)
    numbers = np.concatenate([np.arange(count, dtype=np.int64) for count in each])
    views = table.rename(columns={CHANNEL: f"given_{CHANNEL}"}).iloc[rows].reset_index(drop=True)
    views["id"] = [f"{clip}#channel{number}" for clip, number in zip(views["id"], numbers, strict=True)]
    views[CHANNEL] = numbers
    return rows, views
