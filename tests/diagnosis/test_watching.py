"""Watching a run: what is said while it trains, when, at what cost, and that nothing is changed."""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
import pytest
from problems import examine, recipe, wave, write_csv

import minirnn as mr
from minirnn.diagnosis import Finding, Watching, early, watching
from minirnn.diagnosis.early import Early, falls
from minirnn.errors import ArgumentError
from minirnn.optim import SGD, Adam
from minirnn.training import Callback, Epoch, History, Run, fit

ALWAYS = 1e9  # a share of the time that lets it look after every epoch


def sums(n: int = 64, scale: float = 1.0, per_step: bool = False) -> Any:
    x = np.random.default_rng(0).normal(size=(n, 10, 2)).astype(np.float32)
    lengths = np.random.default_rng(1).integers(0, 11, n)
    x[np.arange(10) >= lengths[:, None]] = 0.0
    y = np.cumsum(x[..., :1], axis=1) if per_step else x[..., :1].sum(1)
    return scale * x, y, lengths


def network(device: str = "cpu", **options: Any) -> mr.SequenceModel:
    chosen = {"input_size": 2, "hidden_size": 6, "output_size": 1, "rng": 0}
    return mr.SequenceModel("lstm", **{**chosen, **options}).to(device)


def train(model: Any, data: Any, **options: Any) -> History:
    chosen = {"loss": "mse", "epochs": 6, "optimizer": Adam(model.parameters(), 1e-2)}
    return fit(model, data, **{**chosen, "progress": False, **options})


# Nothing of the training changes.


