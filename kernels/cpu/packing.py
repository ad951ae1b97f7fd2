"""Packing into the panels that `product.accumulate` reads: W^T of gate blocks, and plain rows."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minirnn.kernels.cpu.product import pointer_to
from minirnn.kernels.cpu.vector import FORMATS, INT64, Vectors


def _transpose_function(module: ir.Module, dtype: str) -> ir.Function:
    """transpose(rows, depth, source, packed, width): one vector of columns of the packed matrix.

    packed[k * width + lane] = source[lane * depth + k], zero where lane >= rows.
    """
    element = FORMATS[dtype].type.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [INT64, INT64, element, element, INT64])
    function = cgutils.get_or_insert_function(module, kind, f"minirnn_transpose_{dtype}")
    if not function.is_declaration:
        return function
    function.linkage = "internal"
    function.attributes.add("noinline")
    rows, depth, source, packed, width = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    v = Vectors(builder, dtype)
    zero, one, lanes = (ir.Constant(INT64, n) for n in (0, 1, v.lanes))
    lane_offsets = [builder.mul(ir.Constant(INT64, lane), depth) for lane in range(v.lanes)]
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


def _copy_function(module: ir.Module, dtype: str) -> ir.Function:
    """copy(columns, rows, source, row_step, packed, width): one vector of columns of every row.

    packed[k * width + lane] = source[k * row_step + lane], zero where lane >= columns.
    """
    element = FORMATS[dtype].type.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [INT64, INT64, element, INT64, element, INT64])
    function = cgutils.get_or_insert_function(module, kind, f"minirnn_copy_{dtype}")
    if not function.is_declaration:
        return function
    function.linkage = "internal"
    function.attributes.add("noinline")
    columns, rows, source, row_step, packed, width = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    v = Vectors(builder, dtype)
    mask = v.mask(columns)
    zero = ir.Constant(INT64, 0)
    with cgutils.for_range_slice(builder, zero, rows, ir.Constant(INT64, 1)) as (k, _):
        value = v.load_masked(v.at(source, builder.mul(k, row_step)), mask)
        v.store(value, v.at(packed, builder.mul(k, width)))
    builder.ret_void()
    return function


def _transpose(typingctx: Any, rows: Any, depth: Any, source: Any, source_at: Any,
              packed: Any, packed_at: Any, width: Any) -> Any:  # fmt: skip
    """Pack one vector of columns: see `_transpose_function`."""
    i = types.int64

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        function = _transpose_function(builder.module, str(kinds[2].dtype))
        builder.call(function, [
            args[0], args[1],
            pointer_to(context, builder, kinds[2], args[2], args[3]),
            pointer_to(context, builder, kinds[4], args[4], args[5]),
            args[6],
        ])  # fmt: skip
        return context.get_dummy_value()

    return types.void(i, i, source, i, packed, i, i), codegen


def _copy_rows(typingctx: Any, columns: Any, rows: Any, source: Any, source_at: Any, row_step: Any,
              packed: Any, packed_at: Any, width: Any) -> Any:  # fmt: skip
    """Pack one vector of columns of every row: see `_copy_function`."""
    i = types.int64

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        function = _copy_function(builder.module, str(kinds[2].dtype))
        builder.call(function, [
            args[0], args[1],
            pointer_to(context, builder, kinds[2], args[2], args[3]), args[4],
            pointer_to(context, builder, kinds[5], args[5], args[6]), args[7],
        ])  # fmt: skip
        return context.get_dummy_value()

    return types.void(i, i, source, i, i, packed, i, i), codegen


transpose: Any = intrinsic(_transpose)
copy_rows: Any = intrinsic(_copy_rows)
