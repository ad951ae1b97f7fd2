"""Benchmarks: minirnn beside PyTorch, every result held to the reference before it is timed."""
