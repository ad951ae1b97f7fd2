"""Popular advice that is refused in more than one place, and why."""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice

CLIPPING = Advice(
    "clip the gradient",
    "Clipping makes large gradients smaller. It cannot make a gradient that has died larger.",
)
RANDOM_STATE = Advice(
    "start from a random hidden state",
    "It only adds noise, the same for every input, and is forgotten after some tens of steps; a "
    "state of zeros merges nothing.",
)
RELU = Advice(
    "use ReLU inside the recurrent cell",
    "The gates stay sigmoids, and a state without bounds is fed back at every step: it explodes "
    "where tanh would hold it.",
)
DROPOUT = Advice(
    "add dropout",
    "It fights overfitting, which this is not; and dropout= between layers does nothing at all in "
    "a network of one layer.",
)
LONGER = Advice(
    "train longer, or with more units",
    "What is lost before the gradient arrives is not brought back by more steps of the same.",
)
