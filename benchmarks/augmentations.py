"""What each augmentation costs beside one training step.

    python benchmarks/augmentations.py [--step-ms 430] [--rounds 9]

64 clips of 5 s at 16 kHz, or their 64-band pictures; every kind in turn, round after round; medians of draw
and apply together. `--step-ms` is the length of the training step that it is compared with. Prints a Markdown
table.
"""

import argparse
import statistics
import time

import torch

from nearfield.core.machine import disable_malloc_trim
from nearfield.core.settings import kinds, make
from nearfield.models.augmentations import AugmentationSettings
from nearfield.models.augmentations.augmentation import Augmentation, augment
from nearfield.models.features.log_mel import LogMelSettings

RATE, SECONDS, CLIPS = 16000, 5, 64


def main() -> None:
    parser = argparse.ArgumentParser(description="Time that each augmentation takes.")
    parser.add_argument("--step-ms", type=float, default=430.0)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    disable_malloc_trim()
    feature = LogMelSettings().build(RATE, 1)
    waves = torch.randn(CLIPS, 1, RATE * SECONDS, generator=torch.Generator().manual_seed(0)) * 0.1
    signals = {"wave": waves, "spectrogram": feature(waves)}
    benders: dict[str, Augmentation] = {
        kind: make(AugmentationSettings, "augment", {"kind": kind, "probability": 1.0}).build(
            RATE, feature.hop
        )
        for kind in kinds(AugmentationSettings)
    }
    taken: dict[str, list[float]] = {kind: [] for kind in benders}
    for number in range(given.rounds + 1):
        for kind, bender in benders.items():
            began = time.perf_counter()
            augment(signals[bender.domain], [bender], torch.Generator().manual_seed(number))
            if number:  # the first round warms up
                taken[kind].append(1000 * (time.perf_counter() - began))
    print(f"\n{torch.get_num_threads()} threads, {given.rounds} rounds, memory kept.\n")
    print(f"| kind | bends | ms a batch of {CLIPS} | share of a step of {given.step_ms:g} ms |")
    print("|---|---|---|---|")
    for kind, times in sorted(taken.items(), key=lambda item: statistics.median(item[1])):
        middle = statistics.median(times)
        print(f"| {kind} | {benders[kind].domain} | {middle:.2f} | {100 * middle / given.step_ms:.2f} % |")


if __name__ == "__main__":
    main()
