"""Export to one ONNX file, including the front end."""

import copy
import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nearfield.core.errors import RequestError, WorkError
from nearfield.core.files import replacing
from nearfield.models.embedder import EmbeddingModel
from nearfield.models.features.log_mel import LogMel, MultiLogMel
from nearfield.models.features.mfcc import MFCC
from nearfield.space.export.parity import Parity, measure_parity, windows_to_compare
from nearfield.training.events import Callback, Note, Stage, ignore
from nearfield.training.run import Run

# Translation of torch's GRU to ONNX's: the exporter would unroll it for a fixed number of steps.


def gru_translation() -> Callable[..., Any]:
    """A translation for the exporter's table: one layer, one direction, the defaults of `nn.GRU`.

    torch orders the weights of the gates as reset, update, new; ONNX as update, reset, new. torch applies the
    reset gate after the product with the hidden state and its bias: ONNX's `linear_before_reset`.
    """
    from onnxscript import opset18

    op: Any = opset18  # its types allow tensors only, but lists become constants

    def translate(
        input: Any,
        hx: Any,
        params: Sequence[Any],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> Any:
        if not has_biases or num_layers != 1 or bidirectional:
            raise NotImplementedError("a recurrent layer of several layers, two directions, or no bias")
        hidden = hx.shape[2]

        def reordered(weights: Any) -> Any:
            gates = [op.Slice(weights, [gate * hidden], [(gate + 1) * hidden], [0]) for gate in (1, 0, 2)]
            return op.Concat(*gates, axis=0)

        given, recurrent, bias, recurrent_bias = params
        biases = op.Concat(reordered(bias), reordered(recurrent_bias), axis=0)
        frames = op.Transpose(input, perm=[1, 0, 2]) if batch_first else input
        sequence, last = op.GRU(
            frames,
            op.Unsqueeze(reordered(given), [0]),
            op.Unsqueeze(reordered(recurrent), [0]),
            op.Unsqueeze(biases, [0]),
            None,
            hx,
            hidden_size=hidden,
            linear_before_reset=1,
        )
        sequence = op.Squeeze(sequence, [1])
        return (op.Transpose(sequence, perm=[1, 0, 2]) if batch_first else sequence), last

    return translate


# Features in operations that every ONNX runtime supports: the Fourier transform as a convolution.
#
# The features themselves (blocks of frames, an FFT) do not export: blocks fix the number of clips, and
# runtimes differ in complex numbers. Here framing, window and transform are one strided convolution. Both
# agree up to rounding, which the logarithm magnifies in bands about 110 dB below the peak of their frame;
# there the convolution is more accurate.


def exportable(feature: nn.Module) -> nn.Module:
    """An equal feature of waves (B, C, T) that exports, for any B and T; other features stay unchanged."""
    if isinstance(feature, LogMel):
        return ConvolvedLogMel(feature)
    if isinstance(feature, MFCC):
        return ConvolvedMFCC(feature)
    if isinstance(feature, MultiLogMel):
        return ConvolvedMultiLogMel(feature)
    return feature


class ConvolvedLogMel(nn.Module):
    """`LogMel` as a convolution: waves (B, C, T) -> (B, C, bands, frames)."""

    waves: Tensor
    weights: Tensor

    def __init__(self, feature: LogMel) -> None:
        super().__init__()
        self.framing, self.settings, self.channels = feature.framing, feature.settings, feature.channels
        self.wave_channels = feature.wave_channels
        self.bins = feature.framing.fft // 2 + 1
        self.register_buffer("waves", _windowed_waves(feature))
        self.register_buffer("weights", feature.weights.clone())

    def forward(self, waves: Tensor) -> Tensor:
        sound = waves.float().flatten(0, 1).unsqueeze(1)
        if self.framing.padding != "none":
            mode = "constant" if self.framing.padding == "zero" else "reflect"
            sound = F.pad(sound, (self.framing.before, self.framing.window - self.framing.before), mode=mode)
        parts = F.conv1d(sound, self.waves, stride=self.framing.hop)
        real, imaginary = parts[:, : self.bins], parts[:, self.bins :]
        power = real * real + imaginary * imaginary
        mel = self._log(self.weights @ (power.sqrt() if self.settings.power == 1 else power))
        return mel.reshape(waves.shape[0], self.channels, *mel.shape[1:])

    def _log(self, mel: Tensor) -> Tensor:
        if self.settings.log == "ln":
            return (mel + self.settings.least).log()
        return mel.clamp(min=self.settings.least).log10() * (20.0 / self.settings.power)


class ConvolvedMFCC(nn.Module):
    """`MFCC` as a convolution: waves (B, C, T) -> (B, C, coefficients, frames)."""

    cosines: Tensor

    def __init__(self, feature: MFCC) -> None:
        super().__init__()
        self.log_mel = ConvolvedLogMel(feature.log_mel)
        self.register_buffer("cosines", feature.cosines.clone())

    def forward(self, waves: Tensor) -> Tensor:
        return cast(Tensor, self.cosines @ self.log_mel(waves))


class ConvolvedMultiLogMel(nn.Module):
    """`MultiLogMel` as convolutions: waves (B, C, T) -> (B, C x windows, bands, frames)."""

    def __init__(self, feature: MultiLogMel) -> None:
        super().__init__()
        parts = [ConvolvedLogMel(cast(LogMel, part)) for part in feature.parts]
        self.shorter, self.longest = nn.ModuleList(parts[:-1]), parts[-1]
        self.resample = feature.resample

    def forward(self, waves: Tensor) -> Tensor:
        last = self.longest(waves)
        others = [resampled(part(waves), last.shape[-1], self.resample) for part in self.shorter]
        return torch.stack([*others, last], dim=2).flatten(1, 2)


def resampled(spectrogram: Tensor, frames: int, how: Literal["area", "nearest"]) -> Tensor:
    """Interpolates (..., given) to (..., frames) like `torch.nn.functional.interpolate`.

    The latter exports for a fixed length only. area: each new frame is the mean of the frames it covers.
    """
    given = spectrogram.shape[-1]
    new = torch.arange(frames, device=spectrogram.device)
    if how == "nearest":
        # In single precision as in torch: rounding decides between two frames.
        return spectrogram.index_select(-1, (new.float() * (given / frames)).floor().long())
    first = torch.div(new * given, frames, rounding_mode="floor")
    after = torch.div((new + 1) * given + frames - 1, frames, rounding_mode="floor")
    old = torch.arange(given, device=spectrogram.device)[:, None]
    covered = (old >= first) & (old < after)
    return spectrogram @ (covered.float() / (after - first).float())


def _windowed_waves(feature: LogMel) -> Tensor:
    """The kernels (2 x bins, 1, window): windowed cosines of all bins, then windowed sines."""
    framing = feature.framing
    bins = torch.arange(framing.fft // 2 + 1, dtype=torch.float64)[:, None]
    start_times = torch.arange(framing.window, dtype=torch.float64)
    # Whole turns are removed in integers, without rounding.
    turns = torch.remainder(bins * start_times, framing.fft) / framing.fft
    angles = 2 * torch.pi * turns
    return (torch.cat([angles.cos(), angles.sin()]) * feature.window.double()).float().unsqueeze(1)


# A run as one ONNX file: batches of waves in, vectors out.
#
# The model embeds one window. `Run.encode` also cuts a longer sound into windows of `clip_seconds`, pads a
# shorter one with silence, and averages the vectors of windows; docs/export.md has the code for that.

TOLERANCE = 1e-3
"""Largest difference of an element to PyTorch's vector, relative to the largest element if above 1."""

_STEPS = 8
"""Steps of a recurrent layer on the traced example: tracing runs through each of them."""


@dataclass(frozen=True)
class OnnxFile:
    """The result of the export to ONNX."""

    path: Path
    any_length: bool
    """Whether the model accepts other lengths than the run's `clip_seconds`."""
    opset: int
    parity: Parity


def export_onnx(run: Run, path: Path, callback: Callback = ignore) -> OnnxFile:
    """Writes `path` (.onnx) atomically, after onnxruntime has reproduced PyTorch's vectors.

    Input `wave` (batch, C, samples) float32 at the recipe's sample rate, or `picture` (batch, C, size, size)
    in 0..1; output `vector` (batch, D). Raises RequestError if the extra `onnx` is missing, WorkError if the
    network cannot be exported or the vectors differ by more than `TOLERANCE`.
    """
    _check_installed()
    callback(Stage("export", 0, 3))
    network = exportable_network(run.embedder)
    windows = windows_to_compare(run)
    any_length = run.recipe.modality == "audio" and _takes_other_lengths(network, windows.waves)
    try:
        model = converted(network, windows.waves[:1], any_length)
    except FixedLengthError:
        any_length = False
        model = converted(network, windows.waves[:1], any_length)
    callback(Stage("export", 1, 3))
    opset = max(entry.version for entry in model.opset_import if entry.domain == "")
    _describe(model, run, any_length)
    whole = model.SerializeToString()
    parity = measure_parity(run.embedder, whole, windows, any_length)
    callback(Stage("export", 2, 3))
    callback(Note(str(parity)))
    if not parity.difference <= TOLERANCE * max(1.0, parity.largest):
        raise WorkError(
            f"{path}: the exported network does not reproduce PyTorch's vectors: {parity}. Nothing was "
            "written. Please report it with the run's recipe.yaml; `--to huggingface` exports every run."
        )
    with replacing(path) as temporary:
        temporary.write_bytes(whole)
    callback(Stage("export", 3, 3))
    return OnnxFile(path, any_length, opset, parity)


def exportable_network(embedder: EmbeddingModel) -> EmbeddingModel:
    """A copy of the embedder with equal vectors that can be exported."""
    network = copy.deepcopy(embedder).cpu()
    network.feature = exportable(network.feature)
    for parent in list(network.backbone.modules()):
        for name, child in list(parent.named_children()):
            setattr(parent, name, exportable(child))  # backbones with a feature of their own
    network.lay_out(channels_last=False)
    return network.eval()


class FixedLengthError(Exception):
    """The network can only be traced for a fixed length."""


def converted(network: EmbeddingModel, example: Tensor, any_length: bool) -> Any:
    """Converts a network to an ONNX model with a dynamic batch and, with `any_length`, a dynamic length.

    `network` from `exportable_network`, `example` (1, C, T) or (1, C, height, width). Raises
    FixedLengthError if the length cannot be dynamic, WorkError if the network cannot be exported.
    """
    if any_length:
        example = example[..., : _enough_samples(network, example)]
    free = torch.export.Dim.DYNAMIC
    axes = {0: free, **({example.ndim - 1: free} if any_length else {})}
    pair = torch.cat([example, example])  # a batch of one would be exported as a fixed size
    name = "wave" if example.ndim == 3 else "picture"
    with _quiet(), torch.no_grad():
        try:
            traced = torch.export.export(network, (pair,), dynamic_shapes=(axes,), strict=False)
        except Exception as error:  # violated constraints on the length raise several classes
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


def _refusal(network: EmbeddingModel, error: Exception) -> WorkError:
    return WorkError(
        f"The backbone {type(network.backbone).__name__} cannot be exported to ONNX with torch "
        f"{torch.__version__}: {str(error).splitlines()[0]}. `--to huggingface` exports every run."
    )


def _enough_samples(network: EmbeddingModel, example: Tensor) -> int:
    """The number of samples to trace: all, or with recurrent layers only about `_STEPS` steps."""
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


def _takes_other_lengths(network: EmbeddingModel, waves: Tensor) -> bool:
    """Whether the network accepts half and twice the length; a flattened feature map fixes the length."""
    half, twice = waves[:1, :, : waves.shape[-1] // 2], torch.cat([waves[:1], waves[:1]], dim=-1)
    try:
        with torch.no_grad():
            network(half)
            network(twice)
    except (RuntimeError, RequestError):
        return False
    return True


def _name_axes(model: Any, any_length: bool) -> None:
    """Names the dynamic axes `batch` and `samples`."""
    shape = model.graph.input[0].type.tensor_type.shape.dim
    given = {shape[0].dim_param: "batch"}
    if any_length:
        given[shape[-1].dim_param] = "samples"
    if not all(given):
        raise WorkError("The exporter fixed the batch size or the length. Please report it.")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            for old, new in given.items():
                if old in dimension.dim_param:
                    dimension.dim_param = dimension.dim_param.replace(old, new)


def _describe(model: Any, run: Run, any_length: bool) -> None:
    """Writes the input and the recipe to the metadata of the file."""
    data = run.recipe.data
    model.producer_name = "nearfield"
    model.doc_string = "Sounds (or images) to embeddings; the metadata entry `nearfield` describes the input."
    about = {
        "sample_rate": data.sample_rate,
        "clip_seconds": data.clip_seconds,
        "channels": data.channels,
        "any_length": any_length,
        "most_samples": getattr(run.embedder.backbone, "longest", None),
        "normalized": run.recipe.embedding.normalize,
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
    """Silences the log messages and warnings of the exporter."""
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
