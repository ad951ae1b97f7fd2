"""Random ONNX models of RNN, GRU and LSTM: minirnn, onnxruntime and ONNX's ReferenceEvaluator.

    python tools/sweep_onnx.py [--count 300] [--seed 0]

All are held to the specification's equations (tests/interop/onnx_specification.py): minirnn in
float64 to 1e-12 of an array's largest value, its gradients to 1e-9 of complex-step derivatives, and
in float32, like onnxruntime, to a bound on rounding that is computed along with the result. Where
onnxruntime or the evaluator are outside, it is found out what of the specification they leave out:
the fewest features without which the equations give what they gave.
Some minutes: kernels of 32 cells are compiled the first time. Needs onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "interop")]

import onnxruntime  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx_calls import (  # noqa: E402
    FUNCTIONS,
    complex_step,
    feeds_of,
    in_layout_0,
    model_of,
    random_call,
)
from onnx_specification import Call, arrays, float32_bounds, specified  # noqa: E402

from minirnn import Tensor  # noqa: E402
from minirnn.interop.onnx import OnnxModel, from_onnx  # noqa: E402

FLOAT64 = 1e-12
GRADIENT = 1e-9


def without(call: Call, feature: str) -> Call | None:
    """The call without something that an implementation may leave out; None if it has it not."""
    if feature == "sequence_lens":
        lengths = call.sequence_lens
        ragged = lengths is not None and lengths.min() < len(call.X)
        return replace(call, sequence_lens=None) if ragged else None
    if feature == "initial states of empty sequences":
        empty = call.sequence_lens is not None and call.sequence_lens.min() == 0
        return replace(call, keep_empty=False) if empty and call.keep_empty else None
    if feature == "clip of c before h":
        clips = call.op == "LSTM" and "clip" in call.attributes and call.clip_cell
        return replace(call, clip_cell=False) if clips else None
    names = [name for name in call.attributes if name.startswith(feature)]
    left = {name: value for name, value in call.attributes.items() if name not in names}
    return replace(call, attributes=left) if names else None


FEATURES = (
    "sequence_lens", "initial states of empty sequences", "clip of c before h", "clip",
    "activation", "input_forget",
)  # fmt: skip


def explanation(call: Call, got: Any, bounds: Callable[[Call], Any]) -> str:
    """What an implementation left out, if leaving that out gives what it gave."""
    for count in range(1, len(FEATURES) + 1):
        for chosen in combinations(FEATURES, count):
            reduced: Call | None = call
            for feature in chosen:
                reduced = reduced and without(reduced, feature)
            if reduced and excess(got, specified(reduced), bounds(reduced)) <= 1.0:
                return f"{call.op}: leaves out {', '.join(chosen)}"
    return f"{call.op}: unexplained, {call.attributes}"


def excess(got: Any, want: Any, bounds: Any) -> float:
    """The largest error in units of what is allowed; infinite for a NaN."""
    worst = 0.0
    for a, b, bound in zip(got, want, bounds, strict=True):
        if a.shape != b.shape:
            return float("inf")
        error = np.abs(a.astype(np.float64) - b)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(error == 0, 0.0, error / bound)
        worst = max(worst, float(np.nan_to_num(share, nan=np.inf).max(initial=0.0)))
    return worst


def relative(call: Call) -> list[Any]:
    """1e-12 of each array's largest value."""
    want = specified(call)
    return [np.full(b.shape, FLOAT64 * max(np.abs(b).max(initial=0.0), 1.0)) for b in want]


def run_minirnn(model: Any, feeds: dict[str, Any], layout: int) -> list[Any]:
    """minirnn's outputs as arrays in layout 0."""
    results = from_onnx(model).run(feeds)
    return in_layout_0([value.numpy() for value in results.values()], layout)


