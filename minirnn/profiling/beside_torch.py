"""The same network in PyTorch, to be timed beside ours: same arrays, same weights, same loss."""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np

from minirnn.device import to_device
from minirnn.errors import ArgumentError, MissingExtraError
from minirnn.kernels import cells
from minirnn.kernels.contract import Array
from minirnn.nn import Recurrent, SequenceModel
from minirnn.nn.between import extras_of
from minirnn.profiling.subject import PLAIN_LAYERS, Subject
from minirnn.tensor import Tensor
from minirnn.testing.tolerances import Sizes, bound, terms
from minirnn.training.losses import LOSSES

# PyTorch's class and options for a cell; other activations it does not have.
TWINS: dict[Any, tuple[str, dict[str, str]]] = {
    cells.lstm("tanh"): ("LSTM", {}),
    cells.gru("tanh"): ("GRU", {}),
    cells.rnn("tanh"): ("RNN", {"nonlinearity": "tanh"}),
    cells.rnn("relu"): ("RNN", {"nonlinearity": "relu"}),
}
TORCH_LOSSES = {
    LOSSES["mse"]: "mse_loss",
    LOSSES["l1"]: "l1_loss",
    LOSSES["huber"]: "huber_loss",
    LOSSES["cross_entropy"]: "cross_entropy",
    LOSSES["bce"]: "binary_cross_entropy_with_logits",
}


def is_installed() -> bool:
    """Whether PyTorch is there to be imported."""
    return importlib.util.find_spec("torch") is not None


def obstacle(subject: Subject) -> str:
    """Why PyTorch cannot run the same; empty if it can."""
    model = subject.model
    layer = _layer(subject)
    if type(model) is not SequenceModel and type(model) not in PLAIN_LAYERS:
        return f"it has no {type(model).__name__}"
    if layer.cell not in TWINS:
        return f"it has no {layer.cell!r}"
    if extra := extras_of(model):
        return f"its own layers have no {extra}"
    if layer.output_size != layer.hidden_size:
        return "a projection is another number of operations there"
    if layer.dropout > 0.0 or (isinstance(model, SequenceModel) and model.head_dropout.p > 0.0):
        return "with dropout, each would drop something else"
    if subject.lengths is not None:
        return "it takes lengths in another form"
    if subject.loss is not None and subject.loss not in TORCH_LOSSES:
        return "it has no such loss"
    return subject.device.matches_torch()


def _layer(subject: Subject) -> Recurrent:
    model = subject.model
    return model.recurrent if isinstance(model, SequenceModel) else cast(Recurrent, model)


