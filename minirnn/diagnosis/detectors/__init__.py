"""One symptom a file: each module has `SYMPTOM` and `detect(evidence) -> Finding | None`.

A detector says what it saw and how bad it is. What brings what, and what helps, is told elsewhere
(`causes`, `remedies`), so that a new symptom is one new file here and a line or two there.
"""

from __future__ import annotations

from collections.abc import Callable

from minirnn.diagnosis.detectors import (
    accumulated_gradients,
    batch_time_swap,
    carried_state,
    constant_output,
    dead_units,
    exploding_gradient,
    frozen_generation,
    leakage,
    low_data_diversity,
    missing_values,
    no_recurrence,
    no_signal,
    non_finite,
    oscillating_loss,
    outliers,
    output_loop,
    outside_training_range,
    over_regularised,
    overfitting,
    reads_padding,
    saturated_gates,
    shape_broadcast,
    slow_learning,
    stalled_loss,
    state_collapse,
    underfitting,
    unscaled_input,
    vanishing_gradient,
)
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding

Detector = Callable[[Evidence], Finding | None]

# In order of cause: what comes earlier can bring what comes later.
MODULES = (
    missing_values,
    leakage,
    outliers,
    low_data_diversity,
    batch_time_swap,
    no_recurrence,
    shape_broadcast,
    reads_padding,
    carried_state,
    no_signal,
    accumulated_gradients,
    unscaled_input,
    over_regularised,
    oscillating_loss,
    slow_learning,
    exploding_gradient,
    non_finite,
    saturated_gates,
    dead_units,
    vanishing_gradient,
    state_collapse,
    underfitting,
    stalled_loss,
    constant_output,
    overfitting,
    outside_training_range,
    frozen_generation,
    output_loop,
)

DETECTORS: dict[str, Detector] = {module.SYMPTOM: module.detect for module in MODULES}
