"""Tests of the tests: CUDA kernels that are wrong on purpose must fail the other comparisons.

Each mutant is one substitution in the text that is compiled: a gate swapped, a barrier missing, a
step shifted, an edge not guarded. A missing barrier shows because the blocks and threads of the
emulated GPU come in random order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from host_arrays import OnDevice
from kernel_cases import CELLS, assert_kernels_match, random_case
from launch import EmulationError

from minirnn.kernels.cuda import build, products, schedule, steps

# What to replace in the text of which kernel, and by what.
EQUATIONS = {
    "gates-swapped": (
        "forward",
        "gate[slot::input_] = sigmoid(z[slot::input_]);",
        "gate[slot::input_] = sigmoid(z[slot::forget_]);",
    ),
    "state-forgotten": ("forward", "gate[slot::forget_] * last[state_of::c_]", "Real(0)"),
    "gradient-swapped": (
        "backward",
        "dz[slot::input_] = (total[state_of::c_] * gate[slot::cell_])",
        "dz[slot::input_] = (total[state_of::c_] * gate[slot::forget_])",
    ),
    "carry-dropped": (
        "backward",
        "dlast[state_of::c_] = total[state_of::c_] *",
        "dlast[state_of::c_] = Real(0) *",
    ),
}
SEQUENCE = {
    "step-shifted": (
        "forward",
        "handed + n % 2 * (B",
        "handed + (n > 0 ? n - 1 : n) % 2 * (B",
    ),
    "later-step-shifted": (
        "backward",
        "handed + (n + 1) % 2 * (B",
        "handed + (n + (n + 2 < steps.last ? 2 : 1)) % 2 * (B",
    ),
    "lengths-ignored": (
        "forward",
        "const bool on = !lengths || t < lengths[b0 + r];",
        "const bool on = true;",
    ),
    "padding-takes-a-gradient": (
        "backward",
        "const bool on = !lengths || t < lengths[b0 + r];",
        "const bool on = true;",
    ),
    "padding-moves-a-state": ("forward", "if (lengths && t >= lengths[b0 + r])", "if (false)"),
    "outside-gradient-dropped": ("backward", "grad[p][0] += outside[p];", ""),
    "last-product-left-out": ("backward", "(gradients.finish ? 1 : 0)", "0"),
    "one-warp-left-out": (
        "forward",
        "for (int w = 0; w < WARPS; ++w) {\n            const Vector",
        "for (int w = 0; w < 3; ++w) {\n            const Vector",
    ),
    "total-of-another-step": (
        "backward",
        "gradients.total[s][steps.whole(n) + i]",
        "gradients.total[s][steps.whole(n > 0 ? n - 1 : n) + i]",
    ),
}
PRODUCTS = {
    "bias-dropped": ("large_product", "if (begin == ROW)", "if (false)"),
    "sum-not-continued": (
        "large_product",
        "for (int depth = 0; depth < count; ++depth)",
        "for (int depth = 0; depth < count && depth < 1; ++depth)",
    ),
    "slice-left-out": (
        "add_the_slices",
        "for (long long s = 0; s < slices; ++s)",
        "for (long long s = 1; s < slices; ++s)",
    ),
    "row-left-out": (
        "sum_the_rows",
        "k = first + warp; k < last",
        "k = first + warp; k < last - 1",
    ),
    "blocks-out-of-order": (
        "pack_weights",
        "place[row / H] * H",
        "(blocks - 1 - place[row / H]) * H",
    ),
}
# Each of these is right in some order of threads: only random order shows them.
BARRIERS = {
    "grid-barrier-missing": ("forward", "meeting.wait();", "__syncthreads();"),
    "grid-barrier-missing-backward": ("backward", "meeting.wait();", "__syncthreads();"),
    "grid-barrier-waits-for-too-few": (
        "forward",
        "round += gridDim.x;",
        "round += gridDim.x - 1;",
    ),
    "goes-on-before-one-has-seen-the-others": (
        "forward",
        "            }\n        __syncthreads();",
        "            }",
    ),
    "sums-read-too-early": (
        "forward",
        "(at + c) = run; });\n        __syncthreads();",
        "(at + c) = run; });",
    ),
    "piece-multiplied-before-it-came": ("forward", "wait_for_groups<STAGES - 2>();", ""),
    "piece-multiplied-too-early": (
        "forward",
        "__syncwarp();  // the piece has come for all lanes, and",
        "// the piece has come for all lanes, and",
    ),
    "sums-in-the-place-of-a-piece-in-use": (
        "forward",
        "__syncwarp();\n        Real* mine",
        "Real* mine",
    ),
    "sums-overwritten-while-read": (
        "forward",
        "__syncthreads();  // the sums have been read",
        "{}",
    ),
    "weights-used-before-they-settled": (
        "forward",
        "wait_for_groups<0>();\n        __syncthreads();",
        "wait_for_groups<0>();",
    ),
    "weights-not-waited-for": (
        "forward",
        "wait_for_groups<0>();\n        __syncthreads();",
        "__syncthreads();",
    ),
    "stage-multiplied-too-early": (
        "large_product",
        "wait_for_groups<STAGES - 2>();",
        "wait_for_groups<STAGES - 1>();",
    ),
    "stage-not-there-for-all": (
        "large_product",
        "wait_for_groups<STAGES - 2>();\n        __syncthreads();",
        "wait_for_groups<STAGES - 2>();",
    ),
}
# Wrong in few orders of threads: seen by the check of every access, see test_cuda_races.py.
RARELY_WRONG = {
    "arrives-before-all-is-handed-over": (
        "forward",
        "void arrive() {\n        __syncthreads();",
        "void arrive() {",
    ),
}
EVERY = {**EQUATIONS, **SEQUENCE, **PRODUCTS, **BARRIERS}


@pytest.fixture
def kernels(emulated: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The kernel set on a GPU of several blocks, its compiled kernels apart from everybody's."""
    monkeypatch.setattr(build, "_kernels", {})
    tiles_of = schedule.tiles_of

    def several_blocks(precision: str, slots: int) -> Any:
        return (t for t in tiles_of(precision, slots) if t.rows == 8 and t.units == 4)

    monkeypatch.setattr(schedule, "tiles_of", several_blocks)
    with emulated.device_properties(multiProcessorCount=20):
        yield OnDevice("cuda")


