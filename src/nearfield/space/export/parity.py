"""Compares the vectors of an exported network with those of PyTorch on the same windows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from nearfield.core.errors import WorkError
from nearfield.core.rng import stream
from nearfield.core.types import Vectors
from nearfield.data.settings import DataSettings
from nearfield.models.embedder import EmbeddingModel
from nearfield.training.run import Run
from nearfield.training.windows import FileClip

COUNT = 8
"""Number of windows compared."""


@dataclass(frozen=True)
class Windows:
    """Windows of the clips of a run if they can still be read, else synthetic windows."""

    waves: Tensor
    """(N, C, T), or (N, C, size, size) for images."""
    real: bool


@dataclass(frozen=True)
class Parity:
    """The difference of vectors of the same windows."""

    windows: int
    real: bool
    """Whether the windows are of the collection, not synthetic."""
    difference: float
    """The largest absolute difference of an element."""
    cosine: float
    """The smallest cosine between a window's two vectors."""
    largest: float
    """The largest absolute element of PyTorch's vectors."""

    def __str__(self) -> str:
        source = "the collection" if self.real else "synthetic sound"
        return (
            f"PyTorch and onnxruntime on {self.windows} windows of {source}: largest difference "
            f"{self.difference:.1e}, smallest cosine {self.cosine:.7f}"
        )


def windows_to_compare(run: Run) -> Windows:
    """Up to `COUNT` windows from clips spread over the collection; synthetic if no clip can be read."""
    length = run.recipe.data.clip_seconds
    clips = [FileClip(Path(path), start, length) for path, start in _files(run.folder.vectors)]
    # Files that were moved or changed are left out; the remaining clips suffice.
    found = [batch.signal for batch in run.windows(clips, unusable=[])]
    if found:
        return Windows(torch.cat(found)[:COUNT], real=True)
    return Windows(_made_up(_shape(run)), real=False)


def measure_parity(embedder: EmbeddingModel, model: bytes, windows: Windows, any_length: bool) -> Parity:
    """Runs windows through `embedder` and the ONNX `model`, singly and as a batch.

    With `any_length` also windows of about half and of twice the length.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    batches = [windows.waves, windows.waves[:1]]
    if any_length:
        samples = windows.waves.shape[-1]
        batches += [windows.waves[:3, :, : samples // 2 + 1], _doubled(windows.waves[:2])]
    pairs = [(_by_torch(embedder, batch), _by_onnx(session, batch)) for batch in batches]
    wanted, given = (np.concatenate(side) for side in zip(*pairs, strict=True))
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(given, axis=1)
    silent = ~(wanted.any(axis=1) | given.any(axis=1))  # both are zero vectors, whose cosine is undefined
    cosines = np.where(silent, 1.0, (wanted * given).sum(1) / np.maximum(lengths, 1e-12))
    return Parity(
        windows=len(wanted),
        real=windows.real,
        difference=float(np.abs(wanted - given).max()),
        cosine=float(cosines.min()),
        largest=float(np.abs(wanted).max()),
    )


def _by_torch(embedder: EmbeddingModel, batch: Tensor) -> Vectors:
    device = next(embedder.parameters()).device
    with torch.no_grad():
        vectors: Vectors = embedder.eval()(batch.to(device)).cpu().numpy()
    return vectors


def _by_onnx(session: Any, batch: Tensor) -> Vectors:
    name = session.get_inputs()[0].name
    try:
        vectors: Vectors = session.run(None, {name: batch.numpy()})[0]
    except Exception as error:  # the runtime's errors have no common root
        raise WorkError(
            f"onnxruntime cannot run the exported network on {tuple(batch.shape)}: {error}. Please report it "
            "with the run's recipe.yaml; `--to huggingface` exports every run."
        ) from error
    return vectors


def _doubled(waves: Tensor) -> Tensor:
    return torch.cat([waves, waves.flip(0)], dim=-1)


def _files(vectors: Path) -> list[tuple[str, float]]:
    """Path and start of up to `COUNT` clips, evenly spread over the table of an evaluated run."""
    if not vectors.is_file():
        return []
    table = pq.read_table(vectors, columns=["path", "start"]).to_pylist()
    rows = sorted({round(place) for place in np.linspace(0, len(table) - 1, COUNT)}) if table else []
    return [(table[row]["path"], float(table[row]["start"])) for row in rows]


def _shape(run: Run) -> tuple[int, ...]:
    """Shape of one window: (C, T), or (C, size, size)."""
    data: DataSettings = run.recipe.data
    if run.recipe.modality == "image":
        return (data.image_channels, data.image_size, data.image_size)
    return (run.folder.environment()["data"]["channels"], round(data.clip_seconds * data.sample_rate))


def _made_up(shape: tuple[int, ...]) -> Tensor:
    """Noise and tones at several levels; for images noise in 0..1."""
    rng = stream(0, "parity")
    noise = rng.standard_normal((COUNT, *shape)).astype(np.float32)
    if len(shape) == 3:
        return torch.from_numpy(1 / (1 + np.exp(-noise)))
    start_times = np.arange(shape[1], dtype=np.float32)
    tones = np.sin(start_times * np.linspace(0.01, 2.0, COUNT, dtype=np.float32)[:, None])[:, None]
    levels = np.geomspace(0.001, 0.5, COUNT, dtype=np.float32)[:, None, None]
    return torch.from_numpy((tones + 0.1 * noise) * levels)
