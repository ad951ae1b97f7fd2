"""The command line: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import replace

import pytest
from report_pages import figures_of

import minirnn
from minirnn import cli, demo

RECIPE = """
[data]
builtin = "sine"
window = 12
scale = "standard"
[model]
hidden_size = 8
[training]
epochs = 12
learning_rate = 1e-2
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder of good and bad inputs, made the working directory."""
    monkeypatch.chdir(tmp_path)
    wave = [math.sin(k / 3) for k in range(120)]
    texts = {
        "good.csv": "day,level\n" + "\n".join(f"{k},{v}" for k, v in enumerate(wave)),
        "one.csv": "level\n" + "\n".join(map(str, wave)),
        "text.csv": "day,level\n1,2.5\n2,many\n",
        "short.csv": "level\n1\n2\n3\n",
        "constant.csv": "level\n" + "5\n" * 120,
        "empty.csv": "",
        "healthy.toml": RECIPE,
        "unknown.toml": RECIPE.replace("epochs", "epoks"),
        "broken.toml": "[data\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    return tmp_path


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"minirnn {minirnn.__version__}\n"


@pytest.mark.parametrize("command", [[], ["demo"], ["doctor"], ["inspect"], ["warmup"]])
def test_help_explains_the_exit_status_or_the_command(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([*command, "--help"])
    out = capsys.readouterr().out
    assert "usage: minirnn" in out
    assert len(out) > 300


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["doctor"],
        ["doctor", "good.csv", "--window", "0"],
        ["doctor", "good.csv", "--epochs", "many"],
        ["demo", "--seed", "-1"],
        ["doctor", "good.csv", "--trainings", "0"],
        ["doctor", "good.csv", "--seconds", "-1"],
        ["doctor", "good.csv", "--seconds", "nan"],
        ["doctor", "good.csv", "--seconds", "soon"],
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none.csv"], "no such file"),
        (["none.toml"], "exists"),
        (["."], "directory"),
        (["binary.csv"], "UTF-8"),
        (["empty.csv"], "empty"),
        (["good.csv"], "'day', 'level'"),
        (["good.csv", "--column", "height"], "'day', 'level'"),
        (["text.csv", "--column", "level"], "'many' in line 3"),
        (["short.csv"], "smaller window"),
        (["constant.csv"], "constant"),
        (["unknown.toml"], "training.epochs"),
        (["broken.toml"], "TOML"),
        (["healthy.toml", "--column", "level"], "data.column"),
        (["healthy.toml", "--window", "5"], "data.window"),
        (["one.csv", "--output", "nowhere/page.html"], "--output"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_2(files, arguments, told, capsys):
    assert cli.main(["doctor", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("minirnn: error: ")
    assert captured.err.count("\n") == 1
    assert told in captured.err


def test_what_is_no_table_is_told_shortly_with_what_a_recipe_is(files, capsys):
    (files / "book.txt").write_text("the quick brown fox jumps over the dog. " * 150)
    assert cli.main(["doctor", "book.txt"]) == 2
    told = capsys.readouterr().err
    assert 'a file whose name ends in .toml, with the lines [data], text = "book.txt"' in told
    assert len(told) < 400
    (files / "table.csv").write_text("the quick brown fox\n")
    assert cli.main(["doctor", "table.csv"]) == 2
    assert ".toml" not in capsys.readouterr().err


def test_a_healthy_recipe_exits_with_0(files, capsys):
    assert cli.main(["doctor", "healthy.toml", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert "Attempt 1: Healthy" in captured.out
    told = captured.err.splitlines()  # nothing, or that kernels are compiled for the first time
    assert [line for line in told if not line.startswith("minirnn: compiling ")] == []


def test_an_illness_that_stands_exits_with_1_and_a_cure_with_0(files, capsys):
    sick = "\n".join(["level", *(str(1000 + 0.2 * k + 9 * math.sin(k / 3)) for k in range(150))])
    (files / "sick.csv").write_text(sick)
    arguments = ["doctor", "sick.csv", "--window", "12", "--epochs", "15", "--quiet"]
    assert cli.main([*arguments, "--no-repair"]) == 1
    out = capsys.readouterr().out
    assert "unscaled-input" in out
    assert "Ill: unscaled-input" in out
    assert "Not cured" not in out
    assert "Attempt 2" not in out
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    assert "Attempt 2" in out
    assert "Cured: what began as unscaled-input is gone" in out


def test_json_is_all_there_is_on_stdout(files, capsys):
    assert cli.main(["doctor", "healthy.toml", "--json", "--output", "page.html"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["healthy"] is True
    assert told["page"] == str((files / "page.html").resolve())
    assert [a["recipe"]["training"]["epochs"] for a in told["attempts"]] == [12]
    assert captured.err == ""


def test_json_holds_even_where_figures_are_not_finite(files, capsys):
    (files / "gap.csv").write_text((files / "one.csv").read_text().replace("\n0.0\n", "\n\n", 1))
    arguments = ["doctor", "gap.csv", "--window", "12", "--epochs", "1", "--no-repair", "--json"]
    assert cli.main(arguments) == 1
    told = json.loads(capsys.readouterr().out)
    assert "missing-values" in told["symptoms"]


def test_options_reach_the_recipe(files, capsys):
    arguments = ["doctor", "good.csv", "--column", "level", "--no-repair", "--json"]
    cli.main([*arguments, "--window", "9", "--horizon", "2", "--epochs", "1", "--seed", "5"])
    recipe = json.loads(capsys.readouterr().out)["attempts"][0]["recipe"]
    assert recipe["data"]["column"] == "level"
    assert (recipe["data"]["window"], recipe["data"]["horizon"]) == (9, 2)
    assert (recipe["training"]["epochs"], recipe["training"]["seed"]) == (1, 5)
    assert "generation" not in recipe  # a free run goes one step at a time


def test_the_page_is_written_and_its_place_told(files, capsys):
    cli.main(["doctor", "healthy.toml", "--quiet", "--output", "page.html"])
    assert (files / "page.html").resolve().as_uri() in capsys.readouterr().out
    assert "<!DOCTYPE html>" in (files / "page.html").read_text("utf-8")


def test_progress_goes_to_stderr(files, capsys):
    cli.main(["doctor", "healthy.toml"])
    captured = capsys.readouterr()
    assert "epoch 12/12" in captured.err
    assert "epoch 12/12" not in captured.out


def test_a_missing_extra_is_told_before_the_training(files, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    for arguments in (["doctor", "healthy.toml", "--output", "page.html"], ["demo"]):
        assert cli.main(arguments) == 2
        captured = capsys.readouterr()
        assert "pip install jinja2, which the extra 'report' of minirnn brings" in captured.err
        assert captured.out == ""


def test_interrupted_is_one_line_and_status_130(files, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("minirnn.diagnosis.doctor", interrupt)
    assert cli.main(["doctor", "healthy.toml"]) == 130
    captured = capsys.readouterr()
    assert captured.err == "\nminirnn: interrupted\n"


def test_an_interrupted_repair_tells_what_is_known_and_goes_on_from_it(files, monkeypatch, capsys):
    """Ctrl-C in the second training; then the same command finishes, with the first one kept."""
    doctor = sys.modules["minirnn.diagnosis.doctor"]
    examined, calls = doctor.examined, []

    def pressing(recipe, **options):
        calls.append(recipe)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return examined(recipe, **options)

    monkeypatch.setattr(doctor, "examined", pressing)
    raw = RECIPE.replace('scale = "standard"', "").replace('"sine"', '"co2"').replace("12", "4")
    (files / "raw.toml").write_text(raw)
    command = ["doctor", "raw.toml", "--quiet", "--keep", "kept.json", "--output", "page.html"]
    assert cli.main(command) == 130
    captured = capsys.readouterr()
    assert captured.err == "\nminirnn: interrupted\n"
    told = " ".join(captured.out.split())
    assert "The repair ended there: interrupted by the keyboard." in told
    assert (files / "page.html").stat().st_size > 10_000
    assert cli.main([*command, "--trainings", "2", "--seconds", "600"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "The repair ended there: all 2 trainings are used up." in told
    assert len(calls) == 3
    assert (files / "page.html").stat().st_size > 10_000  # without the pictures of the first


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError("3 TiB")])
def test_what_the_machine_cannot_do_is_one_line_and_status_2(error, files, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("minirnn.diagnosis.doctor", fail)
    assert cli.main(["doctor", "healthy.toml"]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"minirnn: error: {error}\n"


def test_closed_streams_are_written_to_by_nobody(files, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(["doctor", "healthy.toml"]) == 0


def test_warmup_names_what_it_compiles(monkeypatch, capsys):
    warmed = []
    monkeypatch.setattr("minirnn.kernels.cpu.build.shared_of", warmed.append)
    monkeypatch.setattr(
        "minirnn.kernels.cpu.warm_up", lambda cell, dtype: warmed.append((cell.name, dtype))
    )
    assert cli.main(["warmup"]) == 0
    dtypes = ["float32", "float64"]
    cells = [(name, dtype) for name in ("rnn", "gru", "lstm") for dtype in dtypes]
    assert warmed == [*dtypes, *cells]
    out = capsys.readouterr().out
    assert re.search(r"^1/8  shared float32", out, re.MULTILINE)
    assert re.search(r"^8/8  lstm   float64", out, re.MULTILINE)
    assert cli.main(["warmup", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["compiled"]) == 8


@pytest.fixture
def short_demo(monkeypatch):
    """The demo with a training of one epoch and small windows: its ways, not its outcome."""
    whole = demo.demo_recipe

    def short(seed: int = 0):
        edit = {"training.epochs": 1, "data.window": 16, "model.hidden_size": 8}
        recipe = whole(seed).edit(edit)
        return replace(recipe, generation=replace(recipe.generation, steps=60))

    monkeypatch.setattr(demo, "demo_recipe", short)


def test_the_demo_tells_its_acts_and_where_the_page_is(short_demo, files, capsys):
    status = cli.main(["demo", "--quiet"])
    out = capsys.readouterr().out
    assert "Act 1: " in out
    assert "Mauna Loa" in out
    assert "without a network" in out
    assert (files / "minirnn-demo.html").resolve().as_uri() in out
    assert status == (0 if "Cured: " in out else 1)
    page = (files / "minirnn-demo.html").read_text("utf-8")
    axes = [figure["layout"] for figure in figures_of(page)]
    assert "CO2 at Mauna Loa (ppm)" in {layout["yaxis"]["title"]["text"] for layout in axes}
    assert "year" in {layout["xaxis"]["title"]["text"] for layout in axes}


def test_the_demos_json_tells_seed_time_and_page(short_demo, files, capsys):
    cli.main(["demo", "--json", "--seed", "3", "--output", "d.html"])
    told = json.loads(capsys.readouterr().out)
    assert told["seed"] == 3
    assert told["attempts"][0]["recipe"]["training"]["seed"] == 3
    assert told["seconds"] > 0
    assert (files / "d.html").is_file()


def test_the_page_is_opened_only_when_asked(short_demo, files, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    cli.main(["demo", "--quiet"])
    assert opened == []
    cli.main(["demo", "--quiet", "--open"])
    assert opened == [(files / "minirnn-demo.html").resolve().as_uri()]
