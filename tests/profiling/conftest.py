import pytest


@pytest.fixture
def quick(monkeypatch):
    """A peak that is not measured, for what does not look at it."""
    from minirnn.profiling import measure
    from minirnn.profiling.peak import Peak

    monkeypatch.setattr(
        measure, "measure_peak", lambda dtype, threads: Peak(100.0, 10.0, dtype, threads, 32)
    )
    monkeypatch.setattr(measure, "fma_peak", lambda dtype: 90.0)
