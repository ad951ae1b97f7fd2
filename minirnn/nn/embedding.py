"""`Embedding`: a row of a table for each symbol."""

from __future__ import annotations

from typing import Any

from minirnn.device import check_device, to_device
from minirnn.errors import ShapeError
from minirnn.functional.indexing import embedding
from minirnn.kernels.contract import Array
from minirnn.nn.arguments import float_dtype, generator, positive_int
from minirnn.nn.module import Module
from minirnn.tensor import Tensor


class Embedding(Module):
    """Integers (...) to the rows of `weight (num_embeddings, embedding_dim)`: (..., embedding_dim).

    The weight starts standard normal, as PyTorch's does. `rng` is None, a seed or a Generator; the
    numbers are the same on both devices.

    Raises: ArgumentError, DTypeError or DeviceError that names the argument.
    """

    weight: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        dtype: Any = "float32",
        device: str = "cpu",
        rng: Any = None,
    ) -> None:
        """Make the layer; its arguments are told at the class."""
        self.num_embeddings = positive_int("num_embeddings", num_embeddings)
        self.embedding_dim = positive_int("embedding_dim", embedding_dim)
        self.dtype = float_dtype(dtype)
        where = check_device(device)
        shape = (self.num_embeddings, self.embedding_dim)
        try:
            values = generator(rng).standard_normal(shape)
        except ValueError:  # NumPy's "maximum allowed dimension exceeded", or its product
            raise ShapeError("weight", f"shape {shape}", "one that fits in memory") from None
        self.weight = Tensor(to_device(values.astype(self.dtype), where), requires_grad=True)

    @property
    def device(self) -> str:
        """Where the table is: "cpu" or "cuda"."""
        return self.weight.device

    def forward(self, indices: Tensor | Array) -> Tensor:
        """Look up integers of any shape.

        Raises: DTypeError for what are no integers, ArgumentError for one that is outside
        0 <= index < num_embeddings, DeviceError.
        """
        return embedding(self.weight, indices)

    def _describe(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
