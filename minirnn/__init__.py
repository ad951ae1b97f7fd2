"""minirnn: recurrent networks in which nothing inside backpropagation through time is hidden.

The public names, imported when they are first used: `import minirnn` loads neither NumPy nor Numba.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# A tree unzipped without its links has a small text file in place of the folder of kernels, which
# then stands beside this one. (Installed, and in a clone, there is a folder here.)
if not Path(__path__[0], "kernels").is_dir():
    __path__.append(str(Path(__path__[0]).parent))

_MODULES = {
    "cells": "minirnn.cells",
    "datasets": "minirnn.datasets",
    "errors": "minirnn.errors",
    "functional": "minirnn.functional",
    "init": "minirnn.init",
    "inspect": "minirnn.inspect",
    "interop": "minirnn.interop",
    "kernels": "minirnn.kernels",
    "optim": "minirnn.optim",
    "profiling": "minirnn.profiling",
    "testing": "minirnn.testing",
}

_NAMES = {
    "minirnn.tensor": ("Tensor", "is_grad_enabled", "no_grad"),
    "minirnn.kernels.cells.cell": ("cell",),
    "minirnn.kernels.cpu.threads": ("get_num_threads", "set_num_threads"),
    "minirnn.kernels.cuda.precision": ("get_matmul_precision", "set_matmul_precision"),
    "minirnn.functional": (
        "binary_cross_entropy_with_logits",
        "cross_entropy",
        "huber_loss",
        "l1_loss",
        "mse_loss",
    ),
    "minirnn.nn": (
        "GRU",
        "LSTM",
        "RNN",
        "BatchNorm",
        "Dropout",
        "Embedding",
        "GRUCell",
        "LSTMCell",
        "LayerNorm",
        "Linear",
        "Module",
        "RNNCell",
        "Recurrent",
        "Sequential",
        "SequenceModel",
    ),
    "minirnn.inspect": ("Trace", "record"),
    "minirnn.training": ("History", "generate"),
    "minirnn.training.checkpoint": ("Checkpoint", "load_checkpoint", "save_checkpoint"),
    "minirnn.training.checkpointing": ("Checkpointing",),
    "minirnn.training.fit": ("fit",),
    "minirnn.diagnosis": ("Diagnosis", "Finding", "Recipe"),
    "minirnn.diagnosis.diagnose": ("diagnose",),
    "minirnn.diagnosis.doctor": ("doctor",),
    "minirnn.diagnosis.watching": ("Watching",),
    "minirnn.profiling": ("Profile", "profile"),
    "minirnn.errors": (
        "ArgumentError",
        "CheckpointError",
        "DTypeError",
        "DataError",
        "DeviceError",
        "MinirnnError",
        "MissingExtraError",
        "RecipeError",
        "ShapeError",
        "TapeError",
        "TraceError",
    ),
}

_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value: object = importlib.import_module(_MODULES[name])
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'minirnn' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# For type checkers, the same names once more; tests/shell/test_public_names.py compares them.
if TYPE_CHECKING:
    from minirnn import (
        cells,
        datasets,
        errors,
        functional,
        init,
        inspect,
        interop,
        kernels,
        optim,
        profiling,
        testing,
    )
    from minirnn.diagnosis import Diagnosis, Finding, Recipe
    from minirnn.diagnosis.diagnose import diagnose
    from minirnn.diagnosis.doctor import doctor
    from minirnn.diagnosis.watching import Watching
    from minirnn.errors import (
        ArgumentError,
        CheckpointError,
        DataError,
        DeviceError,
        DTypeError,
        MinirnnError,
        MissingExtraError,
        RecipeError,
        ShapeError,
        TapeError,
        TraceError,
    )
    from minirnn.functional import (
        binary_cross_entropy_with_logits,
        cross_entropy,
        huber_loss,
        l1_loss,
        mse_loss,
    )
    from minirnn.inspect import Trace, record
    from minirnn.kernels.cells.cell import cell
    from minirnn.kernels.cpu.threads import get_num_threads, set_num_threads
    from minirnn.kernels.cuda.precision import get_matmul_precision, set_matmul_precision
    from minirnn.nn import (
        GRU,
        LSTM,
        RNN,
        BatchNorm,
        Dropout,
        Embedding,
        GRUCell,
        LayerNorm,
        Linear,
        LSTMCell,
        Module,
        Recurrent,
        RNNCell,
        SequenceModel,
        Sequential,
    )
    from minirnn.profiling import Profile, profile
    from minirnn.tensor import Tensor, is_grad_enabled, no_grad
    from minirnn.training import History, generate
    from minirnn.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from minirnn.training.checkpointing import Checkpointing
    from minirnn.training.fit import fit

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "ArgumentError",
    "BatchNorm",
    "Checkpoint",
    "CheckpointError",
    "Checkpointing",
    "DTypeError",
    "DataError",
    "DeviceError",
    "Diagnosis",
    "Dropout",
    "Embedding",
    "Finding",
    "GRUCell",
    "History",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "MinirnnError",
    "MissingExtraError",
    "Module",
    "Profile",
    "RNNCell",
    "Recipe",
    "RecipeError",
    "Recurrent",
    "SequenceModel",
    "Sequential",
    "ShapeError",
    "TapeError",
    "Tensor",
    "Trace",
    "TraceError",
    "Watching",
    "__version__",
    "binary_cross_entropy_with_logits",
    "cell",
    "cells",
    "cross_entropy",
    "datasets",
    "diagnose",
    "doctor",
    "errors",
    "fit",
    "functional",
    "generate",
    "get_matmul_precision",
    "get_num_threads",
    "huber_loss",
    "init",
    "inspect",
    "interop",
    "is_grad_enabled",
    "kernels",
    "l1_loss",
    "load_checkpoint",
    "mse_loss",
    "no_grad",
    "optim",
    "profile",
    "profiling",
    "record",
    "save_checkpoint",
    "set_matmul_precision",
    "set_num_threads",
    "testing",
]
