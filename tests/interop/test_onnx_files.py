"""ONNX files that are damaged, malicious or beyond what is here: a typed error, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

import minirnn as mr
from minirnn.interop.onnx import from_onnx, to_onnx

X = np.ones((2, 1, 1), np.float32)


def tiny() -> bytes:
    model = to_onnx(mr.RNN(1, 1, rng=0))
    content: bytes = model.SerializeToString()
    return content


def test_a_file_cut_off_anywhere_is_a_typed_error() -> None:
    content = tiny()
    for length in range(len(content)):
        with pytest.raises(mr.MinirnnError):
            from_onnx(content[:length])


def test_a_byte_changed_anywhere_is_a_typed_error_or_another_model() -> None:
    content = tiny()
    refused = 0
    for at in range(len(content)):
        for bit in (0x01, 0x80):
            damaged = bytearray(content)
            damaged[at] ^= bit
            try:
                from_onnx(damaged)(X)
            except mr.MinirnnError:
                refused += 1
    assert refused > len(content)  # of twice as many


def with_external(folder: Path) -> Path:
    """A model whose weights lie in a file beside it."""
    path = folder / "model.onnx"
    onnx.save_model(
        to_onnx(mr.GRU(2, 3, rng=0)), path, save_as_external_data=True, location="weights.bin",
        size_threshold=0,
    )  # fmt: skip
    return path


def external(path: Path, **changed: str) -> Path:
    """The model again, with other places for the data of its first tensor."""
    model = onnx.load(path, load_external_data=False)
    tensor = next(t for t in model.graph.initializer if t.external_data)
    for entry in tensor.external_data:
        entry.value = changed.get(entry.key, entry.value)
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_in_a_file_beside_the_model_are_read(tmp_path: Path) -> None:
    path = with_external(tmp_path)
    model = mr.GRU(2, 3, rng=0)
    x = np.ones((4, 2, 2), np.float32)
    assert np.array_equal(from_onnx(path)(x)[0].data, model(x)[0].data)
    with pytest.raises(mr.CheckpointError, match="whose data lies in another file"):
        from_onnx(path.read_bytes())


def test_weights_outside_the_model_s_folder_are_not_read(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    path = with_external(inside)
    secret = tmp_path / "secret"
    secret.write_bytes((inside / "weights.bin").read_bytes())
    (inside / "link").symlink_to(secret)
    for location in ("../secret", str(secret), "link", ""):
        with pytest.raises(mr.CheckpointError, match="which is not in the model's folder"):
            from_onnx(external(path, location=location))


@pytest.mark.parametrize(
    "changed",
    [{"length": "8"}, {"length": "many"}, {"offset": "1000000"}, {"offset": "-4"},
     {"location": "missing.bin"}],
)  # fmt: skip
def test_weights_that_are_not_where_they_should_be_are_a_typed_error(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    path = external(with_external(tmp_path), **changed)
    with pytest.raises(mr.CheckpointError, match="model: got a tensor"):
        from_onnx(path)


def test_a_shape_that_would_need_more_memory_than_allowed_allocates_nothing() -> None:
    model = onnx.load_from_string(tiny())
    tensor = model.graph.initializer[0]
    tensor.dims[:] = [2**40, 2**20]
    with pytest.raises(mr.CheckpointError, match="at most 2147483648 bytes"):
        from_onnx(model)
    tensor.dims[:] = [1, 2**28]  # within the limit, without the numbers
    with pytest.raises(mr.CheckpointError):
        from_onnx(model)


def test_limits_are_the_caller_s(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    size = len(to_onnx(mr.GRU(2, 3, rng=0), path).SerializeToString())
    from_onnx(path, max_bytes=size)
    with pytest.raises(mr.CheckpointError, match=f"a file of {size} bytes; wanted at most"):
        from_onnx(path, max_bytes=size - 1)
    with pytest.raises(mr.CheckpointError, match="a tensor 'R_l0' of 108 bytes"):
        from_onnx(path.read_bytes(), max_bytes=100)


@pytest.mark.parametrize("source", ["missing.onnx", "", 3, None])
def test_what_is_no_model_is_named(source: Any, tmp_path: Path) -> None:
    with pytest.raises(mr.ArgumentError, match="model: got"):
        from_onnx(tmp_path / source if isinstance(source, str) else source)


def model_with(x: int, opset: int = 17) -> Any:
    """One Identity of that element type."""
    info = [helper.make_tensor_value_info(name, x, [1]) for name in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "g", info[:1], info[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_element_types_that_are_not_here_are_named() -> None:
    with pytest.raises(mr.DTypeError, match="input 'x': got float16"):
        from_onnx(model_with(TensorProto.FLOAT16))


def test_operator_sets_before_7_are_refused_with_the_way_out() -> None:
    with pytest.raises(mr.ArgumentError, match=r"opset 6; wanted opset 7.*version_converter"):
        from_onnx(model_with(TensorProto.FLOAT, opset=6))


def test_functions_of_a_model_are_written_out() -> None:
    model = model_with(TensorProto.FLOAT)
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.functions.append(
        helper.make_function(
            "local", "twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
            [helper.make_opsetid("", 17)],
        )
    )  # fmt: skip
    model.graph.node[0].op_type, model.graph.node[0].domain = "twice", "local"
    x = np.asarray([3.0], np.float32)
    assert from_onnx(model)(x).item() == 6.0


def nested_functions(depth: int, calls: int) -> onnx.ModelProto:
    """Functions F0, F1, …, each of which calls the one before it `calls` times."""
    functions, called = [], ("", "Identity")
    for number in range(depth):
        nodes = [
            helper.make_node(called[1], [f"t{k}"], [f"t{k + 1}"], domain=called[0])
            for k in range(calls)
        ]
        opsets = [helper.make_opsetid("", 14), helper.make_opsetid("own", 1)]
        name, last = f"F{number}", f"t{calls}"
        functions.append(helper.make_function("own", name, ["t0"], [last], nodes, opsets))
        called = ("own", name)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    node = helper.make_node(called[1], ["x"], ["y"], domain="own")
    graph = helper.make_graph([node], "nested", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)


@pytest.mark.parametrize(("depth", "calls"), [(30, 10), (3000, 1)])
def test_functions_that_would_fill_memory_when_written_out_are_refused(
    depth: int, calls: int
) -> None:
    with pytest.raises(mr.CheckpointError, match=r"call one another|depth"):
        from_onnx(nested_functions(depth, calls))
    x = np.array([1.0, 2.0], np.float32)
    np.testing.assert_array_equal(from_onnx(nested_functions(3, 10))(x).numpy(), x)


def test_a_tensor_whose_numbers_do_not_fill_its_shape_is_a_typed_error() -> None:
    model = onnx.load_from_string(tiny())
    model.graph.initializer[0].raw_data = b"\0" * 3
    with pytest.raises(mr.CheckpointError, match="model: got"):
        from_onnx(model)


def test_a_node_s_failure_says_which_node() -> None:
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", "M"]) for n in ("x", "y")]
    shape = numpy_helper.from_array(np.asarray([5, 5]), "shape")
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], name="impossible")
    graph = helper.make_graph([node], "g", info[:1], info[1:], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(mr.ShapeError) as caught:
        from_onnx(model)(np.ones((2, 3), np.float32))
    assert caught.value.__notes__ == ["in the Reshape node 'impossible'"]


@pytest.mark.parametrize(
    ("op", "values"),
    [("ConstantOfShape", [[2**31, 2**20]]), ("ConstantOfShape", [[-1]]),
     ("Expand", [[[1]], [2**20, 2**20]]),
     ("Tile", [[[1, 1]], [2**30, 2]]), ("Range", [0, 2**40, 1])],
)  # fmt: skip
def test_sizes_that_only_a_damaged_file_asks_for_take_no_memory(op: str, values: Any) -> None:
    names = [f"in{k}" for k in range(len(values))]
    constants = [
        numpy_helper.from_array(np.asarray(v), n) for v, n in zip(values, names, strict=True)
    ]
    kind = TensorProto.FLOAT if op == "ConstantOfShape" else TensorProto.INT64
    result = helper.make_tensor_value_info("y", kind, ["N"] * (1 if op == "Range" else 2))
    graph = helper.make_graph([helper.make_node(op, names, ["y"])], "g", [], [result], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(mr.ShapeError, match="at most 268435456 elements"):
        from_onnx(model)()


def test_random_damage_to_a_larger_model_is_a_typed_error_or_another_model() -> None:
    module = mr.SequenceModel("gru", input_size=2, hidden_size=2, output_size=1, rng=0)
    content = to_onnx(module, lengths=True, state=True).SerializeToString()
    rng = np.random.default_rng(0)
    feeds = {"h_0": np.zeros((1, 2, 2), np.float32), "lengths": [4, 2]}
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        try:
            from_onnx(damaged)(np.ones((4, 2, 2), np.float32), **feeds)
        except mr.MinirnnError:
            refused += 1
    assert 200 < refused < 400
