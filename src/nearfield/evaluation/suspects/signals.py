"""Silent, clipped and offset clips, and broken or swapped channels: faults that samples show without ears.

- silent: every channel lies below a level, and no sample stands out of it, as it does in a quiet short sound.
- clipped, offset: a share of samples at full scale, or a mean, above a limit, in any channel.
- channel, swapped: see `channels.py`.
"""

import numpy as np

from nearfield.core.nouns import Floats, Ints
from nearfield.evaluation.checks import check_lengths
from nearfield.evaluation.silence import FLOOR
from nearfield.evaluation.suspects.channels import channel_faults
from nearfield.evaluation.suspects.statistics import SignalSettings, SignalStatistics, over
from nearfield.evaluation.suspects.suspect import Suspect, ranked


def signal_suspects(
    statistics: SignalStatistics, units: Ints | None = None, settings: SignalSettings | None = None
) -> list[Suspect]:
    """Clips with faulty signals, the most suspicious first; a clip may stand there for several reasons.

    `units` (N,) number what shares a recorder; -1 is not known, and such clips are one unit.
    """
    settings = settings or SignalSettings()
    check_lengths(len(statistics), units=units)
    of = np.zeros(len(statistics), dtype=np.int64) if units is None else units
    levels = np.maximum(statistics.levels, FLOOR)
    found = _plain_faults(statistics, levels, settings)
    for unit in np.unique(of).tolist():
        rows = np.flatnonzero(of == unit)
        # Silent clips have no channels to compare, and would spoil what is usual.
        rows = rows[(levels[rows] >= settings.silent).any(axis=1)]
        if len(rows) > 2:
            found += channel_faults(statistics, levels, rows, settings)
    return ranked(found)


def _plain_faults(statistics: SignalStatistics, levels: Floats, settings: SignalSettings) -> list[Suspect]:
    found = []
    loudest = levels.max(axis=1)
    peaks = np.maximum(statistics.peaks, FLOOR).max(axis=1)
    silent = (loudest < settings.silent) & (peaks - loudest < settings.crest)
    for row in np.flatnonzero(silent).tolist():
        found.append(
            Suspect(
                row,
                "silent",
                over(settings.silent - loudest[row], 6.0),
                f"Its level is {loudest[row]:.0f} dB of full scale, below {settings.silent:.0f} dB, and no "
                f"sound stands out: its largest sample lies {peaks[row] - loudest[row]:.0f} dB above that.",
                "Listen at full volume; if there is nothing, leave it out.",
            )
        )
    for row in np.flatnonzero((statistics.clipped >= settings.clipped).any(axis=1)).tolist():
        share = float(statistics.clipped[row].max())
        found.append(
            Suspect(
                row,
                "clipped",
                over(share, settings.clipped),
                f"{100 * share:.2g} % of the samples stand at full scale.",
                "Record it again at a lower level, or leave it out.",
            )
        )
    for row in np.flatnonzero((np.abs(statistics.offsets) >= settings.offset).any(axis=1)).tolist():
        channel = int(np.abs(statistics.offsets[row]).argmax())
        offset = float(statistics.offsets[row, channel])
        found.append(
            Suspect(
                row,
                "offset",
                over(abs(offset), settings.offset),
                f"The samples of channel {channel} have a mean of {100 * offset:.2g} % of full scale, not 0.",
                "Take the mean off (a high-pass filter will), and look at the recorder.",
            )
        )
    return found
