"""`SequenceModel` with normalisation and with initial states: values, gradients, padding."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from devices import to_device, to_numpy

import minirnn as mr
from minirnn.errors import ArgumentError, DTypeError, MinirnnError, ShapeError
from minirnn.interop.safetensors import load_model, save_model
from minirnn.nn import BatchNorm, LayerNorm
from minirnn.tensor import Tensor
from minirnn.testing import gradcheck
from minirnn.training import Sequences, fit

T, B, LENGTHS = 5, 4, np.array([5, 2, 0, 4])


def model_of(cell: str = "gru", **options: Any) -> mr.SequenceModel:
    sizes = {"input_size": 2, "hidden_size": 3, "output_size": 2, "num_layers": 2}
    return mr.SequenceModel(cell, rng=0, **{**sizes, "dtype": "float64", **options})


def inputs(seed: int = 0, batch: int = B) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(T, batch, 2))


def with_other_padding(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    other = x.copy()
    other[np.arange(len(x))[:, None] >= lengths] = 1e3
    return other


def statistics(model: mr.SequenceModel) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in model.named_buffers()}


# Normalisation


@pytest.mark.parametrize("kind", [LayerNorm, BatchNorm])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_stands_between_the_layers_and_before_the_head(kind, bidirectional: bool) -> None:
    norm = "layer" if kind is LayerNorm else "batch"
    model = model_of("lstm", norm=norm, bidirectional=bidirectional, readout="all")
    x = inputs()
    layers = [mr.LSTM(2, 3, bidirectional=bidirectional, dtype="float64")]
    layers.append(mr.LSTM(layers[0].num_directions * 3, 3, bidirectional=bidirectional,
                          dtype="float64"))  # fmt: skip
    for number, layer in enumerate(layers):
        for name, parameter in layer.named_parameters():
            theirs = name.replace("_l0", f"_l{number}")
            parameter.data[...] = getattr(model.recurrent, theirs).data
    between, before = copy.deepcopy(model.recurrent.norm_l0), copy.deepcopy(model.head_norm)
    assert type(between) is type(before) is kind
    wanted = model.head(before(layers[1](between(layers[0](x)[0]))[0]))
    np.testing.assert_allclose(model(x).data, wanted.data, rtol=1e-12)
    for name, array in statistics(model).items():
        same = before if name.startswith("head_norm") else between
        np.testing.assert_allclose(array, getattr(same, name.split(".")[-1]), rtol=1e-12)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("readout", ["last", "all"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_padding_enters_neither_statistics_nor_answers(norm, readout, batch_first) -> None:
    options = {"norm": norm, "readout": readout, "batch_first": batch_first, "bidirectional": True}
    found = []
    for padded in (inputs(), with_other_padding(inputs(), LENGTHS)):
        model = model_of(**options)
        y = model(padded.swapaxes(0, 1) if batch_first else padded, lengths=LENGTHS)
        answers = y.data.swapaxes(0, 1) if batch_first and readout == "all" else y.data
        valid = np.arange(T)[:, None] < LENGTHS if readout == "all" else LENGTHS > 0
        model.zero_grad()
        (y * y).sum().backward()
        found.append((answers[valid], statistics(model), model.recurrent.weight_ih_l0.grad))
    (a, first, da), (b, second, db) = found
    np.testing.assert_array_equal(a, b)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
    if readout == "last":  # at every step, the loss above counts padded answers too
        np.testing.assert_array_equal(da, db)


def test_statistics_are_those_of_the_steps_within_sequences() -> None:
    model = model_of(norm="batch", readout="all", num_layers=1)
    output = model.recurrent(inputs(), lengths=LENGTHS)[0].data
    model(inputs(), lengths=LENGTHS)
    rows = output[np.arange(T)[:, None] < LENGTHS]
    assert len(rows) == LENGTHS.sum()
    np.testing.assert_allclose(model.head_norm.running_mean, 0.1 * rows.mean(axis=0), rtol=1e-12)
    variance = 0.9 + 0.1 * rows.var(axis=0, ddof=1)
    np.testing.assert_allclose(model.head_norm.running_var, variance, rtol=1e-12)
    # A sequence without a step has no last state of its own either.
    model = model_of(norm="batch", num_layers=1)
    ends = model.recurrent(inputs(), lengths=LENGTHS)[1].data[0]
    model(inputs(), lengths=LENGTHS)
    wanted = 0.1 * ends[LENGTHS > 0].mean(axis=0)
    np.testing.assert_allclose(model.head_norm.running_mean, wanted, rtol=1e-12)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("readout", ["last", "all"])
def test_gradients_are_those_of_finite_differences(norm: str, readout: str) -> None:
    model = model_of("rnn", norm=norm, readout=readout, bidirectional=True)
    x = Tensor(inputs(), requires_grad=True)
    valid = np.arange(T)[:, None] < LENGTHS if readout == "all" else LENGTHS > 0

    def loss(*_: Any) -> Tensor:
        y = model(x, lengths=LENGTHS)
        return mr.functional.where(valid[..., None], y * y, 0.0).sum()

    gradcheck(loss, [x, *model.parameters()])


def test_batch_norm_with_some_valid_is_pytorchs_of_these_rows() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    x, valid = rng.normal(2.0, 3.0, (4, 5, 3)), rng.random((4, 5)) < 0.6
    x[~valid] = np.nan  # what is not valid enters nothing, whatever it is
    dy = rng.normal(size=x.shape)
    ours, theirs = BatchNorm(3, dtype="float64"), torch.nn.BatchNorm1d(3, dtype=torch.float64)
    mine, other = Tensor(x, requires_grad=True), torch.tensor(x[valid], requires_grad=True)
    y = ours(mine, valid)
    mr.functional.where(valid[..., None], y * dy, 0.0).sum().backward()
    told = theirs(other)
    (told * torch.tensor(dy[valid])).sum().backward()
    np.testing.assert_allclose(y.data[valid], told.detach().numpy(), atol=1e-13)
    np.testing.assert_allclose(mine.grad[valid], other.grad.numpy(), atol=1e-13)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), atol=1e-13)


def test_a_batch_of_one_sequence_is_normalised_by_the_running_statistics() -> None:
    model = model_of(norm="batch", num_layers=1)
    model(inputs())
    before, x = statistics(model), inputs(batch=1)
    trained = model(x).data
    np.testing.assert_array_equal(trained, model.eval()(x).data)
    for name, array in statistics(model).items():
        np.testing.assert_array_equal(array, before[name])
    rows = np.random.default_rng(0).normal(size=(17, 4, 2)).astype(np.float32)
    model = model_of(norm="batch", dtype="float32")
    history = fit(
        model, Sequences(rows, rows[:, 0]), loss="mse", batch_size=8, epochs=1,
        optimizer=mr.optim.Adam(model.parameters()), progress=False,
    )  # fmt: skip
    assert history["batches"] == [3]


def test_valid_is_checked() -> None:
    norm, x = BatchNorm(3, dtype="float64"), np.zeros((4, 5, 3))
    for valid, error in (
        (np.ones((4, 5), int), DTypeError),
        ([True], DTypeError),
        (np.ones((5, 4), bool), ShapeError),
        (np.zeros((4, 5), bool), ShapeError),
    ):
        with pytest.raises(error):
            norm(x, valid)


# Initial states


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_learned_states_are_what_a_caller_would_give_for_every_sequence(cell, bidirectional):
    model = model_of(cell, bidirectional=bidirectional, initial_state="learned")
    rng = np.random.default_rng(1)
    states = [p for name, p in model.named_parameters() if name.startswith("initial.")]
    assert len(states) == len(model.recurrent.cell.states)
    for parameter in states:
        assert parameter.shape == (4 if bidirectional else 2, 1, 3)
        assert not parameter.data.any()
        parameter.data[...] = rng.normal(size=parameter.shape)
    y = model(inputs(), lengths=LENGTHS)
    given = tuple(np.repeat(parameter.data, B, axis=1) for parameter in states)
    plain = model_of(cell, bidirectional=bidirectional)
    wanted = plain(inputs(), given if cell == "lstm" else given[0], LENGTHS)
    np.testing.assert_array_equal(y.data, wanted.data)
    gradcheck(lambda *_: (model(inputs(), lengths=LENGTHS) ** 2).sum(), model.parameters())


def test_learned_states_are_learned() -> None:
    # The answer is the same 1 for all: from zero inputs it can only come from the state.
    model = model_of("rnn", num_layers=1, initial_state="learned", bias=False, dtype="float32")
    x, y = np.zeros((32, T, 2), np.float32), np.ones((32, 2), np.float32)
    optimizer = mr.optim.Adam(model.parameters(), 0.03)
    history = fit(model, (x, y), loss="mse", optimizer=optimizer, epochs=80, progress=False)
    assert history.loss[0] > 0.5
    assert history.loss[-1] < 0.01


def test_random_states_are_drawn_anew_in_training_and_seeded_and_zeros_in_evaluation() -> None:
    model, again = (
        model_of("lstm", initial_state="random"),
        model_of("lstm", initial_state="random"),
    )
    drawn = [model(inputs()).data for _ in range(2)]
    assert not np.array_equal(*drawn)
    np.testing.assert_array_equal(drawn, [again(inputs()).data for _ in range(2)])
    plain = model_of("lstm").eval()
    np.testing.assert_array_equal(model.eval()(inputs()).data, plain(inputs()).data)
    start = model.train().initial.begin(2000, model.recurrent.weight_ih_l0.data)
    assert [each.shape for each in start] == [(2, 2000, 3)] * 2
    assert all(abs(each.mean()) < 0.05 and abs(each.std() - 1.0) < 0.05 for each in start)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_carried_states_go_on_from_batch_to_batch_cut_off_the_tape(cell: str) -> None:
    model, plain = model_of(cell, initial_state="carried"), model_of(cell)
    first, second = inputs(1), inputs(2)
    y, last = model(first, return_state=True)
    np.testing.assert_array_equal(y.data, plain(first).data)
    with mr.record() as recording:
        carried = model(second)
        carried.sum().backward()
    assert all(trace.truncated for trace in recording.traces)
    wanted = plain(second, tuple(e.detach() for e in last) if cell == "lstm" else last.detach())
    np.testing.assert_array_equal(carried.data, wanted.data)
    wanted.sum().backward()
    for mine, other in zip(model.parameters(), plain.parameters(), strict=True):
        np.testing.assert_array_equal(mine.grad, other.grad)
    # Neither another number of sequences nor evaluation goes on from there, nor a model reset.
    model.eval()
    np.testing.assert_array_equal(model(first).data, plain(first).data)
    model.train()
    assert not np.array_equal(model(first).data, plain(first).data)
    np.testing.assert_array_equal(model(inputs(3, 2)).data, plain(inputs(3, 2)).data)
    model.reset_state()
    np.testing.assert_array_equal(model(inputs(3, 2)).data, plain(inputs(3, 2)).data)


def test_a_state_that_is_given_comes_first() -> None:
    state = np.random.default_rng(3).normal(size=(2, B, 3))
    wanted = model_of()(inputs(), state).data
    for kind in ("learned", "random", "carried"):
        model = model_of(initial_state=kind)
        model(inputs())
        np.testing.assert_array_equal(model(inputs(), state).data, wanted)


def test_fit_begins_every_epoch_at_zeros_and_goes_on_to_the_same_bits(tmp_path) -> None:
    x = np.random.default_rng(0).normal(size=(12, T, 2)).astype(np.float32)
    data = Sequences(x, x.mean(axis=1))

    def run(start: str, epochs: int, **options: Any) -> np.ndarray:
        model = model_of(initial_state=start, norm="batch", dtype="float32")
        fit(
            model, data, data, loss="mse", optimizer=mr.optim.Adam(model.parameters(), 1e-2),
            epochs=epochs, batch_size=4, progress=False, **options,
        )  # fmt: skip
        return np.concatenate([each.ravel() for each in model.state_dict().values()])

    for start in ("learned", "random", "carried"):
        saving = mr.Checkpointing(tmp_path / f"{start}.safetensors")
        run(start, 2, callbacks=[saving])
        np.testing.assert_array_equal(run(start, 4), run(start, 4, resume=saving.latest()))


def test_a_free_run_begins_where_the_network_learned_to() -> None:
    model = model_of(initial_state="learned", num_layers=1)
    model.initial.state_h.data[...] = 1.0
    context = inputs()[:, :1]
    run = mr.generate(model, context, 3)
    plain = model_of(num_layers=1)
    y, state = plain(context, np.ones((1, 1, 3)), return_state=True)
    np.testing.assert_array_equal(run[0], y.data)
    np.testing.assert_allclose(run[1], plain(y.data[None], state).data, rtol=1e-12)


# What else such models meet


@pytest.mark.parametrize(
    "options",
    [{"norm": "batch"}, {"norm": "layer"}, {"initial_state": "learned"},
     {"initial_state": "random"}, {"initial_state": "carried"}],
)  # fmt: skip
def test_they_run_on_the_gpu_as_on_the_cpu_and_move(options, cuda) -> None:
    model = model_of("lstm", bidirectional=True, **options)
    there = model_of("lstm", bidirectional=True, device=cuda, **options)
    for batch in range(2):
        x = inputs(batch)
        mine, other = model(x, lengths=LENGTHS), there(to_device(x, cuda), lengths=LENGTHS)
        np.testing.assert_allclose(to_numpy(other.data), mine.data, atol=1e-12)
        for network, y in ((model, mine), (there, other)):
            network.zero_grad()
            (y * y).sum().backward()
    for mine, other in zip(model.parameters(), there.parameters(), strict=True):
        np.testing.assert_allclose(to_numpy(other.grad), mine.grad, atol=1e-11)
    x = inputs(7)
    there.to("cpu").reset_state()
    model.reset_state()
    np.testing.assert_allclose(there.eval()(x).data, model.eval()(x).data, atol=1e-12)


@pytest.mark.parametrize("options", [{"norm": "batch"}, {"initial_state": "learned"}])
def test_they_are_saved_whole_and_come_back(options, tmp_path) -> None:
    model = model_of("lstm", **options)
    for _, parameter in model.named_parameters():
        parameter.data[...] = np.random.default_rng(4).normal(size=parameter.shape)
    model(inputs())
    save_model(model, tmp_path / "model.safetensors")
    back = load_model(tmp_path / "model.safetensors")
    assert repr(back) == repr(model)
    np.testing.assert_array_equal(back.eval()(inputs()).data, model.eval()(inputs()).data)


def test_a_stream_of_normalised_layers_is_refused() -> None:
    with pytest.raises(ArgumentError, match="norm"):
        model_of(norm="layer").recurrent.stream()
    model_of(norm="layer", num_layers=1).recurrent.stream()
    with pytest.raises(ArgumentError, match="norm"):
        mr.inspect.free_run_exponents(model_of(norm="layer"), inputs(), 4)


@pytest.mark.parametrize("options", [{"norm": "none!"}, {"norm": None}, {"initial_state": "ones"}])
def test_what_is_unknown_is_refused(options) -> None:
    with pytest.raises(MinirnnError, match=next(iter(options))):
        model_of(**options)
    with pytest.warns(UserWarning, match="norm='layer' has no effect"):
        mr.GRU(2, 3, norm="layer")
