"""The doctor on a GPU: the same findings, and nothing crosses but what is told or drawn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from crossing import ARRAYS, HANDFUL, NUMBERS, crossed, sizes
from problems import harm, recall, recipe

import minirnn as mr
from minirnn.device import device_of, to_device
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.doctor import perform
from minirnn.errors import ArgumentError, DeviceError, RecipeError
from minirnn.inspect.host import on_host

SMALL = {"model.hidden_size": 6, "training.epochs": 2}


@pytest.fixture(scope="module")
def raw_series(tmp_path_factory):
    """A series near 1000 that climbs and swings, fed as it is: what ails the demo's network."""
    t = np.arange(160)
    values = 1000 + 0.3 * t + 8 * np.sin(t / 3)
    path = tmp_path_factory.mktemp("data") / "series.csv"
    path.write_text("\n".join(["level", *map(str, values)]), encoding="utf-8")
    return recipe(
        {"csv": str(path), "window": 12},
        {
            **SMALL,
            "model.init.head_bias": "target_mean",
            "generation.steps": 20,
            "generation.context": 12,
        },
    )


def with_holes():
    x = recall(60, 8, 2)["x"].copy()
    x[5, 3] = np.nan
    return recipe({"x": x, "y": x[:, 2]}, SMALL)


def labelled():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 6, 2)).astype(np.float32)
    data = {"x": x, "y": (x[:, 0, 0] > 0).astype(int), "lengths": rng.integers(1, 7, 60)}
    edit = {**SMALL, "training.loss": "cross_entropy", "model.cell": "gru"}
    return recipe(data, {**edit, "training.metrics": ["accuracy"]})


RECIPES = {
    "missing values": with_holes,
    "labels and lengths": labelled,
    "one answer a step, both ways": lambda: recipe(
        {"x": recall(50, 6, 0)["x"], "y": recall(50, 6, 0)["x"]},
        {**SMALL, "model.readout": "all", "model.bidirectional": True, "model.cell": "rnn"},
    ),
    "scaled": lambda: recipe(
        {"builtin": "adding", "samples": 60, "length": 8, "scale": "standard"},
        {**SMALL, "model.num_layers": 2, "model.dropout": 0.1},
    ),
}


def test_a_sick_network_is_found_sick_and_treated_on_the_gpu(raw_series, cuda):
    here = mr.doctor(raw_series, repair=True, trainings=2, progress=False)
    there = mr.doctor(raw_series, repair=True, trainings=2, progress=False, device=cuda)
    assert "unscaled-input" in harm(here.attempts[0].diagnosis)
    for mine, theirs in zip(here.attempts, there.attempts, strict=True):
        assert mine.diagnosis.symptoms == theirs.diagnosis.symptoms
        assert mine.edit == theirs.edit
        assert mine.figures.keys() == theirs.figures.keys()
    run = there.attempts[0].run
    assert {device_of(p.data) for p in run.model.parameters()} == {cuda}
    assert {trace.device for trace in run.traces} == {cuda}
    assert {device_of(f.given) for f in run.forecasts.values()} == {cuda}


@pytest.mark.parametrize("name", RECIPES)
def test_the_findings_do_not_depend_on_the_device(name, cuda):
    which = RECIPES[name]()
    here = mr.doctor(which, progress=False)
    there = mr.doctor(which, progress=False, device=cuda)
    assert here.symptoms == there.symptoms
    assert [f.severity for f in here.findings] == [f.severity for f in there.findings]
    assert here.figures.keys() == there.figures.keys()
    # Forty steps of training in float32 part two machines by far less than what is found.
    for key, value in here.figures.items():
        if isinstance(value, float):
            assert there.figures[key] == pytest.approx(value, rel=0.05, nan_ok=True), key
    assert here.to_dict().keys() == there.to_dict().keys()


def test_the_doctor_brings_over_numbers_and_no_array_but_the_free_run(raw_series, emulated):
    options = raw_series.generation
    with emulated.transfers() as log:
        mr.doctor(raw_series, repair=True, trainings=2, progress=False, device="cuda")
    assert crossed(log, (*NUMBERS, *ARRAYS)) == []
    # What it said, and the slopes at its end, by each value of its context.
    assert set(sizes(log, ARRAYS)) <= {options.steps, options.context or raw_series.data.window}
    assert 0 < max(sizes(log, NUMBERS)) <= HANDFUL


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_makes_it_bring_over_an_array(name, emulated):
    which = RECIPES[name]()
    with emulated.transfers() as log:
        mr.doctor(which, progress=False, device="cuda").to_dict()
    assert crossed(log, NUMBERS) == []
    assert max(sizes(log, NUMBERS)) <= HANDFUL


def test_the_data_go_to_the_gpu_once(raw_series, emulated):
    data = prepare(raw_series)
    with emulated.transfers() as log:
        perform(raw_series, device="cuda", progress=False)
    sent = [one.shape for one in log.to_device]
    for array in (data.training.x, data.validation.x, data.series.values):
        assert sent.count(array.shape) == 1
    assert max(one.nbytes for one in log.to_device) == data.training.x.nbytes


