"""Files damaged in place, one byte at a time, quickly."""

from __future__ import annotations

import os


def header_bytes(content):
    """Bytes of a safetensors file before its tensors."""
    return 8 + int.from_bytes(content[:8], "little")


def flips(content, at, masks):
    """What stands at a byte when its bits are flipped by each mask; 0x00 and 0xff are set too."""
    values = {content[at] ^ mask for mask in masks} | {0x00, 0xFF}
    return sorted(values - {content[at]})


def accepted(path, load, error, masks, where):
    """(offset, value) of every damage that `load` takes for a whole file.

    Raises: whatever `load` raises that is not `error`.
    """
    content = path.read_bytes()
    passed = []
    with path.open("r+b", buffering=0) as file:
        for at in where:
            for value in flips(content, at, masks):
                os.pwrite(file.fileno(), bytes([value]), at)
                try:
                    load(path)
                except error:
                    continue
                passed.append((at, value))
            os.pwrite(file.fileno(), content[at : at + 1], at)
    load(path)
    return passed


def accepted_when_truncated(path, load, error):
    """Every length, shorter than the whole, at which `load` takes the file for a whole one."""
    content = path.read_bytes()
    passed = []
    with path.open("r+b", buffering=0) as file:
        for end in reversed(range(len(content))):
            file.truncate(end)
            try:
                load(path)
            except error:
                continue
            passed.append(end)
        os.pwrite(file.fileno(), content, 0)
    load(path)
    return passed
