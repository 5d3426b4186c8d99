"""A run as one ONNX file, the front end inside: waves in, vectors out, any number of them at once.

The vector is that of the window given. `Run.encode` cuts a longer sound into windows of `clip_seconds`,
fills a shorter one up with silence, and takes the mean of the windows' vectors; docs/export.md has the lines
that do it around a session.
"""

import copy
import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nearfield.core.errors import RequestError, WorkError
from nearfield.core.files import replacing
from nearfield.models.embedder import Embedder
from nearfield.runs.events import Note, Stage, Watcher, nobody
from nearfield.runs.run import Run
from nearfield.space.export.front_end import exportable
from nearfield.space.export.gated import gru_translation
from nearfield.space.export.parity import Parity, measure_parity, windows_to_compare

TOLERANCE = 1e-3
"""Largest difference between a number of PyTorch's vector and of the exported one, of the largest number in
the vectors where that is above 1."""

_STEPS = 8
"""Steps of a recurrent layer on the example that is traced: tracing walks through every one of them."""


@dataclass(frozen=True)
class OnnxFile:
    """What was written, and how it was checked."""

    path: Path
    any_length: bool
    """Whether waves of other lengths than the run's `clip_seconds` go in."""
    opset: int
    parity: Parity


def export_onnx(run: Run, path: Path, watch: Watcher = nobody) -> OnnxFile:
    """Writes `path` (.onnx), whole or not at all, after onnxruntime gave PyTorch's vectors for real windows.

    Input `wave` (batch, C, samples) float32 at the recipe's sample rate, or `picture` (batch, C, size, size)
    in 0..1; output `vector` (batch, D). Raises RequestError where the extra `onnx` is missing, WorkError
    where the network cannot be exported or the vectors differ by more than `TOLERANCE`.
    """
    _check_installed()
    watch(Stage("export", 0, 3))
    network = exportable_network(run.embedder)
    windows = windows_to_compare(run)
    any_length = run.recipe.feature.kind != "pixels" and _takes_other_lengths(network, windows.waves)
    try:
        model = converted(network, windows.waves[:1], any_length)
    except FixedLengthError:
        any_length = False
        model = converted(network, windows.waves[:1], any_length)
    watch(Stage("export", 1, 3))
    opset = max(entry.version for entry in model.opset_import if entry.domain == "")
    _describe(model, run, any_length)
    whole = model.SerializeToString()
    parity = measure_parity(run.embedder, whole, windows, any_length)
    watch(Stage("export", 2, 3))
    watch(Note(str(parity)))
    if not parity.difference <= TOLERANCE * max(1.0, parity.largest):
        raise WorkError(
            f"{path}: the exported network does not give PyTorch's vectors: {parity}. Nothing was written. "
            "Please report it with the run's recipe.yaml; `--to huggingface` keeps the run as it is."
        )
    with replacing(path) as temporary:
        temporary.write_bytes(whole)
    watch(Stage("export", 3, 3))
    return OnnxFile(path, any_length, opset, parity)


def exportable_network(embedder: Embedder) -> Embedder:
    """A copy of the embedder that gives the same vectors and exports."""
    network = copy.deepcopy(embedder).cpu()
    network.feature = exportable(network.feature)
    for parent in list(network.backbone.modules()):
        for name, child in list(parent.named_children()):
            setattr(parent, name, exportable(child))  # encoders that make their picture themselves
    network.lay_out(channels_last=False)
    return network.eval()


class FixedLengthError(Exception):
    """The network can be traced for one length of sound only."""


