"""Where a run computes, and in what arithmetic: decided here, once."""

import atexit
import logging
import os
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

from nearfield.core.errors import RequestError
from nearfield.learning.distributed import leave

Precision = Literal["bf16", "fp32"]


def open_device(device: str, precision: Precision) -> torch.device:
    """The device asked for (auto, cpu, cuda, cuda:1, mps), in one group with the other processes that
    torchrun started, if it did. Raises RequestError for a device that is not here."""
    accelerator, _, index = device.partition(":")
    if accelerator not in ("auto", "cpu", "cuda", "mps"):
        raise RequestError(f"--device {device!r} is not known. Known: auto, cpu, cuda, cuda:N, mps.")
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise RequestError(f"--device {device}: no CUDA device is here. Use --device cpu or auto.")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        return _joined(accelerator, [int(index)] if index else processes, precision)
    if accelerator == "auto":
        accelerator = (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    return torch.device(accelerator, int(index)) if index else torch.device(accelerator)


def _joined(accelerator: str, devices: list[int] | int, precision: Precision) -> torch.device:
    """This process's device of several, by Lightning Fabric; loading it takes seconds that one process alone
    need not spend."""
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    precise: Any = "bf16-mixed" if precision == "bf16" else "32-true"
    fabric = Fabric(accelerator=accelerator, devices=devices, strategy="ddp", precision=precise)
    fabric.launch()
    atexit.register(leave)
    return fabric.device


def best_precision(device: str) -> Precision:
    """bf16 where the hardware multiplies matrices in it: CUDA from Ampere on, CPUs with AMX or AVX-512 BF16.

    By capability, not by a stopwatch, so that the same seed gives the same bits on every start; the gain is
    1.5 to 2.5 times on either sort of CPU (benchmarks/step.py).
    """
    if device in ("auto", "cuda") or device.startswith("cuda"):
        if torch.cuda.is_available():
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
        if device != "auto":
            return "fp32"
    asks = (getattr(torch.cpu, f"_is_{units}_supported", None) for units in ("amx_tile", "avx512_bf16"))
    return "bf16" if any(ask is not None and ask() for ask in asks) else "fp32"


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The context in which the network runs."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
