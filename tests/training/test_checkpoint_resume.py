"""A training that goes on from a checkpoint is the training that was never interrupted."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

import minirnn as mr
from minirnn.errors import ArgumentError, CheckpointError
from minirnn.nn import BatchNorm
from minirnn.training import (
    Callback,
    Checkpointing,
    EarlyStopping,
    Sequences,
    load_checkpoint,
    save_checkpoint,
)
from minirnn.training.scheduling import Scheduling

EPOCHS = 6
OPTIMIZERS = {
    "sgd": lambda p: mr.optim.SGD(p, 0.05),
    "momentum": lambda p: mr.optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: mr.optim.Adam(p, 0.01, weight_decay=1e-3),
}


class CrashError(Exception):
    pass


class CrashAt(Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, epoch, batch, error=CrashError):
        self.at, self.error = (epoch, batch), error

    def batch_ended(self, run):
        if (run.epoch, run.batch) == self.at:
            raise self.error


class Halving(Callback):
    """A scheduler that remembers: halves the rate after every second epoch that it has seen."""

    def __init__(self):
        self.seen = 0

    def training_began(self, run):
        self.seen = 0

    def epoch_ended(self, run):
        self.seen += 1
        if self.seen % 2 == 0:
            run.optimizer.learning_rate /= 2

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state_dict):
        self.seen = state_dict["seen"]


def model_of(device="cpu", seed=3, **options):
    sizes = {"input_size": 1, "hidden_size": 5, "output_size": 1, "num_layers": 2}
    options = sizes | {"dropout": 0.4, "head_dropout": 0.2} | options
    model = mr.SequenceModel("gru", rng=seed, **options)
    return model.to(device)


def train(sums, model, kind="adam", *, epochs=EPOCHS, **options):
    """One run of fit with all that could make it depend on more than its arguments."""
    optimizer = OPTIMIZERS[kind](model.parameters())
    options = {"callbacks": (), "shuffle": True, "seed": 5, "batch_size": 16} | options
    history = mr.fit(
        model,
        sums,
        sums.take(slice(0, 10)),
        loss="mse",
        optimizer=optimizer,
        epochs=epochs,
        metrics=["mae"],
        clip_norm=1.0,
        progress=False,
        **options,
    )
    return optimizer, history


def everything(model, optimizer, history):
    """All that must come out the same, to the bit; of time nothing is promised."""
    arrays = {f"model.{k}": v for k, v in model.state_dict().items()}
    arrays |= {f"optimizer.{k}": v for k, v in optimizer.state_dict().items()}
    arrays["next random numbers"] = model.head_dropout.rng.random(3)
    arrays = {name: getattr(a, "get", lambda a=a: a)().tobytes() for name, a in arrays.items()}
    return arrays | {"history": [replace(epoch, seconds=0.0) for epoch in history.epochs]}


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", list(OPTIMIZERS))
def test_a_crash_in_an_epoch_costs_that_epoch_and_no_bit(kind, shuffle, sums, tmp_path):
    whole = model_of()
    wanted = everything(whole, *train(sums, whole, kind, shuffle=shuffle))

    saving = Checkpointing(tmp_path / "run.safetensors")
    with pytest.raises(CrashError):
        train(sums, model_of(), kind, shuffle=shuffle, callbacks=[saving, CrashAt(4, 2)])
    assert load_checkpoint(saving.path).epoch == 3

    other = model_of(seed=99)  # another start, another optimiser, another process
    again = Checkpointing(tmp_path / "run.safetensors")
    came = train(sums, other, kind, shuffle=shuffle, callbacks=[again], resume=again.latest())
    assert everything(other, *came) == wanted


def test_on_every_device_a_resumed_training_has_the_same_bits(device, sums, tmp_path):
    whole = model_of(device)
    wanted = everything(whole, *train(sums, whole, epochs=3))
    saving = Checkpointing(tmp_path / "run.safetensors")
    train(sums, model_of(device), epochs=2, callbacks=[saving])
    other = model_of(device, seed=99)
    came = train(sums, other, epochs=3, resume=saving.latest())
    assert other.head.weight.device == device
    assert everything(other, *came) == wanted


def test_without_its_random_states_a_resumed_training_is_another(sums, tmp_path):
    """The test of the tests: what they compare does depend on the random states."""
    whole = model_of()
    wanted = everything(whole, *train(sums, whole))
    saving = Checkpointing(tmp_path / "run.safetensors")
    train(sums, model_of(), epochs=3, callbacks=[saving])
    for part in ("model", "shuffling"):
        checkpoint = load_checkpoint(saving.path)
        states = (
            checkpoint.random["model"]["states"] if part == "model" else checkpoint.progress["rng"]
        )
        states[0] = np.random.default_rng(0).bit_generator.state
        other = model_of()
        assert everything(other, *train(sums, other, resume=checkpoint)) != wanted


def test_callbacks_go_on_with_what_they_knew(sums, tmp_path):
    whole = model_of()
    wanted = everything(whole, *train(sums, whole, callbacks=[Halving(), EarlyStopping(50)]))
    saving = Checkpointing(tmp_path / "run.safetensors")
    train(sums, model_of(), epochs=3, callbacks=[saving, Halving(), EarlyStopping(50)])
    other, stopping = model_of(), EarlyStopping(50)
    came = train(sums, other, callbacks=[Halving(), stopping, saving], resume=saving.path)
    assert everything(other, *came) == wanted
    assert stopping.best == min(came[1].validation_loss)


@pytest.mark.parametrize("kind", ["adamw", "rmsprop"])
def test_schedulers_and_the_other_optimisers_go_on_too(kind, sums, tmp_path):
    def run(epochs, seed=3, **options):
        """A plateau in a training whose loss is far from falling, so that the rate does."""
        model = model_of(seed=seed)
        make = {"adamw": mr.optim.AdamW, "rmsprop": mr.optim.RMSprop}[kind]
        optimizer = make(model.parameters(), 0.3)
        plateau = mr.optim.schedulers.Plateau(optimizer, patience=0, factor=0.5)
        callbacks = [*options.pop("callbacks", ()), Scheduling(plateau)]
        history = mr.fit(
            model, sums, loss="mse", optimizer=optimizer, epochs=epochs, progress=False,
            callbacks=callbacks, **options,
        )  # fmt: skip
        return everything(model, optimizer, history), plateau.state_dict()

    wanted = run(EPOCHS)
    assert wanted[0]["history"][-1].learning_rate < 0.3
    saving = Checkpointing(tmp_path / "run.safetensors")
    run(3, callbacks=[saving])
    assert run(EPOCHS, seed=9, callbacks=[saving], resume=saving.latest()) == wanted


def test_running_means_go_on_too(sums, tmp_path):
    class Net(mr.Module):
        def __init__(self, seed):
            self.norm = BatchNorm(1)
            self.model = model_of(seed=seed)

        def forward(self, x):
            return self.model(self.norm(x))

    def run(epochs, seed=3, **options):
        net = Net(seed)
        optimizer = mr.optim.Adam(net.parameters(), 0.01)
        mr.fit(net, sums, loss="mse", optimizer=optimizer, epochs=epochs, progress=False, **options)
        return {name: array.tobytes() for name, array in net.state_dict().items()}

    wanted = run(4)
    assert "norm.running_mean" in wanted
    run(2, callbacks=[Checkpointing(tmp_path / "c")])
    assert run(4, seed=9, resume=tmp_path / "c") == wanted


def test_a_run_that_a_callback_ended_stays_ended(sums, tmp_path):
    class Enough(Callback):
        def epoch_ended(self, run):
            if run.epoch == 2:
                run.stop("enough")

    saving = Checkpointing(tmp_path / "run.safetensors")
    model = model_of()
    optimizer, history = train(sums, model, callbacks=[saving, Enough()])
    assert history.stopped.message.startswith("enough in epoch 2")
    wanted = everything(model, optimizer, history)
    other = model_of(seed=1)
    came = train(sums, other, callbacks=[saving, Enough()], resume=saving.path)
    assert came[1].stopped == history.stopped
    assert everything(other, *came) == wanted


def test_a_finished_run_is_not_trained_again_and_can_be_prolonged(sums, tmp_path):
    saving = Checkpointing(tmp_path / "run.safetensors")
    model = model_of()
    first = everything(model, *train(sums, model, epochs=3, callbacks=[saving]))
    same = model_of(seed=1)
    assert everything(same, *train(sums, same, epochs=3, resume=saving.path)) == first
    longer, whole = model_of(seed=1), model_of()
    came = everything(longer, *train(sums, longer, epochs=5, resume=saving.path))
    assert came == everything(whole, *train(sums, whole, epochs=5))


def test_control_c_in_an_epoch_leaves_the_epoch_before(sums, tmp_path):
    saving = Checkpointing(tmp_path / "run.safetensors")
    _, history = train(sums, model_of(), callbacks=[saving, CrashAt(3, 1, KeyboardInterrupt)])
    assert history.stopped.kind == "interrupted"
    assert not history.epochs[-1].complete
    checkpoint = load_checkpoint(saving.path)
    assert checkpoint.epoch == 2
    assert [epoch.number for epoch in checkpoint.history.epochs] == [1, 2]
    whole, other = model_of(), model_of()
    wanted = everything(whole, *train(sums, whole))
    assert everything(other, *train(sums, other, resume=checkpoint)) == wanted


def test_a_scheduler_and_generators_of_ones_own_go_on(sums, tmp_path):
    scheduler, rng = Halving(), np.random.default_rng(8)
    scheduler.seen = 5
    saving = Checkpointing(tmp_path / "r", scheduler=scheduler, rng={"noise": rng})
    train(sums, model_of(), epochs=1, callbacks=[saving])
    wanted = rng.random(4)
    other, fresh = Halving(), np.random.default_rng(1)
    saving = Checkpointing(tmp_path / "r", scheduler=other, rng={"noise": fresh})
    train(sums, model_of(), epochs=1, callbacks=[saving], resume=saving.latest())
    assert other.seen == 5
    np.testing.assert_array_equal(fresh.random(4), wanted)
    with pytest.raises(CheckpointError, match=r"resume.*Checkpointing\(..., scheduler=...\)"):
        train(sums, model_of(), epochs=1, resume=tmp_path / "r")


@pytest.mark.parametrize("every", [1, 2, 4])
def test_every_nth_epoch_and_the_last_are_saved(every, sums, tmp_path):
    saving = Checkpointing(tmp_path / "run-{epoch:03d}.safetensors", every=every)
    assert saving.latest() is None
    train(sums, model_of(), epochs=5, callbacks=[saving])
    wanted = sorted({*range(every, 6, every), 5})
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        f"run-{epoch:03d}.safetensors" for epoch in wanted
    ]
    assert saving.latest() == tmp_path / "run-005.safetensors"
    assert [load_checkpoint(saving.path_of(e)).epoch for e in wanted] == wanted


def test_the_newest_stay_and_what_is_not_ours_too(sums, tmp_path):
    others = ["run-1.txt", "run-001.safetensors", "run-x.safetensors", "run-99.safetensors"]
    for name in (*others, "run-2.safetensors"):  # the last: of a run before
        (tmp_path / name).write_bytes(b"")
    saving = Checkpointing(tmp_path / "run-{epoch}.safetensors", keep_last=2)
    train(sums, model_of(), epochs=4, callbacks=[saving])
    ours = ["run-3.safetensors", "run-4.safetensors"]
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([*others, *ours])


def test_what_cannot_be_resumed_says_why_and_changes_nothing(sums, tmp_path):
    saving = Checkpointing(tmp_path / "run.safetensors")
    train(sums, model_of(), epochs=2, callbacks=[saving])
    wide = Sequences(sums.x, np.repeat(sums.y, 2, axis=1))
    longer = Sequences(np.concatenate([sums.x, sums.x]), np.concatenate([sums.y, sums.y]))
    save_checkpoint(tmp_path / "own", model=model_of())

    class Stubborn(Callback):
        def state_dict(self):
            return {}

        def load_state_dict(self, state_dict):
            raise RuntimeError("no")

    stubborn = Checkpointing(tmp_path / "stubborn")
    train(sums, model_of(), epochs=1, callbacks=[stubborn, Stubborn()])
    for told, data, kind, model, options in (
        ("epochs = 1, .* 2 epochs old; wanted at least 2", sums, "adam", model_of(), {"epochs": 1}),
        (r"targets = \[40, 2\]; wanted \[40, 1\]", wide, "adam", model_of(output_size=2), {}),
        ("batch_size = 8", sums, "adam", model_of(), {"batch_size": 8}),
        ("shuffle = False", sums, "adam", model_of(), {"shuffle": False}),
        (r"sequences = \[80, 5, 1\]", longer, "adam", model_of(), {}),
        ("SGD; wanted Adam", sums, "sgd", model_of(), {}),
        ("EarlyStopping; wanted none", sums, "adam", model_of(), {"callbacks": [EarlyStopping(3)]}),
        (r"GRU\(1, 6,.*wanted recurrent: GRU\(1, 5,", sums, "adam", model_of(hidden_size=6), {}),
        (r"initial_state='carried'\); wanted \(readout='last'\)", sums, "adam",
         model_of(initial_state="carried"), {}),
        (r"Dropout\(0.5\); wanted head_dropout: Dropout\(0.2\)", sums, "adam",
         model_of(head_dropout=0.5), {}),
        ("norm='layer'", sums, "adam", model_of(norm="layer"), {}),
        ("outside of fit", sums, "adam", model_of(), {"resume": tmp_path / "own"}),
        ("RuntimeError: no", sums, "adam", model_of(),
         {"resume": stubborn.path, "callbacks": [Stubborn()]}),
    ):  # fmt: skip
        before = {name: a.tobytes() for name, a in model.state_dict().items()}
        state = model.head_dropout.rng.bit_generator.state
        with pytest.raises(CheckpointError, match=told):
            train(data, model, kind, **({"resume": saving.path} | options))
        assert {name: a.tobytes() for name, a in model.state_dict().items()} == before
        assert model.head_dropout.rng.bit_generator.state == state
    with pytest.raises(ArgumentError, match="resume"):
        train(sums, model_of(), resume=3)


def test_who_remembers_a_held_out_loss_is_not_given_another(sums, tmp_path):
    def run(validation, **options):
        model = model_of()
        callbacks = [EarlyStopping(3), Checkpointing(tmp_path / "run")]
        mr.fit(
            model, sums, validation, loss="mse", optimizer=mr.optim.Adam(model.parameters()),
            epochs=1, callbacks=callbacks, progress=False, **options,
        )  # fmt: skip

    run(sums)
    with pytest.raises(CheckpointError, match="validation = False; wanted True"):
        run(None, resume=tmp_path / "run")


def test_checkpointing_refuses_what_would_fail_after_an_epoch(tmp_path):
    with pytest.raises(CheckpointError, match="folder that exists"):
        Checkpointing(tmp_path / "none" / "run.safetensors")
    with pytest.raises(ArgumentError, match=r"\{epoch\}"):
        Checkpointing(tmp_path / "run.safetensors", keep_last=2)
    for option in ("every", "keep_last"):
        with pytest.raises(ArgumentError, match=option):
            Checkpointing(tmp_path / "run-{epoch}", **{option: 0})


def test_the_time_left_is_told_of_what_is_left(sums, tmp_path, monkeypatch):
    saving = Checkpointing(tmp_path / "run.safetensors")
    train(sums, model_of(), epochs=9, callbacks=[saving])
    monkeypatch.setattr("minirnn.training.progress._Clock.passed", lambda self: 1.0)
    stream = io.StringIO()
    optimizer = mr.optim.Adam((model := model_of()).parameters())
    options = {"loss": "mse", "optimizer": optimizer, "clip_norm": 1.0, "batch_size": 16}
    mr.fit(model, sums, epochs=12, resume=saving.path, progress=stream, **options)
    first = stream.getvalue().splitlines()[0]
    assert first.startswith("epoch 10/12")
    assert first.endswith("2.0 s left")  # one for this epoch, and two epochs to come
