"""The CUDA kernels in every cut of their work: tiles, schedules, chunks, devices, precisions.

On the emulated GPU, or on a real one where there is one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from host_arrays import OnDevice
from kernel_cases import (
    CELLS,
    Case,
    assert_kernels_match,
    expected,
    expected_step_by_step,
    random_case,
    run,
)

from minirnn.errors import DeviceError
from minirnn.kernels import cells, cpu, cuda, kernel_set
from minirnn.kernels.contract import Needs
from minirnn.kernels.cuda import device, forward_pass, packing, products, schedule, steps
from minirnn.kernels.cuda.device import Gpu
from minirnn.kernels.cuda.source import StepTile
from minirnn.testing.mismatch import assert_matches_reference

BUILT_IN = ["rnn-tanh", "gru-tanh", "lstm-tanh"]
DTYPES = ["float32", "float64"]
H200 = Gpu("sm_90", 132, 232448, True)


@pytest.fixture
def kernels(cuda: str) -> Any:
    return OnDevice(cuda)


def bits(kernels: Any, case: Case, keep: str = "record") -> dict[str, bytes]:
    arrays = run(kernels, case, keep=keep).arrays(case.cell)
    return {name: array.tobytes() for name, array in arrays.items()}


def take_tile(monkeypatch: pytest.MonkeyPatch, **wanted: Any) -> list[Any]:
    """Only tiles with those values from now on; returns the list of those that were taken."""
    taken: list[Any] = []
    tiles_of, schedule_of = schedule.tiles_of, schedule.schedule_of
    schedule_of.cache_clear()

    def some(precision: str, slots: int) -> Any:
        tiles = list(tiles_of(precision, slots))
        fit = [t for t in tiles if all(getattr(t, n) == v for n, v in wanted.items())]
        return iter(fit or tiles)

    def noted(*arguments: Any) -> Any:
        plan = schedule_of(*arguments)
        taken.append(plan)
        return plan

    monkeypatch.setattr(schedule, "tiles_of", some)
    monkeypatch.setattr(schedule, "step_depth", lambda *_: wanted.get("depth", 16))
    monkeypatch.setattr(steps, "schedule_of", noted)
    return taken


@pytest.fixture(autouse=True)
def _choices_are_made_anew() -> Any:
    schedule.schedule_of.cache_clear()
    yield
    schedule.schedule_of.cache_clear()


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize(("rows", "units"), [(8, 4), (16, 8), (32, 16), (64, 4), (64, 8)])
def test_every_kind_of_tile(
    kernels: Any, rows: int, units: int, resident: bool, monkeypatch: Any
) -> None:
    tile = StepTile(rows, units, 16, 2, resident)
    if tile not in schedule.tiles_of("float32", 3):
        pytest.skip("no tile of the schedule's: it would not have its numbers in registers")
    if schedule.shared_bytes("float32", 3, tile, 21) > device.current().shared_bytes:
        pytest.skip("no GPU has so much shared memory")
    taken = take_tile(monkeypatch, **tile._asdict())
    case = random_case(CELLS["gru-tanh"], T=3, B=35, I=5, H=21, dtype="float32", lengths=True)
    assert_kernels_match(kernels, case)
    assert tile in {plan.tile for plan in taken}


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("stages", schedule.STAGES)
def test_pieces_of_a_product_take_turns(
    kernels: Any, emulated: Any, stages: int, resident: bool, monkeypatch: Any
) -> None:
    taken = take_tile(monkeypatch, rows=8, stages=stages, resident=resident)
    monkeypatch.setattr(schedule, "_idle", lambda *_: False)  # stages for pieces that never come
    case = random_case(CELLS["gru-tanh"], T=2, B=3, I=4, H=410, dtype="float32")
    with emulated.device_properties(multiProcessorCount=40):
        assert_kernels_match(kernels, case)  # 4 pieces to a warp forward, 10 backward
    assert {plan.tile.stages for plan in taken} == {stages}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_launch_a_step_gives_the_bits_of_one_for_all(
    kernels: Any, name: str, dtype: str, reverse: bool
) -> None:
    case = random_case(CELLS[name], T=6, B=9, I=5, H=19, dtype=dtype, lengths=True, reverse=reverse)
    whole = bits(kernels, case)
    with steps.step_by_step():
        assert bits(kernels, case) == whole


def test_the_same_bits_in_every_run(kernels: Any) -> None:
    case = random_case(CELLS["lstm-tanh"], T=9, B=17, I=12, H=33, dtype="float32", lengths=True)
    first = bits(kernels, case)
    for _ in range(4):  # blocks and threads come in another order each time
        assert bits(kernels, case) == first


@pytest.mark.parametrize("lengths", [False, True])
def test_a_sequence_alone_and_in_a_batch(kernels: Any, lengths: bool) -> None:
    case = random_case(CELLS["gru-tanh"], T=5, B=20, I=7, H=18, dtype="float32", lengths=lengths)
    output, state, _ = kernels.forward(
        case.cell, case.x, case.state, case.weights, lengths=case.lengths
    )
    for b in (0, 7, 19):
        only = slice(b, b + 1)
        alone, last, _ = kernels.forward(
            case.cell, case.x[:, only], [s[only] for s in case.state], case.weights,
            lengths=case.lengths[only] if lengths else None,
        )  # fmt: skip
        assert alone.tobytes() == output[:, only].tobytes()
        assert last[0].tobytes() == state[0][only].tobytes()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
def test_chunks_of_time_change_no_bits_of_what_is_computed(
    kernels: Any, name: str, reverse: bool, monkeypatch: Any
) -> None:
    case = random_case(
        CELLS[name], T=8, B=4, I=5, H=19, dtype="float32", lengths=True, reverse=reverse
    )
    whole = kernels.forward(
        case.cell, case.x, case.state, case.weights, lengths=case.lengths, reverse=reverse
    )
    rows = 3 * 4 * len(case.cell.slots) * 19 * 4
    monkeypatch.setattr(forward_pass, "CHUNK_BYTES", rows)  # three steps at a time
    parts = kernels.forward(
        case.cell, case.x, case.state, case.weights, lengths=case.lengths, reverse=reverse
    )
    assert parts[0].tobytes() == whole[0].tobytes()
    assert [s.tobytes() for s in parts[1]] == [s.tobytes() for s in whole[1]]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CELLS)
def test_rebuilt_gates_give_the_gradients_of_kept_ones(
    kernels: Any, name: str, dtype: str, reverse: bool, monkeypatch: Any
) -> None:
    monkeypatch.setattr(forward_pass, "REBUILT_BYTES", 1)
    monkeypatch.setattr(forward_pass, "REBUILT_STEPS", (3, 3))
    case = random_case(CELLS[name], T=8, B=4, I=5, H=11, dtype=dtype, lengths=True, reverse=reverse)
    kept = run(kernels, case, keep="tape")
    rebuilt = run(kernels, case, keep="checkpoints")
    assert rebuilt.output.tobytes() == kept.output.tobytes()
    assert_matches_reference(rebuilt.arrays(case.cell), expected(case))


def test_checkpoints_keep_about_one_h(kernels: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(forward_pass, "REBUILT_BYTES", 1)
    case = random_case(CELLS["lstm-tanh"], T=64, B=4, I=5, H=11, dtype="float32")
    kept = {}
    for keep in ("tape", "checkpoints"):
        _, _, tape = kernels.forward(case.cell, case.x, case.state, case.weights, keep=keep)
        kept[keep] = tape.nbytes / (64 * 4 * 11 * 4)
    assert kept["tape"] == pytest.approx(6, rel=0.02)
    assert kept["checkpoints"] <= 1.2


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_narrow_products_are_as_exact_as_their_operands(
    kernels: Any, name: str, precision: Any
) -> None:
    case = random_case(CELLS[name], T=5, B=18, I=9, H=40, dtype="float32", lengths=True)
    cuda.set_matmul_precision(precision)
    try:
        found = run(kernels, case)
    finally:
        cuda.set_matmul_precision("float32")
    arrays = found.arrays(case.cell)
    wanted = expected_step_by_step(case, found.record)
    assert_matches_reference(arrays, wanted, precision=precision)
    with pytest.raises(AssertionError):  # and it is not float32 that was computed
        assert_matches_reference(arrays, wanted)


def test_a_backward_takes_the_precision_of_its_forward(kernels: Any) -> None:
    case = random_case(CELLS["gru-tanh"], T=4, B=5, I=6, H=20, dtype="float32")
    cuda.set_matmul_precision("bfloat16")
    try:
        _, _, tape = kernels.forward(case.cell, case.x, case.state, case.weights, keep="tape")
        narrow = run(kernels, case, keep="tape").gradients.weight_hh
    finally:
        cuda.set_matmul_precision("float32")
    gradients = kernels.backward(case.cell, case.doutput, case.dstate, tape, needs=Needs())
    assert gradients.weight_hh.tobytes() == narrow.tobytes()


def test_small_gradients_do_not_vanish_in_float16(kernels: Any) -> None:
    case = random_case(CELLS["lstm-tanh"], T=4, B=5, I=6, H=20, dtype="float32")
    tiny = np.float32(1e-12)
    case = replace(
        case, doutput=case.doutput * tiny, dstate=tuple(d * tiny for d in case.dstate or ())
    )
    cuda.set_matmul_precision("float16")
    try:
        found = run(kernels, case)
    finally:
        cuda.set_matmul_precision("float32")
    assert np.abs(found.gradients.x).max() > 1e-14
    assert_matches_reference(
        found.arrays(case.cell), expected_step_by_step(case, found.record), precision="float16"
    )


@pytest.mark.parametrize("name", BUILT_IN)
def test_long_sums_are_cut_into_slices_and_added_in_order(
    kernels: Any, name: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(products, "SLICE_DEPTH", 7)
    case = random_case(CELLS[name], T=9, B=6, I=5, H=10, dtype="float64")
    assert_kernels_match(kernels, case)


def test_the_large_tile_of_a_product(kernels: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(products, "cut_of", lambda p, *_: products.Cut(products.LARGE_TILES[p], 1))
    case = random_case(CELLS["gru-tanh"], T=5, B=30, I=33, H=50, dtype="float32", lengths=True)
    assert_kernels_match(kernels, case)


@pytest.mark.parametrize("count", [11, 17])
def test_a_cell_of_many_slots(kernels: Any, count: int) -> None:
    names = [f"s{n}" for n in range(count)]

    def equations(z: Any, last: Any) -> Any:
        values = {n: cells.tanh(getattr(z, n)) for n in names}
        h = values[names[0]]
        for n in names[1:]:
            h = h * values[n] + last.h
        return {"h": h}, values

    own = cells.cell(states=("h",), **dict.fromkeys(names, "xh"))(equations)
    case = random_case(own, T=4, B=3, I=4, H=7, dtype="float64")
    found = run(kernels, case).arrays(own)
    for name, array in run(cpu, case).arrays(own).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


def test_more_numbers_in_a_step_than_an_int_counts_are_refused(
    kernels: Any, monkeypatch: Any
) -> None:
    case = random_case(CELLS["gru-tanh"], T=2, B=4, I=3, H=10, dtype="float32")
    monkeypatch.setattr(steps, "MOST_NUMBERS", 4 * 4 * 10 - 1)
    with pytest.raises(DeviceError, match="a batch of 4 sequences, 160 numbers in a step"):
        run(kernels, case)
    monkeypatch.setattr(steps, "MOST_NUMBERS", 4 * 4 * 10)
    run(kernels, case)


class TestSchedule:
    def test_a_block_s_weights_stay_where_they_fit(self) -> None:
        plan = schedule.schedule_of(H200, "float32", 4, 16, 512, 512)
        assert plan.whole
        assert plan.tile.resident
        assert plan.grid[0] * plan.grid[1] <= H200.multiprocessors

    def test_a_step_is_a_launch_where_not_all_blocks_can_be_at_work(self) -> None:
        assert not schedule.schedule_of(
            H200._replace(cooperative=False), "float32", 4, 16, 512, 512
        ).whole
        assert not schedule.schedule_of(
            H200._replace(multiprocessors=3), "float32", 4, 16, 512, 512
        ).whole
        assert schedule.schedule_of(
            H200._replace(cooperative=False), "float32", 4, 4, 4, 4
        ).whole  # one block needs nobody else

    def test_every_size_has_one_and_it_fits(self) -> None:
        for shared in (99 << 10, 163 << 10, 232448):
            gpu = H200._replace(shared_bytes=shared)
            for precision in packing.ELEMENTS:
                for slots in (1, 2, 3, 4, 6, 12, *((17, 19) if shared > 200_000 else ())):
                    for B, H in ((1, 1), (3, 65), (64, 1000), (1000, 4096)):
                        plan = schedule.schedule_of(gpu, precision, slots, B, H, H)
                        assert plan.shared_bytes <= shared
                        assert plan.grid[0] * plan.tile.units >= H
                        if not plan.whole:
                            assert plan.grid[1] * plan.tile.rows >= B

    def test_a_cell_too_large_for_the_shared_memory_is_refused(self) -> None:
        with pytest.raises(DeviceError, match="shared memory"):
            schedule.schedule_of(H200._replace(shared_bytes=1000), "float32", 4, 1, 8, 8)

    def test_how_a_sum_is_shared_follows_from_the_sizes(self) -> None:
        for H in (16, 300, 700):
            depths = {
                schedule.schedule_of(
                    H200._replace(multiprocessors=n), "float32", 4, B, H, H
                ).tile.depth
                for n in (1, 20, 132)
                for B in (1, 16)
            }
            assert len(depths) == 1


def test_another_device_takes_another_cut_and_the_bits_stay(kernels: Any, emulated: Any) -> None:
    case = random_case(CELLS["lstm-tanh"], T=4, B=20, I=5, H=40, dtype="float32", lengths=True)
    first = bits(kernels, case)
    for properties in (
        {"multiProcessorCount": 1},
        {"multiProcessorCount": 40},
        {"cooperativeLaunch": 0},
        {"sharedMemPerBlockOptin": 101376},
    ):
        with emulated.device_properties(**properties):
            assert bits(kernels, case) == first, properties
    assert device.current().multiprocessors > 1


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("set_name", ["reference", "cpu", "cuda"])
def test_what_is_infinite_before_a_sequence_s_end_enters_no_gradient_past_it(
    kernels: Any, set_name: str, reverse: bool
) -> None:
    # h becomes infinite in the last valid step; a sequence of length 0 begins with it.
    used = kernels if set_name == "cuda" else kernel_set(set_name)
    case = random_case(
        CELLS["rnn-identity"], T=3, B=2, I=1, H=1, lengths=(2, 0), biases=(False, False)
    )
    case = replace(case, dstate=None, doutput=np.zeros_like(case.doutput))
    case.doutput[0, 0] = 1.0
    case.x[1, 0] = np.inf
    case.state[0][1] = np.inf
    if reverse:
        case = replace(case, reverse=True, lengths=np.array([1, 0]))
    # The infinite x itself was an input, and its product with no gradient is not a number.
    needs = Needs(weight_ih=False)
    gradients = run(used, case, keep="tape", needs=needs).gradients
    assert np.isfinite(gradients.weight_hh).all()


def test_narrow_products_need_a_gpu_that_has_them(emulated: Any, kernels: Any) -> None:
    case = random_case(CELLS["gru-tanh"], dtype="float32")
    with emulated.device_properties(major=7, minor=5):
        kernels.forward(case.cell, case.x, case.state, case.weights)
        cuda.set_matmul_precision("tf32")
        try:
            with pytest.raises(DeviceError, match=r"compute capability 7\.5.*8\.0 or newer"):
                kernels.forward(case.cell, case.x, case.state, case.weights)
        finally:
            cuda.set_matmul_precision("float32")


def test_a_damaged_file_of_the_cache_is_made_anew(
    kernels: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    from minirnn.kernels.cuda import build

    monkeypatch.setenv("MINIRNN_CACHE_DIR", str(tmp_path))
    case = random_case(CELLS["rnn-tanh"], dtype="float32")
    monkeypatch.setattr(build, "_kernels", {})
    whole = bits(kernels, case)
    images = sorted(tmp_path.glob("*.cubin"))
    for path in images:
        content = path.read_bytes()
        path.unlink()  # it is loaded: another file takes its name
        path.write_bytes(content[:-9])
    monkeypatch.setattr(build, "_kernels", {})
    assert bits(kernels, case) == whole
    assert sorted(tmp_path.glob("*.cubin")) == images
    assert all(path.stat().st_size > 9 for path in images)


def test_without_a_cache_folder_kernels_serve_one_process(
    kernels: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    from minirnn.kernels.cuda import build

    blocked = tmp_path / "a file"
    blocked.touch()
    monkeypatch.setenv("MINIRNN_CACHE_DIR", str(blocked / "below"))
    monkeypatch.setattr(build, "_kernels", {})
    case = random_case(CELLS["rnn-tanh"], dtype="float32")
    assert_kernels_match(kernels, case)
    assert list(build._own_folder().glob("*.cubin"))


def test_a_copied_stream_goes_on_with_what_was_packed(kernels: Any) -> None:
    import copy

    import cupy

    case = random_case(CELLS["lstm-tanh"], B=2, I=3, H=5, dtype="float32")
    weights = kernels.moved(case.weights)
    stream = kernels.kernels.Stream(case.cell, kernels.moved(case.state), weights)
    x = cupy.asarray(case.x[0, :2])
    weights.weight_hh[...] = 0
    other = copy.deepcopy(stream)
    assert (other.step(x) == stream.step(x)).all()