@pytest.mark.parametrize("where", ["cpu", "cpu, every step", "cuda"])
def test_a_run_that_is_watched_has_the_same_bits(
    where: str, request: pytest.FixtureRequest
) -> None:
    device, _, per_step = where.partition(", ")
    if device == "cuda":
        request.getfixturevalue("cuda")

    def run(*callbacks: Callback) -> tuple[dict[str, Any], list[float], list[Any]]:
        model = network(
            device, num_layers=2, dropout=0.3, head_dropout=0.2, norm="batch",
            initial_state="random", readout="all" if per_step else "last",
        )  # fmt: skip
        history = train(model, sums(per_step=bool(per_step)), callbacks=callbacks, epochs=3)
        drawn = [m.rng.random() for m in model.modules() if hasattr(m, "rng")]
        gradients = [mr.device.to_device(p.grad, "cpu").copy() for p in model.parameters()]
        return model.to("cpu").state_dict(), history.loss, [*drawn, *gradients]

    looking = Watching(share=ALWAYS)
    watched, alone = run(looking), run()
    assert looking.looks == 3
    assert watched[1] == alone[1]
    assert watched[0].keys() == alone[0].keys()
    for name, array in alone[0].items():
        np.testing.assert_array_equal(watched[0][name], array, name)
    assert len(alone[2]) > 8
    for ours, theirs in zip(watched[2], alone[2], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_recording_that_is_open_sees_nothing_of_a_look() -> None:
    def calls(*callbacks: Callback) -> int:
        with mr.record() as recording:
            train(network(), sums(), callbacks=callbacks, epochs=2)
        return len(recording.traces)

    assert calls(Watching(share=ALWAYS)) == calls()


def test_a_network_that_cannot_be_copied_is_looked_at_and_left_as_it_was() -> None:
    model, alone = network(), network()
    model.head.lock = threading.Lock()  # nobody can copy it
    looking = Watching(share=ALWAYS)
    assert train(model, sums(), callbacks=[looking]).loss == train(alone, sums()).loss
    assert looking.looks == 6


# The time it takes.


class Clock:
    """Time that only moves when something says that it took some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, costs: list[float]) -> None:
        self.now, self.costs = 0.0, iter(costs)
        monkeypatch.setattr(watching.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(Watching, "_look", self.look)

    def look(self, run: Run, **how: bool) -> None:
        self.now += next(self.costs)


def drawn_costs(rng: np.random.Generator) -> list[float]:
    return (0.02 * np.exp(rng.normal(size=10_000))).tolist()


@pytest.mark.parametrize("epoch", [0.001, 0.1, 3.0, 60.0])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1])
def test_looking_keeps_within_its_share_of_the_time(
    share: float, epoch: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, drawn_costs(np.random.default_rng(0)))
    looking = Watching(share=share)
    run = Run(network(), None, 3000, 1, train=mr.training.Sequences(*sums()))  # type: ignore[arg-type]
    run.history.epochs.append(Epoch(1, 100, 1.0, 1.0, 1.0, 0.1, seconds=epoch))
    looking.training_began(run)
    dearest = 0.0
    for run.epoch in range(1, 3001):
        clock.now += epoch
        before = looking.seconds
        looking.epoch_ended(run)
        dearest = max(dearest, looking.seconds - before)
        # A look may turn out dearer than those before it, which is waited for afterwards.
        assert looking.seconds <= share * 1.0001 * epoch * run.epoch + dearest
    trained = 3000 * epoch
    assert looking.seconds <= share * trained + dearest
    if share * trained > 10.0:  # and what it may take, it takes, if there are epochs enough for it
        assert looking.looks > min(2000, 0.2 * share * trained / 0.06)


def test_a_run_that_is_too_short_for_a_look_is_looked_at_when_it_ends() -> None:
    looking, blind = Watching(), Watching(at_end=False)
    train(network(), sums(), callbacks=[looking, blind], epochs=2)
    assert (looking.looks, blind.looks) == (1, 0)
    assert str(looking) == "looked once, and found nothing wrong"
    assert str(blind).startswith("never looked")


def test_the_only_look_of_a_short_run_says_what_it_sees() -> None:
    looking = Watching()
    rng = np.random.default_rng(0)
    raw = (300.0 + 30.0 * rng.normal(size=(64, 10, 2))).astype(np.float32)  # never scaled
    train(network(), (raw, raw[:, -1, :1] / 300.0), callbacks=[looking], epochs=2)
    assert looking.looks == 1
    assert [each.finding.symptom for each in looking.findings] == ["unscaled-input"]
    assert str(looking) == f"looked once, and found:\n{looking.findings[0]}"


def test_a_run_that_ended_before_an_epoch_was_over_was_not_looked_at() -> None:
    class Interrupt(Callback):
        def epoch_began(self, run: Run) -> None:
            raise KeyboardInterrupt

    looking = Watching()
    history = train(network(), sums(), callbacks=[looking, Interrupt()])
    assert history.stopped is not None
    assert looking.looks == 0


def test_what_is_kept_of_each_step_is_paid_from_the_same_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch, [])
    monkeypatch.setattr(watching.Course, "batch_ended", lambda self, run: clock.look(run))
    clock.costs = iter([0.5] * 12)
    looking = Watching(at_end=False)
    train(network(), sums(), callbacks=[looking])
    assert (looking.seconds, looking.looks) == (6.0, 0)  # 6 epochs of 2 batches


def test_it_looks_every_so_many_epochs_at_most() -> None:
    looking = Watching(share=ALWAYS, every=3)
    train(network(), sums(), callbacks=[looking], epochs=10)
    assert looking.looks == 3


def test_the_data_are_asked_once_and_only_where_that_is_affordable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(
        watching, "measure_dependence", lambda *arguments: asked.append(len(arguments[0]))
    )
    wants = Early(lambda evidence: evidence.dependence)
    monkeypatch.setattr(watching, "EARLY", {"vanishing-gradient": wants})
    train(network(), sums(), callbacks=[Watching(share=ALWAYS)])
    assert asked == [10]  # T
    looking = Watching(share=ALWAYS)
    monkeypatch.setattr(looking, "_price_of_data", lambda train: 1e12)
    train(network(), sums(), callbacks=[looking])
    assert asked == [10]


# What is said, and when.


def found(severity: str = "illness", symptom: str = "saturated-gates") -> Finding:
    return Finding(symptom, severity, "layer 0", {}, "cause", "explanation")  # type: ignore[arg-type]


def scripted(monkeypatch: pytest.MonkeyPatch, looks: list[Finding | None], **early: bool) -> None:
    """Of all that can be said early, one thing that is seen in these looks."""
    rest = iter(looks)
    monkeypatch.setattr(
        watching, "EARLY", {"saturated-gates": Early(lambda evidence: next(rest), **early)}
    )


def test_a_finding_arises_in_the_second_look_in_a_row_and_ends_in_the_second_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = found()
    looks = [None, X, None, X, X, None, X, None, None, X]
    scripted(monkeypatch, looks, while_learning=True)
    looking, stream = Watching(share=ALWAYS), io.StringIO()
    train(network(), sums(), epochs=10, callbacks=[looking], progress=stream)
    (arisen,) = looking.findings
    assert (arisen.epoch, arisen.ended, arisen.finding) == (5, 9, X)
    assert str(arisen) == "epoch 5 to 9: illness: saturated-gates, layer 0"
    told = [line for line in stream.getvalue().splitlines() if "illness" in line]
    assert told == [
        "epoch  5/10  illness: saturated-gates, layer 0",
        "epoch  9/10  no longer so: illness: saturated-gates, layer 0",
    ]


def test_what_is_certain_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [None, found(), None], at_once=True, while_learning=True)
    looking = Watching(share=ALWAYS)
    train(network(), sums(), epochs=3, callbacks=[looking])
    assert [(each.epoch, each.ended) for each in looking.findings] == [(2, None)]


@pytest.mark.parametrize(("rate", "epochs_said"), [(1e-2, []), (1e-9, [5])])
def test_what_is_judged_by_the_answers_is_held_back_while_the_loss_falls(
    rate: float, epochs_said: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [found()] * 6)
    looking, model = Watching(share=ALWAYS), network()
    train(model, sums(256), callbacks=[looking], optimizer=Adam(model.parameters(), rate))
    assert [each.epoch for each in looking.findings] == epochs_said


def test_a_note_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [found("note")] * 6, while_learning=True)
    looking = Watching(share=ALWAYS)
    train(network(), sums(), callbacks=[looking])
    assert looking.findings == ()


@pytest.mark.parametrize(
    ("losses", "falling"),
    [
        ([1.0, 1.0, 1.0], True),  # too early to tell
        ([1.0, 1.0, 1.0, 1.0], False),
        ([1.0, 0.9, 0.8, 0.7], True),
        ([1.0, 0.7, 0.8, 0.9], False),
        ([1.0, 1.0, 0.99, 0.985], False),
        ([1.0] * 9 + [0.97, 1.2], True),
        ([1.0] * 4 + [0.5] + [0.6] * 12, False),
        ([1.0, float("nan"), 1.0, 1.0, 1.0], False),
    ],
)
def test_a_loss_falls_if_the_last_fourth_of_the_epochs_beat_all_before(
    losses: list[float], falling: bool
) -> None:
    epochs = [Epoch(i + 1, 1, loss, 1.0, 1.0, 0.1, 1.0) for i, loss in enumerate(losses)]
    assert falls(History(epochs)) == falling


def test_one_object_watches_one_run_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [found()] * 4 + [None] * 4, while_learning=True)
    looking = Watching(share=ALWAYS)
    train(network(), sums(), epochs=4, callbacks=[looking])
    assert len(looking.findings) == 1
    train(network(), sums(), epochs=4, callbacks=[looking])
    assert (looking.findings, looking.looks) == ((), 4)


# Real runs.


def test_a_network_that_learns_is_left_in_peace() -> None:
    looking, model = Watching(share=ALWAYS), network()
    optimizer = Adam(model.parameters(), 3e-2)
    history = train(model, sums(256), callbacks=[looking], epochs=30, optimizer=optimizer)
    assert history.loss[-1] < 0.2 * history.loss[0]
    assert looking.looks == 30
    assert looking.findings == ()


def test_inputs_that_pin_the_gates_are_said_in_the_second_look() -> None:
    looking, stream = Watching(share=ALWAYS), io.StringIO()
    data = sums(scale=10.0)
    data[0][...] += 300.0
    train(network(), data, callbacks=[looking], progress=stream)
    first = looking.findings[0]
    assert (first.finding.symptom, first.epoch, first.ended) == ("unscaled-input", 2, None)
    assert "epoch 2/6  illness: unscaled-input" in stream.getvalue()


def test_steps_that_throw_the_weights_about_are_said_of_any_training() -> None:
    looking, model = Watching(share=ALWAYS), network()
    train(model, sums(256), callbacks=[looking], optimizer=SGD(model.parameters(), 3.0), epochs=5)
    assert "oscillating-loss" in {each.finding.symptom for each in looking.findings}


def test_a_run_that_breaks_says_so_before_it_stops() -> None:
    looking, model, stream = Watching(), network(), io.StringIO()
    train(
        model, sums(), callbacks=[looking], progress=stream,
        optimizer=SGD(model.parameters(), 1e30),
    )  # fmt: skip
    (arisen,) = looking.findings
    assert arisen.finding.symptom == "non-finite"
    lines = stream.getvalue().splitlines()
    assert "illness: non-finite, training, epoch 1" in lines[-2]
    assert lines[-1].startswith("stopped: ")


def test_the_doctor_watches_and_tells(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FIRST_LOOK", 0.0)
    raw = recipe(write_csv(tmp_path / "a.csv", wave(300, 400.0)), {"training.epochs": 8})
    monkeypatch.setattr(Watching, "_affords", lambda self, cost: True)
    diagnosis = examine(raw)
    assert diagnosis.run is not None
    seen = {each.finding.symptom: each.epoch for each in diagnosis.run.arisen}
    assert seen["unscaled-input"] == 2
    assert diagnosis.root is not None
    assert diagnosis.root.symptom == "unscaled-input"


def test_a_terminal_shows_what_stands_below_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    X = found()
    scripted(monkeypatch, [X, X, X, X], while_learning=True)
    stream = Terminal()
    train(network(), sums(), epochs=4, callbacks=[Watching(share=ALWAYS)], progress=stream)
    shown = stream.getvalue()
    last = shown[shown.rindex("epoch") :]
    assert last.index("gradient norm") < last.index("illness: saturated-gates, layer 0")


def test_every_early_symptom_has_its_detector() -> None:
    assert set(early.EARLY) == set(early._WHEN) & set(early.DETECTORS)
    assert {"non-finite", "unscaled-input", "vanishing-gradient"} <= set(early.EARLY)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("share", 0.0), ("share", -1), ("share", float("nan")), ("share", True), ("share", "1%"),
        ("sequences", 0), ("sequences", 1.5), ("every", 0),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(argument: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=argument):
        Watching(**{argument: value})
