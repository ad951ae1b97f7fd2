"""What a network began with, where that is all there will ever be."""

from __future__ import annotations

from minirnn.diagnosis.evidence.evidence import Evidence
from minirnn.inspect.host import fetch


def dead_start(evidence: Evidence) -> bool:
    """Whether all kernels began at zero, and with them every gradient below the head's bias."""
    if evidence.untrained is None:
        return False
    matrices = [name for name in evidence.parameters if _is_kernel(name)]
    sizes = evidence.untrained.parameters
    if not matrices or any(sizes.get(name, 0.0) for name in matrices):
        return False
    return not any(fetch(*(abs(evidence.parameters[name]).max() for name in matrices)))


def _is_kernel(name: str) -> bool:
    return "weight_ih" in name or name == "head.weight"
