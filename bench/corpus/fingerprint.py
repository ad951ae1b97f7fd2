"""A digest of the sources that a row depends on: with others it would be another row."""

from __future__ import annotations

import hashlib
import importlib
import re
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
_NAMED = re.compile(r"^SYMPTOM\b.*=", re.MULTILINE)
# What no diagnosis passes through.
BESIDE = ("report", "commands", "testing", "profiling", "interop/keras", "interop/onnx", "cli.py")
# What counts and tells, and changes no row.
AFTERWARDS = ("evaluate", "measures", "page", "progress", "row", "tables", "try_one", "workers")


def plant_of(symptom: str) -> ModuleType:
    """The plant of a symptom. Raises: ImportError where there is none."""
    return importlib.import_module(f"bench.corpus.plants.{symptom.replace('-', '_')}")


def symptoms() -> list[str]:
    """Every symptom that has a plant, without importing one: another's may be in pieces."""
    folder = Path(__file__).parent / "plants"
    text = {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py"))}
    return [name.replace("_", "-") for name, words in text.items() if _NAMED.search(words)]


@cache
def digest(symptom: str) -> str:
    """Of a plant, of what plants and samples are made with, and of what stands behind a diagnosis.

    As they were when this process first asked: what it has loaded does not change any more.
    """
    folder = Path(__file__).parent
    plants = folder / "plants"
    own = plants / f"{symptom.replace('-', '_')}.py"
    others = {plants / f"{name.replace('-', '_')}.py" for name in symptoms()}
    shared = [file for file in sorted(plants.glob("*.py")) if file not in others]
    makers = [file for file in sorted(folder.glob("*.py")) if file.stem not in AFTERWARDS]
    return _of([own, *shared, *makers], _behind())


def behind() -> str:
    """Of what stands behind every diagnosis."""
    return _behind()


@cache
def _behind() -> str:
    files = []
    for file in sorted([*(ROOT / "minirnn").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]):
        path = file.relative_to(ROOT / file.relative_to(ROOT).parts[0]).as_posix()
        if not path.startswith((*BESIDE, "kernels/", "cuda/")):
            files.append(file)
    return _of(files)


def _of(files: list[Path], start: str = "") -> str:
    made = hashlib.sha256(start.encode())
    for file in files:
        content = file.read_bytes()
        made.update(f"{file.name} {len(content)} ".encode() + content)
    return made.hexdigest()[:16]