def gradient_error(call: Call, layout: int, rng: np.random.Generator) -> float:
    """How far minirnn's derivative along a random direction is from the complex step's."""
    module: OnnxModel = from_onnx(model_of(call, "float64", layout=layout))
    feeds: dict[str, Any] = {}
    for name, value in feeds_of(call, "float64", layout).items():
        feeds[name] = value if name == "sequence_lens" else Tensor(value, requires_grad=True)
    outputs = module.run(feeds)
    want = specified(call)
    seeds = [rng.normal(size=each.shape) for each in want]
    turned = [in_other_layout(seed, layout) for seed in seeds]
    total: Any = 0.0
    for value, seed in zip(outputs.values(), turned, strict=True):
        total = total + (value * seed).sum()
    total.backward()
    direction = {name: rng.normal(size=array.shape) for name, array in arrays(call).items()}
    along = scale = 0.0
    parameters = dict(module.named_parameters())
    for name, move in direction.items():
        grad = (parameters[name] if name in parameters else feeds[name]).grad
        if layout and name not in parameters:
            grad = grad.swapaxes(0, 1)
        along += float((grad * move).sum())
        scale += float(np.abs(grad * move).sum())

    def loss(results: Any) -> Any:
        return sum((value * seed).sum() for value, seed in zip(results, seeds, strict=True))

    return abs(along - complex_step(call, direction, loss)) / max(scale, 1.0)


def in_other_layout(seed: Any, layout: int) -> Any:
    """An array of layout 0 as layout 1 has it."""
    if not layout:
        return seed
    return seed.transpose(2, 0, 1, 3) if seed.ndim == 4 else seed.swapaxes(0, 1)


class Tally:
    """How one implementation fared."""

    def __init__(self, name: str) -> None:
        self.name, self.right, self.worst = name, 0, 0.0
        self.wrong: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def add(self, share: float, why: Callable[[], str]) -> None:
        """Count a model whose error is `share` of what is allowed."""
        if share <= 1.0:
            self.right += 1
            self.worst = max(self.worst, share)
        else:
            self.wrong[why()] += 1

    def report(self) -> None:
        """Print it."""
        print(f"{self.name}: {self.right} within bounds (worst {self.worst:.2g} of the bound), "
              f"{self.wrong.total()} outside, {self.refused.total()} refused")  # fmt: skip
        for found, word in ((self.wrong, "outside"), (self.refused, "refused")):
            for message, count in found.most_common():
                print(f"    {word} {count:3d}  {message}")


def main() -> int:
    """Sweep, print, and return 1 if minirnn was outside its bounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    onnxruntime.set_default_logger_severity(4)  # what it refuses is counted
    tallies = {name: Tally(name) for name in (
        "minirnn float64", "minirnn float32", "minirnn gradients", "onnxruntime float32",
        "ReferenceEvaluator float64")}  # fmt: skip
    ops = list(FUNCTIONS)
    for number in range(options.count):
        op = ops[number % 3]
        functions = FUNCTIONS[op][(number // 3) % len(FUNCTIONS[op])]
        call, layout = random_call(rng, op, functions), int(rng.integers(2))
        opset = int(rng.choice([7, 14, 22])) if not layout else int(rng.choice([14, 22]))
        want = specified(call)
        for dtype, bounds in (("float64", relative(call)), ("float32", float32_bounds(call))):
            model = model_of(call, dtype, layout=layout, opset=opset)
            got = run_minirnn(model, feeds_of(call, dtype, layout), layout)
            tallies[f"minirnn {dtype}"].add(excess(got, want, bounds), lambda: str(call))  # noqa: B023
        share = gradient_error(call, layout, rng) / GRADIENT
        tallies["minirnn gradients"].add(share, lambda: str(call))  # noqa: B023
        # In layout 0, since onnxruntime refuses the other.
        model = model_of(call, "float32", opset=opset)
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        got = session.run(None, feeds_of(call, "float32"))
        judge(tallies["onnxruntime float32"], replace(call, textbook=True), got, float32_bounds)
        tally = tallies["ReferenceEvaluator float64"]
        model = model_of(call, "float64", layout=layout, opset=opset)
        try:
            got = ReferenceEvaluator(model).run(None, feeds_of(call, "float64", layout))
        except RuntimeError as error:
            tally.refused[f"{op}: {error}"] += 1
        else:
            judge(tally, call, in_layout_0(got, layout), relative)
    for tally in tallies.values():
        tally.report()
    return int(any(t.wrong for n, t in tallies.items() if n.startswith("minirnn")))


def judge(tally: Tally, call: Call, got: Any, bounds: Callable[[Call], Any]) -> None:
    """Count what another implementation gave."""
    share = excess(got, specified(call), bounds(call))
    tally.add(share, lambda: explanation(call, got, bounds))


if __name__ == "__main__":
    sys.exit(main())
