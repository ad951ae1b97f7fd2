"""What every test shares: hypothesis draws the same examples each time, and compiling is not late."""

from __future__ import annotations

import os

from hypothesis import settings

# The libraries that we compare with have small products here. Their threads wait for one another
# by spinning, which on a busy machine takes ten times as long as the work. (Read when NumPy and
# PyTorch are imported, so before any test module.)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")
