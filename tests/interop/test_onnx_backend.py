"""ONNX's own tests, run against `MinirnnBackend`: each is a test of this file."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

import emulator
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test import BackendTest
from onnx.backend.test.loader import load_node_model_tests
from onnx.backend.test.runner import Runner

import minirnn as mr
from minirnn.interop.onnx import MinirnnBackend
from minirnn.interop.onnx.model import OPERATORS

with warnings.catch_warnings():  # the published cases overflow, and divide by zero, on purpose
    warnings.simplefilter("ignore")
    CASES = load_node_model_tests()
    PUBLISHED = BackendTest(MinirnnBackend, __name__)

RECURRENT = "test_(simple_rnn|rnn|gru|lstm)_.*"
# Those on "CUDA" need a GPU, and would only be skipped elsewhere. An emulated one has to be asked
# for, since it compiles for minutes: MINIRNN_EMULATE=1.
ON_CUDA = MinirnnBackend.supports_device("CUDA") and (
    not emulator.is_emulated() or os.environ.get("MINIRNN_EMULATE", "") not in ("", "0")
)
if ON_CUDA and emulator.is_emulated():
    emulator.install()


def published() -> dict[str, type]:
    """The published test cases of recurrent operators, without the thousands of others."""
    wanted = RECURRENT + ("" if ON_CUDA else "_cpu$")
    found = {}
    for name, case in PUBLISHED.include(RECURRENT).test_cases.items():
        for test in [test for test in vars(case) if test.startswith("test_")]:
            if not re.match(wanted, test):
                delattr(case, test)
        if any(test.startswith("test_") for test in vars(case)):
            found[name] = case
    return found


globals().update(published())


def test_none_of_the_published_tests_of_recurrent_operators_is_left_out() -> None:
    names = {case.name for case in CASES if re.match(RECURRENT, case.name)}
    run = {
        test.removesuffix("_cpu")
        for case in published().values()
        for test in vars(case)
        if test.endswith("_cpu")
    }
    assert run == names
    assert len(names) >= 18


def test_a_device_without_a_gpu_is_not_supported() -> None:
    assert MinirnnBackend.supports_device("CPU")
    assert not MinirnnBackend.supports_device("TPU")
    with pytest.raises(mr.DeviceError, match="device: got 'TPU'; wanted 'CPU' or 'CUDA'"):
        MinirnnBackend.run_node(helper.make_node("Tanh", ["x"], ["y"]), [np.zeros(1)], "TPU")


# What the operators' tests ask for that is refused when it is met, by the error's own words.
REFUSED = (
    "bfloat16", "float4", "float8", "float16", "int2", "int4", "uint2", "uint4",  # element types
    "select_last_index", "training_mode", "exponent of Pow", "floating-point numbers",
    "at most high", "more than 0 element", "zero-size array",
)  # fmt: skip


def test_the_published_tests_of_every_other_operator_that_is_known_pass_too() -> None:
    passed: Counter[str] = Counter()
    for case in CASES:
        ops = {node.op_type for node in case.model.graph.node}
        if not ops <= OPERATORS.keys() or not MinirnnBackend.is_compatible(case.model):
            continue
        prepared = MinirnnBackend.prepare(case.model)
        for inputs, outputs in case.data_sets:
            try:
                got = prepared.run([array(each) for each in inputs])
            except mr.MinirnnError as error:
                if any(words in str(error) for words in REFUSED):
                    continue
                raise
            Runner.assert_similar_outputs(
                [array(each) for each in outputs], got, rtol=case.rtol, atol=case.atol
            )
            passed.update(ops)
    assert passed.total() >= 300
    # In ONNX's own tests these are functions, or stand in larger graphs only.
    assert OPERATORS.keys() - passed.keys() <= {"Constant", "ReduceProd", "CastLike"}


def array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def test_run_node_runs_one_node_in_an_operator_set_of_choice() -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    node = helper.make_node("Softmax", ["x"], ["y"])
    (new,) = MinirnnBackend.run_node(node, [x], opset_version=13)
    (old,) = MinirnnBackend.run_node(node, [x], opset_version=12)
    np.testing.assert_allclose(new.sum(axis=-1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(old.sum(), 1.0, rtol=1e-6)  # everything from axis 1 on is one axis
    assert np.array_equal(MinirnnBackend.run_node(node, [x], opset_version=13).y, new)


def test_a_model_with_an_unknown_operator_is_not_compatible() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    for op, known in (("Tanh", True), ("Acos", False)):
        graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", [x], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        assert MinirnnBackend.is_compatible(model) is known
