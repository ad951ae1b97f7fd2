"""Tests of the tests: wrong kernels, planted on purpose, must fail the comparisons used elsewhere.

A mutant is a copy of the source with one substitution: gates swapped, a bias dropped, a step
shifted, a state's gradient forgotten. That the text really changed is checked, and that the copy
without a substitution passes.
"""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel_cases import CELLS, Case, assert_kernels_match, random_case
from test_cells_against_reference import assert_step_matches
from test_reference_complex_step import assert_gradients_equal_complex_step

from minirnn.kernels import cells, cpu, reference
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cpu import build, plan, sequence

Mutate = Callable[[str, str, str], Any]
numbers = itertools.count()


def substituted(text: str, old: str, new: str) -> str:
    """The text with the one place that says `old` saying `new`."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    changed = text.replace(old, new)
    assert changed != text
    return changed


@pytest.fixture
def copy_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Mutate]:
    """copy_of(package)(file, old, new): import a copy of a package with one substitution."""
    monkeypatch.syspath_prepend(tmp_path)

    def package_copier(package: Any) -> Mutate:
        def mutate(file: str, old: str, new: str) -> Any:
            name = f"mutant_{next(numbers)}"
            folder = tmp_path / name
            folder.mkdir()
            for source in Path(package.__file__).parent.glob("*.py"):
                text = source.read_text(encoding="utf-8").replace(package.__name__, name)
                if source.name == file:
                    text = substituted(text, old, new)
                (folder / source.name).write_text(text, encoding="utf-8")
            importlib.invalidate_caches()
            return importlib.import_module(name)

        return mutate

    return package_copier


# The reference.

FORWARD_MUTANTS = {
    "lstm-gates-swapped": ("lstm", "z_i, z_f, z_g, z_o = np", "z_f, z_i, z_g, z_o = np"),
    "lstm-output-and-cell-swapped": ("lstm", "z_i, z_f, z_g, z_o = np", "z_i, z_f, z_o, z_g = np"),
    "gru-gates-swapped": ("gru", "h_r, h_u, q = np", "h_u, h_r, q = np"),
    "gru-update-turned-round": ("gru", "(1 - u) * n + u * h", "u * n + (1 - u) * h"),
    "rnn-bias-dropped": ("rnn", "x[t] @ W_ih.T + b_ih", "x[t] @ W_ih.T"),
    "lstm-bias-dropped": ("lstm", "h @ W_hh.T + b_hh", "h @ W_hh.T"),
    "gru-bias-outside-the-reset": (
        "gru", "np.split(h @ W_hh.T + b_hh, 3, axis=1)",
        "np.split(h @ W_hh.T + b_hh * (np.arange(b_hh.size) < 2 * h.shape[1]), 3, axis=1)",
    ),
    "rnn-step-shifted": ("rnn", "x[t] @", "x[t - 1] @"),
    "lstm-step-shifted": ("lstm", "x[t] @", "x[t - 1] @"),
    "gru-step-shifted": ("gru", "x[t] @", "x[t - 1] @"),
    "gru-before-reset-forgotten": ("gru_before", "x_n + (r * h) @", "x_n + h @"),
    "gru-before-reset-after-the-product": ("gru_before", "(r * h) @ W_hn.T", "r * (h @ W_hn.T)"),
    "gru-before-biases-swapped": ("gru_before", "b_hr, b_hu, b_hn =", "b_hu, b_hr, b_hn ="),
    "rnn-length-ignored": ("rnn", "np.where(on, new, h)", "new"),
    "lstm-length-ignored-by-c": ("lstm", "np.where(on, c_new, c)", "c_new"),
}  # fmt: skip

BACKWARD_MUTANTS = {
    "lstm-gates-swapped": ("lstm", "t] = dz_i, dz_f, dz_g, dz_o", "t] = dz_f, dz_i, dz_g, dz_o"),
    "gru-gates-swapped": ("gru", "concatenate([dz_r, dz_u, dq]", "concatenate([dz_u, dz_r, dq]"),
    "gru-reset-forgotten": ("gru", "dq = dz_n * r", "dq = dz_n"),
    "rnn-state-gradient-forgotten": ("rnn", "doutput[t] + dh_later", "doutput[t]"),
    "lstm-state-gradient-forgotten": ("lstm", "dc_later + dh * o", "dh * o"),
    "gru-direct-path-forgotten": ("gru", "u * dh + np.conc", "np.conc"),
    "gru-before-reset-path-forgotten": ("gru_before", "dz_u @ W_hu + r * dm", "dz_u @ W_hu"),
    "gru-before-operand-is-h": ("gru_before", 'gates["reset"] * h_before}', "h_before}"),
    "lstm-last-state-forgotten": ("lstm", "dh_later, dc_later = dlast", "dh_later = dc_later = 0"),
    "rnn-length-ignored": ("rnn", "np.where(on, dh_before, dh_later)", "dh_before"),
    "state-step-shifted": ("sequence", "np.concatenate([initial[None], after])[:-1]", "after"),
    "first-step-dropped": ("sequence", "dz_h.sum(axis=(0, 1))", "dz_h[1:].sum(axis=(0, 1))"),
    "last-step-dropped": ("sequence", "dz_x.sum(axis=(0, 1))", "dz_x[:-1].sum(axis=(0, 1))"),
}  # fmt: skip


def cell_of(kind: str) -> Cell:
    """The built-in cell that is written in the module of that name."""
    return CELLS[f"{kind.replace('_', '-')}-tanh"]


def small_case(kind: str, **options: Any) -> Case:
    """Three sequences of lengths 4, 0 and 2, distinct weights everywhere."""
    return random_case(cell_of(kind), T=4, I=2, lengths=(4, 0, 2), seed=2, **options)


def assert_reference_is_right(kernels: Any, case: Case) -> None:
    pytest.importorskip("torch")
    from test_reference_against_torch import assert_agrees, loop, without_record

    assert_agrees(without_record(kernels, case), loop(case))


@pytest.mark.parametrize("mutant", FORWARD_MUTANTS)
def test_a_wrong_forward_of_the_reference_is_caught(mutant: str, copy_of: Any) -> None:
    pytest.importorskip("torch")
    module, old, new = FORWARD_MUTANTS[mutant]
    kernels = copy_of(reference)(f"{module}.py", old, new)
    with pytest.raises(AssertionError):
        assert_reference_is_right(kernels, small_case(module))


@pytest.mark.parametrize("mutant", BACKWARD_MUTANTS)
def test_a_wrong_backward_of_the_reference_is_caught(mutant: str, copy_of: Any) -> None:
    module, old, new = BACKWARD_MUTANTS[mutant]
    kernels = copy_of(reference)(f"{module}.py", old, new)
    case = small_case("gru" if module == "sequence" else module)
    with pytest.raises(AssertionError):
        assert_gradients_equal_complex_step(kernels, case)


def test_a_wrong_order_of_time_is_caught(copy_of: Any) -> None:
    pytest.importorskip("torch")
    kernels = copy_of(reference)("sequence.py", "range(T - 1, -1, -1)", "range(T)")
    with pytest.raises(AssertionError):
        assert_reference_is_right(kernels, small_case("gru", reverse=True))


@pytest.mark.parametrize("kind", ["rnn", "gru", "gru_before", "lstm"])
def test_a_copy_of_the_reference_without_a_mutation_passes(kind: str, copy_of: Any) -> None:
    kernels = copy_of(reference)("__init__.py", '"""The reference:', '"""A copy:')
    assert kernels.forward is not reference.forward
    assert_gradients_equal_complex_step(kernels, small_case(kind))
    assert_reference_is_right(kernels, small_case(kind))


# The cells' equations, and their derivative.

CELL_MUTANTS = {
    "lstm-gates-swapped": (
        "lstm", "sigmoid(z.input), sigmoid(z.forget)", "sigmoid(z.forget), sigmoid(z.input)",
    ),
    "lstm-blocks-swapped": (
        "lstm", '"input": "xh", "forget": "xh"', '"forget": "xh", "input": "xh"',
    ),
    "lstm-names-swapped": (
        "lstm", '"input": i, "forget": forget', '"input": forget, "forget": i',
    ),
    "lstm-squashing-forgotten": ("lstm", "o * f(c)", "o * c"),
    "lstm-state-forgotten": ("lstm", "forget * last.c + i * g", "forget * g + i * g"),
    "gru-gates-swapped": (
        "gru", "sigmoid(z.reset), sigmoid(z.update)", "sigmoid(z.update), sigmoid(z.reset)",
    ),
    "gru-update-turned-round": ("gru", "(1 - u) * n + u * last.h", "u * n + (1 - u) * last.h"),
    "gru-reset-forgotten": ("gru", "z.new + r * q", "z.new + q"),
    "gru-before-reset-forgotten": ("gru_before", '"new": r * last.h', '"new": last.h'),
    "gru-before-update-for-reset": ("gru_before", '"new": r * last.h', '"new": u * last.h'),
    "derivative-sign": ("derivative", "(b, -g)", "(b, g)"),
    "derivative-of-sigmoid": ("derivative", "g * (e * (1.0 - e))", "g * e"),
    "derivative-of-tanh": ("derivative", "g * (1.0 - e * e)", "g * (1.0 - e)"),
    "state-gradient-forgotten": (
        "derivative", 'leaf("grad", name))\n', 'leaf("grad", name) * float(name == "h"))\n',
    ),
    "second-path-forgotten": (
        "derivative", "gradient[at] + value if at in gradient else value", "value",
    ),
}  # fmt: skip


def mutated_cell(copy_of: Any, kind: str, file: str, old: str, new: str) -> Cell:
    package = copy_of(cells)(file, old, new)
    made = package.gru("tanh", "before") if kind == "gru_before" else getattr(package, kind)("tanh")
    assert isinstance(made.name, str)
    return made


@pytest.mark.parametrize("mutant", CELL_MUTANTS)
def test_wrong_equations_of_a_cell_are_caught(mutant: str, copy_of: Any) -> None:
    module, old, new = CELL_MUTANTS[mutant]
    kind = "lstm" if module == "derivative" else module
    if mutant == "derivative-sign":
        kind = "gru"  # the one with a subtraction
    cell = mutated_cell(copy_of, kind, f"{module}.py", old, new)
    with pytest.raises(AssertionError):
        assert_step_matches(cell, random_case(cell_of(kind), T=1))


@pytest.mark.parametrize("kind", ["rnn", "gru", "gru_before", "lstm"])
def test_a_copy_of_the_cells_without_a_mutation_passes(kind: str, copy_of: Any) -> None:
    cell = mutated_cell(copy_of, kind, "__init__.py", '"""The cells:', '"""A copy of the cells:')
    assert cell is not cell_of(kind)
    assert_step_matches(cell, random_case(cell_of(kind), T=1))


# The CPU's sequence loop: its generated text is mutated on its way to the compiler.

LOOP_MUTANTS = {
    "gates-swapped": ("lstm", r"H_BLOCKS = np.array\(\[0, 1", "H_BLOCKS = np.array([1, 0"),
    "product-in-the-wrong-slots": (
        "gru", r"to = z \+ SIZE \* \(at \+ \(S - NH\) \* u \* V\)\n", "to = z + SIZE * at\n",
    ),
    "gate-gradient-forgotten": (
        "lstm", r"columns,\n( +)NH \* U \* V, full", r"columns,\n\1(NH - 1) * U * V, full",
    ),
    "bias-dropped": ("rnn", r"address\(bias_hh, 0\), bias_ih.shape\[0\]", "address(bias_hh, 0), 0"),
    "weight-gradient-of-the-wrong-step": (
        "gru", r"low \+ 1 if reverse else low\)", "low if reverse else low + 1)",
    ),
    "input-gradient-by-the-wrong-weights": (
        "lstm", r"B, address\(packed, after_h\)", "B, address(packed, 0)",
    ),
    "step-mistaken": ("rnn", r"\* I\), I, 1, 0,", "* I), 0, 1, 0,"),
    "state-step-shifted": (
        "gru", r"(?s)(def backward_rows.*)before, now = \(t \+ 1, t\)", r"\1before, now = (t, t)",
    ),
    "length-off-by-one": ("rnn", r"t < lengths\[b\]", "t <= lengths[b]"),
    "state-gradient-forgotten": (
        "rnn", r"(?s)(def backward_rows.*)if full < vectors", r"\1if full < 0",
    ),
    "state-gradient-of-another-row": ("lstm", r"carried, row = b \* HP", "carried, row = 0 * HP"),
    "ended-sequence-goes-on": (
        "lstm", r"copy_bytes\(state_c \+ SIZE \* \(now_c \+ row\)",
        "copy_bytes(state_c + SIZE * (before_c + row)",
    ),
}  # fmt: skip


@pytest.fixture
def _own_cache(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    """Compiled mutants are kept apart from the user's kernels."""
    cpu.warm_up(CELLS["rnn-tanh"], "float64")  # what mutants do not change
    if pytestconfig.cache is not None:
        monkeypatch.setenv("MINIRNN_CACHE_DIR", str(pytestconfig.cache.mkdir("mutants")))


