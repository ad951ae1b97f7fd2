"""`minirnn inspect`: look into a network that was trained elsewhere, and say what ails it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.commands.arrays import Array, as_floats, read_array
from minirnn.commands.options import (
    HEALTHY,
    ILL,
    add_device,
    add_output_options,
    console_of,
    place_of,
    print_json,
)
from minirnn.errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import Console

    from minirnn.diagnosis import Diagnosis
    from minirnn.nn import Module

LOSSES = ("mse", "l1", "huber", "cross_entropy", "bce")
# What a bare safetensors file may leave open, by the arguments of `load_model`.
DECIDING = {
    "cell": "--cell", "activation": "--activation", "readout": "--readout", "prefix": "--prefix",
}  # fmt: skip
OPTIONS = {  # by the arguments of `diagnose` and of a model
    "inputs": "--input", "x": "--input", "targets": "--target", "lengths": "--lengths",
    "loss": "--loss", "device": "--device", "path": "MODEL", "model": "MODEL",
    **DECIDING,
}  # fmt: skip


def add(commands: Any) -> None:
    """Add the command to the parser of commands."""
    parser = commands.add_parser(
        "inspect",
        help="say what ails a network that was trained elsewhere",
        description="Load a recurrent network from a file, run it once on your data, forward and "
        "backward, and say what is wrong with it and why. Nothing is trained.",
        epilog="Exit status: 0 healthy, 1 an illness was found, 2 bad input.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a .safetensors file (of minirnn, or a PyTorch state dict), .onnx or .keras",
    )
    data = parser.add_argument_group("the data, in .npy files")
    data.add_argument(
        "--input",
        metavar="X.npy",
        required=True,
        help="what the network is fed, laid out as it takes it: (T, B, I), steps first, or for a "
        "network that takes the batch first (B, T, I)",
    )
    data.add_argument(
        "--target",
        metavar="Y.npy",
        required=True,
        help="what it should answer: (B, O), or one answer a step, laid out like the input; for "
        "cross_entropy whole numbers without the last axis",
    )
    data.add_argument("--lengths", metavar="L.npy", help="(B,): how many steps of each count")
    data.add_argument(
        "--batch-first",
        action="store_true",
        help="the files have the batch first, whatever the network takes: they are turned",
    )
    data.add_argument(
        "--cast",
        action="store_true",
        help="round the data to the network's dtype, where they would not fit exactly",
    )
    parser.add_argument(
        "--loss", choices=LOSSES, default="mse", help="it was trained on (default: %(default)s)"
    )
    bare = parser.add_argument_group(
        "for a .safetensors file that does not say itself what it holds"
    )
    bare.add_argument(
        "--cell", choices=("rnn", "gru", "lstm"), help="what you expect, held against the weights"
    )
    bare.add_argument("--activation", choices=("tanh", "relu", "sigmoid"), help="of the cell")
    bare.add_argument(
        "--readout",
        choices=("last", "all"),
        help="whether its Linear sees the last states or every step (default: as the targets are)",
    )
    bare.add_argument("--prefix", help="of the names that belong to the network, e.g. encoder.")
    parser.add_argument("--output", metavar="PAGE.html", help="write a page with the findings")
    add_device(parser, "where the network is looked into")
    add_output_options(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    from minirnn.report import save_diagnosis_html
    from minirnn.report.extras import check_page_packages
    from minirnn.report.files import check_writable

    page = None
    if arguments.output is not None:
        check_page_packages()
        page = check_writable(arguments.output, "--output")
    x = read_array(arguments.input, "--input")
    y = read_array(arguments.target, "--target")
    lengths = None if arguments.lengths is None else read_array(arguments.lengths, "--lengths")
    try:
        model = _loaded(arguments, y)
        diagnosis = _diagnosis(model, x, y, lengths, arguments)
    except ArgumentError as error:
        option = OPTIONS.get(error.argument)
        if option is None:
            raise
        raise type(error)(option, error.came, error.wanted, error.hint) from error
    if page is not None:
        save_diagnosis_html(diagnosis, page)
    if arguments.json:
        about = {"file": arguments.model, "model": repr(model)}
        print_json(about | diagnosis.to_dict() | place_of(page))
    else:
        console = console_of(arguments)
        assert console is not None
        _tell(console, model, diagnosis)
        if page is not None:
            print(f"\nThe page is {page.resolve().as_uri()}")
    return HEALTHY if diagnosis.healthy else ILL


def _loaded(arguments: argparse.Namespace, y: Array) -> Module:
    """The model in a file, by what its name ends in.

    Raises: ArgumentError, or what the file's reader raises.
    """
    path, device = arguments.model, arguments.device
    suffix = Path(path).suffix.lower()
    if suffix == ".safetensors":
        return _from_safetensors(arguments, y)
    for name in DECIDING:
        if getattr(arguments, name) is not None:
            wanted = "none: it is for a .safetensors file"
            raise ArgumentError(name, repr(getattr(arguments, name)), wanted)
    if not Path(path).is_file():
        raise ArgumentError("path", repr(path), "a file that exists")
    from_file: Callable[..., Module]
    if suffix == ".onnx":
        from minirnn.interop.onnx import from_onnx as from_file
    elif suffix == ".keras":
        from minirnn.interop.keras import from_keras as from_file
    else:
        raise ArgumentError("path", repr(path), "a .safetensors, .onnx or .keras file")
    return from_file(path, device=device)


def _from_safetensors(arguments: argparse.Namespace, y: Array) -> Module:
    from minirnn.interop.safetensors import load_model

    options = {name: getattr(arguments, name) for name in DECIDING if getattr(arguments, name)}
    try:
        return load_model(arguments.model, device=arguments.device, **options)
    except ArgumentError as error:
        if error.argument != "readout" or "readout" in options:
            raise
    # The targets tell whether there is one answer a step.
    options["readout"] = "all" if _per_step(y, arguments.loss) else "last"
    return load_model(arguments.model, device=arguments.device, **options)


def _per_step(y: Array, loss: str) -> bool:
    return bool(y.ndim == (2 if loss == "cross_entropy" else 3))


def _diagnosis(
    model: Module, x: Array, y: Array, lengths: Array | None, arguments: argparse.Namespace
) -> Diagnosis:
    from minirnn.diagnosis import diagnose
    from minirnn.training.losses import is_batch_first

    parameter = next(iter(model.parameters()), None)
    if parameter is None:
        raise ArgumentError("model", "a network without parameters", "one with recurrent layers")
    x = as_floats(x, parameter.dtype, "--input", cast=arguments.cast)
    if arguments.loss != "cross_entropy":
        y = as_floats(y, parameter.dtype, "--target", cast=arguments.cast)
    if arguments.batch_first and not is_batch_first(model) and x.ndim == 3:
        x = np.ascontiguousarray(x.swapaxes(0, 1))
        if _per_step(y, arguments.loss):
            y = np.ascontiguousarray(y.swapaxes(0, 1))
    return diagnose(model, x, y, loss=arguments.loss, lengths=lengths)


def _tell(console: Console, model: Module, diagnosis: Diagnosis) -> None:
    """Print the network, what was found in it, and what that comes to."""
    from minirnn.diagnosis.wording import listed
    from minirnn.report import terminal
    from minirnn.report.cards import NOTHING_FOUND, cards
    from minirnn.report.page import Cards, Text

    console.print(repr(model), soft_wrap=True)
    terminal.heading(console, "The doctor")
    terminal.blocks(console, [Cards(cards(diagnosis.findings), otherwise=NOTHING_FOUND)])
    harmful = [finding.symptom for finding in diagnosis.findings if finding.harmful]
    ending = f"Ill: {listed(harmful)}." if harmful else "Healthy: nothing was found that does harm."
    terminal.heading(console, "In the end")
    terminal.blocks(console, [Text([ending])])
