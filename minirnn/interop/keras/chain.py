"""Sequential and Functional models: a chain of layers, each fed by the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from minirnn.errors import ArgumentError
from minirnn.interop.keras.base import Build, KerasModule, Result, freeze
from minirnn.interop.keras.layout import Read
from minirnn.interop.keras.source import Layer
from minirnn.interop.keras.steps import Mask
from minirnn.kernels.contract import Array
from minirnn.tensor import Tensor

MODELS = ("Sequential", "Functional", "Model")
MASK_OPERATIONS = ("NotEqual", "Any")  # how Masking and mask_zero stand in a graph
Convert = Callable[[Layer, Build], KerasModule]


class Link(NamedTuple):
    """A layer of a chain, and which of its results the next one takes; None is all of them."""

    layer: Layer
    takes: int | None  # of the results of the layer before


class KerasModel(KerasModule):
    """A chain of converted layers, named "0", "1", …

    `lengths` or `mask` are the mask of the first layer; from there it is handed on as Keras does.
    """

    def __init__(self, layer: Layer, build: Build, convert: Convert) -> None:
        super().__init__(layer)
        links: list[Link]
        self._results: tuple[int, ...] | None  # of the last layer, that the model returns
        links, self._results = sequential(layer) if layer.kind == "Sequential" else graph(layer)
        made: dict[int, KerasModule] = {}
        for index, link in enumerate(links):
            key = id(link.layer)
            if key not in made:
                made[key] = convert(link.layer, build)
            setattr(self, str(index), made[key])
        self._takes = tuple(link.takes for link in links)
        if not layer.flag("trainable", True):
            freeze(self)

    def layers(self) -> list[KerasModule]:
        """The converted layers in order."""
        return [getattr(self, str(index)) for index in range(len(self._takes))]

    def run(self, x: Tensor, mask: Mask | None) -> tuple[Result, Mask | None]:
        """The last layer's result, and its mask."""
        result: Result = x
        for layer, takes in zip(self.layers(), self._takes, strict=True):
            result = self._taken(result, takes, layer)
            mask = None if takes else mask  # of a layer's results, the first alone has a mask
            result, mask = layer.run(result, mask)
        if self._results is None:
            return result, mask
        results = result if isinstance(result, tuple) else (result,)
        chosen = tuple(results[index] for index in self._results)
        return (chosen if len(chosen) > 1 else chosen[0]), mask if self._results == (0,) else None

    def _taken(self, result: Result, takes: int | None, layer: KerasModule) -> Tensor:
        if not isinstance(result, tuple):
            return result  # type: ignore[no-any-return]
        if takes is None:
            came = f"{len(result)} results handed to {layer.kind} {layer.name!r}"
            raise ArgumentError("model", came, "one: return_state=False before the last layer")
        taken: Tensor = result[takes]
        return taken

    def variables(self, read: Read, *, gradients: bool) -> list[Array]:
        """Those of each layer in order; of one that is used twice, once."""
        once = {id(layer): layer for layer in self.layers()}
        return [a for each in once.values() for a in each.variables(read, gradients=gradients)]


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
    layers = {layer.entry.get("name", layer.config.get("name")): layer
              for layer in model.inner_list("layers")}  # fmt: skip
    inputs = _histories(model.option("input_layers"), model)
    outputs = _histories(model.option("output_layers"), model)
    wanted = "a chain: one input, and each layer fed by one other"
    if len(inputs) != 1:
        model.refuse(f"{len(inputs)} inputs", wanted)
    if len({history[:2] for history in outputs}) != 1:
        model.refuse(f"outputs of {len(outputs)} layers", wanted)
    links: list[Link] = []
    at = outputs[0]
    while at[0] != inputs[0][0]:
        layer = layers.get(at[0])
        if layer is None or len(links) > 10_000:
            model.damaged(f"no way from {at[0]!r} to the input", "a whole graph")
        nodes = layer.entry.get("inbound_nodes")
        if not isinstance(nodes, Sequence) or not 0 <= at[1] < len(nodes):
            model.damaged(f"no call {at[1]} of {layer}", "a whole graph")
        source = _source(layer, nodes[at[1]], layers, wanted)
        links.append(Link(layer, source[2]))
        at = source
    return links[::-1], tuple(history[2] for history in outputs)


History = tuple[str, int, int]  # a layer's name, which of its calls, which of the results


def _histories(given: Any, model: Layer) -> list[History]:
    """Keras's ["name", 0, 0], or a list (or dict) of them."""
    if isinstance(given, Mapping):
        given = list(given.values())
    if isinstance(given, list | tuple) and len(given) == 3 and isinstance(given[0], str):
        given = [given]
    if not isinstance(given, list | tuple):
        model.damaged(f"{given!r} for inputs or outputs", "layers' names")
    return [_history(each, model) for each in given]


def _history(given: Any, layer: Layer) -> History:
    if not (
        isinstance(given, list | tuple)
        and len(given) == 3
        and isinstance(given[0], str)
        and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in given[1:])
    ):
        layer.damaged(f"{given!r} in its graph", "a layer's name, call and result")
    return (given[0], given[1], given[2])


def _source(layer: Layer, node: Any, layers: Mapping[Any, Layer], wanted: str) -> History:
    """The one tensor that a call is fed; a mask may come with it, if Keras made it."""
    if not isinstance(node, Mapping):
        layer.damaged(f"a call of {type(node).__name__}", "args and kwargs")
    arguments = dict(node.get("kwargs") or {})
    mask = arguments.pop("mask", None)
    arguments.pop("training", None)
    fed = [*_tensors(node.get("args")), *_tensors(arguments)]
    if len(fed) != 1 or _module(layer) == "ops":
        layer.refuse(f"{len(fed)} tensors fed to it", wanted)
    for each in _tensors(mask):
        _check_mask(_history(each, layer), layer, layers)
    return _history(fed[0], layer)


def _check_mask(at: History, user: Layer, layers: Mapping[Any, Layer]) -> None:
    """Check that a mask in the graph is what Masking or mask_zero make, which is made anew here.

    Raises: ArgumentError for a mask that comes from elsewhere.
    """
    maker = layers.get(at[0])
    compared: Any = None
    while maker is not None and _module(maker) == "ops" and maker.kind in MASK_OPERATIONS:
        nodes = maker.entry.get("inbound_nodes")
        arguments = nodes[0].get("args") if isinstance(nodes, list) and nodes else None
        fed = _tensors(arguments)
        if len(fed) != 1:
            break
        before = _history(fed[0], maker)
        if maker.kind == "NotEqual":
            compared = (before, arguments[-1] if isinstance(arguments, list) else None)
            break
        maker = layers.get(before[0])
    for layer in layers.values():
        value = {"Embedding": 0, "Masking": layer.config.get("mask_value")}.get(layer.kind)
        for node in layer.entry.get("inbound_nodes") or []:
            fed = _tensors(node.get("args"))
            if value is not None and compared == (_history(fed[0], layer) if fed else None, value):
                return
    user.refuse("a mask of its own", "a mask that Masking or Embedding(mask_zero=True) made")


def _module(layer: Layer) -> str:
    return "ops" if ".ops" in str(layer.entry.get("module")) else "layers"


def _tensors(given: Any) -> list[Any]:
    """The histories of the Keras tensors in a call's arguments."""
    if isinstance(given, Mapping):
        if given.get("class_name") == "__keras_tensor__":
            return [(given.get("config") or {}).get("keras_history")]
        given = list(given.values())
    if isinstance(given, list | tuple):
        return [tensor for each in given for tensor in _tensors(each)]
    return []
