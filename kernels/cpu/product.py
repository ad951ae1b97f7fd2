"""C += A B: the one matrix product under every recurrent kernel on the CPU.

Each element of C is one chain of fused multiply-adds in order of k, whatever the tile, the edge,
the thread or the batch it is computed in. That is what makes results the same bits for any number
of threads, and a sequence's result independent of its batch. (No BLAS promises this.)

B is packed into panels of up to four vectors' width, so that the inner loop reads it in order:
panel after panel, and inside a panel row k after row k. The last panel of an odd width is padded
with zeros; C is written under a mask there.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from minirnn.kernels.cpu.vector import FORMATS, INT64, Vectors, vector_bytes

# Accumulators live in registers: 32 of 64 bytes take a tile of 6 x 4 vectors, 16 of them 6 x 2.
TILE_ROWS = 6
TILE_VECTORS = 4 if vector_bytes() == 64 else 2

# Numbers, not division by zero checks: those stop LLVM from keeping the loops tight.
COMPILE: Any = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def lanes_of(dtype: str) -> int:
    """Elements in a vector."""
    return vector_bytes() // FORMATS[dtype].bytes


def padded(columns: int, dtype: str) -> int:
    """Columns rounded up to whole vectors."""
    lanes = lanes_of(dtype)
    return -(-columns // lanes) * lanes


def pointer_to(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    """Pointer to element `offset` of a contiguous Numba array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [offset])


def _tile_function(module: ir.Module, dtype: str, vectors: int) -> ir.Function:
    """tile(rows, a, a_row, a_k, b, c, c_row, depth, tail): C[rows, vectors] += A B.

    A[i, k] is at a[i * a_row + k * a_k]; b is one panel; `tail` lanes of the last vector are real.
    """
    name = f"minirnn_tile_{dtype}_{vectors}"
    element = FORMATS[dtype].type.as_pointer()
    arguments = [INT64, element, INT64, INT64, element, element, INT64, INT64, INT64]
    function = cgutils.get_or_insert_function(
        module, ir.FunctionType(ir.VoidType(), arguments), name
    )
    if not function.is_declaration:
        return function
    function.linkage = "internal"
    function.attributes.add("noinline")
    rows, a, a_row, a_k, b, c, c_row, depth, tail = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    done = function.append_basic_block("done")
    switch = builder.switch(rows, done)
    for count in range(1, TILE_ROWS + 1):
        block = function.append_basic_block(f"rows{count}")
        switch.add_case(ir.Constant(INT64, count), block)
        builder.position_at_end(block)
        _emit_tile(builder, dtype, count, vectors, (a, a_row, a_k, b, c, c_row, depth, tail))
        builder.branch(done)
    builder.position_at_end(done)
    builder.ret_void()
    return function


def _emit_tile(
    builder: ir.IRBuilder, dtype: str, rows: int, vectors: int, arguments: tuple[Any, ...]
) -> None:
    a, a_row, a_k, b, c, c_row, depth, tail = arguments
    v = Vectors(builder, dtype)
    last_mask = v.mask(tail)
    row_offsets = [builder.mul(ir.Constant(INT64, i), a_row) for i in range(rows)]
    places = [
        [
            v.at(
                c,
                builder.add(
                    builder.mul(ir.Constant(INT64, i), c_row), ir.Constant(INT64, j * v.lanes)
                ),
            )
            for j in range(vectors)
        ]
        for i in range(rows)
    ]
    start = [
        v.load_masked(p, last_mask) if j == vectors - 1 else v.load(p)
        for row in places
        for j, p in enumerate(row)
    ]
    before = builder.block
    head = builder.append_basic_block("k")
    body = builder.append_basic_block("k.body")
    end = builder.append_basic_block("k.end")
    builder.branch(head)

    builder.position_at_end(head)
    k = builder.phi(INT64)
    k.add_incoming(ir.Constant(INT64, 0), before)
    sums = []
    for value in start:
        phi = builder.phi(v.type)
        phi.add_incoming(value, before)
        sums.append(phi)
    builder.cbranch(builder.icmp_signed("<", k, depth), body, end)

    builder.position_at_end(body)
    panel_row = builder.mul(k, ir.Constant(INT64, vectors * v.lanes))
    b_vectors = [
        v.load(v.at(b, builder.add(panel_row, ir.Constant(INT64, j * v.lanes))))
        for j in range(vectors)
    ]
    a_column = builder.mul(k, a_k)
    for i in range(rows):
        scalar = builder.load(builder.gep(a, [builder.add(row_offsets[i], a_column)]))
        factor = v.broadcast(scalar)
        for j in range(vectors):
            phi = sums[i * vectors + j]
            phi.add_incoming(v.fma(factor, b_vectors[j], phi), body)
    k.add_incoming(builder.add(k, ir.Constant(INT64, 1)), body)
    builder.branch(head)

    builder.position_at_end(end)
    for i in range(rows):
        for j in range(vectors):
            value = sums[i * vectors + j]
            if j == vectors - 1:
                v.store_masked(value, places[i][j], last_mask)
            else:
                v.store(value, places[i][j])


