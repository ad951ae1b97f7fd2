"""Other libraries' words for a recipe's keys and values: for hints in errors, not for reading.

A recipe takes its own words alone; where another one came, the error names what it calls that.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# As Keras, PyTorch, scikit-learn and papers have them, without what sets words apart: "Batch-Size",
# "batch_size" and "batchsize" are one.
MEANT: dict[str, tuple[str, ...]] = {
    "csv": ("file", "path", "filename"),
    "column": ("field", "variable"),
    "window": (
        "lookback", "seqlen", "seqlength", "sequencelength", "timesteps", "lags", "contextlength",
    ),
    "horizon": ("stepsahead", "ahead", "forecasthorizon", "predictionlength"),
    "scale": (
        "scaler", "scaling", "normalize", "normalise", "normalization", "standardize",
        "standardise",
    ),
    "missing": ("fillna", "impute", "nan", "gaps"),
    "missing_value": ("sentinel", "navalue", "fillvalue"),
    "validation": (
        "val", "validationsplit", "valsplit", "valsize", "testsize", "testsplit", "heldout",
    ),
    "deduplicate": ("dropduplicates",),
    "cell": ("rnn", "rnntype", "celltype", "type", "layer"),
    "hidden_size": (
        "hidden", "units", "hiddenunits", "hiddendim", "nhidden", "numhidden", "neurons", "size",
        "dim", "width",
    ),
    "num_layers": ("layers", "nlayers", "depth", "stacked"),
    "readout": ("returnsequences", "output"),
    "bidirectional": ("bidir", "birnn"),
    "activation": ("nonlinearity",),
    "head_dropout": ("outputdropout",),
    "norm": ("layernorm", "batchnorm"),
    "loss": ("criterion", "objective", "lossfunction", "lossfn"),
    "optimizer": ("opt", "optim", "optimiser", "solver"),
    "learning_rate": ("lr", "eta", "stepsize", "rate", "learningrateinit"),
    "epochs": ("nepochs", "numepochs", "maxepochs", "iterations", "maxiter"),
    "batch_size": ("batch", "bs", "minibatch", "batches"),
    "seed": ("randomstate", "randomseed"),
    "clip_norm": (
        "gradclip", "gradientclipping", "gradientclip", "clipgradnorm", "maxgradnorm", "maxnorm",
        "clipping",
    ),
    "clip_value": ("clipgradvalue",),
    "weight_decay": ("wd", "decay"),
    "scheduler": ("lrscheduler", "schedule", "lrschedule"),
    "early_stopping": ("patience", "earlystop"),
    "truncate": ("bptt", "tbptt", "truncatedbptt", "bpttsteps"),
    "scheduled_sampling": ("teacherforcing",),
    # and values
    "mse": ("meansquarederror", "mseloss", "l2", "squarederror"),
    "l1": ("mae", "meanabsoluteerror", "l1loss"),
    "huber": ("smoothl1", "huberloss"),
    "cross_entropy": (
        "ce", "crossentropyloss", "categoricalcrossentropy", "sparsecategoricalcrossentropy", "nll",
    ),
    "bce": ("binarycrossentropy", "bcewithlogits", "bceloss", "bcewithlogitsloss"),
    "standard": ("zscore", "standardscaler", "standardise", "standardize"),
    "minmax": ("minmaxscaler",),
    "robust": ("robustscaler",),
    "rnn": ("simplernn", "vanilla", "elman"),
    "interpolate": ("linear", "fill"),
    "plateau": ("reducelronplateau",),
    "cosine": ("cosineannealing", "cosineannealinglr"),
    "step": ("steplr",),
}  # fmt: skip


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is meant by `name`, or looks most like it; "" when none does."""
    plain = {_plain(each): each for each in known}
    asked = _plain(name)
    if asked in plain:
        return plain[asked]
    for meant, words in MEANT.items():
        if asked in words and _plain(meant) in plain:
            return meant
    close = difflib.get_close_matches(asked, list(plain), n=1, cutoff=0.6)
    return plain[close[0]] if close else ""


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter == ".")
