"""What PyTorch is in the middle of, and what of it our kernels cannot follow.

Where they cannot, the caller runs PyTorch's own forward. Several of these questions have no public
name in PyTorch: where one is not to be had, the answer is that of a plain program.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch.autograd import forward_ad

from minirnn.gpu import INSTALL

Tensor = Any

THEIRS = ""  # PyTorch's own forward has to run: it will say itself what is wrong with the arguments
_FLOATS = (torch.float32, torch.float64)
_KINDS = (torch.Tensor, torch.nn.Parameter)


def _private(owner: Any, *names: str) -> Any:
    """One of PyTorch's unpublished functions; None where this version has it not."""
    for name in names:
        owner = getattr(owner, name, None)
    return owner


_saved_tensors_hooks = _private(torch._C, "_autograd", "_top_saved_tensors_default_hooks")
_graph_task = _private(torch._C, "_current_graph_task_id")
_dispatch_modes = _private(torch._C, "_len_torch_dispatch_stack")
_transforms_level = _private(torch._C, "_functorch", "maybe_current_level")
_is_wrapped = _private(torch._C, "_functorch", "is_functorch_wrapped_tensor")
_is_batched = _private(torch._C, "_functorch", "is_legacy_batchedtensor")


def saves_elsewhere() -> bool:
    """Whether what autograd saves goes through the user's hooks: checkpointing, offloading."""
    return _saved_tensors_hooks is not None and _saved_tensors_hooks(True) is not None


def in_backward() -> bool:
    """Whether this thread is inside a backward pass."""
    return _graph_task is not None and _graph_task() != -1


def is_batched(tensor: Tensor | None) -> bool:
    """Whether a gradient belongs to a transform, as `is_grads_batched=True` makes them."""
    if tensor is None:
        return False
    return any(known(tensor) for known in (_is_wrapped, _is_batched) if known is not None)


def tracing() -> str | None:
    """What kind of tracing or transform of whole programs is going on, in words; None for none."""
    if torch.jit.is_tracing():
        return "torch.jit is tracing the model"
    if torch.compiler.is_compiling():
        return "torch.compile or torch.export is tracing the model"
    if _transforms_level is not None and _transforms_level() is not None:
        return "a transform of torch.func (vmap, grad, jvp, …) is going on"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is going on"
    if _dispatch_modes is not None and _dispatch_modes() > 0:
        return "a TorchDispatchMode sees every operation"
    return None


def why_theirs(tensors: Sequence[Tensor]) -> str | None:
    """Why PyTorch's own forward has to run on these tensors, of which the first is the input.

    None: it has not to. `THEIRS`: they do not fit together, which it will say itself.
    """
    first = tensors[0]
    dtype, device = first.dtype, first.device
    for tensor in tensors:
        if tensor is None:
            continue
        if type(tensor) not in _KINDS:
            return f"a {type(tensor).__name__} is no plain tensor"
        if tensor.dtype is not dtype or tensor.device != device:
            return _autocast(device) or THEIRS
        if tensor.layout is not torch.strided or tensor.is_nested or tensor.is_neg():
            return "a sparse, nested or lazily negated tensor is laid out in another way"
    if (autocast := _autocast(device)) is not None:
        return autocast
    if dtype not in _FLOATS:
        return f"our kernels compute in float32 and float64, not {dtype}"
    if device.type == "cuda":
        return _why_not_cuda()
    if device.type != "cpu":
        return f"our kernels run on 'cpu' and 'cuda', not {device.type!r}"
    return None


def _autocast(device: Any) -> str | None:
    if device.type in ("cpu", "cuda") and torch.is_autocast_enabled(device.type):
        return "autocast is on, and chooses precisions of its own"
    return None


def _why_not_cuda() -> str | None:
    if not _has_cupy():
        return f"on a GPU our kernels need CuPy: {INSTALL}"
    if torch.cuda.is_current_stream_capturing():
        return "a CUDA graph is being captured"
    return None


@cache
def _has_cupy() -> bool:
    return importlib.util.find_spec("cupy") is not None
