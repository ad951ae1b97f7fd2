"""A kind of file of this library: what it is called, its version, and what it says of its arrays.

All of that is JSON under the key "minirnn" of a safetensors file's metadata. A kind that is known
by another version, or a file of another kind, is refused by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from os import PathLike
from typing import Any

import numpy as np

import minirnn
from minirnn.device import Array
from minirnn.errors import CheckpointError
from minirnn.files import strict_json, tensors
from minirnn.files.header import LIMITS, Limits
from minirnn.files.tree import JSON_DEPTH

KEY = "minirnn"
MADE_WITH = "versions"


def save(
    path: str | PathLike[str],
    kind: str,
    version: int,
    about: Mapping[str, Any],
    arrays: Mapping[str, Array],
) -> None:
    """Write a file of that kind: `about`, which JSON can hold, and arrays of any device.

    Raises: CheckpointError that names `path`; ArgumentError for what cannot be told in such a file.
    """
    told = {
        "format": kind,
        "version": version,
        MADE_WITH: {"minirnn": minirnn.__version__, "numpy": np.__version__},
        **about,
    }
    try:
        text = strict_json.write(told).decode("utf-8")
    except (TypeError, ValueError) as error:
        raise CheckpointError("path", f"{str(path)!r}: {error}", "what JSON can hold") from error
    tensors.save(path, arrays, {KEY: text})


def load(
    path: str | PathLike[str],
    kind: str,
    versions: Collection[int],
    *,
    unchecked: Collection[int] = (),
    limits: Limits = LIMITS,
) -> tuple[dict[str, Any], tensors.Contents]:
    """Read a file of that kind: what it says of itself, and its arrays.

    unchecked: versions of the kind that had no checksums of this format.

    Raises: CheckpointError that names `path`.
    """
    contents = tensors.load(path, limits)
    told = about_of(contents)
    if told.get("format") != kind:
        other = told.get("format")
        came = f"{str(path)!r}, {f'a {other}' if isinstance(other, str) else 'some other file'}"
        raise CheckpointError("path", came, _named(kind))
    version = told.get("version")
    if version not in versions:
        known = " or ".join(map(str, versions))
        raise CheckpointError("path", f"{str(path)!r} of version {version!r}", f"version {known}")
    if not contents.verified and version not in unchecked:
        raise damaged(path, kind, "it has no checksums")
    return told, contents


def about_of(contents: tensors.Contents) -> dict[str, Any]:
    """What a file of this library says of itself; nothing, for one that does not say it so."""
    text = contents.metadata.get(KEY, "").encode("utf-8", "surrogatepass")
    try:
        about = strict_json.read(text, depth=JSON_DEPTH, values=LIMITS.values)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def damaged(path: str | PathLike[str], kind: str, error: object) -> CheckpointError:
    """The error for a file that is whole and does not say what a file of its kind says."""
    came = f"{str(path)!r}, in which something is missing or wrong: {error}"
    return CheckpointError("path", came, f"the whole of {_named(kind)}")


def _named(kind: str) -> str:
    return f"a {kind.removeprefix('minirnn ')} of minirnn"
