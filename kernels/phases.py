"""The phases of a kernel call, the same on every device, and the record of their times."""

from __future__ import annotations

from dataclasses import dataclass, field

PHASES = (
    "pack",  # weights into the kernels' own layout, gradients out of it
    "input product",  # z = b + W x
    "recurrent loop",  # z += U h and the cell's equations; in backward, BPTT itself
    "input gradient",  # dx = dz W
    "weight gradients",  # sums over time and batch
    "rebuild",  # of the gates, where they were not kept
)


@dataclass(eq=False)
class Times:
    """Seconds by phase, over all kernel calls of the process while measuring.

    kernel     seconds inside kernel calls, "forward" and "backward"
    launches   of the kernels' own, on a GPU: by "forward" and "backward", then by phase
    """

    forward: dict[str, float] = field(default_factory=dict)
    backward: dict[str, float] = field(default_factory=dict)
    kernel: dict[str, float] = field(default_factory=lambda: {"forward": 0.0, "backward": 0.0})
    launches: dict[str, dict[str, int]] = field(
        default_factory=lambda: {"forward": {}, "backward": {}}
    )
    calls: int = 0
