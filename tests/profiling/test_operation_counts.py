"""Operations and bytes, against loops that multiply and add one number at a time."""

from dataclasses import replace

import numpy as np
import pytest

import minirnn as mr
from minirnn.kernels import cpu
from minirnn.kernels.contract import Needs
from minirnn.profiling.calls import Call, noted
from minirnn.profiling.operations import Work, added, backward_work, forward_work

# Rows of blocks that x and h feed, by hand: the GRU's candidate is fed by both, in two slots.
BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}
SLOTS = {"rnn": 1, "gru": 4, "lstm": 4}


def products(cell, lengths, I, H):  # noqa: E741
    """Operations of a layer's products, counted where they happen, in loops over every number."""
    count = {"Wx": 0, "Uh": 0, "dz W": 0, "dz U": 0, "dz x": 0, "dz h": 0}
    for length in lengths:
        for _ in range(length):
            for _row in range(BLOCKS[cell] * H):
                for _ in range(I):
                    count["Wx"] += 2
                    count["dz W"] += 2
                    count["dz x"] += 2
                for _ in range(H):
                    count["Uh"] += 2
                    count["dz U"] += 2
                    count["dz h"] += 2
    return count


def one_call(layer, x, **options):
    with noted(cpu) as calls:
        output, _ = layer(x, **options)
        output.backward(np.ones_like(output.numpy()))
    return calls


def flops(counts):
    return {phase: work.flop for phase, work in counts.items()}


@pytest.mark.parametrize("cell", BLOCKS)
@pytest.mark.parametrize("lengths", [None, (3, 0, 1, 2)])
@pytest.mark.parametrize("recompute", [False, True])
def test_operations_are_those_of_the_loops(cell, lengths, recompute):
    T, B, I, H = 3, 4, 5, 2  # noqa: E741
    layer = mr.Recurrent(cell, I, H, recompute=recompute, rng=0)
    x = mr.Tensor(np.ones((T, B, I), np.float32), requires_grad=True)
    taken = None if lengths is None else np.array(lengths)
    (call,) = one_call(layer, x, lengths=taken)
    by_hand = products(cell, lengths or (T,) * B, I, H)
    assert flops(forward_work(call, keeps=True)) == {
        "pack": 0,
        "input product": by_hand["Wx"],
        "recurrent loop": by_hand["Uh"],
    }
    rebuilt = {"rebuild": by_hand["Wx"] + by_hand["Uh"]} if recompute else {}
    assert flops(backward_work(call)) == rebuilt | {
        "pack": 0,
        "recurrent loop": by_hand["dz U"],
        "input gradient": by_hand["dz W"],
        "weight gradients": by_hand["dz x"] + by_hand["dz h"],
    }


def test_what_is_not_needed_is_not_counted():
    layer = mr.LSTM(5, 2, rng=0)
    x = np.ones((3, 4, 5), np.float32)
    (call,) = one_call(layer, x)
    assert "input gradient" not in backward_work(call)
    for name, left in (("weight_ih_l0", "dz h"), ("weight_hh_l0", "dz x")):
        frozen = mr.LSTM(5, 2, rng=0)
        getattr(frozen, name).requires_grad = False
        (call,) = one_call(frozen, x)
        counted = backward_work(call)["weight gradients"].flop
        assert counted == products("lstm", (3,) * 4, 5, 2)[left]
    for parameter in layer.parameters():
        parameter.requires_grad = False
    (call,) = one_call(layer, mr.Tensor(x, requires_grad=True))
    assert "weight gradients" not in backward_work(call)
    with noted(cpu) as calls, mr.no_grad():
        layer(x)
    assert backward_work(calls[0]) == {}
    assert calls[0].kept == 0


def test_gates_are_rebuilt_where_the_tape_has_none_and_not_in_the_layer_beside():
    plain, again = mr.LSTM(5, 6, rng=0), mr.LSTM(6, 4, recompute=True, rng=0)
    x = np.ones((3, 4, 5), np.float32)
    with noted(cpu) as calls:
        output, _ = again(plain(x)[0])
        output.backward(np.ones_like(output.numpy()))
    assert [call.rebuilds for call in calls] == [False, True]
    total = added(backward_work(call) for call in calls)
    by_hand = products("lstm", (3,) * 4, 6, 4)
    assert total["rebuild"].flop == by_hand["Wx"] + by_hand["Uh"]
    with mr.record():  # everything is kept anyway
        (call,) = one_call(again, np.ones((3, 4, 6), np.float32))
    assert not call.rebuilds


