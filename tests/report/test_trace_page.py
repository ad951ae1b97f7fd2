"""The page of a trace: what is on it, how zeros and signs are shown; it is self-contained."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest
from report_pages import assert_self_contained, figures_of
from report_traces import make_trace

from minirnn.errors import ArgumentError
from minirnn.report import save_trace_html
from minirnn.report.heatmaps import MAX_STEPS, MAX_UNITS, gate_map, gradient_map, shown_part
from minirnn.report.page import render
from minirnn.report.trace_page import (
    entrance_sentence,
    norm_figures,
    reach_sentence,
    trace_page,
)


def array_of(value: object) -> np.ndarray:
    """The array of a figure's JSON, which newer plotly writes in base64."""
    if isinstance(value, dict):
        flat = np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"])
        shape = [int(n) for n in str(value.get("shape", flat.size)).split(",")]
        return flat.reshape(shape)
    return np.array(value, dtype=np.float64)


@pytest.mark.parametrize(
    ("cell", "titles"),
    [
        ("lstm", ["Input gate", "Forget gate", "Candidate", "Output gate", "Hidden", "Cell state"]),
        ("gru", ["Reset gate", "Update gate", "Candidate", "Hidden"]),
        ("rnn", ["Candidate", "Hidden"]),
    ],
)
def test_every_gate_state_and_gradient_has_its_map(cell, titles):
    trace = make_trace(cell)
    html = render(trace_page(trace))
    captions = re.findall(r"<figcaption><b>(.*?)</b>", html)
    for title in titles:
        assert any(caption.startswith(title) for caption in captions)
    assert sum(caption.startswith("Gradient of the") for caption in captions) == len(trace.states)
    assert len(figures_of(html)) == len(captions) == len(set(captions))


def test_a_gates_map_shows_the_gates_values_unit_by_step():
    trace = make_trace()
    html = render(trace_page(trace, sequence=1))
    heat_map = figures_of(html)[1]["data"][0]
    shown = np.round(trace.gates["forget"][:, 1].T.astype(float), 3)  # thousandths of the scale
    np.testing.assert_array_equal(array_of(heat_map["z"]), shown)
    assert (heat_map["zmin"], heat_map["zmax"]) == (0.0, 1.0)


def test_signed_values_have_white_at_zero():
    html = render(trace_page(make_trace()))
    for index in (2, 4, 5):  # the candidate and the two states
        heat_map = figures_of(html)[index]["data"][0]
        assert heat_map["zmin"] == -heat_map["zmax"]
        assert heat_map["colorscale"][2] == [0.5, "#fafafa"]


def test_gradient_maps_share_one_scale_and_leave_out_exact_zeros():
    trace = make_trace(gain=1e4, T=60)
    gradient = trace.grad_hidden[:, 0]
    assert np.any(gradient == 0)  # saturated: the case that matters
    html = render(trace_page(trace, sequence=0))
    maps = [f["data"][0] for f in figures_of(html)[-2:]]
    assert len({(m["zmin"], m["zmax"]) for m in maps}) == 1
    shown = array_of(maps[0]["z"])
    np.testing.assert_array_equal(np.isnan(shown), gradient.T == 0)


def test_axes_are_labelled():
    for figure in figures_of(render(trace_page(make_trace()))):
        assert figure["layout"]["xaxis"]["title"]["text"]
        assert figure["layout"]["yaxis"]["title"]["text"]


def test_norm_curves_are_the_traces_norms_with_zeros_on_the_floor():
    trace = make_trace(gain=1e4, T=60)
    norms = trace.gradient_norms("hidden")
    assert np.any(norms == 0)
    figure = norm_figures(trace)[0].figure
    drawn = figure.data[0].y
    np.testing.assert_array_equal(drawn[norms > 0], norms[norms > 0])
    assert set(drawn[norms == 0]) == {figure.layout.yaxis.tickvals[0]}
    assert figure.layout.yaxis.ticktext[0] == "exactly 0"
    assert figure.layout.yaxis.type == "log"


def test_the_page_says_how_far_back_the_gradient_reaches():
    trace = make_trace(T=60)
    decay = trace.gradient_decay("h")
    steps = int(np.flatnonzero(decay >= 0.01)[-1]) + 1
    assert f"Under 1% of the gradient of the hidden state h is left {steps} steps before" in (
        reach_sentence(trace)
    )
    assert "is still" in reach_sentence(make_trace(T=2))
    assert "not finite" in reach_sentence(make_trace(gain=np.nan))
    assert "exactly 0 59 steps before" in reach_sentence(make_trace(gain=1e4, T=60))


def test_the_page_says_where_the_gradient_enters():
    assert "last step" in entrance_sentence(make_trace())
    assert "first step" in entrance_sentence(make_trace(reverse=True))
    assert "20 of 20 steps" in entrance_sentence(make_trace(everywhere=True))


def test_before_backward_the_page_says_that_there_are_no_gradients():
    html = render(trace_page(make_trace(backward=False)))
    assert "Backward has not run" in html
    assert "Gradient norm" not in html


def test_the_longest_sequence_is_shown_unless_told_the_middle_one_of_equals():
    assert "sequence 3 of 5" in render(trace_page(make_trace(B=5)))
    trace = make_trace(lengths=np.array([3, 20, 7]))
    assert "sequence 2 of 3" in render(trace_page(trace))
    assert "sequence 3 of 3" in render(trace_page(trace, sequence=2))
    with pytest.raises(ArgumentError, match="sequence"):
        trace_page(trace, sequence=3)


def test_large_traces_are_cut_and_the_page_says_so():
    steps, units, note = shown_part(MAX_STEPS + 5, MAX_UNITS + 1)
    assert (steps.start, units.stop) == (5, MAX_UNITS)
    assert "last 1,024 of 1,029 steps" in note
    assert "first 128 of 129 units" in note
    figure = gate_map(np.zeros((MAX_STEPS + 5, MAX_UNITS + 1)))
    assert figure.data[0].z.shape == (MAX_UNITS, MAX_STEPS)
    assert figure.data[0].x[0] == 5
    assert shown_part(10, 4)[2] == ""


def test_a_value_below_the_gradients_scale_is_named_on_it():
    figure = gradient_map(np.array([[1e-30, 1.0]]), (-16.0, 0.0))
    assert figure.data[0].colorbar.ticktext[0].startswith("≤")


def test_user_text_is_escaped(tmp_path):
    nasty = '<script>alert("x")</script>'
    save_trace_html(make_trace(name=nasty), tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text("utf-8")
    assert nasty not in html
    assert "&lt;script&gt;alert(" in html


def test_the_page_loads_nothing_from_the_network():
    assert_self_contained(render(trace_page(make_trace())))