@pytest.fixture
def substitute(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], list[str]]:
    """substitute(kernel, old, new): compile that kernel with the substitution from now on."""

    def mutate(kernel: str, old: str, new: str) -> list[str]:
        changed: list[str] = []
        image = build._image

        def mutated(source: str, target: str, label: str) -> Any:
            if f") {kernel}(\n" in source and old in source:
                source = source.replace(old, new)
                changed.append(kernel)
            return image(source, target, label)

        monkeypatch.setattr(build, "_image", mutated)
        return changed

    return mutate


def compare(kernels: Any, name: str = "lstm-tanh", seeds: int = 1) -> None:
    """The comparisons of the other tests; H spans several blocks and warps, sums several slices."""
    for seed in range(seeds):
        for reverse in (False, True):
            case = random_case(
                CELLS[name], T=8, B=9, I=18, H=70, dtype="float64", lengths=True, seed=seed,
                reverse=reverse,
            )  # fmt: skip
            assert_kernels_match(kernels, case)


@pytest.fixture(autouse=True)
def _short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "SLICE_DEPTH", 7)


@pytest.mark.parametrize("name", ["lstm-tanh", "gru-tanh"])
def test_the_kernels_as_they_are_pass(kernels: Any, name: str) -> None:
    compare(kernels, name, seeds=2)


@pytest.mark.parametrize("mutant", EVERY)
def test_is_noticed(kernels: Any, mutant: str, substitute: Any) -> None:
    kernel, old, new = EVERY[mutant]
    changed = substitute(kernel, old, new)
    # Blocks in another order of their gates are seen in the cell whose blocks have another order.
    name = "gru-tanh" if mutant == "blocks-out-of-order" else "lstm-tanh"
    with pytest.raises((AssertionError, EmulationError)):
        compare(kernels, name, seeds=10 if mutant in BARRIERS else 1)
    assert changed == [kernel] * len(changed)
    assert changed


def test_a_launch_a_step_needs_no_grid_barrier(
    kernels: Any, substitute: Any, emulated: Any
) -> None:
    kernel, old, new = BARRIERS["grid-barrier-missing"]
    changed = substitute(kernel, old, new)
    with steps.step_by_step():
        compare(kernels)
    assert changed
