"""C = start + A B: the one matrix product under every recurrent kernel on the CPU.

Each element of C is one chain of fused multiply-adds in order of k, whatever the tile, the edge,
the thread or the batch it is computed in. That is what makes results the same bits for any number
of threads, and a sequence's result independent of its batch. (No BLAS promises this.)

A tile of C, a few rows of a few vectors, stays in registers while k runs. B is read in order: from
packed column panels as wide as a tile, or from rows of any stride (`b_row` elements). A is read one
element at a time and broadcast, so any two strides will do, a transpose included.

The tiles are here; `routines` puts a product together from them.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from minirnn.kernels.cpu.vector import FORMATS, INT64, Vectors, vector_bytes

# Rows of the largest tile by its width in vectors. Its accumulators, a row of B and one factor have
# to fit the registers: 32 with AVX-512 and on ARM, 16 otherwise.
_MANY_REGISTERS = vector_bytes() == 64 or platform.machine().lower() in ("arm64", "aarch64")
TILE_ROWS = {4: 6, 3: 8, 2: 8, 1: 8} if _MANY_REGISTERS else {2: 6, 1: 8}
WIDEST = max(TILE_ROWS)
CACHE_LINE = 64  # bytes; where it is longer, some lines are asked for twice

# What a loop calls by address, in the order of the array that holds the addresses. What all cells
# share, the first four in `routines`, the others in `around`; then the equations of the cell.
ROUTINES = (
    "product", "transpose", "untranspose", "copy",
    "pack_forward", "pack_rows", "input_gradient", "weight_gradients", "unpack_gradients",
)  # fmt: skip
PRODUCT, TRANSPOSE, UNTRANSPOSE, COPY = range(4)
PACK_FORWARD, PACK_ROWS, INPUT_GRADIENT, WEIGHT_GRADIENTS, UNPACK_GRADIENTS = range(4, 9)
FORWARD_PANEL, BACKWARD_PANEL = 9, 10

# Numbers, not division by zero checks: those stop LLVM from keeping the loops tight.
COMPILE: Any = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def lanes_of(dtype: str) -> int:
    """Elements in a vector."""
    return vector_bytes() // FORMATS[dtype].bytes


def padded(columns: int, dtype: str) -> int:
    """Columns rounded up to whole vectors."""
    lanes = lanes_of(dtype)
    return -(-columns // lanes) * lanes


# -- addresses ----------------------------------------------------------------------------------


def _address(typingctx: Any, array: Any, offset: Any) -> Any:
    """The address of element `offset` of a contiguous array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(builder.gep(data, [args[1]]), INT64)

    return types.int64(array, types.int64), codegen


def _call(typingctx: Any, address: Any, *arguments: Any) -> Any:
    """Call the function at an address; all its arguments are int64, it returns nothing."""
    i, packed = types.int64, types.StarArgTuple(arguments)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [
            context.cast(builder, value, kind, i)
            for value, kind in zip(cgutils.unpack_tuple(builder, args[1]), packed, strict=True)
        ]
        kind = ir.FunctionType(ir.VoidType(), [INT64] * len(values))
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)
        return context.get_dummy_value()

    return types.void(i, packed), codegen


address: Any = intrinsic(_address)
call: Any = intrinsic(_call)


# -- tiles --------------------------------------------------------------------------------------

# What a tile is given, see `routines`; of its last vector so many lanes of C are real.
_TILE = ("rows", "a", "a_row", "a_k", "a_block", "b", "b_row", "start", "start_row", "c", "c_row",
         "depth", "blocks", "ahead", "real")  # fmt: skip


def _tile_function(module: ir.Module, dtype: str, vectors: int) -> ir.Function:
    """The function of all tiles of one width: one block of code for each number of rows."""
    name = f"minirnn_tile_{dtype}_{vectors}"
    kind = ir.FunctionType(ir.VoidType(), [INT64] * len(_TILE))
    function = cgutils.get_or_insert_function(module, kind, name)
    if not function.is_declaration:
        return function
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("optsize")  # unrolling these loops gains nothing, and takes long
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    given = dict(zip(_TILE, function.args, strict=True))
    element = FORMATS[dtype].type.as_pointer()
    for pointer in ("a", "b", "start", "c"):
        given[pointer] = builder.inttoptr(given[pointer], element)
    done = function.append_basic_block("done")
    switch = builder.switch(given["rows"], done)
    for count in range(1, TILE_ROWS[vectors] + 1):
        block = function.append_basic_block(f"rows{count}")
        switch.add_case(ir.Constant(INT64, count), block)
        builder.position_at_end(block)
        _emit_tile(builder, dtype, count, vectors, given)
        builder.branch(done)
    builder.position_at_end(done)
    builder.ret_void()
    return function


