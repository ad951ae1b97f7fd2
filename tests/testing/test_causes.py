"""A mismatch names what was done wrong, and never what was not."""

from __future__ import annotations

import pickle

import narrow_kernel
import numpy as np
import pytest
from planted import BACKWARD, CELLS, FORWARD, UNKNOWN, Bug, answers, expected, question

from minirnn.errors import ArgumentError
from minirnn.kernels import cpu
from minirnn.kernels.contract import Needs
from minirnn.testing import (
    ReferenceMismatch,
    assert_matches_reference,
    reference,
)
from minirnn.testing.causes import part_of_call, search
from minirnn.testing.causes.faulty_backward import backward, backward_arrays
from minirnn.testing.causes.faulty_run import Faulty
from minirnn.testing.causes.mutants import CAUSES, mutants_of
from minirnn.testing.causes.search import Prediction
from minirnn.testing.mismatch import compare
from minirnn.testing.reference import named_arrays

PLANTED = FORWARD + BACKWARD
KNOWN = Bug("", "lstm", "lstm", "", "")


def told(arrays, wanted, **options) -> ReferenceMismatch:
    with pytest.raises(ReferenceMismatch) as caught:
        assert_matches_reference(arrays, wanted, **options)
    return caught.value


def name_of(bug):
    return f"{bug.cell}-{bug.cause}-{bug.new[:30]}"


