"""Checkpoints: all of a training in a file, put back exactly or not at all."""

from __future__ import annotations

import json
import math
from dataclasses import fields

import numpy as np
import pytest
from damage import accepted, accepted_when_truncated, header_bytes

import minirnn as mr
from minirnn.errors import ArgumentError, CheckpointError
from minirnn.files import document, tensors
from minirnn.training import Epoch, History, Stop, load_checkpoint, save_checkpoint
from minirnn.training.history_columns import from_columns, to_columns

NAN = math.nan
HISTORY = History(
    [
        Epoch(1, 3, 0.1 + 0.2, 1e-300, math.inf, 0.01, 2.5, None, {"mae": 1.5}),
        Epoch(
            2, 3, math.nan, -0.0, 7.0, 0.005, 2.5, 0.0, {"mae": 2.5, "r2": math.nan}, {"r2": -1.0}
        ),
        Epoch(3, 1, 1.0, 2.0, 3.0, 0.0, 0.1, math.nan, complete=False),
    ],
    Stop("non-finite", "the loss became nan in epoch 3, batch 2 of 3", 3, 2),
)


class Plateau:
    """A scheduler with all that a state may hold."""

    def __init__(self, best=math.inf):
        self.state = {
            "best": best, "bad": 3, "rates": [0.1, 0.01], "mode": "min", "seen": None, "on": True,
            "window": np.arange(3.0), "limits": (0, (1.5, "x")), "inner": {"a": {"b": -math.inf}},
            "scalar": np.float32(0.1), "long": 2**100,
        }  # fmt: skip

    def state_dict(self):
        return dict(self.state)

    def load_state_dict(self, state_dict):
        if set(state_dict) != set(self.state):
            raise KeyError(sorted(state_dict))
        self.state = dict(state_dict)


