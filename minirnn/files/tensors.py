"""Arrays and metadata in a safetensors file, which any library of that format reads.

What is written here holds checksums (SHA-256) in its metadata: one for each tensor, of its name,
dtype, shape and bytes, and one of the metadata itself. A file that has them is read only if every
one is right, and if its header is, byte for byte, the one that would be written: so every flipped
bit is found. A file without them is somebody else's, and its form alone is checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from os import PathLike
from typing import Any

import numpy as np

from minirnn.device import Array, array_namespace, to_device
from minirnn.errors import ArgumentError, CheckpointError
from minirnn.files import strict_json
from minirnn.files.header import (
    LIMITS,
    METADATA,
    WIDTHS,
    Header,
    Limits,
    Place,
    compose,
    header_length,
    parse,
)
from minirnn.files.whole import as_path, open_regular, write_whole

Arrays = dict[str, np.ndarray[Any, Any]]

CHECKSUMS = "minirnn.sha256"  # in the metadata: {"metadata": digest, "tensors": {name: digest}}
CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64", "int64": "I64",
    "float64": "F64",
}  # fmt: skip
DTYPES = {code: np.dtype(name).newbyteorder("<") for name, code in CODES.items()}


@dataclass(frozen=True)
class Contents:
    """What a file holds. `verified` says whether it had checksums; where it had, they are right.

    codes   the format's name of each tensor's dtype: "BF16" comes as float32, which holds it
    """

    arrays: Arrays
    metadata: Mapping[str, str]
    codes: Mapping[str, str]
    verified: bool


def save(path: str | PathLike[str], arrays: Mapping[str, Array], metadata: dict[str, str]) -> None:
    """Write arrays (of any device) and metadata to a safetensors file, whole or not at all.

    Raises: CheckpointError that names `path`, if the file cannot be written or would be more than
    `load` reads; ArgumentError for an array of a dtype that the format or NumPy lacks.
    """
    path = as_path(path, error=CheckpointError)
    hosted = {name: _as_bytes_of(name, array) for name, array in arrays.items()}
    # Widest first, so that every tensor begins at a multiple of its elements' size.
    order = sorted(hosted, key=lambda name: (-hosted[name].itemsize, name))
    places: dict[str, Place] = {}
    start = 0
    for name in order:
        array = hosted[name]
        places[name] = Place(CODES[array.dtype.name], array.shape, start, start + array.nbytes)
        start += array.nbytes
    metadata = {name: metadata[name] for name in sorted(metadata)}
    try:
        metadata[CHECKSUMS] = _checksums(metadata, places, hosted)
        head = compose(Header(places, metadata))
        # The reader's own checks: what is written can be read.
        header_length(head[:8], len(head) + start, LIMITS)
        parse(head[8:], start, LIMITS)
    except ValueError as error:
        raise CheckpointError("path", f"{str(path)!r}: {error}", "less to write") from error

    def parts() -> Iterator[bytes | memoryview]:
        yield head
        for name in order:
            yield _bytes_of(hosted[name])

    try:
        write_whole(path, parts())
    except (OSError, ValueError) as error:  # ValueError: "" and "." name no file
        raise CheckpointError("path", f"{str(path)!r}: {error}", "a file to write") from error


def load(path: str | PathLike[str], limits: Limits = LIMITS) -> Contents:
    """Read a safetensors file: this library's or another's.

    Raises: CheckpointError that names `path`, for anything that is no whole file of that format, is
    larger than the limits, or is not what its checksums say.
    """
    path = as_path(path, error=CheckpointError)
    try:
        with open_regular(path) as (file, size):
            prefix = file.read(8)
            length = header_length(prefix, size, limits)
            text = file.read(length)
            header = parse(text, size - 8 - length, limits)
            arrays = {name: _read(file, name, place) for name, place in header.places.items()}
        verified = CHECKSUMS in header.metadata
        if verified:
            _verify(header, prefix + text, arrays)
    except (OSError, ValueError, MemoryError) as error:
        raise CheckpointError("path", f"{str(path)!r}: {error}", "a safetensors file") from error
    codes = {name: place.code for name, place in header.places.items()}
    for name, code in codes.items():
        if code == "BF16":
            arrays[name] = (arrays[name].astype(np.uint32) << 16).view(np.float32)
    metadata = {key: value for key, value in header.metadata.items() if key != CHECKSUMS}
    return Contents(arrays, metadata, codes, verified)


def _read(file: BufferedReader, name: str, place: Place) -> np.ndarray[Any, Any]:
    """One tensor; those of BF16 as the 16 bits that they are. Raises: ValueError, OSError."""
    dtype = DTYPES.get(place.code, np.dtype("<u2"))
    array = np.empty(place.shape, np.dtype("u1") if place.code == "BOOL" else dtype)
    into = _bytes_of(array)
    if file.readinto(into) != len(into):
        raise ValueError("it became shorter while it was read")
    if place.code == "BOOL":
        if array.size and array.max() > 1:
            raise ValueError(f"{name!r} has a byte that is neither True nor False")
        return array.view(np.bool_)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _verify(header: Header, head: bytes, arrays: Arrays) -> None:
    """Raises: ValueError that names what was damaged."""
    metadata = dict(header.metadata)
    found = metadata.pop(CHECKSUMS, "")
    wanted = _checksums(metadata, header.places, arrays)
    if found != wanted:
        raise ValueError(f"it is damaged: {_damaged(found, wanted)}")
    # What JSON allows and nobody writes (a tab among the spaces, an escaped letter) is damage too.
    if head != compose(header):
        raise ValueError("it is damaged: its header is not as it was written")


def _damaged(found: str, wanted: str) -> str:
    """What differs, as far as the checksums themselves can be read."""
    try:
        told = strict_json.read(found.encode("utf-8"), depth=2, values=LIMITS.values)
        tensors = dict(told["tensors"])
    except (ValueError, TypeError, KeyError):
        return "its checksums cannot be read"
    true = strict_json.read(wanted.encode("utf-8"), depth=2, values=LIMITS.values)
    names = [name for name, digest in true["tensors"].items() if tensors.get(name) != digest]
    names += [name for name in tensors if name not in true["tensors"]]
    return f"the tensor {names[0]!r}" if names else "its metadata"


def _checksums(metadata: dict[str, str], places: Mapping[str, Place], arrays: Arrays) -> str:
    tensors = {}
    for name in sorted(places):
        place = places[name]
        digest = hashlib.sha256(strict_json.write([name, place.code, place.shape]))
        digest.update(_bytes_of(arrays[name]))
        tensors[name] = digest.hexdigest()
    about = hashlib.sha256(strict_json.write(dict(sorted(metadata.items()))))
    return strict_json.write({"metadata": about.hexdigest(), "tensors": tensors}).decode("utf-8")


def _as_bytes_of(name: str, array: Array) -> np.ndarray[Any, Any]:
    """The array in the host's memory, contiguous and little-endian."""
    if not isinstance(name, str) or name == METADATA:
        raise ArgumentError("arrays", f"the name {name!r}", f"a text other than {METADATA!r}")
    array_namespace(array)  # raises where it is no array
    host = np.asarray(to_device(array, "cpu"))
    if host.dtype.name not in CODES:
        wanted = f"one of {', '.join(CODES)}"
        raise ArgumentError(f"arrays[{name!r}]", f"dtype {host.dtype.name}", wanted)
    return np.ascontiguousarray(host, DTYPES[CODES[host.dtype.name]]).reshape(host.shape)


def _bytes_of(array: np.ndarray[Any, Any]) -> memoryview:
    """A contiguous array's own memory, byte for byte."""
    return array.reshape(-1).view(np.uint8).data


assert {*CODES.values(), "BF16"} == set(WIDTHS)  # what a header may say, `_read` can read
