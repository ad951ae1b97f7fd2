"""A `.keras` file, read without Keras: a zip archive of config.json and model.weights.h5.

Nothing in it is run or unpickled, and no size that it claims is believed before it was compared
with the bytes that are there. The archive's checksums cover every byte of both members.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.errors import CheckpointError, MissingExtraError
from minirnn.interop.keras.source import Layer, Store, snake_case
from minirnn.kernels.contract import Array

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MOST_CONFIG = 64 << 20  # bytes; a layer's configuration takes some 2 kB
MOST_MEMBERS = 100_000  # a model without assets has three
MOST_EXPANSION = 100  # Keras stores members as they are; packed again, weights hardly shrink

# What zipfile, json and h5py raise on damage; of zipfile: RuntimeError for an encrypted member,
# NotImplementedError for an unknown way of packing.
_FAULTS = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, IndexError, TypeError,
    AttributeError, RuntimeError, NotImplementedError, OverflowError, MemoryError, RecursionError,
)  # fmt: skip


def read_archive(path: str | PathLike[str]) -> Layer:
    """The model in a `.keras` file, its weights in memory.

    Raises: CheckpointError for a file that is missing, damaged, or no `.keras` file;
    MissingExtraError without h5py.
    """
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "keras", "Reading a .keras file") from None

    place = Path(path)
    try:
        with zipfile.ZipFile(place) as archive:
            _check_members(archive, place)
            config = json.loads(_member(archive, CONFIG, place))
            weights = _member(archive, WEIGHTS, place)
        file = h5py.File(io.BytesIO(weights), "r")
        with file:
            return Layer(config, FileStore(_arrays(file, len(weights), place), ""))
    except _FAULTS as error:
        if isinstance(error, CheckpointError):
            raise
        told = str(error) or type(error).__name__
        raise CheckpointError(
            "source", f"{str(place)!r} ({told})", "a whole .keras file"
        ) from error


def _check_members(archive: zipfile.ZipFile, place: Path) -> None:
    names = Counter(archive.namelist())
    if len(names) > MOST_MEMBERS:
        raise CheckpointError("source", f"{len(names)} members in {str(place)!r}", "a .keras file")
    for name in (CONFIG, WEIGHTS):
        if names[name] != 1:
            came = f"{names[name]} members {name!r} in {str(place)!r}"
            raise CheckpointError("source", came, f"a .keras file, with {CONFIG} and {WEIGHTS}")


def _member(archive: zipfile.ZipFile, name: str, place: Path) -> bytes:
    """The bytes of a member, whose size is checked first and whose checksum while it is read."""
    info = archive.getinfo(name)
    on_disk = place.stat().st_size
    most = MOST_EXPANSION * min(info.compress_size, on_disk)
    if name == CONFIG:
        most = min(most, MOST_CONFIG)
    if info.file_size > most:
        came = f"{name} of {info.file_size:,} bytes, packed into {info.compress_size:,}"
        raise CheckpointError("source", came, f"at most {most:,} bytes")
    data = archive.read(info)
    if len(data) != info.file_size:
        came = f"{name} of {len(data):,} bytes where {info.file_size:,} are told"
        raise CheckpointError("source", came, "a whole file")
    return data


def _arrays(file: Any, total: int, place: Path) -> dict[str, Array]:
    """Every array of an HDF5 file by its path, below groups alone; `total` is the file's size."""
    import h5py

    found: dict[str, Array] = {}
    left = total
    groups = [("", file)]
    seen: set[int] = set()
    while groups:
        path, group = groups.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:  # hard links may make circles
            raise CheckpointError("source", f"a circle at {path!r} of {WEIGHTS}", "a tree")
        seen.add(address)
        for name in group:
            where = f"{path}/{name}" if path else str(name)
            if group.get(name, getlink=True).__class__ is not h5py.HardLink:
                came = f"a link out of {WEIGHTS} at {where!r}"
                raise CheckpointError("source", came, "weights inside the file")
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append((where, item))
            elif where.split("/")[0] != "optimizer":
                left -= _size(item, where)
                if left < 0:
                    came = f"arrays of more than the {total:,} bytes of {WEIGHTS}"
                    raise CheckpointError("source", came, "each array once")
                found[where] = np.asarray(item[()])
    return found


def _size(item: Any, where: str) -> int:
    """The bytes of a data set that is stored plainly, as Keras stores them."""
    import h5py

    if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
        raise CheckpointError("source", f"no plain array at {where!r}", "an array in the file")
    size = int(item.size or 0) * int(item.dtype.itemsize)
    # A data set can claim any shape and store next to nothing, to be filled when it is read.
    if item.dtype.kind not in "fiub" or int(item.id.get_storage_size()) != size:
        came = f"{where!r} of {item.dtype}, {item.shape}, in {item.id.get_storage_size():,} bytes"
        raise CheckpointError("source", came, "numbers, stored as they are")
    return size


class FileStore:
    """The weights in an archive: arrays by their path, such as "layers/lstm/cell/vars/0"."""

    from_file = True

    def __init__(self, arrays: Mapping[str, Array], path: str) -> None:
        self._arrays = arrays
        self._path = path

    def variables(self) -> list[Array]:
        """The arrays 0, 1, … of this place."""
        prefix = self._join("vars")
        found: list[Array] = []
        while (name := f"{prefix}/{len(found)}") in self._arrays:
            found.append(self._arrays[name])
        return found

    def child(self, name: str) -> FileStore:
        """Of the layer that is the attribute `name`."""
        return FileStore(self._arrays, self._join(name))

    def members(self, name: str, entries: Sequence[Mapping[str, Any]]) -> list[Store]:
        """Of the layers in a list, which Keras names by their class and a running number."""
        counts: Counter[str] = Counter()
        stores: list[Store] = []
        for entry in entries:
            kind = snake_case(str(entry.get("class_name")))
            number = f"_{counts[kind]}" if counts[kind] else ""
            counts[kind] += 1
            stores.append(FileStore(self._arrays, self._join(f"{name}/{kind}{number}")))
        return stores

    def _join(self, name: str) -> str:
        return f"{self._path}/{name}" if self._path else name
