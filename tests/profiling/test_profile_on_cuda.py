"""`mr.profile` on the GPU, real or emulated: what it tells is whole, whatever the times are."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import minirnn as mr
from minirnn import cli
from minirnn.profiling import break_even, gpu_peak
from minirnn.profiling.assemble import ORDER
from minirnn.profiling.break_even import wins_at

SMALL = {"steps": 4, "batch": 3, "input_size": 5, "hidden_size": 4, "repeats": 2}
BOTH = ("cpu", "cuda")


@pytest.fixture
def few_sizes(monkeypatch):
    monkeypatch.setattr(break_even, "LARGEST", {"B": 4, "H": 32})
    monkeypatch.setattr(break_even, "REPEATS", 1)


@pytest.fixture
def short_bursts(monkeypatch):
    for name, value in {"BURST_SECONDS": 1e-5, "BURSTS": 1, "PASSES": 1, "CACHES": 1}.items():
        monkeypatch.setattr(gpu_peak, name, value)


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.usefixtures("quick")
def test_the_same_phases_as_on_the_cpu(cuda):
    cpu, gpu = (mr.profile("gru", **SMALL, num_layers=2, devices=(d,)) for d in ("cpu", cuda))
    assert (cpu.device, gpu.device) == BOTH
    kernels = [{p.name for p in one.phases} - {"calling", "rest"} for one in (cpu, gpu)]
    assert kernels[0] == kernels[1] == {*ORDER[:2], *ORDER[3:6]}
    for name in ("inference", "forward", "backward", "training"):
        here, there = getattr(cpu, name), getattr(gpu, name)
        assert (here.flop, here.repeats) == (there.flop, there.repeats)
        assert math.isclose(sum(p.seconds for p in there.phases), there.seconds)
        assert all(p.seconds > 0.0 for p in there.phases)
    assert [vars(a) | {"kept": 0} for a in cpu.levels] == [
        vars(a) | {"kept": 0} for a in gpu.levels
    ]


@pytest.mark.usefixtures("quick")
def test_launches_are_counted_where_they_are_made(cuda):
    profile = mr.profile("lstm", **SMALL, devices=(cuda,))
    for one in (profile.inference, profile.forward, profile.backward):
        launched = [p.launches for p in one.phases if p.launches is not None]
        assert sum(launched) == one.launches
        assert min(launched) >= 1
    # One product of x for the four slots of an LSTM, which are neighbours; its operands are laid
    # out first, because a row of 5 numbers is no whole number of 16 bytes.
    assert profile.forward["input product"].launches == 2
    assert profile.training.launches == profile.forward.launches + profile.backward.launches
    assert f" {profile.training.launches}\n" in profile.table()
    assert mr.profile("lstm", **SMALL).training.launches is None


@pytest.mark.usefixtures("quick")
def test_launches_grow_with_the_steps_where_each_is_one(cuda):
    from minirnn.kernels.cuda.steps import step_by_step

    with step_by_step():
        profile = mr.profile("rnn", **SMALL, devices=(cuda,))
    assert profile.forward["recurrent loop"].launches == 4
    assert profile.backward["recurrent loop"].launches >= 4


@pytest.mark.usefixtures("quick")
def test_memory_is_what_the_tape_and_the_pool_hold(cuda):
    profile = mr.profile("lstm", **SMALL, devices=(cuda,))
    # Gates and both states; those before the first step too.
    assert profile.memory.nbytes == 4 * 3 * 4 * (4 * 4 + 2 * 5)
    assert profile.memory.held >= profile.memory.nbytes
    assert mr.profile("lstm", **SMALL).memory.held is None


@pytest.mark.usefixtures("quick")
def test_transfers_are_told_with_their_bytes(cuda):
    model = mr.SequenceModel("gru", input_size=5, hidden_size=4, output_size=2, rng=0)
    x, y = noise(6, 3, 5), noise(3, 2)
    profile = mr.profile(model, inputs=x, targets=y, repeats=1, devices=(cuda,))
    told = {one.name: one for one in profile.transfers}
    assert told["weights"].nbytes == sum(p.data.nbytes for p in model.parameters())
    assert told["inputs"].nbytes == x.nbytes + y.nbytes
    assert told["output"].nbytes == y.nbytes
    assert [one.to_gpu for one in profile.transfers] == [True, True, False]
    assert all(one.bandwidth == one.nbytes / one.seconds / 1e9 for one in profile.transfers)
    assert "weights to the GPU" in profile.table()


@pytest.mark.usefixtures("quick")
def test_a_pass_itself_moves_nothing(cuda, emulated):
    from minirnn.profiling.build import subject_of
    from minirnn.profiling.subject import on_device

    subject = on_device(subject_of("lstm", {}, {"steps": 4, "batch": 3, "hidden_size": 4}), cuda)
    subject.backward(subject.forward())
    with emulated.transfers() as log:
        subject.prepare(training=True)
        subject.backward(subject.forward())
        subject.infer()
    assert list(log) == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("where", BOTH)
def test_the_model_is_left_where_it_was(cuda, where, few_sizes):
    model = mr.GRU(5, 4, rng=0).to(where)
    weights = model.state_dict()
    profile = mr.profile(model, steps=4, batch=3, repeats=1, devices=BOTH, growth=True)
    assert [profile.device, profile.beside[0].device] == list(BOTH)
    assert [one.dimension for one in profile.on(cuda).growth] == ["T", "B", "H"]
    assert {p.device for p in model.parameters()} == {where}
    for name, values in model.state_dict().items():
        assert (values == weights[name]).all()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("readout", ["last", "all"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_and_targets_on_both_devices(cuda, readout, batch_first, few_sizes):
    leading = (3, 6) if batch_first else (6, 3)
    y = noise(*leading, 2) if readout == "all" else noise(3, 2)
    model = mr.SequenceModel(
        "lstm", input_size=5, hidden_size=4, output_size=2, readout=readout,
        batch_first=batch_first, rng=0,
    )  # fmt: skip
    feed = {"inputs": noise(*leading, 5), "targets": y, "loss": "mse", "lengths": [6, 0, 2]}
    profile = mr.profile(model, **feed, repeats=1, devices=(cuda, "cpu"))
    assert (profile.device, profile.on("cpu").device) == ("cuda", "cpu")
    assert profile.forward.flop == profile.on("cpu").forward.flop == 2 * 8 * 16 * (5 + 4)


@pytest.mark.usefixtures("quick", "few_sizes")
def test_both_devices_side_by_side_and_where_the_gpu_begins_to_win(cuda):
    profile = mr.profile("rnn", **SMALL, devices=BOTH)
    B, H = profile.break_even
    assert (B.dimension, H.dimension) == ("B", "H")
    assert B.sizes == (1, 2, 4)[: len(B.sizes)]
    assert H.sizes == (16, 32)
    for one in (B, H):
        assert len(one.sizes) == len(one.cpu) == len(one.cuda) == len(one.with_transfer)
        assert one.wins_at == wins_at(one.sizes, one.cpu, one.cuda)
    told = profile.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["beside"][0]["peak"]["gpu"] == "Acme"
    assert told["break_even"][1]["sizes"] == [16, 32]
    text = profile.table()
    assert "cpu / cuda" in text
    assert "H = 32" in text
    assert "the GPU" in text
    with pytest.raises(KeyError):
        mr.profile("rnn", **SMALL).on("cuda")


@pytest.mark.parametrize(
    ("cpu", "cuda", "size"),
    [
        ([1, 2, 4, 8], [3, 3, 3, 3], 4),
        ([9, 2, 4, 8], [3, 3, 3, 3], 4),
        ([9, 9, 9, 9], [3, 3, 3, 3], 1),
        ([1, 2, 4, 1], [3, 3, 3, 3], None),
        ([3, 3, 3, 3], [3, 3, 3, 3], None),
    ],
)
def test_a_size_is_won_if_all_larger_ones_are(cpu, cuda, size):
    assert wins_at([1, 2, 4, 8], cpu, cuda) == size


def test_the_search_ends_when_two_sizes_are_won_or_a_step_takes_long(cuda, monkeypatch):
    from minirnn.profiling.build import subject_of

    subject = subject_of("rnn", {}, {"steps": 2, "batch": 2, "input_size": 2, "hidden_size": 2})
    monkeypatch.setattr(break_even, "_both", lambda s: (s.sizes[1], 3.5e-3, 9.0))
    monkeypatch.setattr(break_even, "SLOWEST", 100.0)
    B, _ = break_even.find_break_even(subject)
    assert (B.sizes, B.wins_at) == ((1, 2), 1)
    monkeypatch.setattr(break_even, "_both", lambda s: (s.sizes[1], 3.5, 1.0))
    assert break_even.find_break_even(subject)[0].sizes == (1, 2, 4, 8)
    monkeypatch.setattr(break_even, "_both", lambda s: (s.sizes[1], 300.0, 1.0))
    assert break_even.find_break_even(subject)[0].wins_at is None


@pytest.mark.usefixtures("short_bursts")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_peak_is_measured_on_the_gpu(cuda, dtype):
    peak = gpu_peak.measure_peak(dtype)
    assert peak.format == peak.dtype == dtype
    assert peak.gflops > 0.0
    assert peak.bandwidth > 0.0
    assert peak.gpu in peak.where()
    assert dtype in peak.words()


@pytest.mark.usefixtures("short_bursts")
@pytest.mark.parametrize("name", ["tf32", "bfloat16", "float16"])
def test_the_peak_of_products_is_that_of_the_chosen_precision(cuda, name):
    before = mr.kernels.cuda.get_matmul_precision()
    mr.set_matmul_precision(name)
    try:
        assert gpu_peak.measure_peak("float32").format == name
        assert gpu_peak.format_of("float64") == "float64"
    finally:
        mr.set_matmul_precision(before)


def test_the_text_of_the_peak_multiplies_as_often_as_is_counted(cuda, emulated):
    """Run the kernel itself, and look at what its chains come to."""
    import cupy

    from minirnn.kernels.cuda.launch import launch

    out = cupy.empty(256, "float32")
    kernel = gpu_peak._burner("tf32", "sm_90")
    for turns in (0, 3):
        launch(kernel, (1,), (out, turns))
        links = turns * gpu_peak.LINKS
        # A chain begins at 2 + i + lane, and each link adds the 8 products of 1 and 1.
        lane = 5
        chains = sum(4 * (2 + i + lane + 8 * links) for i in range(gpu_peak.CHAINS))
        rest = 2 * 0x3F800000 + 0.999 + 0.001
        assert float(out.get()[lane]) == pytest.approx(rest + chains, rel=1e-6)


# Operations of one instruction of a warp: 32 multiply-adds, or 16 by 8 by K on the tensor cores.
WARP = {"float32": 64, "float64": 64, "tf32": 2048, "bfloat16": 4096, "float16": 4096}


@pytest.mark.parametrize("name", WARP)
def test_a_peak_is_operations_over_seconds(cuda, emulated, name, monkeypatch):
    monkeypatch.setattr(gpu_peak, "_timed", lambda work: 0.5)
    with emulated.device_properties(multiProcessorCount=3):
        rate = gpu_peak.multiply_add_peak(name)
    warps = 3 * gpu_peak.BLOCKS_EACH * 256 // 32
    one_turn = warps * gpu_peak.CHAINS * gpu_peak.LINKS * WARP[name]
    assert rate == pytest.approx(one_turn / 0.5 / 1e9)


def test_copying_counts_what_is_read_and_what_is_written(cuda, monkeypatch):
    monkeypatch.setattr(gpu_peak, "_timed", lambda work: 0.5)
    assert gpu_peak.copy_bandwidth(8000) == pytest.approx(2 * 8000 / 0.5 / 1e9)


@pytest.mark.usefixtures("quick", "few_sizes")
def test_from_the_command_line(cuda, capsys, monkeypatch):
    monkeypatch.setattr("minirnn.profiling.timing.LEAST_ROUNDS", 1)
    monkeypatch.setattr("minirnn.profiling.timing.ENOUGH_SECONDS", 0.0)
    sizes = ["--steps", "4", "--batch", "3", "--input-size", "5", "--hidden-size", "4"]
    assert cli.main(["profile", "gru", *sizes, "--device", "cpu,cuda", "--no-torch", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [told["device"], told["beside"][0]["device"]] == list(BOTH)
    assert told["break_even"][0]["dimension"] == "B"
    assert cli.main(["profile", "gru", *sizes, "--device", "cuda", "--no-torch"]) == 0
    assert "on cuda (Acme, 6 multiprocessors)" in capsys.readouterr().out
