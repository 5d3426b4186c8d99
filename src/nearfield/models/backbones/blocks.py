"""Convolution, batch norm, ReLU and a pool: what many networks for music repeat."""

from typing import Annotated

from pydantic import Field
from torch import nn

Step = Annotated[int, Field(ge=1, le=16)]
Pool = tuple[Step, Step]
"""How many bands, and how many frames, become one."""


def block(given: int, width: int, kernel: tuple[int, int] = (3, 3), pool: Pool = (2, 2)) -> nn.Sequential:
    """(B, given, h, w) -> (B, width, h', w'), with a row and a column of zeros around.

    With the usual kernel h' and w' are h and w over the pool; what fills no pool is left out.
    """
    return nn.Sequential(
        nn.Conv2d(given, width, kernel, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(pool),
    )
