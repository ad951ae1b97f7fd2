"""Numbers as the terminal and the page write them; words around them: `diagnosis.wording`."""

from __future__ import annotations

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 3) -> str:
    """`value` to `digits` significant digits: "0.385", "1,240", "4.0 × 10⁻²¹", "exactly 0"."""
    value = float(value)
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    if value == 0:
        return "exactly 0"
    if 1e-3 <= abs(value) < 1e6:
        exponent = math.floor(math.log10(abs(value)))
        decimals = max(0, digits - 1 - exponent)
        return f"{value:,.{decimals}f}"
    mantissa, _, exponent_text = f"{value:.{digits - 2}e}".partition("e")
    return f"{mantissa} × 10{str(int(exponent_text)).translate(_SUPERSCRIPT)}"


def quantity(value: float | None, unit: str = "", digits: int = 3) -> str:
    """`number` with its unit; a dash where there is no value."""
    if value is None:
        return "–"
    text = "0" if value == 0 else number(value, digits)
    return f"{text} {unit}" if unit else text