class Twin:
    """A subject's network in PyTorch: an `Engine` for the timing.

    It has its own copies of arrays and weights.
    """

    def __init__(self, subject: Subject) -> None:
        """Build it.

        Raises: ArgumentError if PyTorch cannot run the same, MissingExtraError if it is missing.
        """
        try:
            torch = importlib.import_module("torch")
        except ImportError:
            raise MissingExtraError("torch", "torch", "the comparison with PyTorch") from None
        why_not = obstacle(subject)
        if why_not:
            wanted = "'torch' with what PyTorch can run too"
            raise ArgumentError("compare", "'torch'", wanted, f"Here {why_not}")
        self.torch: Any = torch
        self.version = str(torch.__version__)
        self.subject = subject
        self.device = subject.device
        layer = _layer(subject)
        name, options = TWINS[layer.cell]
        twin = getattr(torch.nn, name)(
            layer.input_size, layer.hidden_size, layer.num_layers, bias=layer.bias,
            batch_first=layer.batch_first, bidirectional=layer.bidirectional, **options,
        )  # fmt: skip
        self.layer = self._filled(twin, layer)
        self.head: Any = None
        if isinstance(subject.model, SequenceModel):
            head = subject.model.head
            bias = head.bias is not None
            plain = torch.nn.Linear(head.in_features, head.out_features, bias=bias)
            self.head = self._filled(plain, head)
        x = subject.x
        self.x: Any = self._copied(x.data if isinstance(x, Tensor) else x)
        self.x.requires_grad_(isinstance(x, Tensor) and x.requires_grad)
        self.gradient = None if subject.gradient is None else self._copied(subject.gradient)
        self.targets: Any = None
        if subject.targets is not None:
            labels = subject.targets.dtype.kind in "iu"  # of which it takes int64 alone
            self.targets = self._copied(
                subject.targets.astype(np.int64) if labels else subject.targets
            )

    def _copied(self, array: Array) -> Any:
        return self.torch.from_numpy(np.array(to_device(array, "cpu"))).to(self.device.name)

    def _filled(self, twin: Any, ours: Any) -> Any:
        """The module with our weights, whose names are the same, in our dtype."""
        arrays = {name: self._copied(array) for name, array in ours.state_dict().items()}
        twin.to(self.device.name, getattr(self.torch, ours.dtype.name)).load_state_dict(arrays)
        return twin

    def like_ours(self, threads: int, exact: bool = False) -> AbstractContextManager[None]:
        """Inside, both compute alike: see `Device.torch_like_ours`."""
        return self.device.torch_like_ours(self.torch, threads, exact)

    def prepare(self, training: bool) -> None:
        """Let go of the gradients of the last step. There is no dropout, so modes are one."""
        self.layer.zero_grad()
        if self.head is not None:
            self.head.zero_grad()
        self.x.grad = None

    def infer(self) -> Any:
        """The output, off the tape."""
        with self.torch.inference_mode():
            return self._output()

    def forward(self) -> Any:
        """The loss; or the output, where there is no loss."""
        output = self._output()
        if self.subject.loss is None:
            return output
        loss = getattr(self.torch.nn.functional, TORCH_LOSSES[self.subject.loss])
        # Classes would be its second axis; all the losses are means, which the order cannot change.
        rows = output.reshape(-1, output.shape[-1])
        labels = not self.targets.is_floating_point()
        return loss(rows, self.targets.reshape(-1 if labels else rows.shape))

    def backward(self, result: Any) -> None:
        """Send the gradient back from what `forward` gave."""
        result.backward(self.gradient)

    def _output(self) -> Any:
        output, last = self.layer(self.x)
        if self.head is None:
            return output
        if cast(SequenceModel, self.subject.model).readout == "last":
            hidden = last[0] if isinstance(last, tuple) else last
            ends = hidden[-2:] if self.layer.bidirectional else hidden[-1:]
            output = self.torch.cat(list(ends), dim=1)
        return self.head(output)

    def difference(self) -> float:
        """Run both forward and backward, and compare.

        Returns the largest difference of an output, as a share of the largest output; or of a
        gradient, as a share of the largest of all gradients: whichever is more.

        Raises: ArgumentError if rounding does not explain it.
        """
        ours, theirs = self.subject, self
        difference = _apart([ours.infer().numpy()], [theirs.infer().cpu().numpy()])
        for engine in (ours, theirs):
            engine.prepare(training=True)
            engine.backward(engine.forward())
        mine: dict[str, Any] = dict(ours.model.named_parameters())
        twins: dict[str, Any] = dict(self.layer.named_parameters())
        if self.head is not None:
            twins = {f"recurrent.{name}": parameter for name, parameter in twins.items()}
            twins |= {f"head.{name}": p for name, p in self.head.named_parameters()}
        pairs = [(mine[name].grad, twins[name].grad) for name in mine]
        if self.x.requires_grad:
            pairs.append((ours.x.grad, self.x.grad))
        pairs = [(to_device(a, "cpu"), b.cpu().numpy()) for a, b in pairs]
        gradients, expected = zip(*pairs, strict=True)
        difference = max(difference, _apart(gradients, expected))
        allowed = self._tolerance()
        if difference > allowed:
            raise ArgumentError(
                "compare", f"outputs or gradients that differ by {difference:.1e} of the largest",
                f"at most {allowed:.1e}, which rounding explains",
                "A network that amplifies rounding, step by step, cannot be compared",
            )  # fmt: skip
        return difference

    def _tolerance(self) -> float:
        """Twice what rounding can do to a gradient of the last layer in `testing.tolerances`.

        Twice, for each of the two rounds; and once for every layer that passes it on.
        """
        layer = _layer(self.subject)
        T, B = self.subject.sizes
        H, cell = layer.hidden_size, layer.cell
        width = max(layer.input_size, layer.num_directions * H)
        sizes = Sizes(T, B, width, H, len(cell.input_slots), len(cell.hidden_slots))
        return 2 * bound(layer.dtype, layer.num_layers * terms("grad.weight_hh", sizes))


def _apart(ours: Any, theirs: Any) -> float:
    """The largest difference, as a share of the largest element; infinite where one is NaN."""
    largest = max(float(np.abs(array).max()) for array in theirs)
    apart = [float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True)]
    if np.isnan([largest, *apart]).any():
        return float("inf")
    return max(apart) / largest if largest > 0.0 else max(apart)
