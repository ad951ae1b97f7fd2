"""Keras 3: layers, models and `.keras` files as networks of minirnn, and back.

from_keras     a layer, a model or a `.keras` file as a module
keras_weights  a converted module's weights or gradients, in Keras's order and layout
to_keras       a layer or model of minirnn, or a converted module, as a Keras one
"""

from __future__ import annotations

from minirnn.interop.keras.convert import from_keras, keras_weights
from minirnn.interop.keras.export import to_keras

__all__ = ["from_keras", "keras_weights", "to_keras"]
