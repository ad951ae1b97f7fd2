"""Fixed points of a recurrent layer under a constant input, and whether they hold.

K points, S = H times the number of states, in the order of `Trace.jacobian`: (h,), LSTM (h, c).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.errors import ArgumentError, ShapeError
from minirnn.inspect.arguments import numbers, positive, whole
from minirnn.inspect.host import on_host
from minirnn.inspect.recording import record
from minirnn.real import is_whole

if TYPE_CHECKING:
    from minirnn.nn.recurrent import Recurrent

Array = Any
Floats = np.ndarray[Any, np.dtype[np.float64]]
Complexes = np.ndarray[Any, np.dtype[np.complex128]]

DAMPING = 1e-3  # where Levenberg and Marquardt's step begins
WORST_DAMPING = 1e12


@dataclass(frozen=True, eq=False)
class FixedPoints:
    """Where F(s) = s, for s the state and F one step under the constant input.

    states       (K, S), K distinct points, those found most often first
    speeds       (K,) q = ½ ‖F(s) - s‖²
    eigenvalues  (K, S) complex, of dF/ds there, the largest magnitude first
    found        (K,) how many starts led to each
    starts       how many there were
    """

    states: Floats
    speeds: Floats
    eigenvalues: Complexes
    found: np.ndarray[Any, np.dtype[np.int64]]
    starts: int

    @property
    def radius(self) -> Floats:
        """(K,): spectral radius of dF/ds."""
        return np.abs(self.eigenvalues[:, 0])

    @property
    def stable(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(K,): the radius is below 1, so every small change of the state dies out."""
        return self.radius < 1.0

    def __len__(self) -> int:
        return len(self.states)


def fixed_points(
    layer: Recurrent,
    x: Array | None = None,
    *,
    starts: Array | int = 64,
    tolerance: float = 1e-12,
    iterations: int = 200,
    apart: float = 1e-4,
    seed: int = 0,
) -> FixedPoints:
    """Find fixed points of a layer from many starts, in float64, with their stability.

    layer       of one level and one direction, of any cell
    x           (I,) the constant input; None is zeros
    starts      (N, S) states to begin at, such as a trace's; or how many to draw, uniformly from
                (-1, 1)
    tolerance   of q = ½ ‖F(s) - s‖²: a start that ends above it found no fixed point
    iterations  at most, of a damped Newton step on F(s) - s (Levenberg-Marquardt)
    apart       two ends closer than this, in the largest difference of a unit, are one point

    Source: Sussillo & Barak 2013, "Opening the black box", section 2; Golub & Sussillo 2018,
    "FixedPointFinder". Their Newton step here has the exact Jacobian of every step.

    Raises: ArgumentError for a layer of several levels or an option that makes no sense; ShapeError
    for x or starts that do not fit.
    """
    twin = _float64_twin(layer)
    H, states = layer.hidden_size, len(layer.cell.states)
    S = H * states
    tolerance, apart = positive("tolerance", tolerance), positive("apart", apart)
    iterations, seed = whole("iterations", iterations, 1), whole("seed", seed, 0)
    wanted = f"numbers ({layer.input_size},)"
    fed = np.zeros(layer.input_size) if x is None else on_host(numbers("x", x, wanted))
    fed = fed.astype(np.float64)
    if fed.shape != (layer.input_size,):
        raise ShapeError("x", f"shape {fed.shape}", f"({layer.input_size},)")
    s = _starts(starts, S, seed)

    value, jacobian = _step(twin, fed, s, states)
    residual = value - s
    q = 0.5 * (residual**2).sum(axis=1)
    damping = np.full(len(s), DAMPING)
    eye = np.eye(S)
    for _ in range(iterations):
        going = (q > tolerance * 1e-4) & (damping < WORST_DAMPING)
        if not going.any():
            break
        # (GᵀG + μ I) δ = -Gᵀ (F(s) - s),  G = dF/ds - I
        G = jacobian[going] - eye
        Gt = G.swapaxes(1, 2)
        normal = Gt @ G + damping[going, None, None] * eye
        delta = np.linalg.solve(normal, -(Gt @ residual[going, :, None]))[:, :, 0]
        tried = s[going] + delta
        value, there = _step(twin, fed, tried, states)
        ahead = value - tried
        now = 0.5 * (ahead**2).sum(axis=1)
        better = now < q[going]
        rows = np.flatnonzero(going)
        damping[rows] = np.where(better, damping[rows] / 10.0, damping[rows] * 10.0)
        rows = rows[better]
        s[rows], residual[rows], q[rows] = tried[better], ahead[better], now[better]
        jacobian[rows] = there[better]
    return _distinct(s, q, jacobian, tolerance, apart)


