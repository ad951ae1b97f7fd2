"""What every test shares."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

# A folder's tests import what they share from the files beside them.
sys.path.extend(str(folder) for folder in sorted(Path(__file__).parent.glob("[a-z]*/")))

# Hypothesis draws the same examples every time, and the first call may take long: it compiles.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")
