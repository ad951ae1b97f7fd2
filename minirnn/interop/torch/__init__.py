"""PyTorch: watch and accelerate a model in place, and convert layers both ways."""
