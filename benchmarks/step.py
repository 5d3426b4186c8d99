"""How many examples a second one training step takes: precision, memory layout and first layer side by side.

    python benchmarks/step.py [--rounds 7] [--only small] [--threads 2]

A step is forward, backward and Adam on pictures that lie in memory. The variants take turns, so that whatever
disturbs the machine disturbs them alike; medians are given, by the clock and by processor time (which other
programs hardly touch, and which holds for one thread best). Compare within one table only.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nearfield.core.machine import disable_malloc_trim, usable_cores
from nearfield.core.settings import make
from nearfield.models.backbones import BackboneSettings
from nearfield.models.embedder import EmbeddingModel, EmbeddingSettings

NETWORKS: dict[str, dict[str, Any]] = {
    "small, step 1": {"kind": "small_convnet", "stem_stride": [1, 1]},
    "small, step 2": {"kind": "small_convnet", "stem_stride": [2, 2]},
    "small, steps 4 and 2": {"kind": "small_convnet", "stem_stride": [4, 2]},
    "small, step 4": {"kind": "small_convnet", "stem_stride": [4, 4]},
    "small, step 4, residual": {"kind": "small_convnet", "stem_stride": [4, 4], "residual": True},
    "resnet18": {"kind": "resnet18"},
}
FRAMES = {"small, step 1": (98, 501), "small, step 2": (98, 501), "small, step 4": (98, 501)}
CLIPS, BANDS = 64, 64


@dataclass
class Variant:
    """One network at one precision and layout, with the times of its steps."""

    name: str
    frames: int
    half: bool
    channels_last: bool
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        shape = (1, BANDS, self.frames)
        backbone = make(BackboneSettings, "backbone", NETWORKS[self.name]).build(*shape)
        settings = EmbeddingSettings(size=128)
        self.embedder = EmbeddingModel(nn.Identity(), nn.Identity(), backbone, settings, shape)
        self.embedder.lay_out(self.channels_last)
        self.optimiser = torch.optim.Adam(self.embedder.parameters(), 1e-3, fused=True)
        self.pictures = torch.randn(CLIPS, *shape)

    def step(self) -> None:
        """Pulls the batch apart: enough of a loss to send gradients everywhere."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            vectors = self.embedder(self.pictures)
        loss = (vectors @ vectors.T).sum()
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()

    def timed_step(self) -> None:
        """One step that is counted."""
        began, used = time.perf_counter(), time.process_time()
        self.step()
        self.wall.append(time.perf_counter() - began)
        self.processor.append(time.process_time() - used)


def variants(only: str) -> Iterator[Variant]:
    """All that are measured, by name."""
    for name in NETWORKS:
        if only in name:
            for frames in FRAMES.get(name, (98,)):
                for half in (False, True):
                    for channels_last in (False, True):
                        yield Variant(name, frames, half, channels_last)


def machine() -> str:
    """Processor, cores, versions and how busy it was: what a speed means nothing without."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
    flags = [
        name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in cpuinfo.read_text().split()
    ]
    return (
        f"{names[0] if names else platform.processor()} ({', '.join(flags)}), {usable_cores()} cores, "
        f"{torch.get_num_threads()} threads, {platform.system()}, torch {torch.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each variant")
    parser.add_argument("--only", default="", help="part of a network's name")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves its own choice")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    kept = disable_malloc_trim()
    measured = list(variants(given.only))
    for variant in measured:
        variant.step()
    for _ in range(given.rounds):
        for variant in measured:
            variant.timed_step()
    print(
        f"{machine()}; freed memory kept: {'yes' if kept else 'no'}; {given.rounds} rounds, batch {CLIPS}\n"
    )
    print("| network | picture | arithmetic | layout | examples/s | examples/processor s |")
    print("|---|---|---|---|---|---|")
    for variant in measured:
        print(
            f"| {variant.name} | {BANDS} x {variant.frames} | {'bf16' if variant.half else 'fp32'} "
            f"| {'channels last' if variant.channels_last else 'channels first'} "
            f"| {CLIPS / statistics.median(variant.wall):,.0f} "
            f"| {CLIPS / statistics.median(variant.processor):,.0f} |"
        )


if __name__ == "__main__":
    main()
