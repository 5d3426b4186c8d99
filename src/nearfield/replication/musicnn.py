"""Conversion of the published weights of musicnn to the names and conventions of the backbone `musicnn`.

Pons and Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging". The wheel
of the package musicnn 0.1.0 contains MSD_musicnn, trained on tags of the Million Song Dataset, and
MTT_musicnn, trained on MagnaTagATune. The backbone `musicnn` with the normalization `batch_norm` is the same
network, except for three conventions, which the conversion absorbs in the weights. Batch norm adds 1e-3 to
the variance there, 1e-5 here. The input there is log10(10,000 x + 1) of mel power x, which is ln(x + 1e-4) /
ln 10 + 4; here it is ln(x + 1e-4) (recipe `music_tags`). The maximum and mean of each channel alternate
there; here all maxima come first."""

from collections.abc import Mapping

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.types import Vectors
from nearfield.models.pretrained import BACKBONE, NORMALISATION

_THEIRS, _OURS = 1e-3, 1e-5
"""Epsilon that batch norm adds to the variance, in TensorFlow and in torch."""
_LN_10 = float(np.log(10.0))
_STATISTICS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_FILTERS, _OVER_TIME = 5, 3
"""Number of filter shapes in the front end, and of layers over time after it."""
_BACK, _DENSE = _FILTERS + _OVER_TIME + 1, _FILTERS + _OVER_TIME + 2
"""Numbers of the batch norms before and after the dense layer."""
_LEFT_OUT = ("dense_1/", "beta1_power", "beta2_power")
"""Prefixes of the last layer, to 50 tags, and of the state of the optimizer."""


def musicnn_weights(variables: Mapping[str, Vectors]) -> dict[str, Vectors]:
    """Converts the variables of a musicnn, of any widths, to `backbone.` and `normalization.` weights.

    The layer to 50 tags and the variables of the optimizer are ignored.

    Parameters
    ----------
    variables
        Arrays by name in the TensorFlow checkpoint, such as conv2d/kernel (time, bands, 1, filters).

    Raises
    ------
    RequestError
        If variables are missing, unknown or of another shape.
    """
    _check(variables)
    weights = _batch_norm(variables, 0, f"{NORMALISATION.prefix}norm")
    _read_natural_logarithms(weights, f"{NORMALISATION.prefix}norm")
    for number in range(_FILTERS):
        name = f"{BACKBONE.prefix}front.filters.{number}"
        weights[f"{name}.1.weight"] = _kernel(variables, number).transpose(3, 2, 1, 0)
        weights[f"{name}.1.bias"] = variables[f"{_numbered('conv2d', number)}/bias"]
        weights |= _batch_norm(variables, number + 1, f"{name}.3")
    for layer in range(_OVER_TIME):
        name, number = f"{BACKBONE.prefix}middle.{layer}", _FILTERS + layer
        weights[f"{name}.0.weight"] = _kernel(variables, number)[:, :, 0].transpose(2, 1, 0)
        weights[f"{name}.0.bias"] = variables[f"{_numbered('conv2d', number)}/bias"]
        weights |= _batch_norm(variables, number + 1, f"{name}.2")
    back = f"{BACKBONE.prefix}back"
    weights |= {
        name: _maxima_first(value) for name, value in _batch_norm(variables, _BACK, f"{back}.0").items()
    }
    weights[f"{back}.2.weight"] = _maxima_first(variables["dense/kernel"]).T
    weights[f"{back}.2.bias"] = variables["dense/bias"]
    weights |= _batch_norm(variables, _DENSE, f"{back}.4")
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in weights.items()}


def _batch_norm(variables: Mapping[str, Vectors], number: int, name: str) -> dict[str, Vectors]:
    """Converts a batch norm; the variance is changed by the difference of the epsilons."""
    found = {
        f"{name}.{ours}": variables[f"{_numbered('batch_normalization', number)}/{theirs}"]
        for theirs, ours in _STATISTICS.items()
    }
    found[f"{name}.running_var"] = found[f"{name}.running_var"] + np.float32(_THEIRS - _OURS)
    return found


