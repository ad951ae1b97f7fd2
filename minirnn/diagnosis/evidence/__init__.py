"""What the detectors see, and how it is gathered: probes, answers, data, the course of training."""

from minirnn.diagnosis.evidence.evidence import (
    Answers,
    Evidence,
    HeldOut,
    answers_to,
    finite,
    is_finite,
)

__all__ = ["Answers", "Evidence", "HeldOut", "answers_to", "finite", "is_finite"]
