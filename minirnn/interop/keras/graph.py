"""The graph of a Keras model: which layer is fed by which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from reprlib import repr as short
from typing import Any, NamedTuple

from minirnn.interop.keras.source import Layer

MASK_OPERATIONS = ("NotEqual", "Any")  # how Masking and mask_zero stand in a graph
WANTED = "a chain: one input, and each layer fed by one other"


class Link(NamedTuple):
    """A layer of a chain, and which result of the one before it takes; None is the only one."""

    layer: Layer
    takes: int | None


class History(NamedTuple):
    """Where a tensor of a graph comes from, which Keras calls its history."""

    name: str  # of the layer
    call: int  # which call of it
    result: int  # which of the results of that call


class Call(NamedTuple):
    """One call of a layer in a graph: what it is fed, with which mask."""

    fed: list[History]
    mask: list[History]
    last: Any  # the last positional argument


def sequential(model: Layer) -> tuple[list[Link], None]:
    """The layers of a Sequential model, and that all results of the last are the model's."""
    layers = [each for each in model.inner_list("layers") if each.kind != "InputLayer"]
    if not layers:
        model.damaged("no layers", "at least one layer")
    return [Link(layer, None) for layer in layers], None


def graph(model: Layer) -> tuple[list[Link], tuple[int, ...]]:
    """The layers of a Functional model in order, and which results of the last it returns.

    Raises: ArgumentError unless each layer is fed by one other, from one input to one last layer.
    """
    layers = {str(layer.entry.get("name")): layer for layer in model.inner_list("layers")}
    calls = {name: list(_calls(layer)) for name, layer in layers.items()}
    inputs = _ends(model.option("input_layers"), model)
    outputs = _ends(model.option("output_layers"), model)
    if len(inputs) != 1:
        model.refuse(f"{len(inputs)} inputs", WANTED)
    if len({(end.name, end.call) for end in outputs}) != 1:
        model.refuse("outputs of several layers", WANTED)
    links: list[Link] = []
    at = outputs[0]
    while at.name != inputs[0].name:
        if at.call >= len(calls.get(at.name, ())) or len(links) > sum(map(len, calls.values())):
            model.damaged(f"no way from {at.name!r} to the input", "a whole graph")
        layer, call = layers[at.name], calls[at.name][at.call]
        if len(call.fed) != 1 or _is_operation(layer):
            layer.refuse(f"{len(call.fed)} tensors that it is fed", WANTED)
        for mask in call.mask:
            _check_mask(mask, layer, layers, calls)
        at = call.fed[0]
        links.append(Link(layer, at.result))
    return links[::-1], tuple(end.result for end in outputs)


def _ends(given: Any, model: Layer) -> list[History]:
    """The inputs or outputs of a model: ["name", 0, 0], or a list (or dict) of them."""
    if isinstance(given, Mapping):
        given = list(given.values())
    if isinstance(given, list) and given and isinstance(given[0], str):
        given = [given]
    if not isinstance(given, list) or not given:
        model.damaged(f"{short(given)} for its inputs or outputs", "names of layers")
    return [_history(each, model) for each in given]


def _history(given: Any, layer: Layer) -> History:
    if not (
        isinstance(given, list)
        and len(given) == 3
        and isinstance(given[0], str)
        and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in given[1:])
    ):
        layer.damaged(f"{short(given)} in its graph", "the name of a layer, its call and result")
    return History(*given)


def _calls(layer: Layer) -> Iterator[Call]:
    nodes = layer.entry.get("inbound_nodes", [])
    if not isinstance(nodes, list):
        layer.damaged(f"calls of {type(nodes).__name__}", "a list of calls")
    for node in nodes:
        if not isinstance(node, Mapping):
            layer.damaged(f"a call of {type(node).__name__}", "args and kwargs")
        positional, named = node.get("args"), node.get("kwargs")
        if not isinstance(positional, list) or not isinstance(named, Mapping):
            layer.damaged("a call without arguments", "args and kwargs")
        others = [value for key, value in named.items() if key != "mask"]
        yield Call(
            fed=_tensors([*positional, *others], layer),
            mask=_tensors(named.get("mask"), layer),
            last=positional[-1] if positional else None,
        )


def _tensors(given: Any, layer: Layer) -> list[History]:
    """The Keras tensors in a call's arguments."""
    found: list[History] = []
    stack = [given]  # arguments may be nested deeply
    while stack:
        value = stack.pop()
        if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            history = config.get("keras_history") if isinstance(config, Mapping) else None
            found.append(_history(history, layer))
        elif isinstance(value, Mapping | list):
            stack.extend(value.values() if isinstance(value, Mapping) else value)
    return found


def _check_mask(
    at: History, user: Layer, layers: Mapping[str, Layer], calls: Mapping[str, list[Call]]
) -> None:
    """Check that a mask in the graph is what Masking or mask_zero make: it is made anew here.

    Raises: ArgumentError for a mask that comes from elsewhere.
    """
    compared: tuple[History, Any] | None = None  # the tensor, and the number it must not be
    for _ in MASK_OPERATIONS:
        maker, made = layers.get(at.name), calls.get(at.name, [])
        if maker is None or not _is_operation(maker) or len(made) != 1 or len(made[0].fed) != 1:
            break
        at = made[0].fed[0]
        if maker.kind == "NotEqual":
            compared = (at, made[0].last)
            break
        if maker.kind not in MASK_OPERATIONS:
            break
    for name, layer in layers.items():
        if layer.kind == "Masking" or (layer.kind == "Embedding" and layer.config.get("mask_zero")):
            value = layer.config.get("mask_value", 0)
            if any(compared == (call.fed[0], value) for call in calls[name] if call.fed):
                return
    user.refuse("a mask of its own", "a mask that Masking or Embedding(mask_zero=True) made")


def _is_operation(layer: Layer) -> bool:
    return ".ops" in str(layer.entry.get("module"))
