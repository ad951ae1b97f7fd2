"""`watch.diagnosis()` on scripts as people write them: the mistake named, the edit made, cured.

`tools/loop_mistakes.py` runs the same scripts over many seeds.
"""

from __future__ import annotations

import json
import linecache
import os
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from loop_scripts import HEALTHY, SICK  # noqa: E402

import minirnn as mr  # noqa: E402
from minirnn.interop.torch import watch  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """So that small networks do not wait for threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(script: str, path: Path, seed: int = 0) -> dict[str, Any]:
    """What a script leaves, run as a file of its own; an error of PyTorch's ends it early."""
    path.write_text(script)
    linecache.checkcache(str(path))
    names: dict[str, Any] = {"watch": watch, "SEED": seed, "__name__": "__main__"}
    try:
        exec(compile(script, str(path), "exec"), names)
    except RuntimeError as error:
        names["error"] = error
    return names


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("mistake", SICK)
def test_a_mistake_is_named_and_the_edit_of_the_users_lines_cures_it(
    mistake: str, tmp_path: Path
) -> None:
    symptom = mistake.split(",")[0].split(" ")[0]
    before = run(SICK[mistake], tmp_path / "before.py")
    diagnosis = before["watched"].diagnosis()
    assert diagnosis.root is not None
    assert diagnosis.root.symptom == symptom
    edit = diagnosis.root.remedies[0].code
    assert edit.file.endswith("before.py")
    after = run(edit.applied_to(SICK[mistake]), tmp_path / "after.py")
    assert "error" not in after
    again = after["watched"].diagnosis()
    found = again.finding(symptom)
    if mistake.endswith("its graph"):  # the script carries it between unrelated sequences, too
        assert found.evidence["kind"] == "unrelated sequences"
        return
    assert again.healthy, str(again)
    assert after["skill"] > 0.7
    if diagnosis.root.severity == "illness":
        assert before["skill"] < 0.5
    json.dumps(diagnosis.to_dict(), allow_nan=False)


@pytest.mark.parametrize("loop", HEALTHY)
def test_a_healthy_loop_is_left_in_peace(loop: str, tmp_path: Path) -> None:
    script = run(HEALTHY[loop], tmp_path / "script.py")
    assert script["skill"] > 0.3
    diagnosis = script["watched"].diagnosis()
    assert diagnosis.healthy, str(diagnosis)


def test_the_example_is_cured_by_what_is_said_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    import runpy

    script = Path(__file__).parents[2] / "examples" / "watch_and_cure.py"
    if not script.exists():
        pytest.skip("the examples are not here")
    assert runpy.run_path(str(script))["main"]() == 0
    text = capsys.readouterr().out
    assert "ill: unscaled-input" in text
    assert "self.lstm((x - 101" in text
    assert "healthy" in text


def test_the_watched_example_differs_from_the_plain_one_by_the_lines_it_says() -> None:
    folder = Path(__file__).parents[2] / "examples"
    if not folder.exists():
        pytest.skip("the examples are not here")

    def code(name: str) -> list[str]:
        text = (folder / name).read_text().split('"""', 2)[2]
        return [line.strip() for line in text.splitlines() if line.strip()]

    plain, watched = code("constant_output.py"), code("constant_output_watched.py")
    more = [
        "import minirnn as mr",
        "with mr.interop.torch.watch(model) as watch:",
        "print(watch.diagnosis())",
    ]
    assert [line for line in watched if line not in more] == plain
    assert len(watched) == len(plain) + len(more)


def test_without_training_it_says_what_to_run() -> None:
    model = torch.nn.LSTM(1, 4)
    with watch(model) as watched:
        model(torch.zeros(3, 2, 1))
    with pytest.raises(mr.TraceError, match=r"loss\.backward"):
        watched.diagnosis()


def test_where_no_source_is_to_be_had_the_edit_is_told_in_words(tmp_path: Path) -> None:
    names: dict[str, Any] = {"watch": watch, "SEED": 0}
    script = SICK["accumulated-gradients"]
    exec(compile(script, "<stdin>", "exec"), names)
    root = names["watched"].diagnosis().root
    assert root.symptom == "accumulated-gradients"
    assert root.remedies[0].code.diff == ""
    assert "optimizer.zero_grad()" in str(root)


def test_a_file_is_named_from_the_working_folder(tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        script = run(SICK["accumulated-gradients"], tmp_path / "train.py")
        edit = script["watched"].diagnosis().root.remedies[0].code
    finally:
        os.chdir(here)
    assert edit.diff.startswith("--- train.py\n+++ train.py\n")


CELLS = """
import torch
from torch import nn

torch.manual_seed(SEED)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(1, 16)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        h = None
        for step in x.unbind(1):
            h = self.cell(step, h)
        return self.head(h)


x = torch.randn(64, 6, 1)
y = x[:, -1]
x = 1000 + 10 * x
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
with watch(model) as watched:
    for k in range(60):
        loss = ((model(x) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


def test_a_cell_stepped_by_a_loop_is_seen_as_the_sequence_it_runs(tmp_path: Path) -> None:
    diagnosis = run(CELLS, tmp_path / "cells.py")["watched"].diagnosis()
    assert diagnosis.root is not None
    assert diagnosis.root.symptom == "unscaled-input"
    found = diagnosis.finding("saturated-gates")
    assert found is not None
    assert found.where.startswith("cell.l0")


def test_a_model_without_recurrent_layers_is_told_of_its_loop(tmp_path: Path) -> None:
    script = CELLS.replace(
        "model = Model()", "model = nn.Sequential(nn.Flatten(), nn.Linear(6, 1))"
    )
    script = script.replace("        optimizer.zero_grad()\n", "")
    diagnosis = run(script, tmp_path / "linear.py")["watched"].diagnosis()
    assert "accumulated-gradients" in diagnosis.symptoms
