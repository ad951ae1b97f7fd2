"""The marked regions of a page that a script fills; all around them is written by hand.

<!-- bench: machine -->
... written by the script ...
<!-- /bench -->
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from minirnn.errors import DataError

_REGION = re.compile(r"(<!-- bench: ([\w-]+) -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)
_MARK = re.compile(r"<!-- /?bench")


def fill(page: str, contents: Mapping[str, str]) -> str:
    """The page with every region's text replaced by the contents of that name.

    Raises: DataError if a region has no contents, contents have no region or more than one, or a
    mark is not in a pair.
    """
    names = [found[2] for found in _REGION.finditer(page)]
    if len(_MARK.findall(page)) != 2 * len(names):
        raise DataError("page", "marks without their other half", "pairs of bench: … and /bench")
    if sorted(names) != sorted(contents):
        raise DataError("page", f"regions {sorted(names)}", f"each of {sorted(contents)} once")
    return _REGION.sub(lambda found: f"{found[1]}{contents[found[2]].strip()}\n{found[4]}", page)
