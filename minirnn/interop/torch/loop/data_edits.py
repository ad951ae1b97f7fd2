"""Edits of what a loop feeds and compares: axes, scale, shapes, states, and where it reads."""

from __future__ import annotations

import ast
import math

from minirnn.diagnosis.code import CodeEdit
from minirnn.diagnosis.detectors.unscaled_input import LARGE
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding, Remedy
from minirnn.inspect.host import on_host
from minirnn.interop.torch.loop.program import Draft, Program, Source, argument, last_name

MOST_FEATURES = 8  # that are scaled by numbers written into the line
LAYERS = ("LSTM", "GRU", "RNN")


# The loss.


def same_shape(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """The target in the answers' shape, where the loss is computed."""
    loop = evidence.loop
    assert loop is not None
    assert loop.loss is not None
    wanted, came = loop.loss.prediction, loop.loss.target
    code = CodeEdit(f"Give the target the answers' shape: {wanted} instead of {came}")
    found = program.call("loss")
    if found:
        source, call = found
        prediction, target = argument(call, 0, "input"), argument(call, 1, "target")
        if target is not None:
            other = source.operand(prediction) if prediction is not None else None
            text = reshaped(source.operand(target), came, wanted, other)
            code = Draft(source).replace(target, text).edit(f"Compare like with like: {text}")
    else:
        code = _difference(program, came, wanted) or code
    return [
        Remedy(
            {},
            "Each answer is then compared with its own target alone.",
            "The answers spread, and the loss falls below that of one constant answer.",
            code,
        )
    ]


def reshaped(text: str, came: tuple[int, ...], wanted: tuple[int, ...], like: str | None) -> str:
    """An expression of one shape, brought into the other."""
    if (*came, 1) == wanted:
        return f"{text}.unsqueeze({len(came)})"
    if came == (*wanted, 1):
        return f"{text}.squeeze({len(wanted)})"
    if like is not None:
        return f"{text}.reshape_as({like})"
    return f"{text}.reshape({wanted})"


def _difference(
    program: Program, came: tuple[int, ...], wanted: tuple[int, ...]
) -> CodeEdit | None:
    found = differences(program)
    if found is None:
        return None
    source, pairs = found
    draft, text = Draft(source), ""
    for answer, target in pairs:  # (a - y) * (a - y) has it twice
        text = reshaped(source.operand(target), came, wanted, source.operand(answer))
        draft.replace(target, text)
    return draft.edit(f"Compare like with like: {text}")


def differences(program: Program) -> tuple[Source, list[tuple[ast.expr, ast.expr]]] | None:
    """Of a loss by hand, answer and target of each difference in what is assigned to it last."""
    backward = program.statement("backward")
    if backward is None:
        return None
    source, statement = backward
    call = next(source.all(ast.Call, statement), None)
    of = last_name(call.func.value) if call and isinstance(call.func, ast.Attribute) else ""
    before = [
        value
        for to, value in source.assignments(source.function_at(statement.lineno))
        if last_name(to) == of and value.lineno < statement.lineno
    ]
    if not before:
        return None
    value = max(before, key=lambda v: v.lineno)
    minus = [b for b in source.all(ast.BinOp, value) if isinstance(b.op, ast.Sub)]
    if not minus:
        return None
    answers = _answers(program)
    turned = [bool(_roots(difference.right) & answers) for difference in minus]
    return source, [
        (each.right, each.left) if turn else (each.left, each.right)
        for each, turn in zip(minus, turned, strict=True)
    ]


def _answers(program: Program) -> set[str]:
    """Names that the model's answers are assigned to."""
    found = program.statement("call")
    if not found or not isinstance(found[1], ast.Assign):
        return set()
    return {name for target in found[1].targets for name in _roots(target)}


def _roots(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


# What is fed.


def standardise(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Mean 0 and standard deviation 1, by the inputs watched, where the layer is called."""
    rows = on_host(evidence.rows)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    # A feature that does not vary has nothing to be divided by.
    pairs = [
        (short(m, s), numeral(s) if s > 0 else "1.0")
        for m, s in zip(mean.tolist(), deviation.tolist(), strict=True)
    ]
    where = "the layer's input"
    told = ", ".join(f"mean {m}, standard deviation {s}" for m, s in pairs[:MOST_FEATURES])
    code = CodeEdit(f"Standardise {where} by the training data ({told})")
    found = program.call(f"layer {_layer(evidence)}") or program.call("call")
    packed = evidence.loop is not None and any(layer.packed for layer in evidence.loop.layers)
    if found and len(pairs) <= MOST_FEATURES and not packed:
        source, call = found
        x = argument(call, 0, "input")
        if x is not None:
            text = source.operand(x)
            if len(pairs) == 1:
                ((m, s),) = pairs
            else:
                m, s = (
                    f"{text}.new_tensor([{', '.join(numbers)}])"
                    for numbers in zip(*pairs, strict=True)
                )
            minus = f"+ {m[1:]}" if m.startswith("-") else f"- {m}"
            scaled = f"({text} {minus}) / {s}"
            code = Draft(source).replace(x, scaled).edit(f"Standardise {where}: {scaled}")
    return [
        Remedy(
            {},
            "These are mean and standard deviation of the training batches that were watched.",
            "The gates leave the ends of their range, and gradient passes them again.",
            code,
        )
    ]


def standardise_large(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """The same, where the inputs are large."""
    size = math.sqrt(float((evidence.rows**2).mean())) if evidence.rows_finite else 0.0
    return standardise(finding, evidence, program) if size > LARGE else []


def short(mean: float, deviation: float) -> str:
    """A mean to a hundredth of the deviation."""
    places = max(0, 2 - math.floor(math.log10(deviation))) if deviation > 0 else 6
    text = f"{mean:.{min(places, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def numeral(value: float) -> str:
    """Three digits as one writes them into code: 0.0213, 6.06, 1010, and 3e-05 as it is."""
    text = f"{value:.3g}"
    return f"{float(text):.0f}" if "e+" in text and abs(value) < 1e15 else text


def _layer(evidence: Evidence) -> str:
    loop = evidence.loop
    return loop.layers[0].name if loop is not None and loop.layers else ""


def turn_axes(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """`batch_first` as the data are laid out, where the layer is made."""
    first = bool(finding.evidence["batch_first"])
    if finding.evidence["unbatched"]:
        words = (
            "Give the layer three axes, (B, T, I) with batch_first=True: with two it takes "
            "the batch for the time of a single sequence"
        )
        code = CodeEdit(words)
    else:
        value = str(not first)
        words = f"Make the layer with batch_first={value}"
        code = CodeEdit(words)
        name = _layer(evidence).rsplit(".", 1)[-1]
        found = program.assigned_call(lambda called, _: called in LAYERS, name)
        found = found or program.assigned_call(lambda called, _: called in LAYERS)
        if found:
            source, call = found
            given = argument(call, 99, "batch_first")
            draft = Draft(source)
            if given is None:
                draft.argument(call, f"batch_first={value}")
            else:
                draft.replace(given, value)
            code = draft.edit(words)
    return [
        Remedy(
            {},
            "The recurrence then runs along each sequence's own steps.",
            "Each sequence's answer depends on its own input alone.",
            code,
        )
    ]


def more_steps(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """A window of steps instead of one: as features made steps, where it is written like that."""
    features = evidence.inputs.shape[2]
    words = (
        f"Feed the {features} values as steps of one feature, (B, {features}, 1), to a layer with "
        "input_size 1"
        if features > 1
        else "Feed windows of several steps, (B, T, I)"
    )
    code = CodeEdit(words)
    found = program.call(f"layer {_layer(evidence)}")
    name = _layer(evidence).rsplit(".", 1)[-1]
    made = program.assigned_call(lambda called, _: called in LAYERS, name)
    loop = evidence.loop
    if (
        found
        and made
        and found[0] is made[0]
        and features > 1
        and loop
        and loop.layers[0].batch_first
    ):
        source, call = found
        x, size = argument(call, 0, "input"), argument(made[1], 0, "input_size")
        if (
            isinstance(x, ast.Call)
            and last_name(x.func) == "unsqueeze"
            and len(x.args) == 1
            and source.of(x.args[0]) == "1"
            and size is not None
        ):
            code = Draft(source).replace(x.args[0], "-1").replace(size, "1").edit(words)
    return [Remedy({}, "A recurrent layer needs steps to recur over.", "It uses its past.", code)]


# States.


def fresh_state(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Begin each sequence anew; or, of one long series, detach what is carried."""
    unrelated = finding.evidence["kind"] == "unrelated sequences"
    code = CodeEdit(
        "Let each batch begin with a state of zeros: call the layer without one"
        if unrelated
        else "Detach the state before it is used again: state = state.detach()"
    )
    loop = evidence.loop
    name = next((e.name for e in loop.layers if e.carried), "") if loop is not None else ""
    found = program.call(f"layer {name}")
    state = argument(found[1], 1, "hx") if found else None
    if found and state is not None:
        source, call = found
        text = source.of(state)
        if unrelated:
            x = argument(call, 0, "input")
            if x is not None:
                new = f"{source.of(call.func)}({source.of(x)})"
                words = "Let each batch begin with a state of zeros"
                code = Draft(source).replace(call, new).edit(words)
        elif isinstance(state, ast.Name | ast.Attribute):
            made = program.assigned_call(lambda c, _: c in LAYERS, name.rsplit(".", 1)[-1])
            cut = f"{text}.detach()"
            if made is None or last_name(made[1].func) == "LSTM":
                cut = f"tuple(s.detach() for s in {text})"
            new = f"None if {text} is None else {cut}"
            code = Draft(source).replace(state, new).edit("Detach the state that is carried")
    return [
        Remedy(
            {},
            "What another sequence left behind tells nothing about this one."
            if unrelated
            else "Backward then ends where the batch begins (truncated BPTT).",
            "The same input gives the same answer, whatever came before."
            if unrelated
            else "Each iteration takes the same time and memory.",
            code,
        )
    ]


# Where it is read.


def read_at_end(finding: Finding, evidence: Evidence, program: Program) -> list[Remedy]:
    """Read each sequence at its own last step, or, of last states, pack the sequences."""
    code = CodeEdit(
        "Pack the sequences with their lengths (torch.nn.utils.rnn.pack_padded_sequence)"
    )
    loop = evidence.loop
    found = program.call(f"layer {_layer(evidence)}")
    if found and loop is not None:
        layer = loop.layers[0]
        padding = float(str(finding.evidence["padding_value"]))
        value = f"{padding:.0f}" if padding.is_integer() else f"{padding:g}"
        made = _at_end(*found, value, layer.batch_first, layer.bidirectional)
        code = made or code
    return [
        Remedy(
            {},
            "Each sequence is answered by the state after its own last step.",
            "The length of the padding no longer changes an answer.",
            code,
        )
    ]


def _at_end(
    source: Source, call: ast.Call, value: str, batch_first: bool, bidirectional: bool
) -> CodeEdit | None:
    statement = source.statement_at(call.lineno)
    x = argument(call, 0, "input")
    if not isinstance(statement, ast.Assign) or statement.value is not call or x is None:
        return None
    target = statement.targets[0]
    if not isinstance(target, ast.Tuple) or len(target.elts) != 2 or not source.has_name("torch"):
        return None
    text, axis = source.operand(x), int(batch_first)
    steps = (
        f"steps = {text}.size({axis}) - ({text} == {value}).all(-1).int()"
        f".flip({axis}).cumprod({axis}).sum({axis})"
    )
    output = last_name(target.elts[0])
    reads = [
        subscript
        for subscript in source.all(ast.Subscript, source.function_at(call.lineno))
        if last_name(subscript.value) == output and _is_last(source, subscript, batch_first)
    ]
    if reads and not bidirectional:
        draft = Draft(source)
        draft.insert((statement.end_lineno or 0) + 1, steps, like=statement.lineno)
        at = "torch.arange(len(steps)), steps - 1"
        for read in reads:
            index = at if batch_first else "steps - 1, torch.arange(len(steps))"
            draft.replace(read, f"{output}[{index}]")
        return draft.edit("Read each sequence at its own last step, before its padding")
    used = [n for n in source.all(ast.Name, source.function_at(call.lineno)) if n.id == output]
    if len(used) > 1:
        return None
    packed = (
        f"torch.nn.utils.rnn.pack_padded_sequence({source.of(x)}, steps.clamp(min=1).cpu(), "
        f"batch_first={batch_first}, enforce_sorted=False)"
    )
    draft = Draft(source).insert(statement.lineno, steps, like=statement.lineno)
    return draft.replace(x, packed).edit("Pack the sequences, so that the last state is their own")


def _is_last(source: Source, subscript: ast.Subscript, batch_first: bool) -> bool:
    """`out[:, -1]` and `out[:, -1, :]`, or `out[-1]` where time comes first."""
    text = source.of(subscript.slice).replace(" ", "")
    return text in ((":,-1", ":,-1,:", "(:,-1,:)") if batch_first else ("-1", "-1,:", "-1,:,:"))
