"""A recurrent layer in ONNX's terms: operator, attributes, and weights in its order of gates.

H hidden size, D directions, G gates of the operator.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.interop.activations import Activation, parsed
from minirnn.interop.onnx.settings import BLOCKS, COUPLED_BLOCKS, COUPLED_HOLES, GATES, HOLES
from minirnn.interop.peepholes import PREFIX, PeepholeLSTM
from minirnn.kernels.cells import Cell
from minirnn.nn.recurrent import Recurrent

Array = np.ndarray[Any, Any]
SIGMOID = Activation("sigmoid")
ONNX_NAMES = {
    "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "affine": "Affine",
    "leakyrelu": "LeakyRelu", "thresholdedrelu": "ThresholdedRelu", "scaledtanh": "ScaledTanh",
    "hardsigmoid": "HardSigmoid", "elu": "Elu", "softsign": "Softsign", "softplus": "Softplus",
}  # fmt: skip


def recurrent_attributes(layer: Recurrent) -> tuple[str, dict[str, Any]]:
    """The operator, and its attributes but for hidden_size.

    Raises: ArgumentError for a cell that none of the operators is.
    """
    cell = layer.cell
    op = _operator(layer)
    options = cell.options
    attributes: dict[str, Any] = {}
    if layer.bidirectional:
        attributes["direction"] = "bidirectional"
    if op == "GRU":
        attributes["linear_before_reset"] = int(options.get("reset", "after") == "after")
    if op == "LSTM" and options.get("coupled"):
        attributes["input_forget"] = 1
    if "clip" in options:
        attributes["clip"] = float(options["clip"])
    functions = _functions(cell, op)
    alphas = [f.alpha for f in functions if f.alpha is not None]
    betas = [f.beta for f in functions if f.beta is not None]
    for name, values in (("activation_alpha", alphas), ("activation_beta", betas)):
        if values:
            attributes[name] = values * layer.num_directions
    attributes["activations"] = [_name(f) for f in functions] * layer.num_directions
    return op, attributes


def _operator(layer: Recurrent) -> str:
    op = layer.cell.name.removesuffix("_variant").upper()
    if op not in GATES:
        wanted = "rnn, gru, lstm, or one of minirnn.interop.cells"
        raise ArgumentError("module", f"a layer of {layer.cell.name!r} cells", wanted)
    if getattr(layer, "proj_size", 0):
        wanted = "proj_size=0: ONNX's LSTM has no projection"
        raise ArgumentError("module", f"an LSTM with proj_size={layer.proj_size}", wanted)
    return op


def _functions(cell: Cell, op: str) -> list[Activation]:
    """ONNX's f, g and h."""
    options = cell.options
    if cell.name.endswith("_variant"):
        found = [parsed(options[letter]) for letter in "fgh" if letter in options]
    elif op == "RNN":
        found = [Activation(options["nonlinearity"])]
    else:
        chosen = Activation(options["activation"])
        found = [SIGMOID, chosen] if op == "GRU" else [SIGMOID, chosen, chosen]
    return [Activation("affine", 1.0, 0.0) if f.name == "identity" else f for f in found]


def _name(f: Activation) -> str:
    if f.name not in ONNX_NAMES:
        raise ArgumentError("module", f"the activation {f}", f"one of {', '.join(ONNX_NAMES)}")
    return ONNX_NAMES[f.name]


def packed(layer: Recurrent, k: int) -> dict[str, Array | None]:
    """Layer k's parameters, both directions together.

    W (D, G*H, I), R (D, G*H, H), B (D, 2*G*H) or None, and P (D, 3*H) if there are peepholes.
    """
    op, H = _operator(layer), layer.hidden_size
    coupled = bool(layer.cell.options.get("coupled"))
    order = COUPLED_BLOCKS if coupled else BLOCKS[op]
    rows: dict[str, list[Array]] = {"W": [], "R": [], "B": [], "P": []}
    for reverse in (False, True)[: layer.num_directions]:
        w_ih, w_hh, b_ih, b_hh = [
            None if each is None else each.numpy() for each in layer.weights(k, reverse=reverse)
        ]
        for letter, array in (("W", w_ih), ("R", w_hh)):
            rows[letter].append(_placed(array, order, GATES[op], H))
        if b_ih is not None:
            both = [_placed(array, order, GATES[op], H) for array in (b_ih, b_hh)]
            rows["B"].append(np.concatenate(both))
        if isinstance(layer, PeepholeLSTM):
            vector = getattr(layer, f"{PREFIX}_l{k}{'_reverse' if reverse else ''}").numpy()
            rows["P"].append(_placed(vector, COUPLED_HOLES if coupled else HOLES, 3, H))
    found = {letter: np.stack(each) if each else None for letter, each in rows.items()}
    if not isinstance(layer, PeepholeLSTM):
        del found["P"]
    return found


def _placed(array: Any, order: tuple[int, ...], count: int, H: int) -> Array:
    """Our blocks of H rows where ONNX has them; what we have not (a coupled forget gate) is 0."""
    out = np.zeros((count, H, *array.shape[1:]), array.dtype)
    out[list(order)] = array.reshape(len(order), H, *array.shape[1:])
    placed: Array = out.reshape(count * H, *array.shape[1:])
    return placed
