"""The yearly sunspot number, 1700 to 2008."""

from __future__ import annotations

import csv
from importlib.resources import files

import numpy as np

from minirnn.datasets.records import Series

PROVENANCE = (
    "SIDC, Royal Observatory of Belgium (before its revision of 2015), by way of NOAA's National "
    "Geophysical Data Center and the statsmodels data set 'sunspots'. Public domain. See "
    "minirnn/datasets/data/PROVENANCE.md."
)


def sunspots() -> Series:
    """The yearly mean sunspot number: 309 values, none missing, from 0 to 190.2.

    The cycle is irregular, of 9 to 14 years, so `period` is its mean, 11.
    """
    text = (files("minirnn.datasets") / "data" / "sunspots.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return Series(
        name="sunspot number",
        unit="",
        values=np.array([float(row["number"]) for row in rows]),
        dates=np.array([f"{row['year']}-07-01" for row in rows], dtype="datetime64[D]"),
        period=11,
        missing=0,
        gaps=0,
        provenance=PROVENANCE,
    )
