"""Tests that users can run on their own code."""

from __future__ import annotations

from minirnn.testing.gradcheck import GradcheckError, gradcheck

__all__ = ["GradcheckError", "gradcheck"]
