"""What every test shares: hypothesis draws the same examples each time, and compiling is not late."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")
