"""Edits of a user's lines, made from where the loop was seen to run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from minirnn.diagnosis.code import Place
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.loop import LayerFed, LoopSeen, LossSeen, Optimisation
from minirnn.diagnosis.finding import Finding
from minirnn.interop.torch.loop.edits import remedies_for
from minirnn.interop.torch.loop.program import Program

LAYER = LayerFed("lstm", batch_first=True, calls=9, given=8, carried=8)


def edited(source: str, symptom: str, evidence: dict[str, Any] | None = None, **loop: Any) -> str:
    """The source after the first remedy; words where it is no edit of lines.

    A place is marked by a comment at its line: `# loss`, and names the call that ends the line.
    """
    places: dict[str, tuple[Place, ...]] = {}
    for number, line in enumerate(source.splitlines(), start=1):
        code, _, what = line.partition("  # ")
        if what:
            start = len(code) - len(code.lstrip())
            for separator in (" = ", "return "):
                start = max(
                    start, code.find(separator) + len(separator) if separator in code else 0
                )
            for each in what.split(", "):
                places[each] = (Place("s.py", number, "", number, start, len(code)),)
    update = loop.pop("update", 1e-6)
    name = loop.pop("name", "Adam")
    last_rate = loop.pop("last_rate", 1e-3)
    seen = LoopSeen(
        100,
        losses=np.ones(100),
        update_ratios=np.full(20, update),
        optimisation=Optimisation(name, 1e-3, last_rate, 0.9, 100, 100, 99),
        places=places,
        **{"layers": (LAYER,), **loop},
    )
    x = np.random.default_rng(0).normal(size=(5, 50, loop.get("features", 2))) * [3.0, 0.0] + 1000
    found = Finding(symptom, "illness", "here", evidence or {}, "why", "what")
    remedy = remedies_for(
        found, Evidence(x, np.ones((50, 1)), loop=seen), Program({"s.py": source}, seen)
    )[0]
    assert remedy.code is not None
    return remedy.code.applied_to(source) if remedy.code.changes else remedy.code.words


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        ("optim.Adam(model.parameters(), lr=1e-3)", "optim.Adam(model.parameters(), lr=0.01)"),
        ("optim.Adam(model.parameters(), 1e-3)", "optim.Adam(model.parameters(), 0.01)"),
        ("optim.Adam(model.parameters())", "optim.Adam(model.parameters(), lr=0.01)"),
        (
            "optim.Adam(\n    model.parameters(),\n)",
            "optim.Adam(\n    model.parameters(), lr=0.01\n)",
        ),
        ("optim.Adam(model.parameters(), lr=args.lr)", "optim.Adam(model.parameters(), lr=0.01)"),
    ],
)
def test_a_rate_is_set_where_the_optimiser_is_made(made: str, wanted: str) -> None:
    source = f"opt = {made}\nopt.step()  # step\n"
    result = edited(source, "slow-learning")
    assert result.replace(", lr", ",lr").replace(" ", "") == (
        f"opt = {wanted}\nopt.step()  # step\n".replace(", lr", ",lr").replace(" ", "")
    )
    compile(result, "s.py", "exec")


def test_a_rate_that_is_a_constant_of_the_file_is_set_there() -> None:
    source = "RATE = 1e-5\nopt = Adam(model.parameters(), lr=RATE)\nopt.step()  # step\n"
    assert edited(source, "slow-learning").startswith("RATE = 0.01\nopt = Adam(")


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        (1e-20, "Let the schedule lower the learning rate less: it went from 0.001 to 1e-20"),
        (3e-3, "Let the schedule begin near 0.01: it went from 0.001 to 0.003"),
    ],
)
def test_what_a_schedule_made_of_a_rate_is_not_written_where_it_began(
    last: float, wanted: str
) -> None:
    source = "opt = optim.Adam(ps, lr=1e-3)\nopt.step()  # step\n"
    assert edited(source, "slow-learning", last_rate=last) == wanted


def test_of_two_optimisers_the_one_that_steps_is_meant_and_else_words_are() -> None:
    source = "a = Adam(p, lr=1)\nb = Adam(q, lr=1)\nb.step()  # step\n"
    assert edited(source, "slow-learning").splitlines()[:2] == [
        "a = Adam(p, lr=1)", "b = Adam(q, lr=0.01)",
    ]  # fmt: skip
    assert edited(source.replace("b.step", "c.step"), "slow-learning") == (
        "Set the learning rate to 0.01 (now 0.001)"
    )


def test_clearing_goes_before_backward_or_behind_a_step_elsewhere() -> None:
    together = "for x in d:\n    loss.backward()  # backward\n    self.opt.step()  # step\n"
    assert edited(together, "accumulated-gradients").splitlines()[1] == "    self.opt.zero_grad()"
    apart = "def update():\n    opt.step()  # step\n\ndef go():\n    loss.backward()  # backward\n"
    assert edited(apart, "accumulated-gradients").splitlines()[1:3] == [
        "    opt.step()  # step", "    opt.zero_grad()",
    ]  # fmt: skip
    inside = "def closure():\n    loss.backward()  # backward\n\nopt.step(closure)  # step\n"
    assert edited(inside, "accumulated-gradients").splitlines()[1] == "    opt.zero_grad()"


@pytest.mark.parametrize(
    ("prediction", "target", "line", "wanted"),
    [
        ((8, 1), (8,), "criterion(out, y)", "criterion(out, y.unsqueeze(1))"),
        ((8,), (8, 1), "criterion(out, y)", "criterion(out, y.squeeze(1))"),
        ((8, 5, 1), (8, 5), "F.mse_loss(out, target=y)", "F.mse_loss(out, target=y.unsqueeze(2))"),
        ((8, 1), (8,), "criterion(out, a + b)", "criterion(out, (a + b).unsqueeze(1))"),
        ((1, 8), (8, 1), "criterion(net(x), y)", "criterion(net(x), y.reshape_as(net(x)))"),
    ],
)
def test_a_target_gets_the_shape_of_the_answers(
    prediction: tuple[int, ...], target: tuple[int, ...], line: str, wanted: str
) -> None:
    source = f"loss = {line}  # loss\n"
    shapes = LossSeen("mse", prediction, target)
    assert edited(source, "shape-broadcast", loss=shapes) == f"loss = {wanted}  # loss\n"


def test_of_a_loss_by_hand_the_side_that_is_not_the_models_answer_is_reshaped() -> None:
    source = "out = model(x)  # call\nloss = (y - out).pow(2).mean()\nloss.backward()  # backward\n"
    shapes = LossSeen("by hand", (8, 1), (8,))
    assert "(y.unsqueeze(1) - out)" in edited(source, "shape-broadcast", loss=shapes)
    other = source.replace("(y - out)", "(out - y)")
    assert "(out - y.unsqueeze(1))" in edited(other, "shape-broadcast", loss=shapes)


def test_several_features_are_standardised_each_and_a_constant_one_is_only_moved() -> None:
    source = "out, _ = self.lstm(x)  # layer lstm\n"
    result = edited(source, "unscaled-input")
    assert "self.lstm((x - x.new_tensor([999.64, 1000])) / x.new_tensor([3.02" in result
    assert result.rstrip().endswith(", 1.0]))  # layer lstm")
    compile(result, "s.py", "exec")


@pytest.mark.parametrize(
    ("made", "first", "wanted"),
    [
        ("nn.LSTM(3, 8)", False, "nn.LSTM(3, 8, batch_first=True)"),
        ("nn.LSTM(3, 8, batch_first=False)", False, "nn.LSTM(3, 8, batch_first=True)"),
        ("nn.LSTM(3, 8, batch_first=True)", True, "nn.LSTM(3, 8, batch_first=False)"),
    ],
)
def test_axes_are_turned_where_the_layer_is_made(made: str, first: bool, wanted: str) -> None:
    source = f"self.lstm = {made}\nself.gru = nn.GRU(8, 8)\n"
    evidence = {"batch_first": first, "unbatched": False}
    assert edited(source, "batch-time-swap", evidence).startswith(f"self.lstm = {wanted}\n")


def test_a_batch_without_a_third_axis_is_told_in_words() -> None:
    evidence = {"batch_first": False, "unbatched": True}
    assert "three axes" in edited("self.lstm = nn.LSTM(3, 8)\n", "batch-time-swap", evidence)


def test_last_states_of_padded_sequences_are_those_of_packed_ones() -> None:
    source = (
        "import torch\ndef forward(self, x):\n"
        "    _, (h, c) = self.lstm(x)  # layer lstm\n    return h[-1]\n"
    )
    result = edited(source, "reads-padding", {"padding_value": 0.0})
    assert "    steps = x.size(1) - (x == 0).all(-1)" in result
    assert "pack_padded_sequence(x, steps.clamp(min=1).cpu(), batch_first=True" in result
    compile(result, "s.py", "exec")


def test_outputs_of_both_directions_are_packed_in_words_alone() -> None:
    source = (
        "import torch\ndef forward(self, x):\n"
        "    out, _ = self.lstm(x)  # layer lstm\n    return out[:, -1]\n"
    )
    both = (LayerFed("lstm", batch_first=True, bidirectional=True),)
    assert "Pack" in edited(source, "reads-padding", {"padding_value": 0.0}, layers=both)


def test_clipping_goes_before_the_step() -> None:
    source = "import torch\nout = net(x)  # call\nopt.step()  # step\n"
    assert edited(source, "exploding-gradient").splitlines()[2] == (
        "torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)"
    )


def test_a_memory_is_opened_behind_the_line_that_makes_the_layer() -> None:
    source = "import torch\nclass M:\n    def __init__(self):\n        self.lstm = nn.LSTM(1, 8)\n"
    result = edited(source, "vanishing-gradient", {"kind": "through time"})
    assert "        with torch.no_grad():  # chrono" in result
    compile(result, "s.py", "exec")


def test_letters_beyond_ascii_do_not_shift_what_is_edited() -> None:
    source = "épsilon = 'ü'; loss = criterion(größe, wêight)  # loss\n"
    shapes = LossSeen("mse", (8, 1), (8,))
    assert "criterion(größe, wêight.unsqueeze(1))" in edited(source, "shape-broadcast", loss=shapes)


def test_source_that_does_not_parse_is_left_to_words() -> None:
    place = {"step": (Place("s.py", 2),)}
    seen = LoopSeen(100, optimisation=Optimisation("Adam", 1e-3, 1e-3), places=place)
    program = Program({"s.py": "%matplotlib inline\nopt.step()\n"}, seen)
    found = Finding("accumulated-gradients", "illness", "", {}, "", "")
    remedies = remedies_for(
        found, Evidence(np.ones((2, 2, 1)), np.ones((2, 1)), loop=seen), program
    )
    assert remedies[0].code is not None
    assert remedies[0].code.changes == ()


def test_the_optimiser_is_given_all_of_the_model() -> None:
    made = "opt = optim.Adam({}.parameters(), 1e-3)\nopt.step()  # step\n"
    source, whole = made.format("net.head"), made.format("net")
    assert edited(source, "stalled-loss", {"kind": "left out"}) == whole
    # Of a name alone it is not known whose part it is.
    assert "all of the model" in edited(made.format("head"), "stalled-loss", {"kind": "left out"})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("torch.sigmoid(head(h))", "head(h)"),
        ("F.sigmoid(h + 1)", "(h + 1)"),
        ("head(h).sigmoid()", "head(h)"),
        ("nn.Sequential(head, nn.Sigmoid())", "nn.Sequential(head, nn.Identity())"),
    ],
)
def test_a_sigmoid_before_a_loss_of_logits_is_taken_out(before: str, after: str) -> None:
    seen = {"kind": "squashed twice", "function": "sigmoid"}
    assert edited(f"out = {before}\n", "stalled-loss", seen) == f"out = {after}\n"
    twice = f"out = {before}\nagain = torch.sigmoid(out)\n"
    assert "without the sigmoid" in edited(twice, "stalled-loss", seen)
