"""The benchmarks stand at the top of the repository and are imported as `bench`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
