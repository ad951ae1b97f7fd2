"""`to_keras`: a layer or model of minirnn as a Keras one, with its weights."""

from __future__ import annotations

from typing import Any

from minirnn.device import to_device
from minirnn.errors import ArgumentError, MissingExtraError
from minirnn.interop.keras.base import KerasModule
from minirnn.interop.keras.layout import Layout
from minirnn.interop.keras.reverse import Reverse
from minirnn.kernels.contract import Array
from minirnn.nn import Dropout, Linear, Module, Recurrent, SequenceModel, Sequential
from minirnn.nn.between import refuse_extras
from minirnn.tensor import Tensor

LAYERS = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
_KNOWN = "RNN, GRU, LSTM, SequenceModel, Linear, Dropout, Sequential, or what from_keras made"


def to_keras(module: Module, *, return_sequences: bool = True, return_state: bool = False) -> Any:
    """A Keras layer, or a `keras.Sequential`, that computes what `module` computes.

    module  RNN, GRU, LSTM, SequenceModel, Linear, Dropout, a Sequential of these, or a module that
            `from_keras` made
    return_sequences, return_state  of a bare RNN, GRU or LSTM of one layer: what the Keras layer
            returns; `return_state` needs a single layer

    Weights are copied. The result takes (B, T, I), whatever the module's `batch_first`, and a mask
    where minirnn takes lengths; at a masked step its output is zero, as here. Where Keras has one
    bias, it is the sum of the two here. Layers stand one after the other, with Dropout between.

    Raises: ArgumentError for a module that Keras has no layer for; MissingExtraError without Keras.
    """
    try:
        import keras
    except ImportError:
        raise MissingExtraError("keras", "keras", "to_keras") from None
    if isinstance(module, KerasModule):
        made = keras.saving.deserialize_keras_object(dict(module.entry))
        made.set_weights([_on_cpu(a) for a in module.variables(_value, gradients=False)])
        return made
    if isinstance(module, Module):
        refuse_extras(module, "module", "one with norm='none' and initial_state='zeros'")
    if isinstance(module, Recurrent):
        layers = _recurrent(module, return_sequences=return_sequences, return_state=return_state)
    else:
        layers = _layers(module)
    if len(layers) == 1:
        layer, weights, width = layers[0]
        if width is not None:
            layer.build((None, None, width))
        layer.set_weights(weights)
        return layer
    model = keras.Sequential([layer for layer, _, _ in layers])
    width = next((width for _, _, width in layers if width is not None), None)
    if width is not None:
        model.build((None, None, width))
    for layer, weights, _ in layers:
        layer.set_weights(weights)
    return model


Made = tuple[Any, list[Array], int | None]  # a Keras layer, its weights, its input size


def _layers(module: Module) -> list[Made]:
    """The Keras layers of a module, in order."""
    import keras

    if isinstance(module, SequenceModel):
        recurrent = _recurrent(module.recurrent, return_sequences=module.readout == "all")
        return [*recurrent, *_layers(module.head_dropout), *_layers(module.head)]
    if isinstance(module, Sequential):
        return [made for each in module for made in _layers(each)]
    if isinstance(module, Recurrent):
        return _recurrent(module, return_sequences=True)
    if type(module) is Linear:
        biased = module.bias is not None
        dtype = module.dtype.name
        dense = keras.layers.Dense(module.out_features, use_bias=biased, dtype=dtype)
        bias = [] if module.bias is None else [_on_cpu(module.bias.data)]
        return [(dense, [_on_cpu(module.weight.data).T, *bias], module.in_features)]
    if type(module) is Dropout:
        return [(keras.layers.Dropout(module.p), [], None)] if module.p else []
    raise ArgumentError("module", f"a {type(module).__name__}", _KNOWN)


def _recurrent(
    module: Recurrent, *, return_sequences: bool, return_state: bool = False
) -> list[Made]:
    """One Keras layer for each layer, and Dropout between them."""
    import keras

    kind, options = _cell_options(module)
    if return_state and module.num_layers > 1:
        came = f"return_state=True for {module.num_layers} layers"
        raise ArgumentError("return_state", came, "False: a chain of Keras layers has one result")
    biases = 0 if not module.bias else 2 if options.get("reset_after") else 1
    layout = Layout(kind, biases)
    found: list[Made] = []
    for index in range(module.num_layers):
        last = index == module.num_layers - 1
        sequences = return_sequences or not last
        layer = getattr(keras.layers, LAYERS[kind])(
            module.hidden_size,
            use_bias=module.bias,
            dtype=module.dtype.name,
            return_sequences=sequences,
            return_state=return_state,
            # Without an output at every step it would be zero where the last step is masked.
            zero_output_for_mask=sequences,
            **options,
        )
        weights = layout.out_of(module.weights(index), _value, gradients=False)
        if module.bidirectional:
            layer = keras.layers.Bidirectional(layer, dtype=module.dtype.name)
            weights += layout.out_of(module.weights(index, reverse=True), _value, gradients=False)
        width = module.weights(index).weight_ih.shape[1]
        found.append((layer, [_on_cpu(w) for w in weights], width))
        if module.dropout and not last:
            found.append((keras.layers.Dropout(module.dropout), [], None))
    return found


def _cell_options(module: Recurrent) -> tuple[str, dict[str, Any]]:
    """The kind of a built-in cell, and Keras's options for it.

    Raises: ArgumentError for a cell that Keras has not.
    """
    kind, given = module.cell.name, module.cell.options  # of a user's own cell there are none
    wanted = "a layer of the cells RNN, GRU or LSTM, one direction of time or both"
    if isinstance(module, Reverse) or vars(module).get("proj_size"):
        raise ArgumentError("module", repr(module), wanted)
    if kind not in LAYERS or not given:
        raise ArgumentError("module", f"the cell {kind!r}", wanted)
    if kind == "rnn":
        f = given["nonlinearity"]
        return kind, {"activation": "linear" if f == "identity" else f}
    options: dict[str, Any] = {"activation": given["activation"]}
    if kind == "gru":
        options["reset_after"] = given.get("reset", "after") == "after"
    return kind, options


def _value(parameter: Tensor) -> Array:
    return parameter.data


def _on_cpu(array: Array) -> Array:
    return to_device(array, "cpu")
