"""What is timed: shapes, cells, precisions, and how many operations each takes.

T time steps, B sequences, I input size, H hidden size.
"""

from __future__ import annotations

from typing import NamedTuple

GATES = {"lstm": 4, "gru": 3, "rnn": 1}  # blocks of H rows in weight_ih and weight_hh
MODES = ("inference", "training")  # forward alone; forward and backward


class Shape(NamedTuple):
    """The size of one layer's work."""

    T: int
    B: int
    I: int  # noqa: E741
    H: int

    def __str__(self) -> str:
        return "x".join(map(str, self))


# Multiples of a vector, small to large, and batches of one.
EVEN = (
    Shape(100, 32, 32, 64),
    Shape(100, 64, 128, 128),
    Shape(200, 64, 128, 256),
    Shape(50, 32, 256, 512),
    Shape(64, 64, 512, 1024),
    Shape(100, 1, 16, 64),
    Shape(100, 1, 128, 512),
)
# Sizes that fill no vector and no tile, and long sequences of small batches.
ODD = (
    Shape(77, 48, 40, 200),
    Shape(128, 20, 33, 320),
    Shape(50, 7, 5, 96),
    Shape(300, 3, 64, 130),
    Shape(1000, 1, 8, 48),
    Shape(2000, 16, 16, 100),
)
GRID = EVEN + ODD

# One dimension at a time, from a common centre.
CENTRE = Shape(100, 32, 64, 128)
SWEEPS = {
    "T": tuple(CENTRE._replace(T=T) for T in (25, 50, 100, 200, 400)),
    "B": tuple(CENTRE._replace(B=B) for B in (1, 4, 16, 64, 256)),
    "H": tuple(CENTRE._replace(H=H) for H in (32, 64, 128, 256, 512)),
}


def operations(cell: str, shape: Shape, mode: str = "inference") -> float:
    """Floating-point operations of the matrix products; a multiply-add is two.

    Forward: W x and U h. Backward twice as many: the gradients of x and h, of W and U. The cell's
    own arithmetic (some 1% at H = 128) and the biases are left out.
    """
    T, B, I, H = shape  # noqa: E741
    forward = 2.0 * T * B * GATES[cell] * H * (I + H)
    return forward if mode == "inference" else 3.0 * forward


class Case(NamedTuple):
    """One layer, one precision, one shape, one mode."""

    cell: str
    dtype: str
    shape: Shape
    mode: str

    def __str__(self) -> str:
        return f"{self.cell}-{self.dtype}-{self.shape}-{self.mode}"

    @property
    def operations(self) -> float:
        """As the function of that name."""
        return operations(self.cell, self.shape, self.mode)


def grid_cases() -> list[Case]:
    """Every cell and shape in both modes: float32, and float64 but for the two largest shapes."""
    largest = sorted(GRID, key=lambda shape: operations("lstm", shape))[-2:]
    return [
        Case(cell, dtype, shape, mode)
        for shape in GRID
        for cell in GATES
        for dtype in ("float32", "float64")
        for mode in MODES
        if dtype == "float32" or shape not in largest
    ]


def sweep_cases() -> list[Case]:
    """LSTM in float32 along every sweep; the centre comes once."""
    shapes = dict.fromkeys(shape for sweep in SWEEPS.values() for shape in sweep)
    return [Case("lstm", "float32", shape, mode) for shape in shapes for mode in MODES]


def is_large(shape: Shape) -> bool:
    """Whether the share of the processor's peak is promised here: H >= 256 and B >= 32."""
    return shape.H >= 256 and shape.B >= 32
