"""Seeing inside: recordings of recurrent layers, their traces, and what is measured on them."""

from minirnn.inspect.compare import TraceComparison
from minirnn.inspect.dimension import effective_rank, participation_ratio
from minirnn.inspect.probe import Probe, gradient_probe
from minirnn.inspect.recording import Recording, record
from minirnn.inspect.saturation import GateSaturation, gate_saturation
from minirnn.inspect.sensitivity import input_sensitivity
from minirnn.inspect.spread import Spread, spread_between_sequences
from minirnn.inspect.trace import Trace

__all__ = [
    "GateSaturation",
    "Probe",
    "Recording",
    "Spread",
    "Trace",
    "TraceComparison",
    "effective_rank",
    "gate_saturation",
    "gradient_probe",
    "input_sensitivity",
    "participation_ratio",
    "record",
    "spread_between_sequences",
]