@pytest.mark.parametrize(
    ("number", "bug"), list(enumerate(PLANTED)), ids=list(map(name_of, PLANTED))
)
def test_a_bug_planted_in_a_copied_implementation_is_named(number, bug):
    given = question(bug, seed=number, dtype=[np.float32, np.float64][number // 2 % 2])
    error = told(answers(bug, given), expected(given))
    assert (error.cause, bool(error.told)) == (bug.cause, True), error


@pytest.mark.parametrize("bug", PLANTED[::6] + UNKNOWN[::6], ids=name_of)
def test_a_large_call_is_asked_about_a_part_of_it_first(bug, monkeypatch):
    monkeypatch.setattr(part_of_call, "SMALL_CALL", 0)
    monkeypatch.setattr(part_of_call, "FEW_STEPS", 1)
    given = question(bug, seed=1)
    refuted = {}
    refutes = part_of_call.Part.refutes

    def watched(part, number, mutant):
        refuted[number] = refutes(part, number, mutant)
        return refuted[number]

    monkeypatch.setattr(part_of_call.Part, "refutes", watched)
    error = told(answers(bug, given), expected(given))
    assert error.cause == bug.cause, error
    # Left are what is true, what is nearly the same, and what steps so few do not show.
    assert sum(refuted.values()) > 0.6 * len(refuted) > 10


def test_a_run_for_which_there_is_no_time_is_told_not_tried(monkeypatch):
    monkeypatch.setattr(search.Search, "price", 100.0)
    given = question(FORWARD[0])
    error = told({"output": answers(FORWARD[0], given)["output"]}, expected(given))
    assert (error.cause, error.causes) == (None, ())
    assert "mutants were not tried in full" in error.notes[-1]


@pytest.mark.parametrize("bug", UNKNOWN, ids=name_of)
def test_a_bug_that_no_mutant_has_is_given_no_cause(bug):
    given = question(bug)
    error = told(answers(bug, given), expected(given))
    assert (error.cause, error.causes, error.told) == (None, (), "")
    assert error.notes


@pytest.mark.parametrize("bug", [FORWARD[0], FORWARD[23], BACKWARD[0]], ids=name_of)
def test_the_output_alone_or_the_gradients_alone_tell_the_cause_too(bug):
    given = question(bug, seed=1)
    found = answers(bug, given)
    grads = {n: a for n, a in found.items() if n.startswith("grad.")}
    if bug in FORWARD:
        assert told({"output": found["output"]}, expected(given)).cause == bug.cause
        consistent = Prediction(expected(given).call, _mutant(given, bug.cause))
        grads = {n: consistent(n) for n in grads}
    assert told(grads, expected(given)).cause == bug.cause


def _mutant(given, cause):
    """The first mutant of that cause whose forward is wrong."""
    call = expected(given).call
    return next(m for m in mutants_of(call) if m.cause == cause and not m.gradients_only)


# Every mutant as an implementation: a part of the table of confusions in each run. The whole is
# made by `tools/confusion.py`.
@pytest.mark.parametrize(
    ("cell", "reverse", "part"), [("lstm", False, 0), ("gru", True, 1), ("rnn", False, 2)]
)
def test_each_mutant_is_told_apart_from_all_others(cell, reverse, part):
    given = question(KNOWN._replace(cell=cell), seed=5) | {"reverse": reverse}
    wanted = expected(given)
    names = [n for n in wanted.arrays() if n.split(".")[0] in ("output", "state", "grad")]
    for mutant in list(mutants_of(wanted.call))[part::79]:
        predicted = Prediction(wanted.call, mutant)
        arrays = {name: predicted(name) for name in names}
        if any(compare(n, a, wanted, None, None).excess > 1.0 for n, a in arrays.items()):
            assert told(arrays, wanted).causes == (mutant.cause,), mutant.told
            assert mutant.cause in CAUSES


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_without_a_fault_a_faulty_run_is_the_references(cell, reverse):
    for seed in (0, 1):
        wanted = expected(question(KNOWN._replace(cell=cell), seed=seed) | {"reverse": reverse})
        run = Faulty(wanted.call)
        arrays = run.forward_arrays() | backward_arrays(run, backward(run))
        assert arrays.keys() == wanted.arrays().keys() - {"grad_direct"}
        assert_matches_reference(arrays, wanted)


@pytest.mark.parametrize("cell", CELLS)
def test_a_wrong_forward_has_the_gradients_of_the_wrong_function(cell):
    given = question(KNOWN._replace(cell=cell), seed=3)
    call = expected(given).call
    rng = np.random.default_rng(0)
    step = 1e-6
    for mutant in list(mutants_of(call))[::4]:
        # A hard activation's kink may lie within the step.
        if mutant.gradients_only or "hard" in mutant.told:
            continue
        predicted = Prediction(call, mutant)

        def loss(x, state, mutant=mutant):
            there = Prediction(call._replace(x=x, state=state), mutant)
            total = (there("output") * call.doutput).sum()
            lasts = [there(f"state.{n}") for n in call.cell.states]
            return total + sum((s * d).sum() for s, d in zip(lasts, call.dstate, strict=True))

        dx, ds = rng.normal(size=call.x.shape), rng.normal(size=call.state[0].shape)
        ends = [
            loss(call.x + way * step * dx, tuple(s + way * step * ds for s in call.state))
            for way in (1, -1)
        ]
        numeric = (ends[0] - ends[1]) / (2 * step)
        analytic = (predicted("grad.x") * dx).sum()
        analytic += sum((predicted(f"grad.state.{n}") * ds).sum() for n in call.cell.states)
        np.testing.assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-6, err_msg=mutant.told)


def swap_batch_and_time(a):
    T, B, F = a.shape
    return a.reshape(B, T, F).swapaxes(0, 1)


@pytest.mark.parametrize(
    ("cause", "wrong"),
    [
        ("gates-permuted", {"weights": lambda w: [_blocks(a, [0, 1, 3, 2]) for a in w]}),
        ("gates-permuted", {"weights": lambda w: [w[0], _blocks(w[1], [2, 0, 1, 3]), *w[2:]]}),
        ("gates-interleaved", {"weights": lambda w: [_interleaved(a) for a in w]}),
        ("weights-transposed", {"weights": lambda w: [w[0], _read_by_columns(w[1]), *w[2:]]}),
        ("batch-permuted", {"x": lambda x: x[:, [2, 0, 1, 3]], "state": None}),
        ("direction-reversed", {"reverse": lambda _: True}),
        ("off-by-one-step", {"lengths": lambda _: np.full(4, 6)}),
        ("batch-time-swapped", {"x": swap_batch_and_time}),
    ],
)  # fmt: skip
def test_arguments_taken_the_wrong_way_are_named(cause, wrong):
    given = question(KNOWN, seed=2)
    changed = dict(given)
    for argument, change in wrong.items():
        if argument == "state":  # the whole sequence, its state too
            changed["state"] = tuple(s[[2, 0, 1, 3]] for s in given["state"])
        else:
            changed[argument] = change(given[argument])
    run = reference(**changed)
    output = run.output
    if cause == "batch-time-swapped":
        output = output.swapaxes(0, 1).reshape(output.shape)
    error = told({"output": output}, expected(given))
    assert error.cause == cause, error


def _blocks(array, order):
    return np.concatenate([np.split(array, 4)[k] for k in order])


def _interleaved(array):
    return array.reshape(len(array) // 4, 4, -1).swapaxes(0, 1).reshape(array.shape)


def _read_by_columns(array):
    return np.frombuffer(array.tobytes()).reshape(array.shape, order="F")


def test_outputs_of_the_reverse_direction_in_the_order_of_computation():
    given = question(KNOWN, seed=1) | {"reverse": True}
    wanted = expected(given)
    output = wanted.output.copy()
    for b, n in enumerate(given["lengths"]):
        output[:n, b] = output[:n, b][::-1]
    assert told({"output": output}, wanted).cause == "outputs-not-flipped"


def test_the_order_of_the_gates_is_told_in_words():
    bug = FORWARD[0]
    given = question(bug)
    error = told(answers(bug, given), expected(given))
    assert "taken as input, forget, output, cell; they are input, forget, cell, output" in str(
        error
    )


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_right_kernel_has_no_mismatch_and_noise_no_fault(cell):
    given = question(KNOWN._replace(cell=cell), seed=4, dtype=np.float32)
    wanted = expected(given)
    names = ("x", "state", "weights")
    output, last, tape = cpu.forward(
        given["cell"], *(given[n] for n in names), keep="tape", lengths=given["lengths"]
    )
    gradients = cpu.backward(given["cell"], given["doutput"], given["dstate"], tape, needs=Needs())
    arrays = named_arrays(given["cell"], output, last, gradients, None)
    assert_matches_reference(arrays, wanted)
    rng = np.random.default_rng(0)
    for times in (3.0, 30.0, 3000.0):
        noise = {
            n: (a + times * wanted.tolerance(n, a.dtype) * rng.normal(size=a.shape)).astype(a.dtype)
            for n, a in arrays.items()
        }
        assert told(noise, wanted).cause in (None, "narrow-precision")


@pytest.mark.parametrize("precision", sorted(narrow_kernel.FORWARD))
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_narrow_products_are_named_as_such(cell, precision):
    given = question(KNOWN._replace(cell=cell), dtype=np.float32)
    arguments = [given[n] for n in ("cell", "x", "state", "weights", "doutput", "dstate")]
    arrays, _ = narrow_kernel.run(*arguments, precision)
    error = told(arrays, expected(given))
    assert error.cause == "narrow-precision"
    assert ("bfloat16" if precision == "bfloat16" else "TF32") in error.told


@pytest.mark.parametrize("fault", [("weight_hh", 0.99), ("bias_ih", 0.998), ("x", 1.003)])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_what_is_only_as_small_as_rounding_is_noted_and_not_named(cell, fault):
    given = question(KNOWN._replace(cell=cell))
    name, factor = fault
    weights = given["weights"]
    if name == "x":
        changed = {"x": factor * given["x"]}
    else:
        changed = {"weights": weights._replace(**{name: factor * getattr(weights, name)})}
    wrong = reference(**given | changed)
    error = told(
        {"output": wrong.output, **dict(list(wrong.arrays().items())[1:3])}, expected(given)
    )
    assert error.cause is None
    assert any("as large as rounding to" in note for note in error.notes)


def test_a_mutant_that_is_near_only_by_a_wide_tolerance_is_no_cause():
    given = question(KNOWN)
    H = given["weights"].weight_hh.shape[1]
    forget = 0.6 * np.repeat([0.0, 1.0, 0.0, 0.0], H)
    weights = given["weights"]
    wrong = reference(**given | {"weights": weights._replace(bias_ih=weights.bias_ih + forget)})
    wanted = expected(given)
    # Within it lies a bias of 1, the mutant, but not none.
    tolerance = 0.9 * np.abs(wrong.output - wanted.output).max() / np.abs(wanted.output).max()
    assert told({"output": wrong.output}, wanted, tolerance=tolerance).causes == ()


@pytest.mark.parametrize("bits", [8, 11])
def test_results_of_few_bits_are_named_as_such(bits):
    given = question(KNOWN, dtype=np.float32)
    wanted = expected(given)
    mantissa, exponent = np.frexp(wanted.output)
    few = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
    assert told({"output": few}, wanted).cause == "narrow-precision"


def test_float32_inside_a_float64_kernel_is_named():
    given = question(KNOWN)
    narrow = reference(**{
        n: tuple(np.float32(a) for a in v) if n in ("state", "weights") else v
        for n, v in given.items()
    } | {"x": given["x"].astype(np.float32)})  # fmt: skip
    error = told({"output": narrow.output}, expected(given))
    assert (error.cause, "float32" in error.told) == ("narrow-precision", True)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda y: y.__setitem__((slice(None), slice(None), 4), 0.3), "unit 4"),
        (lambda y: y.__setitem__((5, slice(None)), 0.3), "step 5"),
        (lambda y: y.__setitem__((slice(2, 5), 3), 0.3), r"steps 2 to 4 of 7, and only sequence 3"),
        (lambda y: y.__setitem__((slice(None), slice(None), slice(4, 6)), 0.0), "is 0 wherever"),
        (lambda y: y.__setitem__((0, 0, 0), np.nan), "1 of 168 values of output are not finite"),
    ],
)  # fmt: skip
def test_without_a_cause_what_was_seen_is_told(change, note):
    wanted = expected(question(KNOWN))
    output = wanted.output.copy()
    change(output)
    error = told({"output": output, "state.c": wanted.state[1]}, wanted)
    assert error.cause is None
    assert any(note in each for each in error.notes), error
    assert "agree: state.c" in str(error)


