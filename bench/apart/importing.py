"""python -m bench.apart.importing torch

Seconds that one import takes in a fresh process.
"""

from __future__ import annotations

import importlib
import json
import sys
import time

if __name__ == "__main__":
    start = time.perf_counter()
    importlib.import_module(sys.argv[1])
    print(json.dumps(time.perf_counter() - start))
