"""The code in the README and the docs runs as it stands, and prints what the page says it does."""

import contextlib
import io
import math
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if "```python" in page.read_text(encoding="utf-8")
]

# Of all that a page's code imports, what is there without a framework.
IMPORT = re.compile(r"^(?:import|from) (?:minirnn\.interop\.)?(\w+)", re.MULTILINE)
THERE = {*sys.stdlib_module_names, "minirnn", "numpy", "safetensors", "cupy", "pytest"}
ALONE = [page for page in PAGES if THERE.issuperset(IMPORT.findall(page.read_text("utf-8")))]
BESIDE = [page for page in PAGES if page not in ALONE]
ALSO = {"keras": ("torch", "h5py")}  # what the frameworks need of others

# A block of code, and the block of text that follows it at once: what it prints.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
# With a point or an exponent. Whole numbers are counts, and have to be the same.
FIGURE = re.compile(r"-?\d+(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)")
ANY = "…"  # on the page: a line of it stands for any number of lines, in a line for any text
CLOSE = 1e-2  # of figures, whose last digits are the machine's


def differences(shown: str, printed: str) -> str:
    """What of the page was not printed; "" if all of it was."""
    pattern, figures = "", []
    for line in shown.rstrip().splitlines():
        if line.strip() == ANY:
            pattern += r"(?:.*\n)*"
            continue
        for part in re.split(f"({FIGURE.pattern}|{ANY})", line):
            if FIGURE.fullmatch(part):
                figures.append(float(part))
                pattern += f"({FIGURE.pattern})"
            else:
                pattern += ".*" if part == ANY else re.escape(part)
        pattern += r"\n"
    found = re.fullmatch(pattern, printed.rstrip() + "\n")
    if found is None:
        return f"the page shows\n{shown}\nbut what came is\n{printed}"
    came = map(float, found.groups())
    wrong = [
        f"{a} for {b}"
        for a, b in zip(figures, came, strict=True)
        if not math.isclose(a, b, rel_tol=CLOSE)
    ]
    return f"the page shows {', '.join(wrong)} in\n{printed}" if wrong else ""


@pytest.mark.parametrize(
    ("shown", "same"),
    [
        ("two\n  0.2500 of 3\nend", True),
        ("two\n  0.2501 of …\nend", True),
        ("…\nend", True),
        ("two\n…", True),
        ("two\n  0.26 of 3\nend", False),
        ("two\n  0.25 of 4\nend", False),
        ("two\n 0.25 of 3\nend", False),
        ("two\nend", False),
        ("two\n  0.25 of 3", False),
    ],
)
def test_what_a_page_shows_is_compared_line_by_line(shown, same):
    assert (differences(shown, "two\n  0.25 of 3\nend\n") == "") == same


# Keras on PyTorch makes arrays of tensors in a way that NumPy 2 has called old.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("page", BESIDE, ids=lambda page: page.stem)
def test_code_of_the_page_beside_a_framework(page, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    for package in sorted(set(IMPORT.findall(page.read_text("utf-8"))) - THERE):
        for needed in (package, *ALSO.get(package, ())):
            pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    assert_runs_and_prints(page)


@pytest.mark.parametrize("page", ALONE, ids=lambda page: page.stem)
def test_code_of_the_page_runs_and_prints_what_is_shown(page, tmp_path, monkeypatch, request):
    if page.stem == "gpu":
        request.getfixturevalue("cuda")
    monkeypatch.chdir(tmp_path)  # what an example saves is saved there
    assert_runs_and_prints(page)


def assert_runs_and_prints(page):
    names: dict[str, object] = {"__name__": "__main__"}
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        line = text[: block.start()].count("\n") + 1
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            # Blank lines in front, so that a traceback names the line of the page.
            exec(compile("\n" * line + block[1], str(page), "exec"), names)
        if block[2] is not None:
            assert not differences(block[2], printed.getvalue())


def test_the_diagnosis_on_the_page_is_that_of_the_example(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    script = ROOT / "examples" / "constant_output_watched.py"
    if not script.exists():
        pytest.skip("the examples are not here")
    shutil.copy(script, tmp_path)
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        runpy.run_path(script.name)
    text = printed.getvalue()
    page = (ROOT / "docs" / "pytorch.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```\n(ill: .*?)^```", page, re.MULTILINE | re.DOTALL)
    assert not differences(shown, text[text.index("ill: ") :])


def test_every_page_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [p.name for p in (ROOT / "docs").glob("*.md") if f"docs/{p.name}" not in readme]
    assert not missing