def test_the_rows_of_one_gate_are_told():
    wanted = expected(question(KNOWN))
    gradient = wanted.gradients.weight_hh.copy()
    gradient[6:12] *= 1.5
    error = told({"grad.weight_hh": gradient}, wanted)
    assert error.cause is None
    assert "only rows of forget" in str(error)
    assert (error.array, error.gate, error.step) == ("grad.weight_hh", "forget", None)


def test_the_error_has_what_it_tells_and_survives_a_pickle():
    bug = FORWARD[0]
    given = question(bug) | {"reverse": True}
    wanted = expected(given)
    output = wanted.output.copy()
    output[2, 1, 3] += 0.5
    error = told({"output": output}, wanted)
    again = pickle.loads(pickle.dumps(error))
    for each in (error, again):
        assert isinstance(each, AssertionError)
        assert (each.array, each.gate, each.step, each.sequence, each.unit) == (
            "output",
            None,
            2,
            1,
            3,
        )
        assert (each.direction, each.cause, each.failed) == ("reverse", None, ("output",))
        assert each.excess > 1e9
        assert str(each) == str(error)


def test_no_time_is_spent_where_none_is_given():
    bug = FORWARD[0]
    given = question(bug)
    error = told(answers(bug, given), expected(given), seconds=0)
    assert (error.cause, error.causes) == (None, ())


