"""Keras 3: layers, models and `.keras` files as networks of minirnn."""
