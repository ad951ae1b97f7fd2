"""The sides on a GPU: a minirnn layer, and PyTorch's, which is cuDNN's; called alike.

A side has `inference(n)` and `training(n)` on the n-th set of inputs, `around()` in which they are
called, and `result(mode)`, which gives the arrays that are checked, as NumPy's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import minirnn as mr
from bench.gpu_timing import poisoned
from bench.gpu_work import GpuWork
from bench.problem import LAYERS, PARAMETERS

Array = Any


def has_torch() -> bool:
    """Whether there is a PyTorch that can reach the GPU."""
    from bench.sides import has_torch as installed

    if not installed():
        return False
    import torch

    return bool(torch.cuda.is_available())


class Ours:
    """A minirnn layer on the GPU, through its public call and its tape."""

    name = "minirnn"

    def __init__(self, work: GpuWork, precision: str) -> None:
        self.work, self.precision = work, precision
        self.layer: Any = LAYERS[work.cell](*work.shape[2:], device="cuda")
        self.layer.load_state_dict(work.state_dict)
        self.xs = [mr.Tensor(x, requires_grad=True) for x, _ in work.inputs]

    @contextmanager
    def around(self) -> Iterator[None]:
        """The precision of its products."""
        from minirnn.kernels.cuda import get_matmul_precision

        before = get_matmul_precision()
        mr.set_matmul_precision(self.precision)  # type: ignore[arg-type]
        try:
            yield
        finally:
            mr.set_matmul_precision(before)

    def inference(self, n: int) -> Any:
        """Forward alone: nothing is kept."""
        with mr.no_grad():
            return self.layer(self.xs[n])

    def training(self, n: int, dy: Array = None) -> Any:
        """Forward and backward: gradients of every parameter and of x."""
        self.layer.zero_grad()
        self.xs[n].grad = None
        output, last = self.layer(self.xs[n])
        output.backward(self.work.inputs[n][1] if dy is None else dy)
        return output, last

    def result(self, mode: str) -> dict[str, Array]:
        """Arrays under the names of `GpuWork.errors`, written over poisoned memory."""
        with self.around(), poisoned():
            if mode == "inference":
                return {"output": self.inference(0)[0].numpy()}
            output, _ = self.training(0, self.work.masked)
            gradients = {p: getattr(self.layer, f"{p}_l0").grad.get() for p in PARAMETERS}
            return {"output": output.numpy(), "x": self.xs[0].grad.get(), **gradients}


class StepByStep(Ours):
    """The same with a launch for every step."""

    name = "minirnn, a launch a step"

    @contextmanager
    def around(self) -> Iterator[None]:
        """Its precision, and its schedule."""
        from minirnn.kernels.cuda.steps import step_by_step

        with super().around(), step_by_step():
            yield


class Cudnn:
    """The PyTorch layer of the same weights, on CuPy's stream; 16-bit arrays in 16-bit formats."""

    name = "cudnn"
    place = "cuda"  # as PyTorch calls it

    def __init__(self, work: GpuWork, precision: str) -> None:
        import torch

        self.torch: Any = torch
        self.work, self.precision = work, precision
        dtype = getattr(torch, "float32" if precision == "tf32" else precision)
        kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
        layer = kinds[work.cell](*work.shape[2:])
        layer.load_state_dict({k: torch.from_numpy(v) for k, v in work.state_dict.items()})
        self.layer: Any = layer.to(self.place, dtype)
        self.inputs = [tuple(self._taken(a, dtype) for a in pair) for pair in work.inputs]
        self.masked = self._taken(work.masked, dtype)
        for x, _ in self.inputs:
            x.requires_grad_()

    def _taken(self, array: Array, dtype: Any) -> Any:
        """A CuPy array as a tensor: the same memory, or a copy in another dtype."""
        return self.torch.from_dlpack(array).to(dtype)

    @contextmanager
    def around(self) -> Iterator[None]:
        """The stream that events are recorded on; float32 as it is, or rounded to tf32."""
        from minirnn.profiling.torch_like_ours import float32_products, on_cupys_stream

        with on_cupys_stream(self.torch), float32_products(self.torch, self.precision == "tf32"):
            yield

    def inference(self, n: int) -> Any:
        """Forward alone: nothing is kept."""
        with self.torch.inference_mode():
            return self.layer(self.inputs[n][0])

    def training(self, n: int, dy: Any = None) -> Any:
        """Forward and backward: gradients of every parameter and of x."""
        x, own = self.inputs[n]
        self.layer.zero_grad(set_to_none=True)
        x.grad = None
        output, last = self.layer(x)
        output.backward(own if dy is None else dy)
        return output, last

    def result(self, mode: str) -> dict[str, Array]:
        """As ours; the memory that PyTorch's allocator has at hand is poisoned."""
        with self.around():
            poison = self.torch.full((64 << 20,), float("nan"), device=self.place)
            del poison
            if mode == "inference":
                return {"output": self._host(self.inference(0)[0])}
            output, _ = self.training(0, self.masked)
            gradients = {p: self._host(getattr(self.layer, f"{p}_l0").grad) for p in PARAMETERS}
            x = self._host(self.inputs[0][0].grad)
            return {"output": self._host(output), "x": x, **gradients}

    def _host(self, tensor: Any) -> Array:
        return tensor.detach().float().cpu().numpy()


class OnCpu:
    """The same layer on the CPU, on as many threads as it takes: for what moving is worth."""

    name = "cpu"

    def __init__(self, work: GpuWork) -> None:
        self.layer: Any = LAYERS[work.cell](*work.shape[2:])
        self.layer.load_state_dict(work.state_dict)
        x, dy = work.inputs[0]
        self.x, self.dy = mr.Tensor(x.get(), requires_grad=True), dy.get()

    def inference(self) -> Any:
        """Forward alone."""
        with mr.no_grad():
            return self.layer(self.x)

    def training(self) -> Any:
        """Forward and backward."""
        self.layer.zero_grad()
        self.x.grad = None
        self.layer(self.x)[0].backward(self.dy)
