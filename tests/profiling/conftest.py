import sys

import pytest


@pytest.fixture
def quick(monkeypatch):
    """A peak that is not measured, for what does not look at it."""
    from minirnn.profiling import gpu_peak, peak

    monkeypatch.setattr(
        peak, "measure_peak", lambda dtype, threads: peak.CpuPeak(100.0, 10.0, dtype, threads, 32)
    )
    monkeypatch.setattr(peak, "fma_peak", lambda dtype: 90.0)
    monkeypatch.setattr(
        gpu_peak, "measure_peak",
        lambda dtype: gpu_peak.GpuPeak(1000.0, 100.0, dtype, "Acme", 6, gpu_peak.format_of(dtype)),
    )  # fmt: skip
    monkeypatch.setattr(gpu_peak, "multiply_add_peak", lambda name: 900.0)


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine without CuPy, whatever this one has."""
    monkeypatch.setitem(sys.modules, "cupy", None)
