"""torch's gated recurrent unit as ONNX's: the exporter itself would unroll it, for one number of steps."""

from collections.abc import Callable, Sequence
from typing import Any


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
