"""The demo: a recurrent network fails on real data, is diagnosed, and is cured.

The story is `doctor(recipe, repair=True)` on the weekly CO2 record, told as it happens. What the
acts are, and how it ends, is decided by the doctor; this module knows the recipe it starts from and
what the record is, and nothing of the outcome.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn import datasets
from minirnn.device import check_device
from minirnn.diagnosis import Diagnosis, Recipe
from minirnn.report import terminal
from minirnn.report.page import Text
from minirnn.report.story import Wording

if TYPE_CHECKING:
    from rich.console import Console

WORDING = Wording(step="week", attempt="Act", season="year")

TITLE = "Why a recurrent network fails, and how it is cured"
OPENING = (
    "Every week since 1958 the observatory on Mauna Loa in Hawaii has measured how much carbon "
    "dioxide is in the air, in parts per million (ppm). The curve rises and breathes once a year. "
    "A small recurrent network is asked to continue it."
)
HOW = (
    "Nothing in this is staged: a doctor looks inside the network after each training, names what "
    "is wrong, changes one thing, and trains again."
)


def demo_recipe(seed: int = 0) -> Recipe:
    """What people do first: an LSTM, and the values fed as they are; the last 20% held out.

    The head starts at the mean of the targets, or at this rate a raw network would spend the
    training on finding it.
    """
    return Recipe.from_dict(
        {
            "data": {"builtin": "co2", "window": 104, "validation": 0.2},
            "model": {"cell": "lstm", "hidden_size": 32, "init": {"head_bias": "target_mean"}},
            "training": {"learning_rate": 3e-3, "epochs": 20, "seed": seed},
            "generation": {"steps": 1000, "context": 104},
        }
    )


def run_demo(
    *,
    seed: int = 0,
    device: str = "cpu",
    console: Console | None = None,
    progress: bool | None = None,
) -> Diagnosis:
    """Run the story, printing each act to `console` (None: nowhere) as soon as it is over.

    Raises: DeviceError for a device that is not there; KeyboardInterrupt when training was
    interrupted.
    """
    check_device(device)
    if console is not None:
        terminal.heading(console, TITLE)
        terminal.blocks(console, [Text([OPENING, HOW])])
    diagnosis = terminal.run_doctor(
        demo_recipe(seed),
        repair=True,
        device=device,
        console=console,
        progress=progress,
        wording=WORDING,
    )
    if diagnosis.interrupted:
        raise KeyboardInterrupt  # of half a story no page is made
    return diagnosis


def save_page(diagnosis: Diagnosis, path: str | Path) -> Path:
    """Write the page of the story; returns its path.

    Raises: MissingExtraError when plotly or jinja2 is not installed; ArgumentError naming `path`.
    """
    from minirnn.report.diagnosis_page import Setting, diagnosis_page
    from minirnn.report.page import write

    record = datasets.co2()
    setting = Setting(
        title=TITLE,
        opening=[OPENING, HOW],
        about=[record.provenance],
        wording=WORDING,
        times=None if record.dates is None else decimal_years(record.dates),
        x_title="year",
    )
    return write(diagnosis_page(diagnosis, setting), path)


def decimal_years(dates: np.ndarray[Any, np.dtype[np.datetime64]]) -> np.ndarray[Any, Any]:
    """Dates as years with their fraction: 1 July 1990 is about 1990.5."""
    years = dates.astype("datetime64[Y]")
    start = years.astype("datetime64[D]")
    days = (years + np.timedelta64(1, "Y")).astype("datetime64[D]") - start
    passed = (dates.astype("datetime64[D]") - start) / days
    return np.asarray(1970 + years.astype(np.int64) + passed, dtype=np.float64)