@pytest.mark.parametrize("tolerance", [-1.0, np.nan, np.inf])
def test_a_tolerance_that_lets_everything_pass_is_refused(tolerance):
    wanted = expected(question(KNOWN))
    with pytest.raises(ArgumentError, match="tolerance"):
        assert_matches_reference({"output": wanted.output}, wanted, tolerance=tolerance)


def test_a_comparison_of_nothing_is_refused():
    with pytest.raises(ArgumentError, match="actual: got no array"):
        assert_matches_reference({}, expected(question(KNOWN)))


def test_an_infinite_bound_lets_nothing_pass():
    given = question(KNOWN)
    given["x"][0, 0, 0] = np.inf
    with np.errstate(all="ignore"):
        wanted = reference(**given)
        single = {"output": np.zeros_like(wanted.output, np.float32)}
        with pytest.raises(ArgumentError, match="no bound"):
            assert_matches_reference(single, wanted)
        told(single, wanted, tolerance=1e-3)


def test_nan_in_one_sequence_leaves_the_tolerance_of_the_others():
    given = question(KNOWN)
    given["x"][0, 0, 0] = np.nan
    wanted = reference(**given)
    assert_matches_reference({"output": wanted.output + 1e-15}, wanted)
    told({"output": wanted.output + 1e-9}, wanted)
