"""The code in the README and the docs runs as it stands, block after block."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if "```python" in page.read_text(encoding="utf-8")
]

NEEDS = {
    "keras": ("keras", "torch", "h5py"),
    "onnx": ("onnx",),
    "pytorch": ("torch",),
}  # what a page's code imports beside minirnn


# Keras on PyTorch makes arrays of tensors in a way that NumPy 2 has called old.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_the_page_runs(page, tmp_path, monkeypatch, request):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    for package in NEEDS.get(page.stem, ()):
        pytest.importorskip(package)
    if page.stem == "gpu":
        request.getfixturevalue("cuda")
    monkeypatch.chdir(tmp_path)  # what an example saves is saved there
    names: dict[str, object] = {"__name__": "__main__"}
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text[: block.start()].count("\n") + 1
        # Blank lines in front, so that a traceback names the line of the page.
        exec(compile("\n" * line + block[1], str(page), "exec"), names)


def test_every_page_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [p.name for p in (ROOT / "docs").glob("*.md") if f"docs/{p.name}" not in readme]
    assert not missing
