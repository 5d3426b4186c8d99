"""Export to one ONNX file, front end included."""

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

# torch's gated recurrent unit as ONNX's: the exporter itself would unroll it, for one number of steps.


def gru_translation() -> Callable[..., Any]:
    """A translation for the exporter's table: one layer, one direction, as `nn.GRU` has it by default.

    torch keeps the gates' weights as reset, update, new; ONNX as update, reset, new. torch multiplies the
    reset gate into the hidden state's product, bias included: ONNX's `linear_before_reset`.
    """
    from onnxscript import opset18

    op: Any = opset18  # its types know tensors alone; lists become constants

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


# Features in operations that every ONNX runtime has: the Fourier transform as a convolution with cosines.
#
# The feature's own way (blocks of frames, an FFT) is faster where it was made for, and does not export:
# blocks fix the number of clips, and runtimes differ in what they make of a complex number. Here frames,
# window and transform are one strided convolution. Both agree but for rounding, which shows where a band is
# some 110 dB below its frame's peak and the logarithm magnifies it; there the convolution is the nearer to
# the truth.


def exportable(feature: nn.Module) -> nn.Module:
    """The same picture of waves (B, C, T), for any B and T that give a frame; other features as they are."""
    if isinstance(feature, LogMel):
        return ConvolvedLogMel(feature)
    if isinstance(feature, MFCC):
        return ConvolvedMFCC(feature)
    if isinstance(feature, MultiLogMel):
        return ConvolvedMultiLogMel(feature)
    return feature


class ConvolvedLogMel(nn.Module):
    """Waves (B, C, T) -> (B, C, bands, frames), as `LogMel` gives them."""

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
        picture = self._log(self.weights @ (power.sqrt() if self.settings.power == 1 else power))
        return picture.reshape(waves.shape[0], self.channels, *picture.shape[1:])

    def _log(self, mel: Tensor) -> Tensor:
        if self.settings.log == "ln":
            return (mel + self.settings.least).log()
        return mel.clamp(min=self.settings.least).log10() * (20.0 / self.settings.power)


class ConvolvedMFCC(nn.Module):
    """Waves (B, C, T) -> (B, C, coefficients, frames), as `MFCC` gives them."""

    cosines: Tensor

    def __init__(self, feature: MFCC) -> None:
        super().__init__()
        self.log_mel = ConvolvedLogMel(feature.log_mel)
        self.register_buffer("cosines", feature.cosines.clone())

    def forward(self, waves: Tensor) -> Tensor:
        return cast(Tensor, self.cosines @ self.log_mel(waves))


class ConvolvedMultiLogMel(nn.Module):
    """Waves (B, C, T) -> (B, C x windows, bands, frames), as `MultiLogMel` gives them."""

    def __init__(self, feature: MultiLogMel) -> None:
        super().__init__()
        parts = [ConvolvedLogMel(cast(LogMel, part)) for part in feature.parts]
        self.shorter, self.longest = nn.ModuleList(parts[:-1]), parts[-1]
        self.resample = feature.resample

    def forward(self, waves: Tensor) -> Tensor:
        last = self.longest(waves)
        others = [resampled(part(waves), last.shape[-1], self.resample) for part in self.shorter]
        return torch.stack([*others, last], dim=2).flatten(1, 2)


def resampled(picture: Tensor, frames: int, how: Literal["area", "nearest"]) -> Tensor:
    """(..., given) -> (..., frames) for any number of both, as `torch.nn.functional.interpolate` does it.

    Its own operations export for one length only. area: each new frame is the mean of those it covers.
    """
    given = picture.shape[-1]
    new = torch.arange(frames, device=picture.device)
    if how == "nearest":
        # In single precision as there: rounding decides which of two frames is taken.
        return picture.index_select(-1, (new.float() * (given / frames)).floor().long())
    first = torch.div(new * given, frames, rounding_mode="floor")
    after = torch.div((new + 1) * given + frames - 1, frames, rounding_mode="floor")
    old = torch.arange(given, device=picture.device)[:, None]
    covered = (old >= first) & (old < after)
    return picture @ (covered.float() / (after - first).float())


def _windowed_waves(feature: LogMel) -> Tensor:
    """(2 x bins, 1, window): every bin's cosine, then its sine, under the window."""
    framing = feature.framing
    bins = torch.arange(framing.fft // 2 + 1, dtype=torch.float64)[:, None]
    start_times = torch.arange(framing.window, dtype=torch.float64)
    # The angle's whole turns are taken off in integers, where nothing is rounded.
    turns = torch.remainder(bins * start_times, framing.fft) / framing.fft
    angles = 2 * torch.pi * turns
    return (torch.cat([angles.cos(), angles.sin()]) * feature.window.double()).float().unsqueeze(1)


# A run as one ONNX file, the front end inside: waves in, vectors out, any number of them at once.
#
# The vector is that of the window given. `Run.encode` cuts a longer sound into windows of `clip_seconds`,
# fills a shorter one up with silence, and takes the mean of the windows' vectors; docs/export.md has the
# lines that do it around a session.

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


def export_onnx(run: Run, path: Path, callback: Callback = ignore) -> OnnxFile:
    """Writes `path` (.onnx), whole or not at all, after onnxruntime gave PyTorch's vectors for real windows.

    Input `wave` (batch, C, samples) float32 at the recipe's sample rate, or `picture` (batch, C, size, size)
    in 0..1; output `vector` (batch, D). Raises RequestError where the extra `onnx` is missing, WorkError
    where the network cannot be exported or the vectors differ by more than `TOLERANCE`.
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
            f"{path}: the exported network does not give PyTorch's vectors: {parity}. Nothing was written. "
            "Please report it with the run's recipe.yaml; `--to huggingface` keeps the run as it is."
        )
    with replacing(path) as temporary:
        temporary.write_bytes(whole)
    callback(Stage("export", 3, 3))
    return OnnxFile(path, any_length, opset, parity)


def exportable_network(embedder: EmbeddingModel) -> EmbeddingModel:
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


def converted(network: EmbeddingModel, example: Tensor, any_length: bool) -> Any:
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


def _refusal(network: EmbeddingModel, error: Exception) -> WorkError:
    return WorkError(
        f"The backbone {type(network.backbone).__name__} cannot be exported to ONNX with torch "
        f"{torch.__version__}: {str(error).splitlines()[0]}. `--to huggingface` takes every run."
    )


def _enough_samples(network: EmbeddingModel, example: Tensor) -> int:
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


def _takes_other_lengths(network: EmbeddingModel, waves: Tensor) -> bool:
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