def test_layers_and_directions_are_calls_of_their_own():
    layer = mr.GRU(5, 2, num_layers=2, bidirectional=True, rng=0)
    calls = one_call(layer, np.ones((3, 4, 5), np.float32))
    assert [(call.T, call.B, call.I, call.H) for call in calls] == [(3, 4, 5, 2)] * 2 + [
        (3, 4, 4, 2)
    ] * 2
    assert [call.needs.x for call in calls] == [False, False, True, True]
    assert all(call.arrives and call.kept > 0 for call in calls)
    total = added(forward_work(call, keeps=True) for call in calls)
    below, above = products("gru", (3,) * 4, 5, 2), products("gru", (3,) * 4, 4, 2)
    assert total["input product"].flop == 2 * (below["Wx"] + above["Wx"])
    assert total["recurrent loop"].flop == 2 * (below["Uh"] + above["Uh"])


def test_a_gradient_that_arrives_at_the_last_state_alone_is_not_read_step_by_step():
    layer, x = mr.GRU(5, 2, rng=0), np.ones((3, 4, 5), np.float32)
    (whole,) = one_call(layer, x)
    with noted(cpu) as calls:
        layer(x)[1].backward(np.ones((1, 4, 2), np.float32))
    (last,) = calls
    assert (whole.arrives, last.arrives) == (True, False)
    read = [backward_work(call)["recurrent loop"].nbytes for call in (whole, last)]
    assert read[0] - read[1] == 4 * 3 * 4 * 2


@pytest.mark.parametrize("cell", BLOCKS)
def test_bytes_are_the_arrays_that_a_phase_reads_and_writes(cell):
    T, B, I, H = 3, 4, 5, 2  # noqa: E741
    G, S = BLOCKS[cell], SLOTS[cell]
    W, U, biases = G * H * I, G * H * H, 2 * G * H
    call = Call(mr.Recurrent(cell, I, H).cell,
                T, B, I, H, steps=T * B, itemsize=8, weights=W + U + biases, kept=1000,
                needs=Needs(), arrives=True)  # fmt: skip
    again = replace(call, rebuilds=True)
    x, y, dz = T * B * I, T * B * H, T * B * S * H
    forward = {phase: work.nbytes for phase, work in forward_work(call, keeps=True).items()}
    assert forward == {
        "pack": 8 * 2 * (W + U + biases),
        "input product": 8 * (x + W),
        "recurrent loop": 8 * U + 1000,
    }
    nothing_kept = forward_work(call, keeps=False)["recurrent loop"].nbytes
    assert nothing_kept == 8 * (U + y)
    backward = {phase: work.nbytes for phase, work in backward_work(call).items()}
    assert backward == {
        "pack": 8 * 2 * (W + U),
        "recurrent loop": 1000 + 8 * (y + U + dz),
        "input gradient": 8 * (T * B * G * H + W + x),
        "weight gradients": 8 * (dz + x + y + W + U + biases),
    }
    # Gates that are rebuilt, and their dz, live no longer than a chunk of steps.
    rebuilding = {phase: work.nbytes for phase, work in backward_work(again).items()}
    assert rebuilding == {
        "pack": 8 * 2 * (2 * (W + U) + biases),
        "rebuild": 8 * (x + y + W + U + biases),
        "recurrent loop": 1000 + 8 * (y + U),
        "input gradient": 8 * (W + x),
        "weight gradients": 8 * (x + y + W + U + biases),
    }


def test_counts_add_up_phase_by_phase():
    assert added([{"a": Work(1, 2)}, {"a": Work(3, 4), "b": Work(5, 6)}]) == {
        "a": Work(4, 6),
        "b": Work(5, 6),
    }


def test_noting_ends_with_the_block_and_sees_its_own_thread_alone():
    from concurrent.futures import ThreadPoolExecutor

    from minirnn.kernels import cpu

    before = cpu.forward, cpu.backward
    layer, x = mr.RNN(2, 3, rng=0), np.ones((2, 2, 2), np.float32)
    with ThreadPoolExecutor(1) as pool, noted(cpu) as calls:
        pool.submit(layer, x).result()
        assert calls == []
        layer(x)
    assert len(calls) == 1
    assert (cpu.forward, cpu.backward) == before
    with pytest.raises(ZeroDivisionError), noted(cpu):
        raise ZeroDivisionError
    assert (cpu.forward, cpu.backward) == before
