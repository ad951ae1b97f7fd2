"""Functions of tensors, each with its gradient: what users build around a recurrent layer.

Operands may be tensors, arrays of the same dtype on the same device, or Python numbers (which adopt
the dtype and go to the device). NaN and infinities travel through every function as IEEE 754 has
it, without a warning: the doctor (`minirnn.diagnose`) says where they came from. Every function
passes `minirnn.testing.gradcheck`. Where it says DTypeError, DeviceError is meant as well: arrays
on two devices.
"""

from __future__ import annotations

from minirnn.functional.activations import (
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    softmax,
    tanh,
)
from minirnn.functional.comparisons import (
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    not_equal,
)
from minirnn.functional.elementwise import (
    abs,
    add,
    astype,
    clip,
    div,
    exp,
    log,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    sqrt,
    sub,
    where,
)
from minirnn.functional.indexing import embedding, getitem
from minirnn.functional.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
)
from minirnn.functional.moving import to_device
from minirnn.functional.noise import dropout
from minirnn.functional.products import linear, matmul
from minirnn.functional.recurrent import recurrent
from minirnn.functional.reductions import max, mean, min, sum, var
from minirnn.functional.shaping import (
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
    unbind,
)

__all__ = [
    "abs",
    "add",
    "astype",
    "binary_cross_entropy_with_logits",
    "broadcast_to",
    "clip",
    "concatenate",
    "cross_entropy",
    "div",
    "dropout",
    "embedding",
    "equal",
    "exp",
    "expand_dims",
    "flip",
    "getitem",
    "greater",
    "greater_equal",
    "huber_loss",
    "l1_loss",
    "less",
    "less_equal",
    "linear",
    "log",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mse_loss",
    "mul",
    "neg",
    "not_equal",
    "pow",
    "recurrent",
    "relu",
    "reshape",
    "sigmoid",
    "softmax",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "sub",
    "sum",
    "swapaxes",
    "tanh",
    "to_device",
    "transpose",
    "unbind",
    "var",
    "where",
]
