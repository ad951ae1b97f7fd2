"""Edits of what a loss compares, which way it points, and what lies between it and the weights."""

from __future__ import annotations

import ast
import textwrap
from typing import cast

from minirnn.diagnosis.code import CodeEdit
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding, Remedy
from minirnn.interop.torch.loop.data_edits import differences, numeral, short
from minirnn.interop.torch.loop.program import Draft, Program, Source, argument, last_name

WITHIN = {"tanh": (-0.9, 0.9), "sigmoid": (0.05, 0.95)}  # where these still have a slope
MODULES = ("torch", "F", "functional", "special", "nn")  # whose functions take what they work on


# Targets.


def scale_targets(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Targets of a size that a network answers in, or within the bounds of its last function."""
    seen = finding.evidence
    function = str(seen.get("function", "")) if seen.get("kind") == "bounded targets" else ""
    if function == "relu":
        return [_without(finding, program, "relu", "The answers can then be below 0 as well.")]
    low, high = float(str(seen["smallest"])), float(str(seen["largest"]))
    means = cast("list[float]", seen["mean"])
    deviations = cast("list[float]", seen["standard_deviation"])
    if function:
        least, most = WITHIN[function]
        scale = (high - low) / (most - least)
        means, deviations = [low - least * scale], [scale]
        reason = f"{function} can then answer all of them, and has a slope there."
    else:
        reason = "The answers are then of the size that a network begins with."
    pairs = [
        (short(m, s), numeral(s) if s > 0 else "1.0")
        for m, s in zip(means, deviations, strict=True)
    ]
    told = ", ".join(f"less {m}, over {s}" for m, s in pairs[:4])
    words = f"Scale the targets in the loss ({told}), and each answer back"
    code = CodeEdit(words)
    found = _targets(program)
    if found and len(pairs) == 1:
        source, nodes = found
        draft, ((m, s),) = Draft(source), pairs
        minus = f"+ {m[1:]}" if m.startswith("-") else f"- {m}"
        for node in nodes:
            draft.replace(node, f"({source.operand(node)} {minus}) / {s}")
        code = draft.edit(f"{words}: answer * {s} {'-' if minus[0] == '+' else '+'} {minus[2:]}")
    return [Remedy({}, reason, "The units stay off the ends of their range, and learn.", code)]


def _targets(program: Program) -> tuple[Source, list[ast.expr]] | None:
    """The targets where the loss is computed."""
    found = program.call("loss")
    if found:
        target = argument(found[1], 1, "target")
        return (found[0], [target]) if target is not None else None
    by_hand = differences(program)
    return (by_hand[0], [target for _, target in by_hand[1]]) if by_hand else None


# The way back.


def let_through(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Take out what leaves no gradient: a function without slope, `.detach()` or `no_grad`."""
    function = str(finding.evidence.get("function", ""))
    if function == "no_grad":
        return [_with_gradients(finding, program)]
    if not function:
        words = "Keep what the loss is computed from free of detach(), no_grad() and flat functions"
        return [_told(words, "A gradient has to come back all the way.", None)]
    return [_without(finding, program, function, "The gradient then comes back all the way.")]


def _without(finding: Finding, program: Program, function: str, reason: str) -> Remedy:
    """Without a function, where it stands only once in the code that calls the layers."""
    words = (
        "Take detach() out between the layer and the loss"
        if function == "detach"
        else f"Take {function} out of what the loss is computed from"
    )
    found = [
        (source, call, text)
        for source, inside in _bodies(program)
        for call in source.all(ast.Call, inside)
        if last_name(call.func).lower().rstrip("_") == function
        and (text := _worked_on(source, call))
    ]
    if len({(source.file, call.lineno, call.col_offset) for source, call, _ in found}) != 1:
        return _told(words, reason, None)
    source, call, text = found[0]
    return _told(words, reason, Draft(source).replace(call, text).edit(words))


def _bodies(program: Program) -> list[tuple[Source, ast.AST]]:
    """The functions in which the model's layers and the model are called."""
    wheres = [what for what in program.loop.places if what.startswith("layer ")]
    return [
        (found[0], found[0].function_at(found[1].line))
        for what in [*wheres, "call"]
        if (found := program.at(what))
    ]


def _worked_on(source: Source, call: ast.Call) -> str:
    """What a function works on, as it is written: `x` of `torch.round(x)` and of `x.round()`."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if owner is not None and last_name(owner) not in MODULES:
        return source.of(owner)
    given = argument(call, 0, "input")
    return source.operand(given) if given is not None else ""


def _with_gradients(finding: Finding, program: Program) -> Remedy:
    """The block under `with torch.no_grad():` without it."""
    words = "Run the layer with gradients: take torch.no_grad() away from around it"
    reason = "What runs under no_grad leaves no way back."
    layers = cast("list[str]", finding.evidence["layers"])
    found = program.at(f"layer {layers[0]}")
    if not found:
        return _told(words, reason, None)
    source, place = found
    around = [
        each
        for each in source.all(ast.With)
        if each.lineno <= place.line <= (each.end_lineno or 0)
        and len(each.items) == 1
        and isinstance(each.items[0].context_expr, ast.Call)
        and last_name(each.items[0].context_expr.func) == "no_grad"
        and each.body[0].lineno > each.lineno
    ]
    if len(around) != 1:
        return _told(words, reason, None)
    block = around[0]
    first, last = block.body[0].lineno, block.end_lineno or 0
    body = textwrap.dedent("".join(source.lines[first - 1 : last]))
    draft = Draft(source).delete(block)
    return _told(words, reason, draft.insert(block.lineno, body, like=block.lineno).edit(words))


# Which way the loss points.


def turn_round(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Take the minus from in front of an error."""
    words = "Take away what turns the loss round: the error itself is to become small"
    code = None
    found = program.call("loss")
    if found:
        source, call = found
        minus = [
            each
            for each in source.all(ast.UnaryOp)
            if isinstance(each.op, ast.USub) and each.operand is call
        ]
        if len(minus) == 1:
            words = "Take the minus away from the loss: the error is to become small"
            code = Draft(source).replace(minus[0], source.of(call)).edit(words)
    return [_told(words, "An optimiser makes small what it is given.", code)]


def _told(words: str, reason: str, code: CodeEdit | None) -> Remedy:
    return Remedy({}, reason, "The answers get better as the loss falls.", code or CodeEdit(words))
