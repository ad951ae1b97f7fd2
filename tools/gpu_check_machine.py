"""Part of `make gpu-check`: what GPU this is, and whether CuPy can use it."""

from __future__ import annotations

import argparse
import importlib
import sys

import gpu_check_common as common

NEEDED = ("numpy", "numba", "cupy", "hypothesis", "pytest", "rich", "safetensors")


def broken() -> list[str]:
    """Of the packages that are needed, those that are installed and cannot be imported."""
    found = []
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is told)
            found.append(f"{name} cannot be imported: {' '.join(str(error).split())[:300]}")
    return found


def main() -> int:
    """Describe the machine; the exit status is 1 without a GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the same")
    parser.parse_args()
    common.plant()
    if why := broken():
        return common.report("not all that is needed works", why)
    from bench import gpu_machine
    from minirnn.errors import MinirnnError

    try:
        described = gpu_machine.describe()
    except MinirnnError as error:
        return common.report("no GPU that can be used", [" ".join(str(error).split())])
    for name, value in described.items():
        print(f"{name:20} {value}")
    words = (
        f"{described['gpu']}, {described['multiprocessors']} multiprocessors, "
        f"{described['gpu_memory_gib']} GiB, driver {described['driver']}"
    )
    return common.report(words, [], described=described)


if __name__ == "__main__":
    sys.exit(main())