def _float64_twin(layer: Recurrent) -> Recurrent:
    """The layer's cell and weights as a float64 layer on the CPU."""
    from minirnn.nn.recurrent import Recurrent

    if not isinstance(layer, Recurrent) or layer.num_layers * layer.num_directions != 1:
        wanted = "a recurrent layer of one level and one direction"
        raise ArgumentError("layer", repr(layer), wanted, "Take one level's weights into its own")
    if layer.output_size != layer.hidden_size:
        raise ArgumentError("layer", repr(layer), "a layer without a projection")
    twin = Recurrent(
        layer.cell, layer.input_size, layer.hidden_size, bias=layer.bias, dtype="float64", rng=0
    )
    weights = {n: on_host(a).astype(np.float64) for n, a in layer.state_dict().items()}
    twin.load_state_dict(weights)
    return twin


def _starts(starts: Array | int, S: int, seed: int) -> Floats:
    if is_whole(starts):
        count = whole("starts", starts, 1)
        return np.random.default_rng(seed).uniform(-1.0, 1.0, (count, S))
    wanted = f"states (N, {S}), or how many to draw"
    array: Floats = on_host(numbers("starts", starts, wanted)).astype(np.float64)
    if array.ndim != 2 or array.shape[1] != S or len(array) == 0:
        raise ShapeError("starts", f"shape {array.shape}", f"(N, {S}), one state a row")
    return array


def _step(layer: Recurrent, x: Floats, s: Floats, states: int) -> tuple[Floats, Array]:
    """F(s) (N, S) and dF/ds (N, S, S)."""
    N = len(s)
    given = [np.ascontiguousarray(part)[None] for part in np.split(s, states, axis=1)]
    with record() as recording:
        _, last = layer(
            np.broadcast_to(x, (1, N, len(x))).copy(), given[0] if states == 1 else tuple(given)
        )
    after = [last] if states == 1 else last
    value = np.concatenate([each.data[0] for each in after], axis=1)
    return value, recording.traces[0].jacobian(0)


def _distinct(s: Floats, q: Floats, jacobian: Array, tolerance: float, apart: float) -> FixedPoints:
    """One of each group of ends that lie together: the slowest."""
    order = np.argsort(q, kind="stable")
    order = order[q[order] <= tolerance]
    kept: list[int] = []
    found: list[int] = []
    for at in order:
        near = [n for n, other in enumerate(kept) if np.abs(s[at] - s[other]).max() < apart]
        if near:
            found[near[0]] += 1
        else:
            kept.append(int(at))
            found.append(1)
    often = np.argsort(-np.array(found, np.int64), kind="stable")
    rows = np.array(kept, np.int64)[often]
    values = np.linalg.eigvals(jacobian[rows]).astype(np.complex128)
    by_size = np.argsort(-np.abs(values), axis=1, kind="stable")
    return FixedPoints(
        states=s[rows],
        speeds=q[rows],
        eigenvalues=np.take_along_axis(values, by_size, axis=1),
        found=np.array(found, np.int64)[often],
        starts=len(s),
    )
