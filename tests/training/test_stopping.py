"""Training that ends early says why, and leaves model, history and terminal in order."""

from __future__ import annotations

import math
import signal
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from minirnn.errors import ArgumentError
from minirnn.optim import SGD, Adam
from minirnn.tensor import apply
from minirnn.training import Callback, EarlyStopping, Run, Sequences, fit


def train(model: Any, data: Sequences, **options: Any) -> Any:
    chosen = {"loss": "mse", "epochs": 5, "progress": False, "batch_size": 10}
    if "optimizer" not in options:
        chosen["optimizer"] = Adam(model.parameters(), 1e-2)
    return fit(model, data, **{**chosen, **options})


def test_a_missing_value_stops_it_at_its_batch_before_a_step_is_taken(make_model, sums) -> None:
    x = sums.x.copy()
    x[25, 2] = np.nan  # the third batch of four
    model, before_third = make_model(), []

    class Watch(Callback):
        def batch_ended(self, run: Run) -> None:
            before_third[:] = [p.data.copy() for p in run.model.parameters()]

    history = train(model, Sequences(x, sums.y), shuffle=False, callbacks=[Watch()])
    stop = history.stopped
    assert (stop.kind, stop.epoch, stop.batch) == ("non-finite", 1, 3)
    assert "the loss became nan in epoch 1, batch 3 of 4" in stop.message
    assert history["batches"] == [2]
    assert history["complete"] == [False]
    assert math.isfinite(history.loss[0])
    for parameter, value in zip(model.parameters(), before_third, strict=True):
        np.testing.assert_array_equal(parameter.data, value)
    assert history.to_dict()["stopped"]["kind"] == "non-finite"


def test_a_loss_that_is_not_finite_from_the_start_leaves_no_epoch(make_model, sums) -> None:
    history = train(make_model(), Sequences(sums.x, np.full_like(sums.y, np.inf)))
    assert len(history) == 0
    assert history.stopped.kind == "non-finite"
    assert "inf" in repr(history)


def test_exploding_training_is_stopped_without_a_warning(make_model, sums) -> None:
    model = make_model(cell="rnn", activation="identity")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = train(model, sums, epochs=500, optimizer=SGD(model.parameters(), 10.0))
    assert history.stopped.kind == "non-finite"


def constant_gradient(value: float) -> Any:
    """A loss of 1 whose gradient is `value` everywhere."""

    def loss(prediction: Any, target: Any) -> Any:
        shape, dtype = prediction.shape, prediction.dtype
        ones = np.ones((), dtype)
        return apply("loss", (prediction,), (ones,), lambda _: (np.full(shape, value, dtype),))[0]

    return loss


def test_gradients_too_large_to_be_squared_cause_no_warning(make_model, sums) -> None:
    history = train(make_model(), sums, loss=constant_gradient(1e25), epochs=1)
    assert history["gradient_norm_max"][0] > 1e25


def test_a_gradient_that_is_not_finite_stops_it_though_the_loss_is(make_model, sums) -> None:
    model = make_model()
    before = model.state_dict()
    history = train(model, sums, loss=constant_gradient(np.inf))
    assert history.stopped.kind == "non-finite"
    assert "gradient" in history.stopped.message
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_parameter_that_is_not_finite_is_named_though_no_batch_follows(make_model, sums) -> None:
    class Spoil(Callback):
        def batch_ended(self, run: Run) -> None:
            if run.batch == run.batches:
                run.model.head.bias.data[0] = np.nan

    history = train(make_model(), sums, callbacks=[Spoil()], epochs=1)
    assert history.stopped.kind == "non-finite"
    assert "'head.bias'" in history.stopped.message
    assert history["complete"] == [False]


def test_a_missing_value_held_out_is_told_and_stops_nothing(make_model, sums) -> None:
    held_out = Sequences(np.full_like(sums.x, np.nan), sums.y)
    history = train(make_model(), sums, validation=held_out, epochs=2)
    assert history.stopped is None
    assert all(math.isnan(loss) for loss in history.validation_loss)


@pytest.mark.parametrize("hook", ["epoch_began", "batch_ended", "epoch_ended"])
def test_an_interrupt_returns_the_history_so_far(make_model, sums, hook: str) -> None:
    class Interrupt(Callback):
        ended = False

        def training_ended(self, run: Run) -> None:
            self.ended = True

    def interrupt(run: Run) -> None:
        if run.epoch == 3:
            raise KeyboardInterrupt

    model, callback = make_model(), Interrupt()
    model.eval()
    setattr(callback, hook, interrupt)
    history = train(model, sums, callbacks=[callback])
    assert history.stopped.kind == "interrupted"
    assert history.stopped.epoch == 3
    assert callback.ended
    assert not model.training
    assert len(history) == {"epoch_began": 2, "batch_ended": 3, "epoch_ended": 3}[hook]
    assert history["complete"][:2] == [True, True]


