"""`from_torch` and `to_torch`: layers and models from one library to the other.

Names, shapes, gate order and the GRU's variant are the same on both sides, so parameters move by
name, bit for bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import minirnn.nn as ours
from minirnn.errors import ArgumentError, DTypeError
from minirnn.interop.torch.arrays import array_of, kernels_on, tensor_of
from minirnn.interop.torch.equations import base_of
from minirnn.interop.torch.models import TorchSequenceModel, readout_of
from minirnn.kernels import cells
from minirnn.nn.arguments import generator
from minirnn.nn.between import refuse_extras
from minirnn.tensor import Tensor

__all__ = ["from_torch", "to_torch"]

_DTYPES = {torch.float32: "float32", torch.float64: "float64"}
_TAKEN = (
    "nn.RNN, nn.GRU, nn.LSTM, their cells, nn.Linear, nn.Dropout, an nn.Sequential of these, or a "
    "model that is one recurrent layer and one nn.Linear"
)
_GIVEN = (
    "RNN, GRU, LSTM, RNNCell, GRUCell, LSTMCell, Linear, Dropout, a Sequential of these, or a "
    "SequenceModel"
)


def from_torch(module: Any, *, share: bool = False, rng: Any = None) -> Any:
    """A PyTorch module as a minirnn layer or model, with its parameters.

    module  `nn.RNN`, `nn.GRU`, `nn.LSTM` (projection too), their cells, `nn.Linear`, `nn.Dropout`,
            an `nn.Sequential` of these; or any model that is one recurrent layer, perhaps a
            dropout, and one `nn.Linear` on its last state or on every output, which becomes a
            `SequenceModel`. That it computes just that is tried, on random sequences
    share   False copies the parameters. True shares their memory: an update in place on either side
            is seen on the other
    rng     None, a seed or a numpy Generator, for dropout

    Training mode, frozen parameters and tied ones stay so. Names in a state dict are PyTorch's but
    for a `SequenceModel`'s, which are `recurrent.…` and `head.…`.

    Raises: ArgumentError for a module that minirnn has not, or whose forward is its own;
    DTypeError for parameters that are neither float32 nor float64; DeviceError.
    """
    if not isinstance(module, nn.Module):
        raise ArgumentError("module", f"a {type(module).__name__}", f"a torch.nn.Module: {_TAKEN}")
    return _From(share, generator(rng)).convert(module, "module")


class _From:
    """One conversion: tied parameters meet again in it."""

    def __init__(self, share: bool, rng: Any) -> None:
        self.share, self.rng = share, rng
        self.made: dict[int, tuple[Any, Tensor]] = {}  # with the parameter, which keeps its id

    def convert(self, module: Any, argument: str) -> Any:
        base = base_of(module)
        if base is not None:
            return self._recurrent(module, base, argument)
        if type(module) is nn.Linear:
            bias = module.bias is not None
            layer: Any = ours.Linear(
                module.in_features, module.out_features, bias=bias, **self._where(module, argument)
            )
            return self._filled(layer, module, ["weight", "bias"] if bias else ["weight"])
        if type(module) is nn.Dropout:
            return ours.Dropout(module.p, rng=self.rng).train(module.training)
        if type(module) is nn.Sequential:
            parts = [self.convert(m, f"{argument}[{i}]") for i, m in enumerate(module)]
            chain = ours.Sequential(*parts)
            chain.training = module.training
            return chain
        return self._sequence_model(module, argument)

    def _recurrent(self, module: Any, base: Any, argument: str) -> Any:
        if type(module).forward is not base.forward:
            came = f"a {type(module).__name__} with a forward of its own"
            raise ArgumentError(argument, came, f"PyTorch's {base.__name__}")
        options: dict[str, Any] = {"bias": module.bias, **self._where(module, argument)}
        if isinstance(module, nn.RNNBase):
            options |= {
                "num_layers": module.num_layers,
                "batch_first": module.batch_first,
                "dropout": module.dropout,
                "bidirectional": module.bidirectional,
            }
            names = [name for level in module._all_weights for name in level]
            if module.proj_size:
                options["proj_size"] = module.proj_size
        else:
            names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
        if base in (nn.RNN, nn.RNNCell):
            options["nonlinearity"] = module.nonlinearity
        kind = getattr(ours, base.__name__)
        layer = kind(module.input_size, module.hidden_size, rng=self.rng, **options)
        return self._filled(layer, module, names)

    def _sequence_model(self, module: Any, argument: str) -> Any:
        parts = readout_of(module)
        if isinstance(parts, str):
            came = f"a {type(module).__name__}: {parts}"
            raise ArgumentError(argument, came, _TAKEN)
        recurrent, head, dropout, readout = parts
        model: Any = ours.SequenceModel(input_size=1, hidden_size=1, output_size=1, rng=self.rng)
        model.readout = readout
        model.recurrent = self.convert(recurrent, argument)
        model.head = self.convert(head, argument)
        model.head_dropout = ours.Dropout(dropout, rng=self.rng)
        for part in (model, model.head_dropout):
            part.training = module.training
        return model

    def _where(self, module: Any, argument: str) -> dict[str, Any]:
        parameter = next(module.parameters())
        if parameter.dtype not in _DTYPES:
            raise DTypeError(argument, f"parameters of {parameter.dtype}", "float32 or float64")
        return {"dtype": _DTYPES[parameter.dtype], "device": parameter.device.type}

    def _filled(self, layer: Any, module: Any, names: list[str]) -> Any:
        for name in names:
            given = getattr(module, name)
            parameter = self._parameter(given)
            setattr(layer, name, parameter)
            parameter.requires_grad = given.requires_grad
        return layer.train(module.training)

    def _parameter(self, given: Any) -> Tensor:
        if id(given) not in self.made:
            with kernels_on(given):
                array = array_of(given)
                tensor = Tensor(array if self.share else array.copy(), requires_grad=True)
            self.made[id(given)] = given, tensor
        return self.made[id(given)][1]


def to_torch(layer: Any, *, share: bool = False) -> Any:
    """A minirnn layer or model as a PyTorch module, with its parameters.

    layer   RNN ("tanh" or "relu"), GRU, LSTM, their cells, Linear, Dropout, a Sequential of these,
            or a SequenceModel, which becomes an `nn.Module` with `recurrent` and `head`
    share   False copies the parameters. True shares their memory

    Raises: ArgumentError for what PyTorch has not: another activation, a GRU whose reset gate acts
    before the product, a cell of one's own.
    """
    if not isinstance(layer, ours.Module):
        raise ArgumentError("layer", f"a {type(layer).__name__}", f"a minirnn layer: {_GIVEN}")
    refuse_extras(layer, "layer", "one with norm='none' and initial_state='zeros'")
    return _To(share).convert(layer, "layer")


class _To:
    """One conversion: tied parameters meet again in it."""

    def __init__(self, share: bool) -> None:
        self.share = share
        self.made: dict[int, Any] = {}

    def convert(self, layer: Any, argument: str) -> Any:
        if isinstance(layer, ours.Sequential):
            parts = [self.convert(part, f"{argument}[{i}]") for i, part in enumerate(layer)]
            chain = nn.Sequential(*parts)
            chain.training = layer.training
            return chain
        if isinstance(layer, ours.SequenceModel):
            recurrent = self.convert(layer.recurrent, f"{argument}.recurrent")
            head = self.convert(layer.head, f"{argument}.head")
            model = TorchSequenceModel(recurrent, head, layer.head_dropout.p, layer.readout)
            model.training = model.head_dropout.training = layer.training
            return model
        if isinstance(layer, ours.Dropout):
            return nn.Dropout(layer.p).train(layer.training)
        if isinstance(layer, ours.Linear):
            bias = layer.bias is not None
            sizes = (layer.in_features, layer.out_features)
            return self._filled(nn.Linear(*sizes, bias=bias, device="meta"), layer)
        return self._recurrent(layer, argument)

    def _recurrent(self, layer: Any, argument: str) -> Any:
        kind, options = _theirs(layer, argument)
        options |= {"bias": layer.bias, "device": "meta"}  # no memory for what is replaced at once
        if issubclass(kind, nn.RNNBase):
            options |= {
                "num_layers": layer.num_layers,
                "batch_first": layer.batch_first,
                "dropout": layer.dropout,
                "bidirectional": layer.bidirectional,
            }
            if getattr(layer, "proj_size", 0):
                options["proj_size"] = layer.proj_size
        return self._filled(kind(layer.input_size, layer.hidden_size, **options), layer)

    def _filled(self, module: Any, layer: Any) -> Any:
        names = [name for name, _ in module.named_parameters()]
        for name in names:
            setattr(module, name, self._parameter(getattr(layer, name)))
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()
        return module.train(layer.training)

    def _parameter(self, given: Tensor) -> Any:
        if id(given) not in self.made:
            tensor = tensor_of(given.data if self.share else given.data.copy())
            self.made[id(given)] = nn.Parameter(tensor, requires_grad=given.requires_grad)
        return self.made[id(given)]


def _theirs(layer: Any, argument: str) -> tuple[Any, dict[str, Any]]:
    """PyTorch's class for a recurrent layer of ours, with its nonlinearity.

    Raises: ArgumentError where it has none.
    """
    cell = getattr(layer, "cell", None)
    steps = type(layer).__name__.endswith("Cell")
    if cell is None or (steps and not hasattr(nn, type(layer).__name__)):
        raise ArgumentError(argument, f"a {type(layer).__name__}", _GIVEN)
    for name, (whole, step) in _KINDS.items():
        for nonlinearity in ("tanh", "relu") if name == "rnn" else ("tanh",):
            if cell is getattr(cells, name)(nonlinearity) and not _is_reversed(layer):
                options = {"nonlinearity": nonlinearity} if name == "rnn" else {}
                return (step if steps else whole), options
    variant = ", ".join(f"{key}={value!r}" for key, value in cell.options.items())
    came = f"a {type(layer).__name__} of the cell {cell.name!r} ({variant})"
    if _is_reversed(layer):
        came += ", in reverse alone"
    wanted = "PyTorch's equations: tanh (RNN also relu), reset after the product, forward in time"
    raise ArgumentError(argument, came, wanted)


_KINDS = {
    "rnn": (nn.RNN, nn.RNNCell),
    "gru": (nn.GRU, nn.GRUCell),
    "lstm": (nn.LSTM, nn.LSTMCell),
}


def _is_reversed(layer: Any) -> bool:
    return bool(getattr(layer, "_directions", (False,))[0])
