"""Where a run computes, and in what arithmetic: decided here, once."""

import logging
import os
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from lightning_fabric import Fabric

from nearfield.core.errors import RequestError

Precision = Literal["bf16", "fp32"]


def open_fabric(device: str, precision: Precision) -> Fabric:
    """Fabric on the device asked for (auto, cpu, cuda, cuda:1, mps), joined with the other processes that
    torchrun started, if it did. Raises RequestError for a device that is not here."""
    accelerator, _, index = ("auto" if device == "auto" else device).partition(":")
    if accelerator not in ("auto", "cpu", "cuda", "mps"):
        raise RequestError(f"--device {device!r} is not known. Known: auto, cpu, cuda, cuda:N, mps.")
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise RequestError(f"--device {device}: no CUDA device is here. Use --device cpu or auto.")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    devices: Any = [int(index)] if index else processes
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        strategy="ddp" if processes > 1 else "auto",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric


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