def same(a, b):
    """Equal to the bit and of the same types, inside dicts, lists and tuples too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes()
    return a == b


def model_of(device="cpu", rng=0, **options):
    sizes = {"input_size": 2, "hidden_size": 3, "output_size": 1, "num_layers": 2}
    options = sizes | {"dropout": 0.5, "head_dropout": 0.5, "rng": rng} | options
    return mr.SequenceModel("gru", **options).to(device)


def step(model, optimizer, seed=0):
    """One step of a training that draws dropout masks."""
    x = np.random.default_rng(seed).normal(size=(4, 3, 2)).astype(np.float32)
    optimizer.zero_grad()
    loss = (model(mr.Tensor(x).to(model.head.weight.device)) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def worked(device="cpu", kind=mr.optim.Adam, **options):
    model = model_of(device, **options)
    optimizer = kind(model.parameters(), 0.01)
    step(model, optimizer)
    return model, optimizer


@pytest.mark.parametrize("kind", [mr.optim.SGD, mr.optim.Adam])
def test_a_loop_of_ones_own_goes_on_exactly(kind, device, tmp_path):
    model, optimizer = worked(device, kind)
    rng = np.random.default_rng(5)
    rng.random(7)
    save_checkpoint(tmp_path / "c", model=model, optimizer=optimizer, rng=rng)
    wanted = [step(model, optimizer, k) for k in range(3)], rng.random(2)
    other, fresh = model_of(device, rng=9), np.random.default_rng(6)
    again = kind(other.parameters(), 0.5)
    load_checkpoint(tmp_path / "c").restore(model=other, optimizer=again, rng=fresh)
    came = [step(other, again, k) for k in range(3)], fresh.random(2)
    assert came[0] == wanted[0]
    np.testing.assert_array_equal(came[1], wanted[1])


def test_everything_comes_back_as_it_was(tmp_path):
    model, optimizer = worked()
    extra = {"note": "é", "data": [np.arange(3), {"deep": np.float64(0.1)}], "none": None}
    scheduler, rng = (
        Plateau(),
        {"a": np.random.default_rng(1), "b": np.random.Generator(np.random.MT19937(2))},
    )
    save_checkpoint(
        tmp_path / "c", model=model, optimizer=optimizer, scheduler=scheduler, rng=rng,
        recipe=mr.Recipe.from_dict({"data": {"builtin": "sine"}}), history=HISTORY, extra=extra,
    )  # fmt: skip
    found = load_checkpoint(str(tmp_path / "c"))
    assert same(found.model, model.state_dict())
    assert same(found.optimizer, optimizer.state_dict())
    assert same(found.scheduler, scheduler.state)
    assert same(found.extra, extra)
    assert repr(found.history.epochs) == repr(HISTORY.epochs)
    assert found.history.stopped == HISTORY.stopped
    assert found.epoch == 3
    assert mr.Recipe.from_dict(found.recipe).data.builtin == "sine"
    assert found.versions["minirnn"] == mr.__version__
    assert found.kinds == {"model": "SequenceModel", "optimizer": "Adam", "scheduler": "Plateau"}
    assert found.progress is None
    fresh = {"a": np.random.default_rng(), "b": np.random.Generator(np.random.MT19937())}
    found.restore(rng=fresh)
    assert [fresh[k].random() for k in "ab"] == [rng[k].random() for k in "ab"]


def test_what_was_not_saved_is_none(tmp_path):
    save_checkpoint(tmp_path / "c", model=mr.Linear(2, 1), epoch=7)
    found = load_checkpoint(tmp_path / "c")
    assert (found.optimizer, found.scheduler, found.history, found.recipe) == (None,) * 4
    assert (found.epoch, found.extra) == (7, {})
    for name, thing in (("optimizer", mr.optim.SGD([mr.Tensor(1.0, True)], 1.0)),
                        ("scheduler", Plateau()), ("rng", np.random.default_rng())):  # fmt: skip
        with pytest.raises(CheckpointError, match=f"{name}: got .* saved without {name}"):
            found.restore(**{name: thing})


def test_a_checkpoint_moves_between_devices(cuda, tmp_path):
    model, optimizer = worked(cuda)
    save_checkpoint(tmp_path / "c", model=model, optimizer=optimizer)
    other = model_of(rng=9)
    again = mr.optim.Adam(other.parameters())
    load_checkpoint(tmp_path / "c").restore(model=other, optimizer=again)
    assert same(other.state_dict(), model.to("cpu").state_dict())
    model.to(cuda)
    load_checkpoint(tmp_path / "c").restore(model=model, optimizer=optimizer)
    assert model.head.weight.device == cuda


def test_the_same_training_gives_the_same_bytes(tmp_path):
    for name in "ab":
        model, optimizer = worked()
        save_checkpoint(tmp_path / name, model=model, optimizer=optimizer, history=HISTORY)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_programs_read_the_weights(tmp_path):
    from safetensors.numpy import load_file

    model, _ = worked()
    save_checkpoint(tmp_path / "c", model=model)
    arrays = load_file(tmp_path / "c")
    wanted = {f"model.{name}": array for name, array in model.state_dict().items()}
    assert same({name: arrays[name] for name in wanted}, wanted)


class Failing(Plateau):
    """Refuses a state half way through taking it over."""

    def load_state_dict(self, state_dict):
        if state_dict["best"] == 5.0:
            self.state = {}
            raise RuntimeError("no")
        self.state = dict(state_dict)


def test_a_failed_restore_changes_nothing(tmp_path):
    model, optimizer = worked()
    two = {"a": np.random.default_rng(1), "b": np.random.default_rng(2)}
    save_checkpoint(
        tmp_path / "c", model=model, optimizer=optimizer, scheduler=Failing(5.0), rng=two
    )
    found = load_checkpoint(tmp_path / "c")
    one = np.random.default_rng(3)
    for argument, told, given in (
        ("model", "wrong shape", {"model": model_of(hidden_size=4)}),
        ("model", "wrong dtype", {"model": model_of(dtype="float64")}),
        ("model", "unexpected", {"model": model_of(num_layers=1, dropout=0.0)}),
        ("model", r"'recurrent' is gru, activation='relu'", {"model": model_of(activation="relu")}),
        ("model", "generators", {"model": model_of(head_dropout=0.0).head}),
        ("model", "a list", {"model": []}),
        ("optimizer", "SGD; wanted Adam", {"optimizer": mr.optim.SGD(model.parameters(), 1.0)}),
        ("optimizer", "steps", {"optimizer": mr.optim.Adam(mr.Linear(2, 1).parameters())}),
        ("optimizer", "object", {"optimizer": object()}),
        ("scheduler", "Plateau; wanted Failing", {"scheduler": Plateau()}),
        ("scheduler", "RuntimeError: no", {"scheduler": Failing(1.0)}),
        ("rng", "generators 'a' = 'b'; wanted 'a', 'b'", {"rng": {"a": one, "b": one}}),
        ("rng", "generators ''", {"rng": one}),
        ("rng", "MT19937", {"rng": {"a": one, "b": np.random.Generator(np.random.MT19937())}}),
    ):  # fmt: skip
        other = model_of(rng=9)
        whole = {"model": other, "optimizer": mr.optim.Adam(other.parameters(), 0.7)} | given

        def state(whole=whole, other=other):
            scheduler = whole.get("scheduler")
            return [
                other.state_dict(),
                other.head_dropout.rng.bit_generator.state,
                getattr(whole["optimizer"], "state_dict", dict)(),
                scheduler.state if scheduler else 0,
                one.bit_generator.state,
            ]

        before = state()
        with pytest.raises(ArgumentError, match=f"^{argument}: .*{told}"):
            found.restore(**whole)
        assert same(before, state())


def test_layers_that_shared_a_generator_share_it_again_or_are_refused(tmp_path):
    model, _ = worked()
    save_checkpoint(tmp_path / "c", model=model)
    other = model_of(rng=4)
    other.head_dropout.rng = np.random.default_rng(4)  # no longer the layers' own
    with pytest.raises(CheckpointError, match=r"'recurrent.rng' = 'head_dropout.rng'"):
        load_checkpoint(tmp_path / "c").restore(model=other)


def test_memory_that_is_not_enough_changes_nothing(tmp_path, monkeypatch):
    model, optimizer = worked()
    save_checkpoint(tmp_path / "c", model=model, optimizer=optimizer)
    other = model_of(rng=9)
    again = mr.optim.Adam(other.parameters())
    before = other.state_dict(), again.state_dict()
    calls = []

    def beside(array, like):
        calls.append(array)
        if len(calls) == 5:
            raise MemoryError
        return array

    monkeypatch.setattr("minirnn.optim.optimizer.beside", beside)
    with pytest.raises(CheckpointError, match=r"optimizer: .*MemoryError"):
        load_checkpoint(tmp_path / "c").restore(model=other, optimizer=again)
    assert same(before, (other.state_dict(), again.state_dict()))


def test_what_cannot_be_kept_is_refused_before_anything_is_written(tmp_path):
    model = mr.Linear(2, 1)
    deep = current = []
    for _ in range(100):
        current.append(current := [])
    for argument, value, told in (
        ("model", mr.Tensor(1.0), "a Tensor"),
        ("optimizer", object(), "state_dict"),
        ("scheduler", 3, "state_dict"),
        ("rng", 3, "Generator"),
        ("rng", {"a": np.random.RandomState(1)}, "Generator"),
        ("extra", [1], "a dict"),
        ("extra", {"a": object()}, r"extra.a: got a object"),
        ("extra", {"a": {1: 2}}, "key 1"),
        ("extra", {"a": {"$array": 2}}, "key"),
        ("extra", {"a": deep}, "nested"),
        ("extra", {"a": 10**500}, "extra.a"),
        ("extra", {"a": np.zeros(2, complex)}, "complex"),
        ("extra", {"a.b": np.zeros(2), "a": {"b": np.zeros(2)}}, "two arrays"),
        ("extra", {"a": "x" * 5_000_000}, "header"),
        ("extra", {"a": "\ud800"}, "surrogates"),
        ("epoch", -1, "epoch"),
        ("recipe", 3, "a dict"),
    ):  # fmt: skip
        given = {"model": model} | {argument: value}
        with pytest.raises(ArgumentError, match=told):
            save_checkpoint(tmp_path / "c", **given)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_with_arrays_tells_of_them(tmp_path):
    x = np.zeros((3, 4, 1), np.float32)
    recipe = mr.Recipe.from_dict({"data": {"x": x, "y": x[:, 0]}})
    save_checkpoint(tmp_path / "c", model=mr.Linear(2, 1), recipe=recipe)
    assert load_checkpoint(tmp_path / "c").recipe == recipe.describe()


def small(path):
    model = mr.Linear(1, 1, rng=0)
    history = History([Epoch(1, 1, 0.5, 1.0, 1.0, 0.1, 0.0)])
    optimizer = mr.optim.SGD(model.parameters(), 0.1)
    save_checkpoint(path, model=model, optimizer=optimizer, history=history)


def test_a_checkpoint_is_refused_when_truncated_anywhere(tmp_path):
    small(tmp_path / "c")
    assert accepted_when_truncated(tmp_path / "c", load_checkpoint, CheckpointError) == []


def test_a_checkpoint_is_refused_with_a_byte_flipped(tmp_path):
    """A bit of every seventh byte, and 0x00 and 0xff; tools/damage_files.py tries every value."""
    path = tmp_path / "c"
    small(path)
    size = path.stat().st_size
    assert header_bytes(path.read_bytes()) > 2000
    passed = []
    for bit in range(8):
        where = range(7 * bit, size, 56)
        passed += accepted(path, load_checkpoint, CheckpointError, [1 << bit], where)
    assert passed == []


def test_a_whole_file_that_says_nonsense_is_refused(tmp_path):
    """With right checksums: made on purpose, or by another program."""
    small(tmp_path / "c")
    contents = tensors.load(tmp_path / "c")
    good = json.loads(contents.metadata["minirnn"])
    arrays = contents.arrays

    def edited(change, given=arrays):
        about, copies = json.loads(json.dumps(good)), dict(given)
        change(about, copies)
        about = {k: v for k, v in about.items() if k not in ("format", "version", "versions")}
        document.save(tmp_path / "e", "minirnn checkpoint", 1, about, copies)
        return tmp_path / "e"

    assert load_checkpoint(edited(lambda a, t: None)).epoch == 1
    for change in (
        lambda a, t: t.pop("model.weight"),
        lambda a, t: t.update(more=np.zeros(2)),
        lambda a, t: a.pop("parts"),
        lambda a, t: a.update(parts=3),
        lambda a, t: a["parts"].pop("extra"),
        lambda a, t: a["parts"].update(more=None),
        lambda a, t: a["parts"].update(model=None),
        lambda a, t: a["parts"].update(model=[1]),
        lambda a, t: a["parts"].update(optimizer="x"),
        lambda a, t: a["parts"].update(optimizer={"$float": "1"}),
        lambda a, t: a["parts"]["extra"].update(a={"$array": 3}),
        lambda a, t: a["parts"]["extra"].update(a={"$array": "none"}),
        lambda a, t: a["parts"]["extra"].update(a={"$what": "x"}),
        lambda a, t: a["parts"]["extra"].update(a={"$tuple": {}}),
        lambda a, t: a["parts"]["extra"].update(a={"$tuple": [], "b": 1}),
        lambda a, t: a["parts"]["extra"].update(a={"$scalar": "model.weight"}),
        lambda a, t: a["parts"]["history"].pop("loss"),
        lambda a, t: a["parts"]["history"].update(stopped={"kind": "?"}),
        lambda a, t: a["parts"]["history"].update(number=[1]),
        lambda a, t: t.update({"history.loss": np.zeros(2)}),
        lambda a, t: t.update({"history.number": np.zeros(1)}),
        lambda a, t: a.update(epoch=-1),
        lambda a, t: a.update(epoch=True),
        lambda a, t: a.update(kinds={"model": 3}),
        lambda a, t: a.update(kinds=None),
        lambda a, t: a.update(cells=[1]),
    ):
        with pytest.raises(CheckpointError, match="missing or wrong"):
            load_checkpoint(edited(change))


def test_another_kind_of_file_and_a_later_version_are_refused_by_name(tmp_path):
    document.save(tmp_path / "a", "minirnn trace", 1, {}, {})
    with pytest.raises(CheckpointError, match="a minirnn trace; wanted a checkpoint of minirnn"):
        load_checkpoint(tmp_path / "a")
    document.save(tmp_path / "b", "minirnn checkpoint", 2, {}, {})
    with pytest.raises(CheckpointError, match="version 2; wanted version 1"):
        load_checkpoint(tmp_path / "b")
    with pytest.raises(CheckpointError, match="path"):
        load_checkpoint(tmp_path / "none")


def test_every_field_of_an_epoch_is_kept():
    """The history above differs from the defaults in every field."""
    for each in fields(Epoch):
        values = {repr(getattr(epoch, each.name)) for epoch in HISTORY.epochs}
        assert len(values) > 1, each.name
    kept = from_columns(to_columns(HISTORY))
    assert repr(kept.epochs) == repr(HISTORY.epochs)
    assert kept.stopped == HISTORY.stopped
    assert from_columns(to_columns(History())) == History()