def _read_natural_logarithms(weights: dict[str, Vectors], norm: str) -> None:
    """Changes the statistics so that ln(x + 1e-4) is normalized like ln(x + 1e-4) / ln 10 + 4 before."""
    mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
    weights[f"{norm}.running_mean"] = (mean - 4) * _LN_10
    weights[f"{norm}.running_var"] = (variance + _OURS) * _LN_10**2 - _OURS


def _maxima_first(values: Vectors) -> Vectors:
    """Reorders (2 n, ...) from maximum and mean of each of n channels in turn to n maxima, then n means."""
    return np.concatenate([values[0::2], values[1::2]])


def _kernel(variables: Mapping[str, Vectors], number: int) -> Vectors:
    return variables[f"{_numbered('conv2d', number)}/kernel"]


def _numbered(kind: str, number: int) -> str:
    """Returns the name in TensorFlow of layer number 0, 1, ... of a kind."""
    return f"{kind}_{number}" if number else kind


def _check(variables: Mapping[str, Vectors]) -> None:
    """Raises RequestError if the variables are not exactly those of a musicnn, with consistent shapes."""
    outputs = {_numbered("conv2d", number): number + 1 for number in range(_FILTERS + _OVER_TIME)}
    vectors = {f"{layer}/bias": f"{layer}/kernel" for layer in (*outputs, "dense")}
    for layer, number in (*outputs.items(), ("dense", _DENSE)):
        norm = _numbered("batch_normalization", number)
        vectors |= {f"{norm}/{statistic}": f"{layer}/kernel" for statistic in _STATISTICS}
    others = [
        f"{_numbered('batch_normalization', number)}/{statistic}"
        for number in (0, _BACK)
        for statistic in _STATISTICS
    ]
    wanted = {*vectors, *vectors.values(), *others}
    given = {name for name in variables if not name.startswith(_LEFT_OUT) and "/Adam" not in name}
    complaints = {"missing": sorted(wanted - given), "unknown": sorted(given - wanted)}
    if not any(complaints.values()):
        shapes = _shapes(variables)
        shapes |= {name: (variables[kernel].shape[-1],) for name, kernel in vectors.items()}
        complaints["of another shape"] = [
            f"{name} {variables[name].shape} for {shape}"
            for name, shape in sorted(shapes.items())
            if variables[name].shape != shape
        ]
    text = "; ".join(f"{what}: {', '.join(names)}" for what, names in complaints.items() if names)
    if text:
        raise RequestError(
            f"These are not the variables of a musicnn: {text}. "
            "Supported are MSD_musicnn and MTT_musicnn of the package musicnn 0.1.0."
        )


def _shapes(variables: Mapping[str, Vectors]) -> dict[str, tuple[int, ...]]:
    """Returns the expected shapes, by name, of variables that depend on several kernels."""
    filters = [_kernel(variables, number).shape[-1] for number in range(_FILTERS + _OVER_TIME)]
    front = sum(filters[:_FILTERS])
    given = [front, *filters[_FILTERS:-1]]
    pooled = 2 * (front + sum(filters[_FILTERS:]))
    shapes: dict[str, tuple[int, ...]] = {
        f"{_numbered('conv2d', _FILTERS + layer)}/kernel": (7, given[layer], 1, filters[_FILTERS + layer])
        for layer in range(_OVER_TIME)
    }
    shapes["dense/kernel"] = (pooled, variables["dense/kernel"].shape[-1])
    shapes |= {f"batch_normalization/{statistic}": (1,) for statistic in _STATISTICS}
    shapes |= {
        f"{_numbered('batch_normalization', _BACK)}/{statistic}": (pooled,) for statistic in _STATISTICS
    }
    return shapes
