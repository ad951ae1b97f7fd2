"""`MinirnnBackend`: ONNX's backend interface, to run ONNX's own tests against minirnn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict

from minirnn.device import FLOATS, check_device, to_device
from minirnn.errors import DeviceError, MinirnnError
from minirnn.interop.onnx.model import OnnxModel, from_onnx
from minirnn.tensor import Tensor, no_grad

DEVICES = {DeviceType.CPU: "cpu", DeviceType.CUDA: "cuda"}


class MinirnnBackend(Backend):
    """Runs ONNX models in minirnn: `onnx.backend.base.Backend`.

        from onnx.backend.test import BackendTest
        tests = BackendTest(MinirnnBackend, __name__).include("test_(simple_rnn|rnn|gru|lstm)_.*")
        globals().update(tests.test_cases)

    Devices are "CPU", and "CUDA" where CuPy and a GPU are there.
    """

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether every operator and type of the model is here."""
        try:
            from_onnx(model)
        except MinirnnError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """The model, ready to run. Raises: as `from_onnx`."""
        super().prepare(model, device, **kwargs)
        return Prepared(from_onnx(model, device=_device(device)))

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run one node on arrays for those of its inputs that are present, in order."""
        super().run_node(node, inputs, device, outputs_info, **kwargs)
        names = list(dict.fromkeys(filter(None, node.input)))
        arrays = [np.asarray(array) for array in inputs]
        given = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in zip(names, arrays, strict=True)
        ]
        results = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = helper.make_graph([node], "node", given, results)
        opset = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        return Prepared(OnnxModel(model).to(_device(device))).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `device` ("CPU", "CUDA") can be used on this machine."""
        try:
            check_device(_device(device))
        except DeviceError:
            return False
        return True


class Prepared(BackendRep):
    """A model that was prepared: `run(inputs)` gives its outputs, as arrays, in a named tuple."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    def run(self, inputs: Any, **kwargs: Any) -> Any:
        """Run on arrays in the order of the graph's inputs, on one array, or on a dict."""
        if isinstance(inputs, dict):
            feeds = dict(inputs)
        elif isinstance(inputs, list | tuple):
            feeds = dict(zip(self.model.inputs, inputs, strict=True))
        else:
            feeds = {self.model.inputs[0]: inputs}
        device = self.model.device  # the caller's arrays are NumPy's, wherever the model is
        feeds = {
            name: to_device(array, device) if array.dtype in FLOATS else array
            for name, array in ((name, np.asarray(value)) for name, value in feeds.items())
        }
        with no_grad():
            results = self.model.run(feeds)
        arrays = [v.numpy() if isinstance(v, Tensor) else v for v in results.values()]
        return namedtupledict("Outputs", list(results))(*arrays)


def _device(name: str) -> str:
    """minirnn's name of ONNX's "CPU", "CUDA" or "CUDA:0". Raises: DeviceError."""
    try:
        return DEVICES[Device(name).type]
    except (AttributeError, KeyError, ValueError):
        raise DeviceError("device", repr(name), "'CPU' or 'CUDA'") from None
