"""Tests that users can run on their own code: gradients by differences, and the reference.

The public names, imported when they are first used: `import minirnn.testing` loads no NumPy, so
that the pytest plugin beside it costs a test session nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

_NAMES = {
    "minirnn.testing.conformance.check_cell": ("check_cell",),
    "minirnn.testing.conformance.report": ("ConformanceError", "Report"),
    "minirnn.testing.golden": ("golden",),
    "minirnn.testing.gradcheck": ("GradcheckError", "gradcheck"),
    "minirnn.testing.conformance.graded": ("GradedCase", "graded_cases"),
    "minirnn.testing.healthy": ("UnhealthyError", "assert_healthy"),
    "minirnn.testing.mismatch": ("ReferenceMismatch", "assert_matches_reference"),
    "minirnn.testing.reference": ("Call", "ReferenceRun", "reference"),
    "minirnn.testing.step_by_step": ("reference_step_by_step",),
    "minirnn.testing.twin": ("TwinDisagreesError",),
}

_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "adapters":
        return importlib.import_module("minirnn.testing.adapters")
    if name not in _HOMES:
        raise AttributeError(f"module 'minirnn.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """This package, in which the name of a function is not lost to the file that holds it.

    Importing `minirnn.testing.reference` would put that module where the function `reference`
    belongs.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

# For type checkers, the same names once more; tests/testing/test_lazy_names.py compares them.
if TYPE_CHECKING:
    from minirnn.testing import adapters
    from minirnn.testing.conformance.check_cell import check_cell
    from minirnn.testing.conformance.graded import GradedCase, graded_cases
    from minirnn.testing.conformance.report import ConformanceError, Report
    from minirnn.testing.golden import golden
    from minirnn.testing.gradcheck import GradcheckError, gradcheck
    from minirnn.testing.healthy import UnhealthyError, assert_healthy
    from minirnn.testing.mismatch import ReferenceMismatch, assert_matches_reference
    from minirnn.testing.reference import Call, ReferenceRun, reference
    from minirnn.testing.step_by_step import reference_step_by_step
    from minirnn.testing.twin import TwinDisagreesError

__all__ = [
    "Call",
    "ConformanceError",
    "GradcheckError",
    "GradedCase",
    "ReferenceMismatch",
    "ReferenceRun",
    "Report",
    "TwinDisagreesError",
    "UnhealthyError",
    "adapters",
    "assert_healthy",
    "assert_matches_reference",
    "check_cell",
    "golden",
    "gradcheck",
    "graded_cases",
    "reference",
    "reference_step_by_step",
]