def test_a_page_brings_over_what_it_draws(raw_series, emulated, tmp_path):
    pytest.importorskip("plotly")
    diagnosis = mr.doctor(raw_series, progress=False, device="cuda")
    with emulated.transfers() as log:
        diagnosis.save_html(tmp_path / "page.html")
    assert crossed(log, (*NUMBERS, *ARRAYS)) == []
    T, _, H = diagnosis.run.traces[0].shape
    series = len(diagnosis.run.data.host.series.values)
    assert max(sizes(log, ARRAYS)) <= max(T * H, series)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Predictions over the record" in page
    assert "cuda" in page


def test_whole_arrays_leave_a_device_in_few_named_places():
    """`on_host` is for what is printed, drawn or written to a file, and for tests.

    What compares with the host's reference, or with other libraries, is left out here.
    """
    package = Path(mr.__file__).parent
    users = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"\bon_host\(", path.read_text("utf-8"))
        and path.relative_to(package).parts[0] not in ("interop", "testing")
    }
    assert users == {
        "diagnosis/diagnose.py",  # lengths, which are the host's
        "diagnosis/evidence/attainable.py",  # a matrix of outputs by outputs, for its eigenvalues
        "diagnosis/evidence/free_run.py",  # what a free run said: told, drawn, searched
        "diagnosis/run.py",  # Forecast.numpy, for pictures
        "inspect/arguments.py",  # lengths
        # Eigenvalues and QR decompositions of general matrices, for which the host is asked.
        "inspect/fixed_points.py",
        "inspect/horizon.py",
        "inspect/loops.py",
        "inspect/lyapunov.py",
        "inspect/spectrum.py",
        "inspect/host.py",
        "inspect/probe.py",  # lengths
        "inspect/trace.py",  # Trace.numpy, for files
        "inspect/values.py",  # lengths
        "report/trace_page.py",
    }


def test_the_network_begins_as_the_same_bits(raw_series, cuda):
    from minirnn.diagnosis.build import build_model

    data = prepare(raw_series)
    here, there = build_model(raw_series, data), build_model(raw_series, data.to(cuda))
    for (name, mine), theirs in zip(here.named_parameters(), there.parameters(), strict=True):
        np.testing.assert_array_equal(mine.data, on_host(theirs.data), err_msg=name)


def test_moved_data_remember_where_they_came_from(raw_series, device):
    data = prepare(raw_series)
    moved = data.to(device)
    assert moved.device == device
    assert moved.host is data
    assert moved.to(device) is moved
    assert moved.to("cpu") is data
    assert device_of(moved.series.values) == device
    assert moved.absent == data.absent


def test_diagnose_looks_where_the_model_is(device):
    x = np.random.default_rng(0).normal(size=(6, 20, 2)).astype(np.float32)
    y = x[0, :, :1].copy()
    model = mr.SequenceModel("gru", input_size=2, hidden_size=5, output_size=1, rng=0)
    here = mr.diagnose(model, 50 * x, y)
    model.to(device)
    lengths = np.full(20, 6)
    for put in (
        lambda a: a,
        lambda a: to_device(a, device),
        lambda a: mr.Tensor(to_device(a, device)),
    ):
        there = mr.diagnose(model, put(50 * x), put(y), lengths=lengths)
        assert there.symptoms == here.symptoms
        assert there.finding("unscaled-input").evidence["size"] == pytest.approx(
            here.finding("unscaled-input").evidence["size"]
        )


def test_diagnose_brings_over_numbers_and_no_array(emulated):
    x = np.random.default_rng(0).normal(size=(6, 20, 2)).astype(np.float32)
    model = mr.SequenceModel("lstm", input_size=2, hidden_size=5, output_size=1, rng=0).to("cuda")
    with emulated.transfers() as log:
        mr.diagnose(model, 50 * x, x[0, :, :1].copy())
    assert crossed(log, NUMBERS) == []
    assert [one.shape for one in log.to_device].count(x.shape) == 1


def test_a_model_on_the_cpu_takes_no_arrays_of_the_gpu(cuda):
    x = np.zeros((3, 4, 2), np.float32)
    model = mr.SequenceModel("rnn", input_size=2, hidden_size=3, output_size=1)
    with pytest.raises(DeviceError, match="inputs"):
        mr.diagnose(model, to_device(x, cuda), np.zeros((4, 1), np.float32))


@pytest.mark.parametrize("device", ["gpu", "cuda:1", None])
def test_an_unknown_device_is_a_typed_error(raw_series, device):
    with pytest.raises((DeviceError, ArgumentError), match="device"):
        mr.doctor(raw_series, device=device, progress=False)


def test_a_recipe_takes_no_arrays_of_the_gpu(cuda):
    x = to_device(np.zeros((40, 3, 1), np.float32), cuda)
    with pytest.raises(RecipeError, match=r"data\.x: .*on the GPU.*device='cuda'"):
        mr.Recipe.from_dict({"data": {"x": x, "y": np.zeros((40, 1), np.float32)}})