def test_an_interrupt_in_the_middle_of_an_epoch_keeps_its_batches(make_model, sums) -> None:
    class Interrupt(Callback):
        def batch_ended(self, run: Run) -> None:
            if run.batch == 2:
                raise KeyboardInterrupt

    history = train(make_model(), sums, callbacks=[Interrupt()])
    assert history["batches"] == [2]
    assert history["complete"] == [False]
    assert (history.stopped.epoch, history.stopped.batch) == (1, 2)


@pytest.mark.parametrize(("hook", "batches"), [("batch_ended", [1]), ("epoch_ended", [4])])
def test_a_callback_may_stop_it_and_say_why(make_model, sums, hook: str, batches: list) -> None:
    callback = Callback.__new__(type("Stopper", (Callback,), {}))
    setattr(callback, hook, lambda run: run.stop("seen enough"))
    history = train(make_model(), sums, callbacks=[callback])
    assert history.stopped.kind == "requested"
    assert history.stopped.message.startswith("seen enough in epoch 1")
    assert history["batches"] == batches


def test_an_error_in_a_callback_is_passed_on_and_the_mode_restored(make_model, sums) -> None:
    class Fail(Callback):
        def batch_ended(self, run: Run) -> None:
            raise ZeroDivisionError

    model = make_model().eval()
    with pytest.raises(ZeroDivisionError):
        train(model, sums, callbacks=[Fail()])
    assert not model.training


def test_early_stopping_waits_for_its_patience(make_model, sums) -> None:
    model = make_model()
    stopping = EarlyStopping(patience=3)
    still = SGD(model.parameters(), 0.0)
    history = train(model, sums, optimizer=still, epochs=50, shuffle=False, callbacks=[stopping])
    assert len(history) == 4  # the first is the best; three more are no better
    assert history.stopped.kind == "requested"
    assert history.stopped.message.startswith("no improvement on epoch 1 in 3 epochs; stopped in")
    again = train(model, sums, optimizer=still, epochs=50, shuffle=False, callbacks=[stopping])
    assert len(again) == 4


def test_early_stopping_lets_an_improving_run_be(make_model, sums) -> None:
    history = train(make_model(), sums, epochs=10, callbacks=[EarlyStopping(1)])
    assert history.stopped is None


def test_early_stopping_watches_the_validation_loss(make_model, sums) -> None:
    held_out = Sequences(sums.x, -20 * sums.y)  # learning the one unlearns the other
    history = train(
        make_model(), sums, validation=held_out, epochs=40, callbacks=[EarlyStopping(2)]
    )
    assert history.stopped is not None
    assert history.loss[-1] < history.loss[0]


def test_small_gains_do_not_count_when_a_least_change_is_asked(make_model, sums) -> None:
    stopping = EarlyStopping(patience=2, min_change=1e6)
    assert len(train(make_model(), sums, epochs=20, callbacks=[stopping])) == 3


@pytest.mark.parametrize("options", [{"patience": 0}, {"patience": 1, "min_change": -1}])
def test_early_stopping_names_bad_arguments(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        EarlyStopping(**options)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize(("hook", "ends_at"), [("batch_ended", (2, 2)), ("epoch_ended", (2, 4))])
def test_ctrl_c_is_not_lost_where_python_ignores_it(
    make_model, sums, monkeypatch, hook: str, ends_at: tuple[int, int]
) -> None:
    """In a `__del__`, where a tape lets go of its nodes, an exception is printed and forgotten.

    Not this one: nothing is printed, and training ends after the batch.
    """
    lost: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)

    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    class Lose(Callback): ...

    lose = Lose()

    def dying(run: Run) -> None:
        if run.epoch == 2 and (hook == "epoch_ended" or run.batch == 1):
            Dying()

    setattr(lose, hook, dying)
    # Tests in a shell's background are started with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        history = train(make_model(), sums, callbacks=[lose])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert lost == []
    assert history.stopped.kind == "interrupted"
    assert (history.stopped.epoch, history.stopped.batch) == ends_at


def test_another_handler_of_ctrl_c_is_left_in_place(make_model, sums) -> None:
    def handler(number: int, frame: Any) -> None: ...

    before = signal.signal(signal.SIGINT, handler)
    try:
        seen: list[Any] = []

        class Look(Callback):
            def epoch_ended(self, run: Run) -> None:
                seen.append(signal.getsignal(signal.SIGINT))

        train(make_model(), sums, callbacks=[Look()])
        assert set(seen) == {handler}
    finally:
        signal.signal(signal.SIGINT, before)
