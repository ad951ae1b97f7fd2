"""One family of exceptions: every error minirnn raises on purpose is a :class:`MinirnnError`.

Errors about an argument name the argument, say what came, and say what was wanted. Each also
derives from the built-in exception that a caller would expect (`ValueError`, `TypeError`, …), so
code that knows nothing of minirnn can still catch them.
"""

from __future__ import annotations


class MinirnnError(Exception):
    """The base of every error that minirnn raises on purpose."""


class ArgumentError(MinirnnError, ValueError):
    """An argument has a value that cannot be used.

    Attributes: `argument` (its name), `came` (what came, in words), `wanted` (what would do),
    `hint` (how to get there; may be empty).
    """

    def __init__(self, argument: str, came: object, wanted: str, hint: str = "") -> None:
        self.argument = argument
        self.came = came
        self.wanted = wanted
        self.hint = hint
        message = f"{argument}: got {came}; wanted {wanted}"
        super().__init__(f"{message}. {hint}" if hint else message)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle by their args; ours are built from four, not from the message.
        return (type(self), (self.argument, self.came, self.wanted, self.hint))


class ShapeError(ArgumentError):
    """An array has the wrong rank or size."""


class DTypeError(ArgumentError, TypeError):
    """An array has the wrong element type, or two arrays have different ones."""


class DeviceError(ArgumentError, RuntimeError):
    """A device is unknown or missing, or arrays live on different devices."""


class DataError(ArgumentError):
    """A series, file or data set cannot be used: unreadable, too short, constant, not numeric."""


class RecipeError(ArgumentError):
    """A recipe has an unknown key, an impossible value, or asks for what is not built yet."""


class CheckpointError(ArgumentError):
    """A saved file cannot be read or written as what it was said to be."""


class TapeError(MinirnnError, RuntimeError):
    """Backward was asked of a tensor that has no tape, or whose tape was already used."""


class TraceError(MinirnnError, RuntimeError):
    """A trace was asked for something it does not (or does not yet) hold."""


class MissingExtraError(MinirnnError, ImportError):
    """An optional package is needed; the message names it, and the extra that brings it, if any."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package = package
        self.extra = extra
        self.purpose = purpose
        brings = f", which the extra {extra!r} of minirnn brings" if extra else ""
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"pip install {package}{brings}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.package, self.extra, self.purpose))
