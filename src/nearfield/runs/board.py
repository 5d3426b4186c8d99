"""Curves and pictures of a run for TensorBoard; nothing leaves the machine."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE_EVERY = 5
"""Updates from one point of a curve to the next; metrics.jsonl has them all."""


class Board:
    """Event files in a folder; on resumption, points after the checkpoint are hidden."""

    def __init__(self, folder: Path, after: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=after + 1 if after else None)

    def add(self, update: int, numbers: dict[str, float]) -> None:
        """Points of curves. Numbers that not every update has, such as validations, are all written.

        The distances of every pair of labels are not: they would bury the rest, and are a picture there.
        """
        thin = update > 1 and update % CURVE_EVERY
        for name, value in numbers.items():
            if name == "val/score" or name.startswith("val/centroids/"):
                continue
            if not thin or name.startswith("val/"):
                self._writer.add_scalar(name, value, update)

    def draw(self, update: int, name: str, figure: "Figure") -> None:
        """A picture, in a row with those of the same name."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # names may be of any script
            canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
        self._writer.add_image(name, pixels, update, dataformats="HWC")

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()
