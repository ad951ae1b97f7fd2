"""Swapped layers by the CUDA kernels, real or emulated, with PyTorch's tensors on the CPU.

PyTorch's tensors on a GPU, and DLPack between them and CuPy, take a real one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

# ruff: noqa: E402 (PyTorch may be missing)
from torch import nn

from minirnn.interop.torch import function, sequences, traces, watch
from minirnn.kernels import cuda as cuda_kernels


def test_a_layer_and_a_cell_run_train_and_record_on_arrays_of_the_gpu(
    cuda: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cupy

    def to_gpu(tensor: Any) -> Any:
        return cupy.asarray(tensor.detach().numpy())

    def from_gpu(array: Any) -> Any:
        return None if array is None else torch.from_numpy(cupy.asnumpy(array))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.cell = nn.GRU(3, 5, bidirectional=True), nn.GRUCell(10, 4)

        def forward(self, x: Any) -> Any:
            h = None
            for row in self.layer(x)[0]:
                h = self.cell(row, h)
            return h

    torch.manual_seed(0)
    model = Model().double()
    x = torch.randn(4, 2, 3, dtype=torch.float64)

    def step() -> list[Any]:
        model.zero_grad()
        loss = model(x).pow(2).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        return [p.grad for p in model.parameters()]

    theirs = step()
    for module in (function, sequences, traces):
        monkeypatch.setattr(module, "array_of", to_gpu)
    monkeypatch.setattr(function, "tensor_of", from_gpu)
    monkeypatch.setattr(function, "kernels_for", lambda tensor: cuda_kernels)
    with watch(model) as seen:
        ours = step()
    for mine, other in zip(ours, theirs, strict=True):
        assert float((mine - other).abs().max()) <= 1e-9 * float(other.abs().max())
    assert [t.shape for t in seen.recording.traces] == [(4, 2, 5), (4, 2, 5), (4, 2, 4)]
    for trace in seen.recording.traces:
        assert trace.device == cuda
        assert np.isfinite(cupy.asnumpy(trace.grad_hidden)).all()
