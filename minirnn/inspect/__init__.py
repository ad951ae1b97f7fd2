"""Seeing inside: recordings of recurrent layers, their traces, and what is measured on them."""

from minirnn.inspect.compare import TraceComparison
from minirnn.inspect.dead import DeadUnits, dead_units
from minirnn.inspect.dependence import Dependence, measure_dependence
from minirnn.inspect.dimension import effective_rank, participation_ratio
from minirnn.inspect.fixed_points import FixedPoints, fixed_points
from minirnn.inspect.horizon import memory_horizon
from minirnn.inspect.loops import Loop, find_loop, repetition_rate
from minirnn.inspect.lyapunov import LyapunovExponents, free_run_exponents, lyapunov_exponents
from minirnn.inspect.predictability import Predictability, measure_predictability
from minirnn.inspect.probe import Probe, gradient_probe
from minirnn.inspect.recording import Recording, record
from minirnn.inspect.saturation import GateSaturation, gate_saturation
from minirnn.inspect.sensitivity import input_sensitivity
from minirnn.inspect.spectrum import JacobianSpectrum, jacobian_spectrum
from minirnn.inspect.spread import Spread, spread_between_sequences
from minirnn.inspect.trace import Trace
from minirnn.inspect.updates import update_ratios

__all__ = [
    "DeadUnits",
    "Dependence",
    "FixedPoints",
    "GateSaturation",
    "JacobianSpectrum",
    "Loop",
    "LyapunovExponents",
    "Predictability",
    "Probe",
    "Recording",
    "Spread",
    "Trace",
    "TraceComparison",
    "dead_units",
    "effective_rank",
    "find_loop",
    "fixed_points",
    "free_run_exponents",
    "gate_saturation",
    "gradient_probe",
    "input_sensitivity",
    "jacobian_spectrum",
    "lyapunov_exponents",
    "measure_dependence",
    "measure_predictability",
    "memory_horizon",
    "participation_ratio",
    "record",
    "repetition_rate",
    "spread_between_sequences",
    "update_ratios",
]
