"""`--device`: the doctor and the demo on a GPU, and what is said where there is none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from crossing import ARRAYS, HANDFUL, NUMBERS, crossed, sizes
from report_pages import figures_of

from minirnn import cli, demo, device
from minirnn.errors import DeviceError


@pytest.fixture
def series(tmp_path, monkeypatch):
    """A small series near 1000 in a file, in the working directory."""
    monkeypatch.chdir(tmp_path)
    t = np.arange(120)
    values = map(str, 1000 + 0.2 * t + 9 * np.sin(t / 3))
    (tmp_path / "series.csv").write_text("\n".join(["level", *values]), encoding="utf-8")
    return tmp_path


@pytest.fixture
def small_demo(monkeypatch):
    """The demo with one epoch, four units and windows of eight weeks: its ways, not its outcome."""
    whole = demo.demo_recipe

    def small(seed: int = 0):
        edit = {"training.epochs": 1, "data.window": 8, "model.hidden_size": 4}
        recipe = whole(seed).edit({**edit, "training.batch_size": 256})
        return replace(recipe, generation=replace(recipe.generation, steps=20, context=8))

    monkeypatch.setattr(demo, "demo_recipe", small)


SHORT = ["doctor", "series.csv", "--window", "8", "--epochs", "1", "--quiet", "--no-repair"]


def test_the_doctor_says_the_same_on_the_gpu(series, cuda, capsys):
    status = cli.main([*SHORT, "--json"])
    here = json.loads(capsys.readouterr().out)
    assert cli.main([*SHORT, "--json", "--device", cuda]) == status
    there = json.loads(capsys.readouterr().out)
    assert there["symptoms"] == here["symptoms"]


def test_the_doctors_command_prints_without_an_array_crossing(series, emulated, capsys):
    with emulated.transfers() as log:
        cli.main([*SHORT, "--device", "cuda"])
    assert "unscaled-input" in capsys.readouterr().out
    assert crossed(log, (*NUMBERS, *ARRAYS)) == []
    assert 0 < max(sizes(log, NUMBERS)) <= HANDFUL
    assert max(sizes(log, ARRAYS)) <= 1000  # the free run


def test_the_demo_brings_over_what_it_prints_and_draws(small_demo, series, emulated, capsys):
    pytest.importorskip("plotly")
    with emulated.transfers() as log:
        cli.main(["demo", "--quiet", "--device", "cuda", "--output", "page.html"])
    assert "Act 1: " in capsys.readouterr().out
    figures = figures_of((series / "page.html").read_text("utf-8"))
    titles = {figure["layout"]["yaxis"]["title"]["text"] for figure in figures}
    assert "CO2 at Mauna Loa (ppm)" in titles
    assert crossed(log, (*NUMBERS, *ARRAYS)) == []
    assert max(sizes(log, NUMBERS)) <= HANDFUL
    assert max(sizes(log, ARRAYS)) <= 2284  # the longest thing drawn is the record, in weeks


def test_the_demos_acts_cross_as_numbers_and_free_runs(small_demo, emulated):
    with emulated.transfers() as log:
        demo.run_demo(device="cuda", progress=False)
    assert crossed(log, (*NUMBERS, *ARRAYS)) == []
    assert set(sizes(log, ARRAYS)) == {20, 8}  # its steps, and the slopes at its end


@pytest.mark.parametrize("command", [["doctor", "series.csv"], ["demo"]])
def test_without_a_gpu_one_line_says_what_is_missing(command, series, monkeypatch, capsys):
    def missing(argument="device"):
        raise DeviceError(argument, "'cuda', but CuPy is not installed", "CuPy")

    monkeypatch.setattr(device, "gpu_library", missing)
    assert cli.main([*command, "--device", "cuda"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "CuPy is not installed" in captured.err


def test_an_unknown_device_is_a_wrong_command_line(series, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["doctor", "series.csv", "--device", "tpu"])
    assert "--device" in capsys.readouterr().err
