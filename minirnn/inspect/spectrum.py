"""The spectrum of every step's Jacobian: how far one step stretches, shrinks and turns its state.

T steps, B sequences, S = H times the number of states, in the order of `Trace.jacobian`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.inspect.arguments import check_trace
from minirnn.inspect.host import on_host

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace

Array = Any
Floats = np.ndarray[Any, np.dtype[np.float64]]
Complexes = np.ndarray[Any, np.dtype[np.complex128]]


@dataclass(frozen=True, eq=False)
class JacobianSpectrum:
    """Of d state_t / d state_{t-1} at every step; NaN at steps outside `Trace.valid`.

    eigenvalues      (T, B, S) complex, the largest magnitude first
    singular_values  (T, B, S), the largest first
    """

    eigenvalues: Complexes
    singular_values: Floats

    @property
    def radius(self) -> Floats:
        """(T, B): the spectral radius, the largest |eigenvalue|."""
        return np.abs(self.eigenvalues[..., 0])

    @property
    def norm(self) -> Floats:
        """(T, B): the spectral norm, the most that the step stretches any change of its state."""
        return self.singular_values[..., 0]


def jacobian_spectrum(trace: Trace) -> JacobianSpectrum:
    """Eigenvalues and singular values of each step's Jacobian, in float64 on the CPU.

    A gradient that is carried back through a step grows by at most the largest singular value;
    where all of them stay below one it must vanish (Pascanu, Mikolov & Bengio 2013, "On the
    difficulty of training recurrent neural networks", section 2.1). One step's spectrum says little
    about many: that is `lyapunov_exponents`. Costs of the order of T B S^3 operations. NaN where a
    Jacobian is not finite.

    Raises: TraceError if the trace came from a file without its cell's equations.
    """
    check_trace(trace)
    T, B, H = trace.shape
    S = H * len(trace.cell.states)
    eigenvalues = np.full((T, B, S), np.nan, np.complex128)
    singular = np.full((T, B, S), np.nan)
    valid = on_host(trace.valid)
    for t in range(T):
        jacobian = on_host(trace.jacobian(t)).astype(np.float64)
        rows = valid[t] & np.isfinite(jacobian).all(axis=(1, 2))
        found = np.linalg.eigvals(jacobian[rows])
        order = np.argsort(-np.abs(found), axis=1, kind="stable")
        eigenvalues[t, rows] = np.take_along_axis(found, order, axis=1)
        singular[t, rows] = np.linalg.svd(jacobian[rows], compute_uv=False)
    return JacobianSpectrum(eigenvalues, singular)
