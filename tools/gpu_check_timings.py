"""Part of `make gpu-check`: the timings of bench.gpu, with its arguments."""

from __future__ import annotations

import sys

import gpu_check_common as common

from bench import gpu

if __name__ == "__main__":
    common.plant()
    sys.exit(gpu.main())
