"""Faults of watched loops, told by the data, by the graph, or by which way the loss points."""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from minirnn.diagnosis.cases.scripts import CLEAR, LSTM, SUM, plain  # noqa: E402
from minirnn.diagnosis.cases.training_loop import changed  # noqa: E402
from minirnn.interop.torch import watch  # noqa: E402
from minirnn.interop.torch.loop import graph  # noqa: E402
from minirnn.interop.torch.loop.order import OrderWatch  # noqa: E402
from minirnn.interop.torch.loop.tallies import PENDING, Curve  # noqa: E402

PLAIN = plain(batch=48, epochs=10)
HEAD = "self.head(out[:, -1])"
LAYER = "out, _ = self.lstm(x)"


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """So that small networks do not wait for threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(script: str, path: Path) -> dict[str, Any]:
    """What a script leaves, run as a file of its own."""
    path.write_text(script)
    linecache.checkcache(str(path))
    names: dict[str, Any] = {"watch": watch, "SEED": 0, "__name__": "__main__"}
    exec(compile(script, str(path), "exec"), names)
    return names


SICK: dict[str, tuple[str, str, str, str]] = {
    # A script; its root, kind, and what the edited line has.
    "a dead relu behind the head": (
        changed(PLAIN, (HEAD, f"torch.relu({HEAD} - 2)")),
        "stalled-loss",
        "flat",
        "return (self.head(out[:, -1]) - 2)",
    ),
    "answers that are rounded": (
        changed(PLAIN, (HEAD, f"{HEAD}.round()")),
        "stalled-loss",
        "flat",
        f"return {HEAD}\n",
    ),
    "answers that are clamped elsewhere": (
        changed(PLAIN, (HEAD, f"torch.clamp({HEAD}, 5, 6)")),
        "stalled-loss",
        "flat",
        f"return {HEAD}\n",
    ),
    "a layer whose output is detached": (
        changed(PLAIN, (HEAD, "self.head(out[:, -1].detach())"), (SUM, "y = x[:, 3:6].sum(1)\n")),
        "vanishing-gradient",
        "cut",
        f"return {HEAD}\n",
    ),
    "a layer without gradients": (
        changed(
            PLAIN,
            (LAYER, f"with torch.no_grad():\n            {LAYER}"),
            (SUM, "y = x[:, 3:6].sum(1)\n"),
        ),
        "vanishing-gradient",
        "cut",
        f"        {LAYER}\n        return",
    ),
    "targets in thousands": (
        changed(PLAIN, (SUM, "y = 5000 + 2000 * x[:, -3:].sum(1)\n")),
        "unscaled-input",
        "targets",
        "criterion(out, (yb - ",
    ),
    "targets beyond a tanh": (
        changed(PLAIN, (HEAD, f"torch.tanh({HEAD})"), (SUM, "y = 50 + 20 * x[:, -3:].sum(1)\n")),
        "unscaled-input",
        "bounded targets",
        "criterion(out, (yb - ",
    ),
    "targets in thousands, by hand": (
        changed(
            PLAIN,
            (SUM, "y = 5000 + 2000 * x[:, -3:].sum(1)\n"),
            ("criterion(out, yb)", "((yb - out) ** 2).mean()"),
        ),
        "unscaled-input",
        "targets",
        "(((yb - ",
    ),
    "an error that is made large": (
        changed(
            PLAIN,
            ("nn.Linear(24, 1)", "nn.Linear(24, 2)"),
            (SUM, "y = (x[:, -3:].sum((1, 2)) > 0).long()\n"),
            ("nn.MSELoss()", "nn.CrossEntropyLoss()"),
            ("criterion(out, yb)", "-criterion(out, yb)"),
            ("model(x[512:])", "model(x[512:]).argmax(1).float()"),
            ("y[512:].reshape", "y[512:].float().reshape"),
        ),
        "stalled-loss",
        "wrong way",
        "loss = criterion(out, yb)",
    ),
}


@pytest.mark.parametrize("fault", SICK)
def test_a_fault_is_named_and_its_edit_cures_it(fault: str, tmp_path: Path) -> None:
    script, symptom, kind, wanted = SICK[fault]
    root = run(script, tmp_path / "before.py")["watched"].diagnosis().root
    assert root is not None
    assert (root.symptom, root.evidence["kind"]) == (symptom, kind)
    text = root.remedies[0].code.applied_to(script)
    assert wanted in text
    after = run(text, tmp_path / "after.py")
    again = after["watched"].diagnosis()
    assert again.healthy, str(again)
    assert symptom == "unscaled-input" or after["skill"] > 0.4  # else answers are to be scaled back


SPOILT = {
    "a NaN in the inputs": ("x[5, 3] = float('nan')", "missing-values", "the inputs"),
    "an infinity in the inputs": ("x[5, 3] = float('inf')", "non-finite", "the inputs"),
    "a NaN in the targets": ("y[7] = float('nan')", "missing-values", "the targets"),
    "an infinity in the targets": ("y[7] = -float('inf')", "non-finite", "the targets"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", SPOILT)
def test_one_value_that_is_no_number_is_found_wherever_it_came(what: str, tmp_path: Path) -> None:
    line, symptom, where = SPOILT[what]
    script = changed(PLAIN, (SUM, f"{SUM}{line}\n"), ("range(10)", "range(3)"))
    diagnosis = run(script, tmp_path / "script.py")["watched"].diagnosis()
    root = diagnosis.root
    assert root is not None
    assert root.symptom == symptom
    assert where in root.where
    assert 1 <= root.evidence["first_backward_pass"] <= 22  # an infinity may pass an LSTM once
    assert "lr=" not in str(root)
    assert diagnosis.finding("batch-time-swap") is None


HEALTHY = {
    "a relu behind the head, of targets that are positive": changed(
        PLAIN, (HEAD, f"torch.relu({HEAD} + 1)"), (SUM, "y = x[:, -3:].sum(1).abs()\n")
    ),
    "a reservoir: a detached layer, read out": changed(
        PLAIN,
        (HEAD, "self.head(out.detach()[:, -1])"),
        (SUM, "y = x[:, -1]\n"),
        ("range(10)", "range(40)"),
    ),
    "a reservoir without gradients": changed(
        PLAIN,
        (LAYER, f"with torch.no_grad():\n            {LAYER}"),
        (SUM, "y = x[:, -1]\n"),
        ("range(10)", "range(40)"),
    ),
    "targets of 10 to 30, learned": changed(
        PLAIN, (SUM, "y = 20 + 3 * x[:, -3:].sum(1)\n"), ("Adam", "SGD"), ("range(10)", "range(20)")
    ),
    "values that are filled before the layer": changed(
        PLAIN,
        (SUM, f"{SUM}x[5, 3] = float('nan')\n"),
        ("self.lstm(x)", "self.lstm(x.nan_to_num())"),
    ),
    "a reward beside the error, which takes the loss below 0": changed(
        PLAIN,
        ("loss = criterion(out, yb)", "loss = criterion(out, yb) - 3 * torch.tanh(out.std())"),
    ),
}


@pytest.mark.parametrize("loop", HEALTHY)
def test_what_looks_like_it_and_is_well_is_left_in_peace(loop: str, tmp_path: Path) -> None:
    script = run(HEALTHY[loop], tmp_path / "script.py")
    diagnosis = script["watched"].diagnosis()
    assert diagnosis.healthy, str(diagnosis)


@pytest.mark.parametrize(
    "frozen",
    [
        [("model = Model()\n", "model = Model()\nmodel.lstm.requires_grad_(False)\n")],
        [
            (HEAD, "self.head(out[:, -1].detach())"),
            ("(model.parameters()", "(model.head.parameters()"),
        ],
    ],
)
def test_a_layer_that_wants_no_gradient_is_not_cut_off(frozen: Any, tmp_path: Path) -> None:
    script = run(changed(PLAIN, *frozen), tmp_path / "script.py")
    found = script["watched"].diagnosis().finding("vanishing-gradient")
    assert found is None or found.evidence["kind"] != "cut"


def test_gradients_that_are_cleared_too_late_are_told_from_none(tmp_path: Path) -> None:
    step = "            optimizer.step()\n"
    script = changed(PLAIN, (CLEAR, ""), (step, CLEAR + step), ("range(10)", "range(4)"))
    root = run(script, tmp_path / "script.py")["watched"].diagnosis().root
    assert root.evidence["kind"] == "no gradient"


def test_targets_that_a_worse_fault_keeps_out_of_reach_are_a_note(tmp_path: Path) -> None:
    large = (SUM, "y = 5000 + 2000 * x[:, -3:].sum(1)\n")
    swapped = (LSTM, "nn.LSTM(1, 24)")
    diagnosis = run(changed(PLAIN, large, swapped), tmp_path / "script.py")["watched"].diagnosis()
    assert diagnosis.root.symptom == "batch-time-swap"
    assert diagnosis.finding("unscaled-input").severity == "note"


def test_slices_that_are_no_numbers_are_never_the_same_slice() -> None:
    x = np.random.default_rng(0).normal(size=(6, 8, 3))
    x[2:4] = np.nan
    x[4, 0, 0] = np.inf
    watched = OrderWatch()
    for k in range(5):
        watched.see(x + k, carried=False)
    seen = watched.seen()
    assert (seen.time.again, seen.batch.again) == (0, 0)


@pytest.mark.parametrize(
    ("made", "end"),
    [
        (lambda x: torch.relu(x - 100), "relu"),
        (lambda x: torch.relu(x), ""),
        (lambda x: x.clamp(50.0), "clamp"),
        (lambda x: x.clamp(-50.0, 50.0), ""),
        (lambda x: torch.nn.functional.hardtanh(x + 100), "hardtanh"),
        (lambda x: torch.sign(x), "sign"),
        (lambda x: torch.tanh(x * 1e4), "tanh"),
        (lambda x: torch.sigmoid(x), ""),
    ],
)
def test_the_function_without_slope_is_read_off_the_graph(made: Any, end: str) -> None:
    x = torch.linspace(-2.0, 2.0, 8, requires_grad=True)
    assert graph.flat_end((made(x) * 3.0).sum()) == end


def test_losses_that_wait_on_a_device_tell_that_one_is_no_number_once_they_are_fetched() -> None:
    curve = Curve()
    for k in range(PENDING - 1):
        curve.add(float("nan") if k == 3 else 1.0)
    assert not curve.broken
    curve.add(1.0)
    assert curve.broken
