"""The words a page uses, explained to someone who has never trained a recurrent network."""

from __future__ import annotations

_NETWORK = [
    (
        "Recurrent network",
        "A network that reads a sequence one step at a time and carries a state from step to step. "
        "LSTM, GRU and RNN are kinds of it.",
    ),
    ("Unit", "One number of the state. A layer with 32 units remembers 32 numbers."),
    ("Step t", "One position in the sequence; step 0 is the oldest the network is shown."),
    (
        "LSTM.l0 and the like",
        "The name of a layer: its kind, and its number counted from 0. A layer whose name ends in "
        "_reverse reads the sequence backwards.",
    ),
    (
        "Gradient, dL/dh and dL/dc",
        "How much the loss would change if a state were a little different at that step. Training "
        "moves the weights along gradients; where they are zero, nothing is learnt.",
    ),
    (
        "Backpropagation through time",
        "How gradients are computed: from the last step, where the error is known, back to the "
        "first, one step after the other. At every step something is lost.",
    ),
    (
        "Vanishing gradient",
        "A gradient that shrinks on its way back until the early steps cannot be learnt from.",
    ),
    (
        "Saturated gate",
        "A gate so close to fully open or fully closed that its slope is almost zero: a change of "
        "its input no longer changes it, and no gradient passes through.",
    ),
]

_CELLS = {
    "lstm": [
        ("Hidden state h", "What a unit shows to the next step and to the output."),
        ("Cell state c", "A unit's memory, changed only as far as its gates allow."),
        (
            "Gate",
            "A number between 0 (closed) and 1 (open) that a unit computes at every step. The "
            "input gate decides what is written to the memory, the forget gate what is kept, the "
            "output gate what is shown.",
        ),
    ],
    "gru": [
        ("Hidden state h", "A unit's memory, and what it shows to the next step and the output."),
        (
            "Gate",
            "A number between 0 (closed) and 1 (open) that a unit computes at every step. The "
            "update gate decides how much of the old state is kept, the reset gate how much of it "
            "enters the new candidate.",
        ),
    ],
}
_OTHER_CELL = [("Hidden state h", "What a unit remembers and shows to the next step.")]

_SERIES = [
    (
        "Window",
        "The stretch of the series that the network sees before it answers. Every window ends one "
        "horizon before the value it is asked for.",
    ),
    ("Horizon", "How many steps after the window's last value the predicted value lies."),
    (
        "Held out",
        "The last part of the record. The network never sees it in training, so its error there "
        "tells how it would do on days to come.",
    ),
    ("Epoch", "One pass of training over all windows of the training part."),
    (
        "Loss",
        "The number that training makes smaller; here the mean of the squared errors, in the units "
        "that the network is trained on.",
    ),
    (
        "RMSE",
        "Root mean squared error: the typical size of an error, in the units of the series. "
        "Smaller is better.",
    ),
    (
        "Persistence",
        "The simplest forecast: the value stays what it was at the end of the window. A network "
        "that does no better has learnt nothing of use.",
    ),
    (
        "Free run",
        "The network predicts one step, takes its own prediction as the next input, and so on "
        "without ever seeing the record again.",
    ),
    (
        "Seasonal baseline",
        "Last year's values once more, raised by the average growth of the ten years before. It "
        "knows nothing but the calendar.",
    ),
    (
        "Standardise",
        "Subtract the mean and divide by the standard deviation, both taken from the training part "
        "alone.",
    ),
]


def terms(cell: str, *, series: bool) -> list[tuple[str, str]]:
    """The words for a network of this cell; with those of time series where there is one."""
    return [*_NETWORK, *_CELLS.get(cell, _OTHER_CELL), *(_SERIES if series else [])]
