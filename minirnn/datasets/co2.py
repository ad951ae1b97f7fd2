"""The weekly carbon dioxide record of Mauna Loa, 1958 to 2001."""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import Literal

import numpy as np

from minirnn.datasets.records import Series
from minirnn.errors import ArgumentError
from minirnn.training.missing import count_missing, interpolate_missing

PROVENANCE = (
    "C. D. Keeling and T. P. Whorf, 2004: weekly averages of atmospheric CO2 at Mauna Loa "
    "Observatory, Hawaii (Scripps Institution of Oceanography; observatory: NOAA), by way of the "
    "statsmodels data set 'co2'. Public domain. See minirnn/datasets/data/PROVENANCE.md."
)


def co2(missing: Literal["interpolate", "keep"] = "interpolate") -> Series:
    """Weekly CO2 at Mauna Loa, 29 March 1958 to 29 December 2001: 2284 values in ppm by volume.

    59 weeks in 22 gaps of 1 to 18 weeks were not measured, the last of them in August 1985. They
    are filled by linear interpolation in time between the weeks on either side, or are NaN with
    `missing="keep"`.

    Raises: ArgumentError for another `missing`.
    """
    if not isinstance(missing, str) or missing not in ("interpolate", "keep"):
        raise ArgumentError("missing", repr(missing), "'interpolate' or 'keep'")
    text = (files("minirnn.datasets") / "data" / "co2.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    dates = np.array([row["date"] for row in rows], dtype="datetime64[D]")
    values = np.array([float(row["ppm"] or "nan") for row in rows])
    absent, gaps = count_missing(values)
    return Series(
        name="CO2 at Mauna Loa",
        unit="ppm",
        # The weeks are equally spaced, so that linear in index is linear in time.
        values=interpolate_missing(values) if missing == "interpolate" else values,
        dates=dates,
        period=52,
        missing=absent,
        gaps=gaps,
        provenance=PROVENANCE,
    )
