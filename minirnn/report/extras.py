"""The packages that only the page needs, imported when it is made."""

from __future__ import annotations

import importlib
from typing import Any

from minirnn.errors import MissingExtraError


def require(module: str) -> Any:
    """Import `module` ("plotly.graph_objects", "jinja2", ...), an optional dependency of the page.

    Raises: MissingExtraError that names the extra "report" when its package is not installed.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is there and is itself broken: say so, not "not installed"
        raise MissingExtraError(package, "report", "The HTML page") from error


def check_page_packages() -> None:
    """Raise MissingExtraError now rather than after a minute of training."""
    require("jinja2")
    require("plotly.graph_objects")
