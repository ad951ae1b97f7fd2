"""`mr.profile`: what it runs, what it tells, and that it leaves everything as it was."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minirnn as mr
from minirnn.kernels import kernel_set
from minirnn.kernels.contract import Weights
from minirnn.profiling import assemble, growth, measure, peak
from minirnn.profiling.peak import CpuPeak
from minirnn.profiling.timing import Halves, Sample, Step

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.alone]

RNG = np.random.default_rng(0)
SMALL = {"steps": 6, "batch": 3, "input_size": 5, "hidden_size": 4, "repeats": 3}


def noise(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def model(**options):
    sizes = {"input_size": 5, "hidden_size": 4, "output_size": 2, "rng": 0}
    return mr.SequenceModel("gru", **sizes | options)


@pytest.fixture(scope="module")
def lstm():
    return mr.profile("lstm", **SMALL, num_layers=2, bidirectional=True)


def passes(profile):
    return profile.inference, profile.forward, profile.backward, profile.training


def test_phases_add_up_to_their_pass(lstm):
    for one in passes(lstm):
        assert math.isclose(sum(phase.seconds for phase in one.phases), one.seconds)
        assert math.isclose(sum(phase.share for phase in one.phases), 1.0)
        assert all(phase.seconds > 0.0 for phase in one.phases)
        assert one["rest"].seconds < one.seconds
        assert one.repeats == 3
    assert lstm.phases is lstm.training.phases
    assert lstm.forward.seconds < lstm.training.seconds


def test_phases_are_named_and_in_order(lstm):
    named = [phase.name for phase in lstm.training.phases]
    assert set(named) <= set(assemble.ORDER)
    assert named == sorted(named, key=assemble.ORDER.index)
    assert {"pack", "recurrent loop", "rest"} <= set(named)
    with pytest.raises(KeyError):
        lstm.training["gates"]


def test_operations_of_layers_and_directions_are_summed(lstm):
    # T B = 18 steps, 4 H = 16 rows; two directions on 5 inputs, two on the 8 outputs below.
    forward = 2 * 18 * 16 * (2 * (5 + 4) + 2 * (8 + 4))
    assert lstm.forward.flop == lstm.inference.flop == forward
    # Every product comes back twice, but for the gradient of the first layer's input.
    assert lstm.backward.flop == 2 * forward - 2 * 18 * 16 * 2 * 5
    assert lstm.training.flop == lstm.forward.flop + lstm.backward.flop
    assert lstm.training.nbytes == lstm.forward.nbytes + lstm.backward.nbytes
    assert lstm.inference.nbytes < lstm.forward.nbytes
    assert [level.input_size for level in lstm.levels] == [5, 5, 8, 8]


def test_a_pass_in_figures():
    rates = CpuPeak(50.0, 4.0, "float32", 2, 32)
    counts = {"recurrent loop": assemble.Work(30_000_000, 2_000_000)}
    launches = {"recurrent loop": 7}
    slowed_down = [Sample(8e-3, 6e-3, {"recurrent loop": 4e-3}, launches)]
    one = assemble.pass_of("forward", [3e-3, 4e-3, 9e-3], slowed_down, counts, 100, rates)
    assert (one.repeats, one.spread) == (3, pytest.approx(0.75))
    loop = one["recurrent loop"]
    assert (loop.seconds, loop.share, loop.microseconds_per_step) == pytest.approx((2e-3, 0.5, 20))
    assert (loop.gflops, loop.share_of_peak) == pytest.approx((15.0, 0.3))
    assert (loop.bandwidth, loop.share_of_bandwidth) == pytest.approx((1.0, 0.25))
    assert (one.gflops, one.bandwidth) == pytest.approx((7.5, 0.5))
    assert (one["calling"].seconds, one["rest"].seconds) == pytest.approx((1e-3, 1e-3))
    assert (one["rest"].flop, one["rest"].gflops, one["rest"].nbytes) == (None, None, None)
    assert (one.launches, loop.launches, one["rest"].launches) == (7, 7, None)


def test_memory_is_what_the_tapes_keep():
    profile = mr.profile("lstm", **SMALL)
    arrays = [p.numpy() for p in mr.LSTM(5, 4, rng=0).weights()]
    state = [np.zeros((3, 4), np.float32)] * 2
    _, _, tape = kernel_set("cpu").forward(
        mr.cells.lstm(), noise(6, 3, 5), state, Weights(*arrays), keep="tape"
    )
    assert profile.memory.nbytes == profile.levels[0].kept == tape.nbytes
    assert profile.memory.units_of_h == pytest.approx(tape.nbytes / 4 / (6 * 3 * 4))


def test_memory_is_told_per_step_of_the_arrays_whatever_the_lengths():
    layer, x = mr.LSTM(5, 4, rng=0), noise(6, 3, 5)
    profile = mr.profile(layer, inputs=x, lengths=[6, 2, 1], repeats=1)
    assert profile.memory.units_of_h == profile.memory.nbytes / 4 / (6 * 3 * 4)


def test_json_gives_everything_back(lstm):
    told = lstm.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["backward"]["phases"][0]["seconds"] == lstm.backward.phases[0].seconds
    assert told["levels"][3]["input_size"] == 8
    assert told["peak"]["gflops"] == lstm.peak.gflops
    assert told["torch"] is None


def test_the_better_of_two_peaks_counts(monkeypatch):
    assert mr.profile("rnn", **SMALL).peak.gflops == 100.0
    monkeypatch.setattr(peak, "fma_peak", lambda dtype: 120.0)
    assert mr.profile("rnn", **SMALL).peak.gflops == 120.0


def test_the_tables_say_what_was_run_and_every_phase(lstm):
    text = lstm.table()
    assert text.startswith("LSTM(5, 4, num_layers=2, bidirectional=True), T = 6, B = 3, float32")
    for phase in lstm.phases:
        assert f"  {phase.name} " in text
    assert f"{lstm.memory.units_of_h:.2f} H floats" in text
    assert str(lstm) == text
    assert lstm._repr_html_().startswith("<pre>LSTM")
    assert repr(lstm).startswith("<Profile of LSTM(5, 4, num_layers=2")
    assert all(len(line) <= 100 and line == line.rstrip() for line in text.splitlines())


def test_rich_prints_it_and_takes_nothing_for_markup(lstm):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120)
    console.print(replace(lstm, name="[bold]net[/nonsense]"))
    assert "[bold]net[/nonsense], T = 6" in console.file.getvalue()


def test_recompute_keeps_little_and_the_rebuild_is_told():
    sizes = {"steps": 300, "batch": 4, "input_size": 5, "hidden_size": 16, "repeats": 3}
    plain, again = (mr.profile("lstm", **sizes, recompute=r) for r in (False, True))
    assert again.name == "LSTM(5, 16, recompute=True)"
    assert plain.memory.units_of_h > 5.0
    assert 1.0 < again.memory.units_of_h < 1.3
    with pytest.raises(KeyError):
        plain.training["rebuild"]
    rebuild = again.training["rebuild"]
    assert rebuild.seconds > 0.0
    assert rebuild.flop == plain.forward.flop == again.forward.flop
    assert again.backward.flop == plain.backward.flop + rebuild.flop
    assert again.forward["recurrent loop"].nbytes < plain.forward["recurrent loop"].nbytes
    assert "  rebuild " in again.table()


def test_a_cell_of_ones_own():
    @mr.cell(states=("h",), forget="xh", new="xh")
    def minimal(z, last):
        f, n = mr.cells.sigmoid(z.forget), mr.cells.tanh(z.new)
        return {"h": f * last.h + (1 - f) * n}, {"forget": f, "new": n}

    profile = mr.profile(minimal, **SMALL)
    assert profile.levels[0].cell == "minimal"
    assert profile.forward.flop == 2 * 18 * 8 * (5 + 4)


def test_a_cell_has_sizes_of_its_own_accord():
    profile = mr.profile("rnn", repeats=1)
    level = profile.levels[0]
    assert (level.steps, level.batch, level.input_size, level.hidden_size) == (100, 32, 32, 64)
    assert mr.profile("rnn", **SMALL, dtype="float64").dtype == "float64"


def test_a_layer_is_fed_noise_or_what_is_given():
    layer = mr.GRU(5, 4, batch_first=True, rng=0)
    profile = mr.profile(layer, steps=7, batch=2, repeats=1)
    assert (profile.steps, profile.batch, profile.levels[0].steps) == (7, 2, 7)
    profile = mr.profile(layer, inputs=noise(3, 8, 5), repeats=1)
    assert (profile.steps, profile.batch, profile.levels[0].batch) == (8, 3, 3)


def test_an_input_that_needs_a_gradient_gets_one():
    layer, x = mr.GRU(5, 4, rng=0), noise(6, 3, 5)
    without = mr.profile(layer, inputs=x, repeats=1)
    given = mr.Tensor(x, requires_grad=True)
    with_gradient = mr.profile(layer, inputs=given, repeats=1)
    assert with_gradient.backward.flop - without.backward.flop == 2 * 18 * 12 * 5
    assert given.grad is None


@pytest.mark.parametrize("readout", ["last", "all"])
@pytest.mark.parametrize("lengths", [None, [6, 0, 2]])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_model_with_targets(readout, lengths, batch_first):
    leading = (3, 6) if batch_first else (6, 3)
    shape = (*leading, 2) if readout == "all" else (3, 2)
    seen = []

    def loss(prediction, target):
        seen.append((prediction.shape, target.shape))
        return mr.mse_loss(prediction, target)

    net = model(readout=readout, batch_first=batch_first)
    profile = mr.profile(
        net, inputs=noise(*leading, 5), targets=noise(*shape), loss=loss, lengths=lengths, repeats=1
    )
    counted = (8, 2) if readout == "all" and lengths else shape
    assert set(seen) == {(counted, counted)}
    steps = 8 if lengths else 18
    assert profile.forward.flop == 2 * steps * 12 * (5 + 4)
    assert (profile.steps, profile.batch) == (6, 3)


def test_labels_have_cross_entropy_for_a_loss():
    labels = np.array([0, 1, 1])
    mr.profile(model(), inputs=noise(6, 3, 5), targets=labels, repeats=1)
    with pytest.raises(mr.DTypeError):
        mr.profile(model(), inputs=noise(6, 3, 5), targets=labels, loss="mse", repeats=1)


def test_a_module_with_two_recurrent_layers():
    class Both(mr.Module):
        def __init__(self):
            self.first, self.second = mr.GRU(5, 4, rng=0), mr.RNN(4, 3, rng=0)

        def forward(self, x):
            return self.second(self.first(x)[0])[0]

    profile = mr.profile(Both(), inputs=noise(6, 3, 5), repeats=1, growth=True)
    assert [(level.cell, level.hidden_size) for level in profile.levels] == [("gru", 4), ("rnn", 3)]
    assert [one.dimension for one in profile.growth] == ["T", "B"]
    assert profile.notes == ("H was not doubled: how to build a wider Both is not known",)
    assert profile.notes[0] in profile.table()


def test_a_recipe_runs_its_network_on_its_first_batch():
    recipe = mr.Recipe.from_dict(
        {
            "data": {"builtin": "sine", "window": 12},
            "model": {"cell": "gru", "hidden_size": 8, "num_layers": 2, "dropout": 0.1},
            "training": {"batch_size": 10},
        }
    )
    profile = mr.profile(recipe, repeats=1)
    assert (profile.steps, profile.batch) == (12, 10)
    assert [(level.cell, level.hidden_size) for level in profile.levels] == [("gru", 8)] * 2


def test_a_recipe_with_an_answer_a_step():
    data = {"x": noise(9, 7, 5), "y": noise(9, 7, 2), "lengths": np.array([7, 3, 5] * 3)}
    tables = {"data": data, "model": {"readout": "all"}, "training": {"batch_size": 4}}
    profile = mr.profile(mr.Recipe.from_dict(tables), repeats=1)
    assert (profile.steps, profile.batch) == (7, 4)
    assert profile.forward.flop < 2 * 7 * 4 * 4 * 32 * (5 + 32)


def test_the_model_is_left_as_it_was():
    net = model(num_layers=2, dropout=0.5, head_dropout=0.5)
    x, y = noise(6, 3, 5), noise(3, 2)
    mr.mse_loss(net(x), y).backward()
    net.head.eval()
    weights = net.state_dict()
    gradients = [(p.grad, p.grad.copy()) for p in net.parameters()]
    modes = [module.training for module in net.modules()]
    state = net.recurrent.rng.bit_generator.state
    mr.profile(net, inputs=x, targets=y, repeats=1, growth=True)
    for parameter, (gradient, values) in zip(net.parameters(), gradients, strict=True):
        assert parameter.grad is gradient
        np.testing.assert_array_equal(gradient, values)
    for name, values in net.state_dict().items():
        np.testing.assert_array_equal(values, weights[name])
    assert [module.training for module in net.modules()] == modes
    assert net.recurrent.rng.bit_generator.state == state


def test_threads_are_set_and_put_back():
    before = mr.get_num_threads()
    assert mr.profile("rnn", **SMALL, threads=before + 3).peak.threads == before + 3
    assert mr.get_num_threads() == before
    with pytest.raises(mr.ArgumentError):
        mr.profile("rnn", threads=before + 3, hidden_size=0)
    assert mr.get_num_threads() == before


def test_growth_doubles_each_size_and_fits_the_power(monkeypatch):
    def work(subject, training):
        layer = subject.model.recurrent
        T, B = subject.sizes
        return 1e-6 * T * B**0.5 * layer.hidden_size ** (2 if training else 1.5)

    monkeypatch.setattr(growth, "time_plainly", work)
    net = model(readout="all", num_layers=2, bidirectional=True, bias=False)
    options = {"inputs": noise(6, 3, 5), "targets": noise(6, 3, 2), "lengths": [6, 4, 0]}
    T, B, H = mr.profile(net, **options, growth=True, repeats=1).growth
    assert [one.dimension for one in (T, B, H)] == ["T", "B", "H"]
    assert [one.sizes for one in (T, B, H)] == [(6, 12), (3, 6), (4, 8)]
    assert [one.training_exponent for one in (T, B, H)] == pytest.approx([1.0, 0.5, 2.0])
    assert [one.inference_exponent for one in (T, B, H)] == pytest.approx([1.0, 0.5, 1.5])
    assert T.training == pytest.approx((1e-6 * 6 * 3**0.5 * 16, 1e-6 * 12 * 3**0.5 * 16))
    assert H.inference[1] == pytest.approx(1e-6 * 6 * 3**0.5 * 8**1.5)


def test_what_is_wider_is_otherwise_the_same():
    from minirnn.profiling.build import subject_of
    from minirnn.profiling.subject import doubled

    options = {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False}
    layer = mr.GRU(5, 4, activation="relu", dropout=0.5, recompute=True, **options)
    wide = doubled(subject_of(layer, {}, {}), "H").model
    assert wide.cell is layer.cell
    assert wide.hidden_size == 8
    parameters = {name for name, _ in layer.named_parameters()}
    for name in vars(layer).keys() - parameters - {"hidden_size", "rng"}:
        if not name.startswith("_"):
            assert getattr(wide, name) == getattr(layer, name), name


@pytest.mark.parametrize("readout", ["last", "all"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_what_is_doubled_runs(readout, batch_first):
    from minirnn.profiling.build import subject_of
    from minirnn.profiling.subject import doubled

    leading = (3, 6) if batch_first else (6, 3)
    targets = noise(*leading, 2) if readout == "all" else noise(3, 2)
    feed = {"inputs": noise(*leading, 5), "targets": targets, "loss": "mse", "lengths": [6, 4, 0]}
    one = subject_of(model(readout=readout, batch_first=batch_first), feed, {})
    for dimension, sizes in (("T", (12, 3)), ("B", (6, 6)), ("H", (6, 3))):
        twice = doubled(one, dimension)
        assert twice.sizes == sizes
        assert twice.lengths.sum() == (10 if dimension == "H" else 20)
        assert twice.model.recurrent.hidden_size == (8 if dimension == "H" else 4)
        twice.backward(twice.forward())
        assert one.model.recurrent.hidden_size == 4


def test_compilation_is_in_no_timing(tmp_path):
    """With a cold cache, in a process of its own: compiling takes seconds, the pass does not."""
    code = (
        "import json, time, minirnn as mr\n"
        "started = time.perf_counter()\n"
        f"profile = mr.profile('rnn', **{SMALL!r})\n"
        "print(json.dumps([time.perf_counter() - started, profile.to_dict()]))\n"
    )
    environment = os.environ | {
        "MINIRNN_CACHE_DIR": str(tmp_path),
        "MINIRNN_QUIET": "1",
        "PYTHONPATH": str(Path(mr.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    seconds, told = json.loads(done.stdout)
    assert list(tmp_path.iterdir()), "nothing was compiled"
    assert seconds > 1.0  # it did compile
    assert told["inference"]["seconds"] < 0.05
    assert told["training"]["seconds"] < 0.05


def test_the_clock_gives_shares_and_no_seconds(monkeypatch):
    loop = {"recurrent loop": 6.0}
    step = Step(Sample(30.0, 24.0, loop), Sample(60.0, 24.0, loop))
    monkeypatch.setattr(measure, "time_plainly", lambda _, training: 2.0)
    monkeypatch.setattr(measure, "time_halves", lambda _: Halves(3.0, 4.0))
    monkeypatch.setattr(measure, "time_inference", lambda _: Sample(24.0, 12.0, loop))
    monkeypatch.setattr(measure, "time_training", lambda _: step)
    profile = mr.profile("rnn", **SMALL)
    assert (profile.inference.seconds, profile.training.seconds) == (2.0, 7.0)
    assert (profile.forward.seconds, profile.backward.seconds) == (3.0, 4.0)
    passes = (profile.inference, profile.forward, profile.backward, profile.training)
    shares = [one["recurrent loop"].share for one in passes]
    assert shares == pytest.approx([0.25, 0.2, 0.1, 12 / 90])
