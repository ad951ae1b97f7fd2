"""Training: sequences and series, `fit` and what it tells, prediction and free runs."""

from __future__ import annotations

from minirnn.training.augment import GaussianNoise
from minirnn.training.baselines import persistence, seasonal_drift, training_mean
from minirnn.training.callbacks import Callback, EarlyStopping, Run
from minirnn.training.checkpoint import (
    Checkpoint,
    Stateful,
    load_checkpoint,
    save_checkpoint,
)
from minirnn.training.checkpointing import Checkpointing
from minirnn.training.columns import Column, read_column
from minirnn.training.encoding import Encoding
from minirnn.training.fit import fit
from minirnn.training.generation import generate
from minirnn.training.history import Epoch, History, Stop
from minirnn.training.missing import count_missing, interpolate_missing
from minirnn.training.penalties import Penalty
from minirnn.training.predict import evaluate, predict
from minirnn.training.scaling import Scaler, fit_scaler
from minirnn.training.scheduling import Scheduling
from minirnn.training.sequences import Sequences
from minirnn.training.series import PreparedSeries, prepare_series
from minirnn.training.windows import split_index, windows

__all__ = [
    "Callback",
    "Checkpoint",
    "Checkpointing",
    "Column",
    "EarlyStopping",
    "Encoding",
    "Epoch",
    "GaussianNoise",
    "History",
    "Penalty",
    "PreparedSeries",
    "Run",
    "Scaler",
    "Scheduling",
    "Sequences",
    "Stateful",
    "Stop",
    "count_missing",
    "evaluate",
    "fit",
    "fit_scaler",
    "generate",
    "interpolate_missing",
    "load_checkpoint",
    "persistence",
    "predict",
    "prepare_series",
    "read_column",
    "save_checkpoint",
    "seasonal_drift",
    "split_index",
    "training_mean",
    "windows",
]
