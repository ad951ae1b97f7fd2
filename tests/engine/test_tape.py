"""The tape: how gradients travel, gather and are freed."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minirnn import functional as fn
from minirnn import tape
from minirnn.errors import DTypeError, ShapeError, TapeError
from minirnn.tensor import Tensor, apply, is_grad_enabled, no_grad

DEEP = 100_000


def leaf(*shape, dtype=np.float64, seed=0):
    array = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return Tensor(array, requires_grad=True)


class TestDepth:
    """No part recurses: with recursion each of these ends in an error or a crash."""

    @staticmethod
    def chain(x, length):
        y = x
        for _ in range(length):
            y = y + x
        return y

    def test_a_chain_of_100_000_operations_runs_backward(self):
        x = Tensor(np.array(1.0), requires_grad=True)
        self.chain(x, DEEP).backward()
        assert x.grad == DEEP + 1

    def test_the_collector_walks_a_deep_tape(self):
        x = Tensor(np.array(1.0), requires_grad=True)
        y = self.chain(x, DEEP // 4)
        gc.collect()
        y.backward()
        assert x.grad == DEEP // 4 + 1

    def test_a_deep_tape_never_run_backward_is_freed_at_once_even_on_a_small_stack(self):
        def build_and_drop():
            x = Tensor(np.array(1.0), requires_grad=True)
            y = x * 2.0
            first = weakref.ref(y._origin[0])
            for _ in range(DEEP):
                y = y + x
            assert first() is not None
            del y
            return first() is None

        before = threading.stack_size(128 * 1024)
        gc.disable()  # reference counts alone must do it
        try:
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(build_and_drop).result()
        finally:
            gc.enable()
            threading.stack_size(before)

    def test_a_diamond_of_60_levels_is_walked_once_and_not_per_path(self):
        x = Tensor(np.array(1.0), requires_grad=True)
        y = x
        for _ in range(60):
            y = y + y
        y.backward()
        assert x.grad == 2.0**60


class TestGathering:
    def test_a_tensor_used_twice_gets_the_sum(self):
        x = leaf(3)
        (x * x + 3.0 * x).sum().backward()
        np.testing.assert_allclose(x.grad, 2 * x.data + 3, rtol=1e-15)

    def test_the_same_tensor_as_both_operands(self):
        x = leaf(3)
        (x - x).sum().backward()
        np.testing.assert_array_equal(x.grad, np.zeros(3))

    def test_a_node_waits_for_every_gradient_before_it_runs(self):
        x = leaf(2)
        y = x * 2.0
        z = y * 3.0
        (z + y).sum().backward()  # y gets one gradient directly and one through z
        np.testing.assert_array_equal(x.grad, [8.0, 8.0])

    def test_backward_adds_to_what_is_there(self):
        x = leaf(2)
        (x * 2.0).sum().backward()
        (x * 5.0).sum().backward()
        np.testing.assert_array_equal(x.grad, [7.0, 7.0])

    def test_setting_grad_to_none_starts_anew(self):
        x = leaf(2)
        (x * 2.0).sum().backward()
        x.grad = None
        (x * 5.0).sum().backward()
        np.testing.assert_array_equal(x.grad, [5.0, 5.0])

    def test_an_array_put_into_grad_by_the_caller_is_not_written_to(self):
        x = leaf(2)
        mine = np.ones(2)
        x.grad = mine
        (x * 2.0).sum().backward()
        np.testing.assert_array_equal(mine, [1.0, 1.0])
        np.testing.assert_array_equal(x.grad, [3.0, 3.0])

    def test_grad_shares_no_memory_with_the_gradient_given_to_backward(self):
        given = np.ones(2)
        for function in (lambda x: x, lambda x: x + 0.0):
            x = leaf(2)
            function(x).backward(given)
            assert not np.shares_memory(x.grad, given)

    def test_two_leaves_of_one_sum_do_not_share_their_grad(self):
        a, b = leaf(2), leaf(2, seed=1)
        (a + b).backward(np.ones(2))
        assert not np.shares_memory(a.grad, b.grad)
        a.grad *= 0
        np.testing.assert_array_equal(b.grad, [1.0, 1.0])

    def test_one_leaf_reached_twice_by_one_array_does_not_change_that_array(self):
        x = leaf(2)
        given = np.ones(2)
        (x + x).backward(given)
        np.testing.assert_array_equal(x.grad, [2.0, 2.0])
        np.testing.assert_array_equal(given, [1.0, 1.0])

    def test_leaves_that_need_no_gradient_get_none(self):
        x, c = leaf(2), Tensor(np.ones(2))
        (x * c).sum().backward()
        assert c.grad is None

    def test_results_keep_no_grad(self):
        x = leaf(2)
        y = x * 2.0
        y.sum().backward()
        assert y.grad is None

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_a_scalar_leaf_has_an_array_of_its_dtype_as_grad(self, dtype):
        x = Tensor(np.array(3.0, dtype), requires_grad=True)
        (x * x).backward()
        (x * x).backward()
        assert type(x.grad) is np.ndarray
        assert (x.grad.dtype, x.grad.shape) == (dtype, ())
        assert x.grad == 12.0

    def test_backward_on_a_leaf_gives_its_own_gradient_any_number_of_times(self):
        x = Tensor(np.array(3.0), requires_grad=True)
        x.backward()
        x.backward()
        assert x.grad == 2.0

    def test_a_single_element_of_any_rank_starts_from_one(self):
        x = leaf(1, 1)
        (x * 3.0).backward()
        np.testing.assert_array_equal(x.grad, [[3.0]])

    def test_the_gradient_may_be_a_python_number_or_a_tensor(self):
        x = Tensor(np.float32(2.0), requires_grad=True)
        (x * 3.0).backward(2.0)
        (x * 3.0).backward(Tensor(np.float32(1.0)))
        assert x.grad == 9.0


class TestOperationsWithSeveralOutputs:
    @staticmethod
    def twin(x, seen):
        def backward(*gradients):
            seen.append(gradients)
            return (sum(g for g in gradients if g is not None),)

        return apply("twin", (x,), (x.data * 1, x.data * 1), backward)

    def test_an_output_without_a_gradient_is_none(self):
        x, seen = leaf(2), []
        _, second = self.twin(x, seen)
        (second * 2.0).sum().backward()
        assert seen[0][0] is None
        np.testing.assert_array_equal(seen[0][1], [2.0, 2.0])

    def test_both_outputs_arrive_in_one_call(self):
        x, seen = leaf(2), []
        first, second = self.twin(x, seen)
        (first * 2.0 + second * 3.0).sum().backward()
        assert len(seen) == 1
        np.testing.assert_array_equal(x.grad, [5.0, 5.0])

    def test_an_operation_that_no_gradient_reaches_is_not_called_but_freed(self):
        x, seen = leaf(2), []
        first, _ = self.twin(x, seen)
        (blocked,) = apply("blocked", (first,), (first.data * 1,), lambda g: (None,))
        blocked.sum().backward()
        assert seen == []
        assert x.grad is None
        with pytest.raises(TapeError):
            first.sum().backward()

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [(np.ones(3), ShapeError), (np.ones((1, 2)), ShapeError), (np.ones(2, "f4"), DTypeError)],
    )
    @pytest.mark.parametrize("through_a_result", [False, True])
    def test_a_gradient_that_does_not_fit_names_its_operation(self, wrong, error, through_a_result):
        x = leaf(2)
        y = x * 1.0 if through_a_result else x
        (z,) = apply("faulty", (y,), (y.data.sum(),), lambda g: (wrong,))
        with pytest.raises(error, match="faulty"):
            z.backward()

    def test_a_failing_operation_leaves_no_half_of_a_gradient(self):
        x = leaf(2)
        (bad,) = apply("bad", (x,), (x.data * 1,), lambda g: 1 / 0)
        total = bad.sum() + (x * 2.0).sum()
        with pytest.raises(ZeroDivisionError):
            total.backward()
        assert x.grad is None
        with pytest.raises(TapeError):
            total.backward()


class TestUsedTapes:
    def test_a_second_backward_is_an_error_that_says_why(self):
        x = leaf(2)
        y = (x * 2.0).sum()
        y.backward()
        with pytest.raises(TapeError, match="already used and freed"):
            y.backward()
        np.testing.assert_array_equal(x.grad, [2.0, 2.0])

    def test_so_is_a_backward_through_a_part_that_was_used(self):
        x = leaf(2)
        shared = x * 2.0
        first, second = shared.sum(), (shared * 3.0).sum()
        first.backward()
        x.grad = None
        with pytest.raises(TapeError, match="'mul'"):
            second.backward()
        assert x.grad is None

    def test_a_refused_backward_leaves_the_unused_part_usable(self):
        x = leaf(2)
        used, fresh = (x * 2.0).sum(), (x * 3.0).sum()
        total = used + fresh
        used.backward()
        x.grad = None
        with pytest.raises(TapeError):
            total.backward()
        fresh.backward()
        np.testing.assert_array_equal(x.grad, [3.0, 3.0])

    def test_separate_tapes_over_the_same_leaf_are_independent(self):
        x = leaf(2)
        first, second = (x * 2.0).sum(), (x * 3.0).sum()
        first.backward()
        second.backward()
        np.testing.assert_array_equal(x.grad, [5.0, 5.0])

    def test_detach_carries_a_state_over(self):
        x = leaf(2)
        state = x * 2.0
        state.sum().backward()
        (state.detach() * x).sum().backward()
        np.testing.assert_array_equal(x.grad, 2.0 + 2.0 * x.data)


class TestMemory:
    def test_backward_frees_what_operations_kept_though_the_loss_lives(self):
        x = leaf(4)
        middle = x * 2.0
        kept = weakref.ref(middle.data)
        loss = (middle * middle).sum()
        del middle
        assert kept() is not None
        loss.backward()
        assert kept() is None

    def test_it_frees_them_one_by_one_on_the_way(self):
        x = leaf(4)
        alive = []
        (early,) = apply("early", (x,), (x.data * 1,), lambda g: (alive.append(kept()), (g,))[1])
        late = fn.exp(early)
        kept = weakref.ref(late._origin[0].backward)
        late.sum().backward()
        assert alive == [None]

    def test_a_failing_backward_frees_them_too(self):
        x = leaf(4)
        middle = x * 2.0
        kept = weakref.ref(middle.data)
        (loss,) = apply("bad", (middle * middle,), (np.array(0.0),), lambda g: 1 / 0)
        del middle
        assert kept() is not None
        with pytest.raises(ZeroDivisionError):
            loss.backward()
        assert kept() is None

    def test_an_addition_keeps_no_data(self):
        x = leaf(4)
        middle = x * 2.0
        kept = weakref.ref(middle.data)
        total = middle + 1.0
        del middle
        assert kept() is None
        total.sum().backward()

    def test_neither_forward_nor_backward_makes_a_reference_cycle(self):
        gc.collect()
        gc.disable()
        try:
            x = leaf(3, 4)
            w = leaf(4, 2, seed=1)
            h = fn.tanh(x @ w)
            first, second = fn.split(h, 2, axis=1)
            parts = fn.softmax(fn.concatenate([first, second, h[:, [0, 0]]], axis=1))
            fn.mse_loss(parts, np.zeros((3, 4))).backward()
            fn.cross_entropy(fn.stack([x.sum(1), x.max(1)], 1), np.array([0, 1, 1]))
            del x, w, h, first, second, parts
            assert gc.collect() == 0
        finally:
            gc.enable()


class TestNoGrad:
    def test_nothing_is_recorded_inside_and_recording_resumes_after(self):
        x = leaf(2)
        with no_grad():
            assert not is_grad_enabled()
            y = x * 2.0
        assert is_grad_enabled()
        assert not y.requires_grad
        assert y.is_leaf
        assert (x * 2.0).requires_grad

    def test_it_nests_and_survives_exceptions(self):
        def fail():
            with no_grad():
                with no_grad():
                    pass
                assert not is_grad_enabled()
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert is_grad_enabled()

    def test_it_decorates_and_the_function_may_be_called_again_and_recursively(self):
        @no_grad()
        def countdown(n):
            assert not is_grad_enabled()
            return 0 if n == 0 else countdown(n - 1)

        countdown(3)
        countdown(1)
        assert is_grad_enabled()

    def test_it_holds_for_its_own_thread_only(self):
        seen = []
        with no_grad(), ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: seen.append(is_grad_enabled())).result()
        assert seen == [True]


class SlowLeaf:
    """A leaf that gives other threads time between the reading and the writing of its grad."""

    def __init__(self):
        self.data = np.zeros(2)
        self._grad = None

    @property
    def grad(self):
        found = self._grad
        time.sleep(0.02)
        return found

    @grad.setter
    def grad(self, value):
        self._grad = value


class SlowEdges(tuple):
    """Edges that give other threads time while a tape is walked."""

    __slots__ = ()

    def __iter__(self):
        time.sleep(0.05)
        return super().__iter__()


class TestThreads:
    def test_threads_that_share_a_parameter_lose_no_gradient(self):
        shared = SlowLeaf()
        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(tape.add_to_leaves, {shared: np.ones(2)})
        np.testing.assert_array_equal(shared.grad, [4.0, 4.0])

    def test_of_two_threads_on_one_tape_exactly_one_runs(self):
        x = leaf(3)
        loss = x * 2.0
        loss._origin[0].edges = SlowEdges(loss._origin[0].edges)

        def run():
            try:
                loss.backward(np.ones(3))
            except TapeError:
                return "refused"
            return "ran"

        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(run) for _ in range(2)]
            assert sorted(job.result() for job in jobs) == ["ran", "refused"]
        np.testing.assert_array_equal(x.grad, [2.0, 2.0, 2.0])

    def test_training_from_several_threads_at_once(self):
        x = Tensor(np.zeros(1000), requires_grad=True)
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(lambda: (x * 1.0).sum().backward()) for _ in range(100)]
        for job in jobs:
            job.result()
        np.testing.assert_array_equal(x.grad, np.full(1000, 100.0))

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_child_forked_while_another_thread_gathers_can_run_backward(self):
        with tape._lock:  # as another thread may at that moment
            child = os.fork()
            if child == 0:
                x = leaf(2)
                worker = threading.Thread(target=lambda: (x * 2.0).sum().backward(), daemon=True)
                worker.start()
                worker.join(10)
                os._exit(0 if x.grad is not None else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
