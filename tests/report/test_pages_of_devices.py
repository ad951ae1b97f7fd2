"""Pages of traces on a GPU: they show the same, and fetch what they show."""

from __future__ import annotations

import re

import numpy as np
import pytest
from crossing import ARRAYS, NUMBERS, crossed, sizes
from moved import moved
from report_pages import figures_of
from report_traces import make_trace

pytest.importorskip("plotly")

from minirnn.report.page import render
from minirnn.report.trace_page import norm_figures, reach_sentence, trace_page


@pytest.mark.parametrize("lengths", [None, [20, 7, 0]])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_trace_is_shown_alike_from_either_device(cell, lengths, device):
    lengths = None if lengths is None else np.array(lengths)
    here = make_trace(cell, lengths=lengths)
    there = moved(here, device)
    pages = [render(trace_page(trace)) for trace in (here, there)]
    captions = [re.findall(r"<figcaption><b>(.*?)</b>", page) for page in pages]
    assert captions[0] == captions[1]
    maps = [
        [t for f in figures_of(page) for t in f["data"] if t["type"] == "heatmap"] for page in pages
    ]
    assert len(maps[0]) > 2
    assert [t["z"] for t in maps[0]] == [t["z"] for t in maps[1]]  # copies: the same bits
    assert reach_sentence(there) == reach_sentence(here)


def test_a_page_fetches_one_sequence_and_the_norms(emulated):
    trace = moved(make_trace("lstm", B=7), "cuda")
    T, _, H = trace.shape
    with emulated.transfers() as log:
        render(trace_page(trace))
    assert crossed(log, (*NUMBERS, *ARRAYS)) == []
    assert max(sizes(log, ARRAYS)) == T * H


def test_norms_are_taken_on_the_device(emulated):
    trace = moved(make_trace("gru"), "cuda")
    with emulated.transfers() as log:
        norm_figures(trace)
    assert set(sizes(log, ARRAYS)) == {trace.shape[0]}