def converted(network: Embedder, example: Tensor, any_length: bool) -> Any:
    """The network as an ONNX model whose batch, and length if asked, are free.

    `network` as `exportable_network` makes it, `example` (1, C, T) or (1, C, height, width). Raises
    FixedLengthError where the length cannot be free, WorkError where it cannot be exported at all.
    """
    if any_length:
        example = example[..., : _enough_samples(network, example)]
    free = torch.export.Dim.DYNAMIC
    axes = {0: free, **({example.ndim - 1: free} if any_length else {})}
    pair = torch.cat([example, example])  # a batch of one would be taken for a batch that is always one
    name = "wave" if example.ndim == 3 else "picture"
    with _quiet(), torch.no_grad():
        try:
            traced = torch.export.export(network, (pair,), dynamic_shapes=(axes,), strict=False)
        except Exception as error:  # constraints that the length breaks come as several classes
            if any_length:
                raise FixedLengthError from error
            raise _refusal(network, error) from error
        try:
            program = torch.onnx.export(
                traced,
                dynamo=True,
                input_names=[name],
                output_names=["vector"],
                custom_translation_table={torch.ops.aten.gru.input: gru_translation()},
                verbose=False,
            )
        except Exception as error:  # the exporter's errors have no common root
            raise _refusal(network, error) from error
    assert program is not None
    model = program.model_proto
    _name_axes(model, any_length)
    return model


def _refusal(network: Embedder, error: Exception) -> WorkError:
    return WorkError(
        f"The backbone {type(network.backbone).__name__} cannot be exported to ONNX with torch "
        f"{torch.__version__}: {str(error).splitlines()[0]}. `--to huggingface` takes every run."
    )


def _enough_samples(network: Embedder, example: Tensor) -> int:
    """All samples of the example; with recurrent layers only as many as give them about `_STEPS` steps."""
    steps = []
    hooks = [
        layer.register_forward_pre_hook(lambda _layer, given: steps.append(given[0].shape[1]))
        for layer in network.modules()
        if isinstance(layer, nn.RNNBase)
    ]
    try:
        with torch.no_grad():
            network(example)
    finally:
        for hook in hooks:
            hook.remove()
    samples = example.shape[-1]
    return min(samples, math.ceil(samples * _STEPS / min(steps))) if steps else samples


def _takes_other_lengths(network: Embedder, waves: Tensor) -> bool:
    """Whether sounds of half and twice the length go through: flattened maps fix it."""
    half, twice = waves[:1, :, : waves.shape[-1] // 2], torch.cat([waves[:1], waves[:1]], dim=-1)
    try:
        with torch.no_grad():
            network(half)
            network(twice)
    except (RuntimeError, RequestError):
        return False
    return True


def _name_axes(model: Any, any_length: bool) -> None:
    """Calls the free axes `batch` and `samples` where the tracer has numbers for them."""
    shape = model.graph.input[0].type.tensor_type.shape.dim
    given = {shape[0].dim_param: "batch"}
    if any_length:
        given[shape[-1].dim_param] = "samples"
    if not all(given):
        raise WorkError("The exporter fixed the number of sounds or their length. Please report it.")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            for old, new in given.items():
                if old in dimension.dim_param:
                    dimension.dim_param = dimension.dim_param.replace(old, new)


def _describe(model: Any, run: Run, any_length: bool) -> None:
    """What a user of the file alone must know, in its metadata."""
    data = run.recipe.data
    model.producer_name = "nearfield"
    model.doc_string = "Sound (or pictures) to embeddings; metadata `nearfield` says what goes in."
    about = {
        "sample_rate": data.sample_rate,
        "clip_seconds": data.clip_seconds,
        "channels": data.channels,
        "any_length": any_length,
        "most_samples": getattr(run.embedder.backbone, "longest", None),
        "normalised": run.recipe.embedding.normalise,
        "recipe": run.recipe.plain(),
    }
    entry = model.metadata_props.add()
    entry.key, entry.value = "nearfield", json.dumps(about)


def _check_installed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise RequestError(
            f"--to onnx needs the package {error.name}, which is not installed. "
            "Run: pip install 'nearfield[onnx]'"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's own talk (packages that it misses, its plans) out of the user's sight."""
    import warnings

    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