def _emit_tile(
    builder: ir.IRBuilder, dtype: str, rows: int, vectors: int, given: dict[str, Any]
) -> None:
    """C tile = start + sum over blocks and k of A[i, block, k] B[block * depth + k, j]."""
    v = Vectors(builder, dtype)
    whole = builder.icmp_signed("==", given["real"], ir.Constant(INT64, v.lanes))

    def place(base: str, row: int, j: int) -> Any:
        offset = builder.mul(ir.Constant(INT64, row), given[f"{base}_row"])
        return v.at(given[base], builder.add(offset, ir.Constant(INT64, j * v.lanes)))

    def place_of_sum(base: str, number: int) -> Any:
        return place(base, *divmod(number, vectors))

    # The last vector of each row may be incomplete: then it is loaded and stored under a mask.
    last = range(vectors - 1, rows * vectors, vectors)
    sums = {n: v.load(place_of_sum("start", n)) for n in range(rows * vectors) if n not in last}
    with builder.if_else(whole) as (all_lanes, some_lanes):
        with all_lanes:
            loaded = [v.load(place_of_sum("start", n)) for n in last]
            after_all = builder.block
        with some_lanes:
            mask = v.mask(given["real"])
            masked = [v.load_masked(place_of_sum("start", n), mask) for n in last]
            after_some = builder.block
    for n, one, other in zip(last, loaded, masked, strict=True):
        sums[n] = builder.phi(v.type)
        sums[n].add_incoming(one, after_all)
        sums[n].add_incoming(other, after_some)
    in_order = [sums[n] for n in range(rows * vectors)]
    row_offsets = [builder.mul(ir.Constant(INT64, i), given["a_row"]) for i in range(rows)]

    def loop(name: str, count: Any, carried: list[Any]) -> tuple[Any, list[Any], Any, Any]:
        """Open a loop `for n in range(count)` with loop-carried values; returns n and those."""
        before = builder.block
        head, body, end = (builder.append_basic_block(name + s) for s in ("", ".body", ".end"))
        builder.branch(head)
        builder.position_at_end(head)
        counter = builder.phi(INT64)
        counter.add_incoming(ir.Constant(INT64, 0), before)
        phis = []
        for value in carried:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            phis.append(phi)
        builder.cbranch(builder.icmp_signed("<", counter, count), body, end)
        builder.position_at_end(body)
        return counter, phis, head, end

    def close(counter: Any, phis: list[Any], values: list[Any], head: Any, end: Any) -> None:
        following = builder.add(counter, ir.Constant(INT64, 1))
        counter.add_incoming(following, builder.block)
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(end)

    block, outer, outer_head, outer_end = loop("block", given["blocks"], [given["b"], *in_order])
    a = builder.gep(given["a"], [builder.mul(block, given["a_block"])])
    with builder.if_then(builder.icmp_signed("!=", given["ahead"], ir.Constant(INT64, 0))):
        _emit_prefetch(v, a, row_offsets, given["depth"], given["ahead"])
    k, inner, head, end = loop("k", given["depth"], [a, *outer])
    a_k, b, inner_sums = inner[0], inner[1], inner[2:]
    row_of_b = [v.load(v.at(b, ir.Constant(INT64, j * v.lanes))) for j in range(vectors)]
    new = []
    for i in range(rows):
        factor = v.broadcast(builder.load(builder.gep(a_k, [row_offsets[i]])))
        for j in range(vectors):
            new.append(v.fma(factor, row_of_b[j], inner_sums[i * vectors + j]))
    a_next, b_next = builder.gep(a_k, [given["a_k"]]), builder.gep(b, [given["b_row"]])
    close(k, inner, [a_next, b_next, *new], head, end)
    close(block, outer, inner[1:], outer_head, outer_end)

    results = outer[1:]
    for n, value in enumerate(results):
        if n not in last:
            v.store(value, place_of_sum("c", n))
    with builder.if_else(whole) as (all_lanes, some_lanes):
        with all_lanes:
            for n in last:
                v.store(results[n], place_of_sum("c", n))
        with some_lanes:
            mask = v.mask(given["real"])
            for n in last:
                v.store_masked(results[n], place_of_sum("c", n), mask)


def _emit_prefetch(v: Vectors, a: Any, row_offsets: list[Any], depth: Any, ahead: Any) -> None:
    """Ask for what lies `ahead` bytes from this block of A: a later call will want it."""
    byte = ir.IntType(8).as_pointer()
    line = ir.Constant(INT64, CACHE_LINE // v.format.bytes)
    with cgutils.for_range_slice(v.builder, ir.Constant(INT64, 0), depth, line) as (k, _):
        for offset in row_offsets:
            here = v.builder.bitcast(v.builder.gep(a, [v.builder.add(offset, k)]), byte)
            v.prefetch(v.builder.gep(here, [ahead]), near=False)


def _tile_intrinsic(dtype: str, vectors: int) -> Any:
    def tile(typingctx: Any, *arguments: Any) -> Any:
        packed = types.StarArgTuple(arguments)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = cgutils.unpack_tuple(builder, args[0])
            builder.call(_tile_function(builder.module, dtype, vectors), values)
            return context.get_dummy_value()

        return types.void(packed), codegen

    return intrinsic(tile)


def tiles(dtype: str) -> tuple[Any, ...]:
    """Tiles of 1, 2, 3 and 4 vectors, to call from Numba.

    Where the widest is narrower than that, it stands in the others' places and they aren't called.
    """
    return tuple([_tile_intrinsic(dtype, min(n, WIDEST)) for n in (1, 2, 3, 4)])


# -- panels -------------------------------------------------------------------------------------


@njit(**COMPILE)
def panel_vectors(columns: Any, lanes: Any) -> Any:
    """How many vectors wide the next panel is, with that many columns to go.

    Vectors are shared out evenly, the wider panels first; the last vector may be incomplete.
    """
    vectors = (columns + lanes - 1) // lanes
    panels = (vectors + WIDEST - 1) // WIDEST
    return (vectors + panels - 1) // panels


@njit(**COMPILE)
def panel_start(number: Any, vectors: Any) -> Any:
    """The first vector of a panel, by its number, of so many cut as `panel_vectors` does."""
    panels = (vectors + WIDEST - 1) // WIDEST
    return number * (vectors // panels) + min(number, vectors % panels)
