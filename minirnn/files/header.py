"""The header of a safetensors file: names, types, shapes and places of its tensors.

A file is the header's length (8 bytes, little-endian), the header (JSON, padded with spaces), and
the tensors' bytes, one after the other without a gap. Everything the header says is held against
the file's real size here, before anything is allocated for a tensor.
Source: huggingface/safetensors, README, "Format", and its tensor.rs, `validate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as brief  # what a file says may be megabytes long
from typing import Any

from minirnn.files import strict_json

WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
METADATA = "__metadata__"
LONGEST_NAME = 1024  # characters
MOST_AXES = 32
LARGEST = 2**53  # elements of a shape, counting an axis of 0 as 1: NumPy's own limit is near
NESTED = 3  # a header, in it a tensor, in it its shape


@dataclass(frozen=True)
class Limits:
    """What a file may have at most; what has more is refused before it is read.

    header   bytes of the header: names, shapes, metadata
    tensors  how many
    total    bytes of the whole file
    """

    header: int = 4 * 2**20
    tensors: int = 2**14
    total: int = 2**34

    @property
    def values(self) -> int:
        """How many values and keys the header's JSON may have."""
        return 16 * self.tensors + 1024


LIMITS = Limits()


@dataclass(frozen=True)
class Place:
    """One tensor: the format's name of its dtype, its shape, and its bytes after the header."""

    code: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """The tensors by name, in the order of their bytes, and the metadata."""

    places: Mapping[str, Place]
    metadata: Mapping[str, str]


def compose(header: Header) -> bytes:
    """The header's bytes, its length in front; the tensors' bytes then begin at a multiple of 8."""
    told: dict[str, Any] = {METADATA: dict(header.metadata)} if header.metadata else {}
    for name, place in header.places.items():
        told[name] = {
            "dtype": place.code,
            "shape": list(place.shape),
            "data_offsets": [place.start, place.end],
        }
    text = strict_json.write(told)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def header_length(prefix: bytes, size: int, limits: Limits) -> int:
    """Bytes of the header of a file of `size` bytes, from its first 8. Raises: ValueError."""
    if size > limits.total:
        raise ValueError(f"it has {size:,} bytes, more than the limit of {limits.total:,}")
    if len(prefix) < 8:
        raise ValueError(f"it has {len(prefix)} bytes, too few for any tensor")
    length = int.from_bytes(prefix, "little")
    if length > size - 8:
        raise ValueError(f"its header would be {length:,} bytes long, in a file of {size:,}")
    if length > limits.header:
        raise ValueError(f"its header has {length:,} bytes, more than {limits.header:,}")
    return length


def parse(text: bytes, payload: int, limits: Limits) -> Header:
    """Read a header (without its length) before `payload` bytes of tensors. Raises: ValueError."""
    if not text.startswith(b"{") or not text.rstrip(b" ").endswith(b"}"):
        raise ValueError("its header is no JSON object")
    try:
        told = strict_json.read(text, depth=NESTED, values=limits.values)
    except ValueError as error:
        raise ValueError(f"its header cannot be read: {error}") from None
    metadata = told.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{METADATA} does not map names to texts")
    if len(told) > limits.tensors:
        raise ValueError(f"it has {len(told):,} tensors, more than {limits.tensors:,}")
    for name in (*told, *metadata):
        _check_name(name)
    places = {name: _place(name, entry, payload) for name, entry in told.items()}
    places = dict(sorted(places.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_cover(places, payload)
    return Header(places, metadata)


def _place(name: str, entry: Any, payload: int) -> Place:
    shown = brief(name)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{shown} is told by something else than dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in WIDTHS:
        raise ValueError(f"{shown} has the dtype {brief(code)}, which NumPy lacks")
    for what, numbers in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError(f"{shown}: {what} is no list of whole numbers of at least 0")
    if len(offsets) != 2 or not offsets[0] <= offsets[1] <= payload:
        raise ValueError(
            f"{shown} lies at {brief(offsets)}, and the file has {payload:,} bytes for it"
        )
    if len(shape) > MOST_AXES:
        raise ValueError(f"{shown} has {len(shape)} axes, more than {MOST_AXES}")
    elements = empty_as_one = 1
    for length in shape:
        elements, empty_as_one = elements * length, empty_as_one * max(length, 1)
        if empty_as_one > LARGEST:
            raise ValueError(f"{shown} has a shape of more than 2^53 elements: {brief(shape)}")
    needed, given = elements * WIDTHS[code], offsets[1] - offsets[0]
    if needed != given:
        raise ValueError(f"{shown}, {code} of shape {shape}, needs {needed:,} bytes: has {given:,}")
    return Place(code, tuple(shape), offsets[0], offsets[1])


def _check_cover(places: Mapping[str, Place], payload: int) -> None:
    """The tensors' bytes follow one another from the first to the last of the file."""
    reached = 0
    for name, place in places.items():
        if place.start != reached:
            fault = "leaves a hole" if place.start > reached else "overlaps another tensor"
            raise ValueError(f"{brief(name)} {fault}: it begins at {place.start}, not {reached}")
        reached = place.end
    if reached != payload:
        raise ValueError(f"its tensors have {reached:,} bytes, and the file {payload:,} for them")


def _check_name(name: str) -> None:
    if len(name) > LONGEST_NAME:
        raise ValueError(f"it has a name of {len(name):,} characters, more than {LONGEST_NAME:,}")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"it has the name {brief(name)}, which is no Unicode text") from None
