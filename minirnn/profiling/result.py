"""`Profile`: what a profile found, as small frozen records; a table of it, and JSON."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from minirnn.profiling.peak import Peak

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Phase:
    """Part of a pass.

    seconds              wall time;  `share` of its pass;  `microseconds_per_step` of time
    flop                 operations counted: see `minirnn.profiling.operations`
    gflops               GFLOP/s;  `share_of_peak` of the multiply-adds measured in the same run
    nbytes               bytes it has to read and write at least
    bandwidth            those, in GB/s;  `share_of_bandwidth` of what memory gave in the same run;
                         above 1, the arrays stay in a cache
    launches             of the recurrent kernels, on a GPU

    What was not counted (time around the kernels has neither operations nor bytes) is None.
    """

    name: str
    seconds: float
    share: float
    microseconds_per_step: float
    flop: int | None
    gflops: float | None
    share_of_peak: float | None
    nbytes: int | None
    bandwidth: float | None
    share_of_bandwidth: float | None
    launches: int | None


@dataclass(frozen=True)
class Pass(Phase):
    """A pass over the model, and the phases that make it up.

    `seconds` is the median over `repeats`; the phases divide it by their mean shares of the middle
    half of as many repeats under the kernels' clock, so that they add up to it. `spread` is
    the distance between the quartiles as a share of the median.
    """

    spread: float
    repeats: int
    phases: tuple[Phase, ...]

    def __getitem__(self, name: str) -> Phase:
        """The phase of that name. Raises: KeyError."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)


@dataclass(frozen=True)
class Level:
    """One kernel call of a pass: one layer in one direction.

    `steps` T, `batch` B, `input_size` I, `hidden_size` H; `kept` bytes for its backward.
    """

    cell: str
    steps: int
    batch: int
    input_size: int
    hidden_size: int
    kept: int


@dataclass(frozen=True)
class Memory:
    """What a training step keeps for backpropagation through time, from forward to backward.

    nbytes         of all levels together: gates and states, in the kernels' own layout
    units_of_h     floats kept per step, sequence and level, as a multiple of H
    held           bytes by which the GPU's memory pool is fuller after forward: what the kernels,
                   the layers and the loss keep together; None on the CPU
    """

    nbytes: int
    units_of_h: float
    held: int | None


@dataclass(frozen=True)
class Growth:
    """What doubling one size does to the time.

    dimension            "T", "B" or "H", and its two `sizes`
    inference, training  seconds at each
    ..._exponent         p of the power law time ~ size**p through the two
    """

    dimension: Literal["T", "B", "H"]
    sizes: tuple[int, int]
    inference: tuple[float, float]
    training: tuple[float, float]
    inference_exponent: float
    training_exponent: float


@dataclass(frozen=True)
class Transfer:
    """Arrays that go over once, between the host's memory and the GPU's.

    name        "weights", "inputs" (with targets), "output";  `to_gpu`, or from it
    seconds     median;  `bandwidth` in GB/s (1e9 bytes)
    """

    name: str
    to_gpu: bool
    nbytes: int
    seconds: float
    bandwidth: float


@dataclass(frozen=True)
class BreakEven:
    """From which size on the GPU is the faster: one size doubled, the others as they were.

    dimension    "B" or "H", and the `sizes` that were tried
    cpu, cuda    seconds of a training step at each, its arrays where they are needed
    with_transfer  seconds on the GPU when the step's inputs have to be brought there first
    wins_at      the least of the sizes from which on `cuda` is less than `cpu`; None if at none
    """

    dimension: Literal["B", "H"]
    sizes: tuple[int, ...]
    cpu: tuple[float, ...]
    cuda: tuple[float, ...]
    with_transfer: tuple[float, ...]
    wins_at: int | None


@dataclass(frozen=True)
class Comparison:
    """The same network in PyTorch: same arrays and weights, on the same device, in turns with ours.

    inference, training              its seconds (medians), with spreads as in `Pass`
    inference_ratio, training_ratio  its time over ours: above 1, minirnn is the faster
    difference                       the largest between the two's outputs and gradients, as a share
                                     of the largest element of the array in question
    """

    version: str
    inference: float
    training: float
    inference_spread: float
    training_spread: float
    inference_ratio: float
    training_ratio: float
    difference: float


@dataclass(frozen=True, repr=False)
class Profile:
    """Where the time of a recurrent network goes, on a device. Made by `minirnn.profile`.

    inference   forward under `no_grad`, in evaluation mode; nothing is kept
    forward     forward of a training step, with its loss;  `backward` its backward
    training    both together
    levels      the kernel calls of a training step, in order
    growth      by dimension, where it was asked for;  `torch` likewise, or None
    transfers   of the network's arrays to a GPU and back; none of them is in a pass
    notes       what was left out, and why
    beside      the profiles of the other devices that were named, in order
    break_even  the sizes from which on the GPU is the faster, where both devices were named
    """

    name: str
    device: str
    dtype: str
    steps: int
    batch: int
    inference: Pass
    forward: Pass
    backward: Pass
    training: Pass
    memory: Memory
    peak: Peak
    levels: tuple[Level, ...]
    growth: tuple[Growth, ...] = ()
    torch: Comparison | None = None
    transfers: tuple[Transfer, ...] = ()
    notes: tuple[str, ...] = ()
    beside: tuple[Profile, ...] = ()
    break_even: tuple[BreakEven, ...] = ()

    def on(self, device: str) -> Profile:
        """The profile of one of the devices. Raises: KeyError for one that was not named."""
        for profile in (self, *self.beside):
            if profile.device == device:
                return profile
        raise KeyError(device)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of a training step."""
        return self.training.phases

    def to_dict(self) -> dict[str, Any]:
        """Everything as nested dicts and lists, fit for JSON; seconds, bytes and plain shares."""
        told: dict[str, Any] = _listed(asdict(self))
        return told

    def table(self) -> str:
        """The tables as plain text."""
        from minirnn.profiling.table import as_text

        return as_text(self)

    def __rich__(self) -> Group:
        """What `rich` prints."""
        from minirnn.profiling.table import as_tables

        return as_tables(self)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        forward, training = 1e3 * self.inference.seconds, 1e3 * self.training.seconds
        return f"<Profile of {self.name}: inference {forward:.3g} ms, training {training:.3g} ms>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.table())}</pre>"


def _listed(value: Any) -> Any:
    """Tuples as lists, all the way down: what JSON gives back."""
    if isinstance(value, dict):
        return {key: _listed(member) for key, member in value.items()}
    if isinstance(value, (tuple, list)):
        return [_listed(member) for member in value]
    return value
