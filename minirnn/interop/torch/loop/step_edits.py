"""Edits of how a loop steps: rates, clearing, clipping, and where a layer begins."""

from __future__ import annotations

import ast
import math

from minirnn.diagnosis.code import CodeEdit
from minirnn.diagnosis.detectors.oscillating_loss import first_step, typical_update
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.finding import Finding, Remedy
from minirnn.interop.torch.loop.program import Draft, Program, Source, argument, last_name

FIRST_STEP = 0.02  # of the weights' size: what a first step moves at rates that are usual
FAR = 3.0  # times their size: how far weights should be able to go in a training
MOST = 1e5  # a rate is changed by no more than this
MOST_OF_ADAM = 1e-2
RATE = "lr"


def clear_gradients(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """`optimizer.zero_grad()` in front of backward, or else behind the step."""
    code = CodeEdit("Call optimizer.zero_grad() before every loss.backward()")
    backward, step = program.statement("backward"), program.call("step")
    optimiser = _owner(*step) if step else ""
    if optimiser and step:
        clear = f"{optimiser}.zero_grad()"
        words = f"Clear the gradients before each backward pass: {clear}"
        first = backward[1].lineno if backward else 0
        # A step that is given a closure (LBFGS) runs it, and its backward, several times.
        closure = backward and backward[0] is step[0] and (step[1].args or step[1].keywords)
        if backward and (closure or _same_function(backward[0], first, *step)):
            code = Draft(backward[0]).insert(first, clear, like=first).edit(words)
        else:
            there = program.statement("step")
            if there:
                after = there[1].end_lineno or 0
                words = f"Clear the gradients after each step: {clear}"
                code = Draft(there[0]).insert(after + 1, clear, like=there[1].lineno).edit(words)
    return [
        Remedy(
            {},
            "PyTorch adds to the gradients that are there.",
            "The gradient's norm no longer grows from step to step.",
            code,
        )
    ]


def slower(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """A rate at which the first step moves the weights by a usual part of their size."""
    loop = evidence.loop
    if loop is None or not len(loop.update_ratios):
        return []
    rate, step = loop.optimisation.learning_rate, first_step(loop)
    if not rate > 0.0 or not step > 2.0 * FIRST_STEP:
        return []
    new = rounded(rate * max(FIRST_STEP / step, 1.0 / MOST))
    return [_rate(program, loop, new, f"A first step moves the weights by some {FIRST_STEP:.0%}.")]


def faster(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """A rate at which the weights can go several times their size in as many steps."""
    loop = evidence.loop
    if loop is None or not len(loop.update_ratios):
        return []
    rate, update = loop.optimisation.last_rate, typical_update(loop)
    wanted = min(max(FAR / max(1, loop.iterations), 1e-3), 2e-2)
    if not rate > 0.0 or not 0.0 < 2.0 * update < wanted:
        return []
    new = rounded(rate * min(wanted / update, MOST))
    if "Adam" in loop.optimisation.name:
        new = min(new, MOST_OF_ADAM)
    if not new > rate:
        return []
    return [_rate(program, loop, new, "The weights can then leave where they began.")]


def other_rate(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Whichever of both is called for."""
    return faster(finding, evidence, program) or slower(finding, evidence, program)


def _rate(program: Program, loop: LoopSeen, new: float, reason: str) -> Remedy:
    seen = loop.optimisation
    code = set_option(program, seen.name, RATE, f"{new:g}")
    if seen.last_rate != seen.learning_rate:
        # What a schedule makes of the rate is not written where the optimiser is made.
        change = f"it went from {seen.learning_rate:g} to {seen.last_rate:g}"
        falls = seen.last_rate < new and seen.last_rate < seen.learning_rate
        slower = "Let the schedule lower the learning rate less"
        code = CodeEdit(f"{slower if falls else f'Let the schedule begin near {new:g}'}: {change}")
    if code is None:
        code = CodeEdit(f"Set the learning rate to {new:g} (now {loop.optimisation.last_rate:g})")
    return Remedy({}, reason, "The loss falls from stretch to stretch of training.", code)


def rounded(rate: float) -> float:
    """To 1 or 3 times a power of ten."""
    power = math.floor(math.log10(rate))
    part = rate / 10.0**power
    nearest = min((1.0, 3.0, 10.0), key=lambda n: abs(math.log(part / n)))
    return float(f"{nearest * 10.0**power:.0e}")


def set_option(program: Program, optimiser: str, name: str, value: str) -> CodeEdit | None:
    """An option of the optimiser where it is made, or the constant that it is taken from."""
    made = _made(program, optimiser)
    if made is None:
        return None
    source, call = made
    # (params, lr, ...) in all of PyTorch's optimisers.
    given = argument(call, 1 if name == RATE else 99, name)
    words = f"Make the optimiser with {name}={value}"
    if given is None:
        return Draft(source).argument(call, f"{name}={value}").edit(words)
    if isinstance(given, ast.Name):
        constants = [
            each
            for to, each in source.assignments(source.tree)
            if last_name(to) == given.id and isinstance(each, ast.Constant)
        ]
        if len(constants) == 1:
            return Draft(source).replace(constants[0], value).edit(f"Set {given.id} = {value}")
    return Draft(source).replace(given, value).edit(words)


def undecay(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Take away a weight decay that is written down."""
    loop = evidence.loop
    name = loop.optimisation.name if loop is not None else ""
    made = program.assigned_call(lambda called, _: called == name)
    given = argument(made[1], 99, "weight_decay") if made else None
    if made is None or given is None or not isinstance(given, ast.Constant) or not given.value:
        return []
    code = Draft(made[0]).replace(given, "0.0").edit("Make the optimiser with weight_decay=0.0")
    return [
        Remedy(
            {},
            "Weight decay pulls every weight to zero, and here it wins.",
            "The weights grow until the answers differ.",
            code,
        )
    ]


def bound(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Clip the gradient's norm before the step."""
    loop = evidence.loop
    if loop is None or loop.clipped is not None:
        return []
    words = "Bound the gradient's norm before each step: torch.nn.utils.clip_grad_norm_"
    code = CodeEdit(f"{words}(model.parameters(), 1.0)")
    step, call = program.statement("step"), program.call("call")
    if step and call and step[0] is call[0] and _same_function(*_line(step), *call):
        model = call[0].of(call[1].func)
        torch = "torch.nn.utils" if step[0].has_name("torch") else "nn.utils"
        line = f"{torch}.clip_grad_norm_({model}.parameters(), 1.0)"
        at = step[1].lineno
        code = Draft(step[0]).insert(at, line, like=at).edit(words)
    return [
        Remedy(
            {},
            "It keeps the direction of a gradient, and bounds its length (Pascanu et al. 2013).",
            "No single batch can throw the weights away.",
            code,
        )
    ]


def get_moving(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Against a loss that stands still: let the optimiser have its gradients, or another rate."""
    kind = finding.evidence.get("kind")
    if kind == "no step":
        return [_told("Call optimizer.step() after loss.backward()", _add_step(program))]
    if kind == "foreign optimiser":
        words = "Make the optimiser from this model's parameters, after the model"
        return [_told(words, None)]
    if kind == "left out":
        words = "Give the optimiser all of the model's parameters"
        return [_told(words, _all_parameters(program, evidence, words))]
    if kind == "squashed twice":
        return [_unsquash(finding, program)]
    if kind == "no gradient":
        words = "Clear the gradients before backward, not between it and the step"
        return [_told(words, _clear_earlier(program, words))]
    return other_rate(finding, evidence, program)


def _told(words: str, code: CodeEdit | None) -> Remedy:
    reason = "Only a step that finds the gradients of a backward pass can follow them."
    return Remedy({}, reason, "The loss begins to fall.", code or CodeEdit(words))


def _made(program: Program, optimiser: str) -> tuple[Source, ast.Call] | None:
    """Where the optimiser is made that the loop steps with, or the only one of its kind."""
    step = program.call("step")
    owner = (
        last_name(step[1].func.value) if step and isinstance(step[1].func, ast.Attribute) else ""
    )
    made = program.assigned_call(lambda called, _: called == optimiser, owner)
    return made or program.assigned_call(lambda called, _: called == optimiser)


def _all_parameters(program: Program, evidence: Evidence, words: str) -> CodeEdit | None:
    """`model.head.parameters()` -> `model.parameters()` where the optimiser is made."""
    made = _made(program, evidence.loop.optimisation.name if evidence.loop else "")
    given = argument(made[1], 0, "params") if made else None
    if made is None or not isinstance(given, ast.Call):
        return None
    of = given.func
    if last_name(of) != "parameters" or not isinstance(of, ast.Attribute):
        return None
    if not isinstance(of.value, ast.Attribute):
        return None
    model = made[0].of(of.value.value)
    return Draft(made[0]).replace(given, f"{model}.parameters()").edit(words)


def _unsquash(finding: Finding, program: Program) -> Remedy:
    """Without the sigmoid or softmax, where a single one stands in the program."""
    function = str(finding.evidence.get("function"))
    words = f"Give the loss the answers as they are, without the {function}"
    found = [
        (source, call)
        for source in program.sources.values()
        for call in source.all(ast.Call)
        if last_name(call.func).lower() == function
    ]
    code = CodeEdit(words)
    if len(found) == 1:
        source, call = found[0]
        text = _without(source, call)
        code = Draft(source).replace(call, text).edit(words) if text else code
    return Remedy(
        {},
        f"Where chances are wanted, take the {function} of the answers after training.",
        "The loss falls below what it could reach before.",
        code,
    )


def _without(source: Source, call: ast.Call) -> str:
    """What a squashing call squashes; a layer that does nothing for a layer; "" if unknown."""
    module = last_name(call.func)
    if module[0].isupper() and isinstance(call.func, ast.Attribute):  # nn.Sigmoid()
        return f"{source.of(call.func.value)}.Identity()"
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if owner is not None and last_name(owner) not in ("torch", "F", "functional", "special"):
        return source.of(owner)  # x.sigmoid()
    given = argument(call, 0, "input")
    return source.operand(given) if given is not None else ""


def _add_step(program: Program) -> CodeEdit | None:
    backward = program.statement("backward")
    if backward is None:
        return None
    source, statement = backward
    zeroed = {
        source.of(call.func.value)
        for call in source.all(ast.Call, source.function_at(statement.lineno))
        if isinstance(call.func, ast.Attribute) and call.func.attr == "zero_grad"
    }
    if len(zeroed) != 1:
        return None
    line = f"{zeroed.pop()}.step()"
    after = (statement.end_lineno or 0) + 1
    words = f"Let the optimiser step after each backward pass: {line}"
    return Draft(source).insert(after, line, like=statement.lineno).edit(words)


def _clear_earlier(program: Program, words: str) -> CodeEdit | None:
    backward, step = program.statement("backward"), program.statement("step")
    if not backward or not step or backward[0] is not step[0]:
        return None
    source = backward[0]
    first, last = backward[1].lineno, step[1].lineno
    between = [
        s
        for s in source.all(ast.Expr)
        if first < s.lineno < last
        and isinstance(s.value, ast.Call)
        and last_name(s.value.func) == "zero_grad"
    ]
    if len(between) != 1:
        return None
    draft = Draft(source).delete(between[0])
    return draft.insert(first, source.of(between[0]), like=first).edit(words)


def remember(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Against a gradient that dies through time: a layer that begins with a long memory."""
    loop = evidence.loop
    name = loop.layers[0].name.rsplit(".", 1)[-1] if loop is not None and loop.layers else ""
    kinds = ("LSTM", "GRU", "RNN")
    made = program.assigned_call(lambda called, _: called in kinds, name)
    steps = evidence.inputs.shape[0]
    kind = last_name(made[1].func) if made else ""
    told = {
        "LSTM": f"Open the LSTM's forget gates for memories of 1 to {steps} steps (chrono)",
        "RNN": "Begin with an orthogonal recurrent matrix",
    }
    words = told.get(
        kind, "Begin with a long memory: chrono biases (LSTM), orthogonal weights (RNN)"
    )
    code = CodeEdit(words)
    if made and kind in told and made[0].has_name("torch"):
        source, call = made
        statement = source.statement_at(call.lineno)
        if isinstance(statement, ast.Assign):
            layer = source.of(statement.targets[0])
            lines = _chrono(layer, steps) if kind == "LSTM" else _orthogonal(layer)
            after = (statement.end_lineno or 0) + 1
            code = Draft(source).insert(after, lines, like=statement.lineno).edit(words)
    return [
        Remedy(
            {},
            "What an LSTM keeps at first halves within a few steps, so it is never told about what "
            "lies further back (Tallec and Ollivier 2018; Saxe et al. 2014).",
            "The gradient lives over the whole sequence.",
            code,
        )
    ]


def _chrono(layer: str, steps: int) -> str:
    return (
        "with torch.no_grad():  # chrono initialisation (Tallec and Ollivier 2018)\n"
        f"    units = {layer}.hidden_size\n"
        f"    memory = torch.empty(units).uniform_(1, {max(2, steps - 1)}).log()\n"
        f"    {layer}.bias_ih_l0.zero_()\n"
        f"    {layer}.bias_hh_l0.zero_()\n"
        f"    {layer}.bias_hh_l0[:units] = -memory\n"
        f"    {layer}.bias_hh_l0[units : 2 * units] = memory"
    )


def _orthogonal(layer: str) -> str:
    return f"torch.nn.init.orthogonal_({layer}.weight_hh_l0)"


def _owner(source: Source, call: ast.Call) -> str:
    """`optimizer` of `optimizer.step()`."""
    func = call.func
    return source.of(func.value) if isinstance(func, ast.Attribute) else ""


def _line(found: tuple[Source, ast.stmt]) -> tuple[Source, int]:
    return found[0], found[1].lineno


def _same_function(source: Source, line: int, other: Source, node: ast.AST) -> bool:
    there = node.lineno  # type: ignore[attr-defined]
    return source is other and source.function_at(line) is source.function_at(there)
