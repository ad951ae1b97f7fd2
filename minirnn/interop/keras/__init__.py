"""Keras 3: layers, models and `.keras` files as networks of minirnn, and back."""

from __future__ import annotations

from minirnn.interop.keras.convert import from_keras, keras_weights

__all__ = ["from_keras", "keras_weights"]
