"""Try the minirnn that this Python imports: `python tools/try_install.py WHERE`.

WHERE is the folder that it must come from. Raises AssertionError if something is amiss.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import numpy as np

import minirnn as mr

where = Path(sys.argv[1]).resolve()
assert Path(mr.__file__).resolve().is_relative_to(where), f"minirnn came from {mr.__file__}"

# Every module of the kernels, each of them once.
for module in pkgutil.walk_packages(mr.kernels.__path__, "minirnn.kernels."):
    importlib.import_module(module.name)
files: dict[Path, str] = {}
for name, loaded in list(sys.modules.items()):
    if name.partition(".")[0] in ("minirnn", "kernels") and getattr(loaded, "__file__", None):
        file = Path(loaded.__file__).resolve()
        assert file.is_relative_to(where), f"{name} came from {file}"
        assert file not in files, f"{file} was loaded as {files[file]} and as {name}"
        files[file] = name
assert "minirnn.kernels.cpu" in files.values(), "the kernels were not loaded"

try:
    importlib.import_module("kernels")
except ImportError:
    pass
else:
    raise AssertionError("`import kernels` gave a second copy")

# The public names, the data that is shipped, and the kernels.
for name in mr.__all__:
    getattr(mr, name)
assert len(mr.datasets.co2().values) > 2000
layer = mr.LSTM(3, 5, rng=0)
with mr.record() as recording:
    output, _ = layer(np.ones((7, 2, 3), dtype=np.float32))
    output.sum().backward()
assert np.isfinite(recording.traces[0].grad_gates["forget"]).all()

# The texts that the CUDA kernels are made of, which no GPU is needed to put together.
cuda = mr.kernels.cuda
texts = cuda.generated_source(mr.cells.lstm())
texts += cuda.source.packing_source("float32", "float32")
texts += cuda.source.operands_source("float32", "float32")
for name in ("machine", "formats", "share", "sequence", "packing", "product", "operands"):
    file = Path(cuda.__file__).parent / f"{name}.cuh"
    assert file.read_text(encoding="utf-8") in texts, file.name
