"""Small data sets: a real series with its provenance, and tasks made by rule."""

from __future__ import annotations

from minirnn.datasets.co2 import co2
from minirnn.datasets.records import Series, Task
from minirnn.datasets.sunspots import sunspots
from minirnn.datasets.symbols import copying, reber, temporal_order
from minirnn.datasets.synthetic import adding, sine
from minirnn.datasets.text import Tokens, as_tokens, text

__all__ = [
    "Series",
    "Task",
    "Tokens",
    "adding",
    "as_tokens",
    "co2",
    "copying",
    "reber",
    "sine",
    "sunspots",
    "temporal_order",
    "text",
]
