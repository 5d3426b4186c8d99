"""Weights that others published, in the names of our networks.

musicnn: Pons and Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging", as
the wheel of the package musicnn 0.1.0 holds it: MSD_musicnn was taught tags on the Million Song Dataset,
MTT_musicnn on MagnaTagATune. The backbone `musicnn` behind the normalization `batch_norm` is their network,
but for three customs of theirs that the weights take over. Batch norm adds 1e-3 to a variance, and 1e-5 here.
The picture is log10(10,000 x + 1) of mel power x, which is ln(x + 1e-4) / ln 10 + 4, and ln(x + 1e-4) here
(the recipe `music_tags`). Maximum and mean of a channel stand side by side, and all maxima first here.
"""

from collections.abc import Mapping

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.types import Vectors
from nearfield.models.pretrained import BACKBONE, NORMALISATION

_THEIRS, _OURS = 1e-3, 1e-5
"""What batch norm adds to a variance, in TensorFlow and in torch."""
_LN_10 = float(np.log(10.0))
_STATISTICS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_FILTERS, _OVER_TIME = 5, 3
"""Sizes of filters in front, and layers over time behind them."""
_BACK, _DENSE = _FILTERS + _OVER_TIME + 1, _FILTERS + _OVER_TIME + 2
"""Numbers of the batch norms on both sides of the dense layer."""
_LEFT_OUT = ("dense_1/", "beta1_power", "beta2_power")
"""Their last layer, to 50 tags, and counts of the optimiser."""


def musicnn_weights(variables: Mapping[str, Vectors]) -> dict[str, Vectors]:
    """`backbone.` and `normalization.` weights out of the variables of a musicnn, of any widths.

    `variables`: name in the TensorFlow checkpoint to array, such as conv2d/kernel (time, bands, 1, filters).
    The layer to their 50 tags and the optimiser's own variables are left out. Raises RequestError naming
    every variable that is missing, unknown or of another shape.
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
    """The same norm with its variance so that torch's epsilon gives what TensorFlow's gave."""
    found = {
        f"{name}.{ours}": variables[f"{_numbered('batch_normalization', number)}/{theirs}"]
        for theirs, ours in _STATISTICS.items()
    }
    found[f"{name}.running_var"] = found[f"{name}.running_var"] + np.float32(_THEIRS - _OURS)
    return found


def _read_natural_logarithms(weights: dict[str, Vectors], norm: str) -> None:
    """Of ln(x + 1e-4) the norm now gives what it gave of ln(x + 1e-4) / ln 10 + 4."""
    mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
    weights[f"{norm}.running_mean"] = (mean - 4) * _LN_10
    weights[f"{norm}.running_var"] = (variance + _OURS) * _LN_10**2 - _OURS


def _maxima_first(values: Vectors) -> Vectors:
    """(2 n, ...): maximum and mean of each of n channels in turn -> n maxima, then n means."""
    return np.concatenate([values[0::2], values[1::2]])


def _kernel(variables: Mapping[str, Vectors], number: int) -> Vectors:
    return variables[f"{_numbered('conv2d', number)}/kernel"]


def _numbered(kind: str, number: int) -> str:
    """TensorFlow's name of a kind's layer number 0, 1, ..."""
    return f"{kind}_{number}" if number else kind


def _check(variables: Mapping[str, Vectors]) -> None:
    """Raises RequestError unless all variables of a musicnn are there, no others, in shapes that agree."""
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
    told = "; ".join(f"{what}: {', '.join(names)}" for what, names in complaints.items() if names)
    if told:
        raise RequestError(
            f"These are not the variables of a musicnn: {told}. "
            "Known are MSD_musicnn and MTT_musicnn of the package musicnn 0.1.0."
        )


def _shapes(variables: Mapping[str, Vectors]) -> dict[str, tuple[int, ...]]:
    """Name to shape of what does not follow from one kernel alone."""
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
