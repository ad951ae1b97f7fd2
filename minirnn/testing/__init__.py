"""Tests that users can run on their own code: gradients by differences, and the reference."""

from __future__ import annotations

from minirnn.testing.gradcheck import GradcheckError, gradcheck
from minirnn.testing.reference import ReferenceRun, assert_matches_reference, reference
from minirnn.testing.step_by_step import reference_step_by_step

__all__ = [
    "GradcheckError",
    "ReferenceRun",
    "assert_matches_reference",
    "gradcheck",
    "reference",
    "reference_step_by_step",
]
