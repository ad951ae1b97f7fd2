"""`from_keras`: a Keras layer, model or file as a module of minirnn."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

from minirnn.errors import ArgumentError, MissingExtraError
from minirnn.interop.keras.base import Build, KerasModule
from minirnn.interop.keras.chain import MODELS, KerasModel
from minirnn.interop.keras.layers import (
    KerasActivation,
    KerasDense,
    KerasDropout,
    KerasEmbedding,
    KerasMasking,
    KerasPooling,
    KerasReshaping,
    time_distributed,
)
from minirnn.interop.keras.layout import Read
from minirnn.interop.keras.normalization import KerasNormalization
from minirnn.interop.keras.recurrent import KerasBidirectional, KerasRecurrent
from minirnn.interop.keras.source import Layer, live
from minirnn.kernels.contract import Array

_MAKERS: dict[str, Callable[[Layer, Build], KerasModule]] = {
    "SimpleRNN": KerasRecurrent,
    "GRU": KerasRecurrent,
    "LSTM": KerasRecurrent,
    "RNN": KerasRecurrent,
    "Bidirectional": KerasBidirectional,
    "TimeDistributed": time_distributed,
    "Dense": KerasDense,
    "Embedding": KerasEmbedding,
    "Masking": KerasMasking,
    "Dropout": KerasDropout,
    "SpatialDropout1D": KerasDropout,
    "Activation": KerasActivation,
    "ReLU": KerasActivation,
    "LeakyReLU": KerasActivation,
    "ELU": KerasActivation,
    "Softmax": KerasActivation,
    "LayerNormalization": KerasNormalization,
    "BatchNormalization": KerasNormalization,
    "GlobalAveragePooling1D": KerasPooling,
    "GlobalMaxPooling1D": KerasPooling,
    "Flatten": KerasReshaping,
    "RepeatVector": KerasReshaping,
    "Identity": KerasReshaping,
}


def from_keras(
    source: Any, *, dtype: Any = None, device: str = "cpu", rng: Any = None
) -> KerasModule:
    """A module that computes what a Keras 3 layer or model computes.

    source  a layer; a Sequential model, or a Functional one that is a chain; or the path of a
            `.keras` file, which is read without Keras (h5py is needed). Nothing in a file is run:
            Lambda layers and classes of the user's own are refused
    dtype   "float32" or "float64", to which all weights are converted; None keeps theirs
    device  "cpu" or "cuda"
    rng     None, a seed or a numpy Generator: for dropout in training

    The module takes x as Keras does, (B, T, I), and `lengths (B,)` or `mask (B, T)` where Keras
    takes a mask: `model(x, lengths=lengths)`. It is in evaluation mode, as a Keras model is when it
    is called; `train()` turns dropout on. `keras_weights` gives its weights and gradients back in
    Keras's layout. Regularisers, constraints, optimiser and loss of the Keras model are left out.

    Raises: ArgumentError for a layer or option that is not known, which it names; CheckpointError
    for a file that is damaged; MissingExtraError without h5py, or without Keras for an object.
    """
    build = Build(dtype, device, rng)
    if isinstance(source, str | PathLike):
        from minirnn.interop.keras.archive import read_archive

        layer = read_archive(source)
    else:
        layer = live(_checked(source))
    return convert(layer, build).eval()


def convert(layer: Layer, build: Build) -> KerasModule:
    """The module of a layer or model.

    Raises: ArgumentError for one that is not known.
    """
    known = ", ".join(dict.fromkeys(("Sequential", "Functional", *_MAKERS)))
    if not layer.of_keras or layer.kind not in (*_MAKERS, *MODELS):
        what = f"the layer {layer}" if layer.of_keras else f"{layer}, no class of Keras's own"
        hint = "A Lambda holds code, which is never run" if layer.kind == "Lambda" else ""
        raise ArgumentError("source", what, f"layers among {known}", hint)
    if layer.kind in MODELS:
        return KerasModel(layer, build, convert)
    return _MAKERS[layer.kind](layer, build)


def _checked(source: Any) -> Any:
    try:
        import keras
    except ImportError:
        raise MissingExtraError("keras", "keras", "Converting a Keras object") from None
    if not isinstance(source, keras.layers.Layer):
        wanted = "a Keras layer or model, or the path of a .keras file"
        raise ArgumentError("source", f"a {type(source).__name__}", wanted)
    return source


def keras_weights(module: KerasModule, *, gradients: bool = False) -> list[Array]:
    """The module's weights in Keras's order and layout: what `get_weights()` gives, copies.

    gradients  True gives the gradients with respect to them instead, zero where none arrived: of
               Keras's one bias, where the module has two, that of either

    Raises: ArgumentError for a module that `from_keras` did not make.
    """
    if not isinstance(module, KerasModule):
        came = f"a {type(module).__name__}"
        raise ArgumentError("module", came, "a module that from_keras made")
    read: Read = _gradient if gradients else (lambda parameter: parameter.data)
    return [array.copy() for array in module.variables(read, gradients=gradients)]


def _gradient(parameter: Any) -> Array:
    return parameter.data * 0 if parameter.grad is None else parameter.grad
