"""Sequential and Functional models: a chain of layers, each fed by the one before."""

from __future__ import annotations

from collections.abc import Callable

from minirnn.errors import ArgumentError
from minirnn.interop.keras.base import Build, KerasModule, Result, freeze
from minirnn.interop.keras.graph import Link, graph, sequential
from minirnn.interop.keras.layout import Read
from minirnn.interop.keras.source import Layer
from minirnn.interop.keras.steps import Mask
from minirnn.kernels.contract import Array
from minirnn.tensor import Tensor

MODELS = ("Sequential", "Functional", "Model")
Convert = Callable[[Layer, Build], KerasModule]


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
