"""Weights in safetensors files, with what they mean."""