def _tile_intrinsic(vectors: int) -> Any:
    @intrinsic
    def tile(typingctx: Any, rows: Any, a: Any, a_at: Any, a_row: Any, a_k: Any, b: Any, b_at: Any,
             c: Any, c_at: Any, c_row: Any, depth: Any, tail: Any) -> Any:  # fmt: skip
        i = types.int64

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kinds = signature.args
            dtype = str(kinds[1].dtype)
            call = _tile_function(builder.module, dtype, vectors)
            builder.call(call, [
                args[0],
                pointer_to(context, builder, kinds[1], args[1], args[2]), args[3], args[4],
                pointer_to(context, builder, kinds[5], args[5], args[6]),
                pointer_to(context, builder, kinds[7], args[7], args[8]), args[9],
                args[10], args[11],
            ])  # fmt: skip
            return context.get_dummy_value()

        return types.void(i, a, i, i, i, b, i, c, i, i, i, i), codegen

    return tile


_tile4, _tile2, _tile1 = _tile_intrinsic(4), _tile_intrinsic(2), _tile_intrinsic(1)


def _vector_lanes(typingctx: Any, array: Any) -> Any:
    """Elements in a vector of the array's dtype, as a compile-time constant."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(INT64, lanes_of(str(signature.args[0].dtype)))

    return types.int64(array), codegen


vector_lanes: Any = intrinsic(_vector_lanes)


@njit(**COMPILE)
def panel_vectors(columns: Any, lanes: Any) -> Any:
    """How many vectors wide the next panel is, with that many columns to go."""
    if TILE_VECTORS == 4 and columns > 3 * lanes:
        return 4
    return 2 if columns > lanes else 1


@njit(**COMPILE)
def accumulate(a: Any, a_at: Any, a_row: Any, a_k: Any, rows: Any, depth: Any, b: Any, b_at: Any,
               columns: Any, c: Any, c_at: Any, c_row: Any) -> None:  # fmt: skip
    """C (rows, columns) += A (rows, depth) B (depth, columns).

    A[i, k] is at a[a_at + i a_row + k a_k], C[i, j] at c[c_at + i c_row + j]; b is packed.
    """
    lanes = vector_lanes(c)
    column = 0
    while column < columns:
        vectors = panel_vectors(columns - column, lanes)
        tail = min(lanes, columns - column - (vectors - 1) * lanes)
        panel = b_at + column * depth
        tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
        row = 0
        for i in range(tiles):  # as even as can be: 32 rows are 6, 6, 5, 5, 5, 5
            count = (rows - row + tiles - i - 1) // (tiles - i)
            at, to = a_at + row * a_row, c_at + row * c_row + column
            if vectors == 4:
                _tile4(count, a, at, a_row, a_k, b, panel, c, to, c_row, depth, tail)
            elif vectors == 2:
                _tile2(count, a, at, a_row, a_k, b, panel, c, to, c_row, depth, tail)
            else:
                _tile1(count, a, at, a_row, a_k, b, panel, c, to, c_row, depth, tail)
            row += count
        column += vectors * lanes
