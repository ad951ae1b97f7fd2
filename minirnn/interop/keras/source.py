"""A Keras layer as a name, a configuration and weights: from a live object, or from a file.

Both give the same `Layer`, so that what follows knows nothing of where it came from.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from reprlib import repr as short
from typing import Any, NoReturn, Protocol

import numpy as np

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.kernels.contract import Array

FLOATS = ("float32", "float64")
MOST_DEPTH = 50  # of layers inside layers
_MISSING = object()


class Store(Protocol):
    """The weights of one layer, and of the layers inside it."""

    from_file: bool

    def variables(self) -> list[Array]:
        """The layer's own weights in Keras's order."""

    def child(self, name: str) -> Store:
        """Of the layer that is the attribute `name`."""

    def members(self, name: str, entries: Sequence[Mapping[str, Any]]) -> list[Store]:
        """Of the layers in the list `name`, which `entries` describe."""


class Layer:
    """One layer: `kind` (its class), `name`, `config`, and its weights.

    `entry` is what Keras serialises: class_name, module, config.
    """

    def __init__(self, entry: Any, store: Store, path: str = "") -> None:
        self.store = store
        self.path = path
        self.kind = "layer"
        if not isinstance(entry, Mapping):
            self.damaged(f"a {type(entry).__name__}", "a layer's class_name and config")
        kind, config = entry.get("class_name"), entry.get("config")
        if not isinstance(kind, str) or not isinstance(config, Mapping):
            self.damaged(f"the keys {short(list(entry))}", "a layer's class_name and config")
        if path.count("/") > MOST_DEPTH:
            self.damaged("layers inside layers", f"at most {MOST_DEPTH} levels")
        self.entry: Mapping[str, Any] = entry
        self.kind = kind
        self.config: Mapping[str, Any] = config
        name = config.get("name")
        self.path = f"{path}/{name}" if path else str(name)
        module = entry.get("module")
        # A class of the user's own may have the name of one of Keras's.
        self.of_keras = (isinstance(module, str) and module.split(".")[0] == "keras") and entry.get(
            "registered_name"
        ) in (None, kind)

    def __str__(self) -> str:
        return f"{self.kind} {self.path!r}"

    def refuse(self, came: str, wanted: str, hint: str = "") -> NoReturn:
        """Raise ArgumentError: the layer is well described, but cannot be converted."""
        raise ArgumentError("source", f"{self} with {came}", wanted, hint)

    def damaged(self, came: str, wanted: str) -> NoReturn:
        """Raise CheckpointError of a file, ArgumentError of an object."""
        error = CheckpointError if self.store.from_file else ArgumentError
        raise error("source", f"{self} with {came}", wanted)

    def option(self, key: str, default: Any = _MISSING) -> Any:
        """A value of the configuration."""
        if key in self.config:
            return self.config[key]
        if default is _MISSING:
            self.damaged(f"no {key!r} in its configuration", "a complete configuration")
        return default

    def flag(self, key: str, default: Any = _MISSING) -> bool:
        """A True or False of the configuration."""
        value = self.option(key, default)
        if not isinstance(value, bool):
            self.damaged(f"{key}={short(value)}", f"{key} True or False")
        return value

    def size(self, key: str) -> int:
        """A positive integer of the configuration."""
        value = self.option(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.damaged(f"{key}={short(value)}", f"a positive integer for {key}")
        return value

    def number(self, key: str, default: Any = _MISSING) -> float:
        """A finite number of the configuration."""
        value = self.option(key, default)
        wanted = f"a finite number for {key}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.damaged(f"{key}={short(value)}", wanted)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.damaged(f"{key}={short(value)}", wanted)
        return number

    def weights(self, *shapes: tuple[int | None, ...]) -> list[Array]:
        """The layer's own weights, which must have these shapes; None is any size.

        Raises: ArgumentError for a layer that was not built, or a dtype that is not float32 or
        float64; what `damaged` raises for other shapes.
        """
        arrays = self.store.variables()
        if shapes and not arrays and not self.store.from_file:
            self.refuse(
                "no weights", "a layer that was built", "Call it once, or its .build(shape)"
            )
        told = ", ".join(str(shape).replace("None", "any") for shape in shapes)
        fits = len(arrays) == len(shapes) and all(
            len(array.shape) == len(shape)
            and all(b is None or a == b for a, b in zip(array.shape, shape, strict=True))
            for array, shape in zip(arrays, shapes, strict=True)
        )
        if not fits:
            self.damaged(f"weights of shapes {[a.shape for a in arrays]}", f"weights of {told}")
        for array in arrays:
            if str(array.dtype) not in FLOATS:
                self.refuse(f"weights of {array.dtype}", "weights of float32 or float64")
        return arrays

    def check_policy(self) -> None:
        """Raises: ArgumentError for a layer that computes in anything but float32 or float64."""
        policy = self.config.get("dtype")
        if isinstance(policy, Mapping):
            inner = policy.get("config")
            policy = inner.get("name") if isinstance(inner, Mapping) else policy
        if policy is not None and policy not in FLOATS:
            self.refuse(f"dtype {short(policy)}", "float32 or float64 throughout")

    def inner(self, key: str, attribute: str | None = None) -> Layer:
        """The layer inside this one that the configuration holds as `key`."""
        return Layer(self.option(key), self.store.child(attribute or key), self.path)

    def inner_list(self, key: str) -> list[Layer]:
        """The layers that the configuration holds as the list `key`."""
        entries = self.option(key)
        if not isinstance(entries, Sequence) or isinstance(entries, str):
            self.damaged(f"{key} of {type(entries).__name__}", f"a list of {key}")
        whole = [entry if isinstance(entry, Mapping) else {} for entry in entries]
        stores = self.store.members(key, whole)
        return [Layer(e, store, self.path) for e, store in zip(entries, stores, strict=True)]


class LiveStore:
    """The weights of a live Keras object."""

    from_file = False

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def variables(self) -> list[Array]:
        """Copies of the object's own weights, as its `save_own_variables` gives them."""
        from keras import ops

        held: dict[str, Any] = {}
        self._thing.save_own_variables(held)
        variables = [held[str(index)] for index in range(len(held))]
        values = [getattr(each, "value", each) for each in variables]
        return [np.array(ops.convert_to_numpy(value)) for value in values]

    def child(self, name: str) -> LiveStore:
        """Of the layer that is the attribute `name`."""
        return LiveStore(getattr(self._thing, name))

    def members(self, name: str, entries: Sequence[Mapping[str, Any]]) -> list[Store]:
        """Of the layers in the list `name`; those that Keras does not list (inputs) have none."""
        held = getattr(self._thing, name)
        if len(held) == len(entries):
            return [LiveStore(each) for each in held]
        by_name = {each.name: each for each in held}
        names = [e["config"].get("name") if "config" in e else None for e in entries]
        return [LiveStore(by_name.get(each)) for each in names]


def live(thing: Any) -> Layer:
    """A live Keras layer or model.

    Raises: ArgumentError if Keras cannot serialise it.
    """
    from keras.saving import serialize_keras_object

    try:
        entry = json.loads(json.dumps(serialize_keras_object(thing)))  # as a file has it
    except (NotImplementedError, ValueError, TypeError, AttributeError) as error:
        came = (
            f"{type(thing).__name__} {getattr(thing, 'name', '')!r}, which Keras cannot serialise"
        )
        raise ArgumentError("source", came, "a layer or a chain of layers", str(error)) from error
    return Layer(entry, LiveStore(thing))


def snake_case(kind: str) -> str:
    """Keras's name in a file for a layer of that class: "SimpleRNN" is "simple_rnn"."""
    name = re.sub(r"\W+", "", kind)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
