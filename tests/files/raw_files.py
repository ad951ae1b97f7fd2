"""Safetensors files made by hand, also such as nobody should write."""

from __future__ import annotations

import json

import numpy as np


def raw(header, payload=b"", length=None):
    """The bytes of a file: `header` as JSON (or as the text that it is), `length` if it lies."""
    text = header if isinstance(header, bytes | str) else json.dumps(header, ensure_ascii=False)
    text = text.encode() if isinstance(text, str) else text
    return (len(text) if length is None else length).to_bytes(8, "little") + text + payload


def entry(dtype, shape, start, end):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def bfloat16(arrays):
    """A file of float32 arrays' upper halves."""
    header, payload = {}, b""
    for name, array in arrays.items():
        bits = (np.ascontiguousarray(array).view(np.uint32) >> 16).astype(np.uint16).tobytes()
        header[name] = entry("BF16", array.shape, len(payload), len(payload) + len(bits))
        payload += bits
    return raw(header, payload)
