"""Which products of a cell's equations become part of a fused multiply-add: one rule for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from minirnn.kernels.cells.vocabulary import Expression, in_order


def product_in(e: Expression) -> Expression | None:
    """Which argument of a sum may be fused into it: the last product, if there is one."""
    if e.operation not in ("add", "subtract"):
        return None
    products = [a for a in e.arguments if a.operation == "multiply"]
    return products[-1] if products else None


def fused_products(
    roots: Iterable[Expression], given: Collection[Expression] = ()
) -> set[Expression]:
    """The products that are not computed on their own: used once, by a sum that takes them in.

    `given` are expressions whose value is there already.
    """
    roots = list(roots)
    order = in_order(roots)
    uses = Counter(a for e in order for a in e.arguments)
    uses.update(roots)
    return {
        product
        for e in order
        if (product := product_in(e)) is not None and uses[product] == 1 and product not in given
    }