@pytest.fixture
def mutate_loop(
    monkeypatch: pytest.MonkeyPatch, _own_cache: None
) -> Iterator[Callable[[str, str, str], None]]:
    """mutate_loop(kind, pattern, replacement): compile a cell's loop from a changed text."""
    written = sequence.source

    def mutate(kind: str, pattern: str, replacement: str) -> None:
        def source(*arguments: Any) -> str:
            return re.sub(pattern, replacement, written(*arguments), count=1)

        cell = CELLS[f"{kind}-tanh"]
        assert source(cell, "float64") != written(cell, "float64"), f"no {pattern} in the loop"
        monkeypatch.setattr(sequence, "source", source)
        monkeypatch.setattr(build, "_kernels", {})
        plan.plan_of.cache_clear()

    yield mutate
    plan.plan_of.cache_clear()


def both_directions(kind: str) -> list[Case]:
    return [small_case(kind, H=5, reverse=reverse) for reverse in (False, True)]


def differs(case: Case) -> bool:
    try:
        assert_kernels_match(cpu, case)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("mutant", LOOP_MUTANTS)
def test_a_wrong_loop_of_the_cpu_is_caught(mutant: str, mutate_loop: Any) -> None:
    kind, pattern, replacement = LOOP_MUTANTS[mutant]
    mutate_loop(kind, pattern, replacement)
    assert any(differs(case) for case in both_directions(kind))


def test_a_loop_that_only_gained_a_comment_passes(mutate_loop: Any) -> None:
    mutate_loop("rnn", r"\A", "# unchanged but for this line\n")
    for case in both_directions("rnn"):
        assert_kernels_match(cpu, case)


@pytest.mark.usefixtures("_own_cache")
def test_swapped_gates_of_a_cell_are_caught_on_the_cpu(copy_of: Any) -> None:
    cell = mutated_cell(copy_of, "lstm", "lstm.py", *CELL_MUTANTS["lstm-gates-swapped"][1:])
    case = small_case("lstm", H=5)

    class Swapped:
        """The CPU, given another cell than the reference is."""

        @staticmethod
        def forward(_: Cell, *arguments: Any, **options: Any) -> Any:
            return cpu.forward(cell, *arguments, **options)

        @staticmethod
        def backward(_: Cell, *arguments: Any, **options: Any) -> Any:
            return cpu.backward(cell, *arguments, **options)

    with pytest.raises(AssertionError, match="differs from the reference"):
        assert_kernels_match(Swapped, case)
