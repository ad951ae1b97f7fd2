"""Seeing inside: recordings of recurrent layers, their traces, and what is measured on them."""

from minirnn.inspect.recording import Recording, record
from minirnn.inspect.trace import Trace

__all__ = ["Recording", "Trace", "record"]
