"""`minirnn profile`: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from minirnn import cli

SMALL = ["--steps", "6", "--batch", "3", "--input-size", "5", "--hidden-size", "4"]
RECIPE = """
[data]
builtin = "sine"
window = 12
[model]
cell = "gru"
hidden_size = 8
"""
pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.alone]


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return str(path)


@pytest.fixture
def few_rounds(monkeypatch):
    monkeypatch.setattr("minirnn.profiling.timing.ENOUGH_SECONDS", 0.0)


@pytest.mark.usefixtures("few_rounds")
def test_a_cell_is_profiled_and_the_options_reach_it(capsys):
    options = ["--layers", "2", "--bidirectional", "--dtype", "float64", "--threads", "1"]
    assert cli.main(["profile", "lstm", *SMALL, *options, "--growth", "--no-torch", "--json"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["name"] == "LSTM(5, 4, num_layers=2, bidirectional=True)"
    assert (told["steps"], told["batch"], told["dtype"]) == (6, 3, "float64")
    assert told["peak"]["threads"] == 1
    assert [one["dimension"] for one in told["growth"]] == ["T", "B", "H"]
    assert told["torch"] is None
    assert told["notes"] == []


@pytest.mark.usefixtures("few_rounds")
def test_a_recipe_is_profiled(recipe, capsys):
    assert cli.main(["profile", recipe, "--no-torch"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("SequenceModel of GRU(1, 8), T = 12, B = 32, float32, on cpu")
    assert "  recurrent loop " in out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.usefixtures("few_rounds")
def test_pytorch_is_timed_if_it_is_there(capsys):
    assert cli.main(["profile", "rnn", *SMALL]) == 0
    assert "PyTorch" in capsys.readouterr().out
    assert cli.main(["profile", "rnn", *SMALL, "--no-torch"]) == 0
    assert "PyTorch" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lstm", "--device", "cuda"], "--device: got 'cuda', but CuPy is not installed; wanted"),
        (["lstm", "--device", "cpu,cuda"], "--device: got 'cuda', but CuPy is not installed"),
        (["lstm", "--device", "gpu"], "--device: got 'gpu'; wanted 'cpu' or 'cuda'"),
        (["lstm", "--device", "cpu,cpu"], "--device: got ('cpu', 'cpu'); wanted 'cpu' or 'cuda'"),
        (["qrnn"], "TARGET: got 'qrnn'; wanted rnn, gru, lstm or a recipe (.toml)\n"),
        (["my.csv"], "recipe (.toml). `minirnn doctor` takes a CSV file"),
        (["lstm", "--dtype", "int8"], "--dtype: got 'int8'; wanted float32 or float64"),
        (["none.toml"], "exists"),
    ],
)
@pytest.mark.usefixtures("no_gpu")
def test_bad_input_is_one_clear_line_and_status_2(arguments, told, capsys):
    assert cli.main(["profile", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("minirnn: error: ")
    assert captured.err.count("\n") == 1
    assert told in captured.err


@pytest.mark.parametrize("option", [["--steps", "3"], ["--dtype", "float64"], ["--bidirectional"]])
def test_a_recipe_says_its_sizes_itself(option, recipe, capsys):
    assert cli.main(["profile", recipe, *option]) == 2
    told = capsys.readouterr().err
    assert f" {option[0]}: got " in told
    assert "beside a recipe" in told


@pytest.mark.parametrize("arguments", [[], ["lstm", "--steps", "0"], ["lstm", "--threads", "x"]])
def test_a_wrong_command_line_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["profile", *arguments])
    assert "usage:" in capsys.readouterr().err


def test_help_explains_the_command_and_loads_nothing_heavy():
    code = (
        "import sys; from minirnn import cli\n"
        "try: cli.main(['profile', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'rich', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "usage: minirnn profile" in done.stdout
    assert "--growth" in done.stdout
