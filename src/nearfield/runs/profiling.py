"""What the operations of some updates cost, by torch's own profiler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from nearfield.core.files import replacing, write_text
from nearfield.learning.train import TrainSettings

WARM = 10
"""Updates that pass first: they also pay for what is done once."""
ROWS = 60
"""Operations that the table names, the costliest first."""


@contextmanager
def profiled(folder: Path, settings: TrainSettings, device: torch.device) -> Iterator[Callable[[], None]]:
    """Gives what is to be called after every update; where `settings.profile` asks for it, profile.txt (a
    table) and profile.json (for Perfetto or chrome://tracing) are written into the folder."""
    if not settings.profile:
        yield lambda: None
        return
    from torch.profiler import ProfilerActivity, profile, schedule

    on_device = device.type == "cuda"
    first = max(0, min(WARM, settings.updates - settings.profile - 1))

    def write(profiler: profile) -> None:
        order = "self_cuda_time_total" if on_device else "self_cpu_time_total"
        table = profiler.key_averages().table(sort_by=order, row_limit=ROWS, max_name_column_width=50)
        write_text(
            folder / "profile.txt", f"{settings.profile} updates after the first {first + 1}\n{table}\n"
        )
        with replacing(folder / "profile.json") as temporary:
            profiler.export_chrome_trace(str(temporary))

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    steps = schedule(skip_first=first, wait=0, warmup=1, active=settings.profile, repeat=1)
    with profile(activities=activities, schedule=steps, on_trace_ready=write, acc_events=True) as profiler:
        yield profiler.step
