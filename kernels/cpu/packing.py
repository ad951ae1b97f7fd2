"""Moving matrices between rows and vectors of columns: what packing and unpacking are made of."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minirnn.kernels.cpu.vector import FORMATS, INT64, Vectors

# All three take int64s: sizes and strides in elements, addresses in bytes.
_SIX = ir.FunctionType(ir.VoidType(), [INT64] * 6)


def _start(module: ir.Module, name: str, dtype: str) -> tuple[ir.Function, bool]:
    function = cgutils.get_or_insert_function(module, _SIX, f"minirnn_{name}_{dtype}")
    new = function.is_declaration
    if new:
        function.linkage = "internal"
        function.attributes.add("noinline")
    return function, new


def _pointers(builder: ir.IRBuilder, dtype: str, *addresses: Any) -> list[Any]:
    element = FORMATS[dtype].type.as_pointer()
    return [builder.inttoptr(a, element) for a in addresses]


def transpose_function(module: ir.Module, dtype: str) -> ir.Function:
    """transpose(rows, depth, source, step, packed, width): rows of a matrix become one column.

    packed[k * width + lane] = source[lane * step + k] for k < depth, zero where lane >= rows.
    """
    function, new = _start(module, "transpose", dtype)
    if not new:
        return function
    rows, depth, source, step, packed, width = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    source, packed = _pointers(builder, dtype, source, packed)
    v = Vectors(builder, dtype)
    zero, one, lanes = (ir.Constant(INT64, n) for n in (0, 1, v.lanes))
    lane_offsets = [builder.mul(ir.Constant(INT64, lane), step) for lane in range(v.lanes)]
    # Squares of `lanes` rows and columns are turned in registers; what is left is gathered.
    full = builder.icmp_signed(">=", rows, lanes)
    squares = builder.select(full, builder.and_(depth, ir.Constant(INT64, -v.lanes)), zero)
    with cgutils.for_range_slice(builder, zero, squares, lanes) as (k, _):
        square = [v.load(v.at(source, builder.add(offset, k))) for offset in lane_offsets]
        for i, column in enumerate(v.transposed(square)):
            place = builder.mul(builder.add(k, ir.Constant(INT64, i)), width)
            v.store(column, v.at(packed, place))
    mask = v.mask(rows)
    with cgutils.for_range_slice(builder, squares, depth, one) as (k, _):
        column = v.gather(source, [builder.add(offset, k) for offset in lane_offsets], mask)
        v.store(column, v.at(packed, builder.mul(k, width)))
    builder.ret_void()
    return function


def untranspose_function(module: ir.Module, dtype: str) -> ir.Function:
    """untranspose(rows, depth, packed, width, target, step): the way back from `transpose`.

    target[lane * step + k] = packed[k * width + lane] for k < depth and lane < rows.
    """
    function, new = _start(module, "untranspose", dtype)
    if not new:
        return function
    rows, depth, packed, width, target, step = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    packed, target = _pointers(builder, dtype, packed, target)
    v = Vectors(builder, dtype)
    zero, lanes = ir.Constant(INT64, 0), ir.Constant(INT64, v.lanes)
    with cgutils.for_range_slice(builder, zero, depth, lanes) as (k, _):
        left = builder.sub(depth, k)
        square = []
        for i in range(v.lanes):
            # Past the end the last row is read again; its lanes are not stored.
            number = builder.add(k, ir.Constant(INT64, i))
            last = builder.sub(depth, ir.Constant(INT64, 1))
            inside = builder.icmp_signed("<", number, depth)
            row = builder.select(inside, number, last)
            square.append(v.load(v.at(packed, builder.mul(row, width))))
        mask = v.mask(left)
        for lane, values in enumerate(v.transposed(square)):
            real = builder.icmp_signed("<", ir.Constant(INT64, lane), rows)
            with builder.if_then(real):
                offset = builder.add(builder.mul(ir.Constant(INT64, lane), step), k)
                v.store_masked(values, v.at(target, offset), mask)
    builder.ret_void()
    return function


def copy_function(module: ir.Module, dtype: str) -> ir.Function:
    """copy(columns, rows, source, step, packed, width): some columns of every row.

    packed[k * width + j] = source[k * step + j] for j < columns; then zeros up to a whole vector.
    """
    function, new = _start(module, "copy", dtype)
    if not new:
        return function
    columns, rows, source, step, packed, width = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    source, packed = _pointers(builder, dtype, source, packed)
    v = Vectors(builder, dtype)
    zero, lanes = ir.Constant(INT64, 0), ir.Constant(INT64, v.lanes)
    with (
        cgutils.for_range_slice(builder, zero, rows, ir.Constant(INT64, 1)) as (k, _),
        cgutils.for_range_slice(builder, zero, columns, lanes) as (j, _),
    ):
        mask = v.mask(builder.sub(columns, j))
        value = v.load_masked(v.at(source, builder.add(builder.mul(k, step), j)), mask)
        v.store(value, v.at(packed, builder.add(builder.mul(k, width), j)))
    builder.ret_void()
    return function


def _intrinsic(build: Any, dtype: str) -> Any:
    def move(typingctx: Any, one: Any, two: Any, three: Any, four: Any, five: Any, six: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.call(build(builder.module, dtype), args)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), codegen

    return intrinsic(move)


def moves(dtype: str) -> tuple[Any, Any, Any]:
    """`transpose`, `untranspose` and `copy` of a dtype, to call from Numba."""
    return (
        _intrinsic(transpose_function, dtype),
        _intrinsic(untranspose_function, dtype),
        _intrinsic(copy_function, dtype),
    )
