"""Converted layers against Keras's equations and rules, written by hand: Keras is not needed."""

import keras_by_hand as hand
import numpy as np
import pytest

import minirnn as mr
from minirnn.interop.activations import activation, write
from minirnn.interop.keras import keras_weights
from minirnn.interop.keras.activations import _FUNCTIONS, _IN_CELLS, Activation
from minirnn.kernels.cells.vocabulary import evaluate, leaf

KINDS = ("SimpleRNN", "GRU", "LSTM")
MASKS = {
    "none": None,
    "padding": np.arange(5) < np.array([5, 3, 0])[:, None],
    "padding before": np.arange(5) >= np.array([0, 2, 4])[:, None],
    "holes": np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 1], [0, 0, 0, 1, 0]], bool),
}


def inputs(seed=0, shape=(3, 5, 2)):
    return np.random.default_rng(seed).standard_normal(shape)


def made(kind, **config):
    weights = hand.recurrent_weights(kind)
    described = hand.recurrent_entry(kind, **config)
    return hand.converted(described, hand.stored("cell", weights)), weights


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_where_keras_has_them(kind, go_backwards, mask):
    x = inputs()
    for zero_output in (False, True):
        layer, weights = made(
            kind,
            return_sequences=True,
            return_state=True,
            go_backwards=go_backwards,
            zero_output_for_mask=zero_output,
        )
        output, h, *_ = layer(x, mask=MASKS[mask])
        rules = {"go_backwards": go_backwards, "zero_output": zero_output}
        expected, last = hand.by_hand(kind, x, weights, MASKS[mask], **rules)
        np.testing.assert_allclose(output.data, expected, rtol=0, atol=1e-14)
        np.testing.assert_allclose(h.data, last, rtol=0, atol=1e-14)
        layer, _ = made(kind, go_backwards=go_backwards, zero_output_for_mask=zero_output)
        np.testing.assert_allclose(
            layer(x, mask=MASKS[mask]).data, expected[:, -1], rtol=0, atol=1e-14
        )


@pytest.mark.parametrize("go_backwards", [False, True])
def test_the_gradient_passes_held_and_moved_steps(go_backwards):
    options = {"return_sequences": True, "go_backwards": go_backwards}
    layer, _ = made("SimpleRNN", **options)
    mask = MASKS["holes"]
    factors = inputs(1, (3, 5, 3))
    mr.testing.gradcheck(lambda x: (layer(x, mask=mask) * factors).sum(), [inputs()])


def test_lengths_are_a_mask_of_ones_then_zeros():
    layer, _ = made("LSTM", return_sequences=True)
    x, lengths = inputs(), np.array([5, 3, 0])
    by_lengths = layer(x, lengths=lengths).data
    np.testing.assert_array_equal(by_lengths, layer(x, mask=MASKS["padding"]).data)
    assert np.array_equal(by_lengths[1, 3], by_lengths[1, 2])  # held, as Keras does


@pytest.mark.parametrize("kind", KINDS)
def test_weights_come_back_as_they_were(kind):
    layer, weights = made(kind)
    for ours, theirs in zip(keras_weights(layer), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_gradients_come_back_in_the_layout_of_keras():
    layer, weights = made("GRU")
    x, factors = inputs(), inputs(1, (3, 3))
    (layer(x) * factors).sum().backward()
    step = 1e-6
    for index, gradient in enumerate(keras_weights(layer, gradients=True)):
        where = (1, 4)  # a row of the second gate, or the second bias
        shifted = []
        for sign in (1, -1):
            changed = [w.copy() for w in weights]
            changed[index][where] += sign * step
            shifted.append((hand.by_hand("GRU", x, changed)[1] * factors).sum())
        assert gradient.shape == weights[index].shape
        assert gradient[where] == pytest.approx((shifted[0] - shifted[1]) / (2 * step), rel=1e-7)


def test_one_bias_in_keras_is_one_that_is_trained():
    layer, _ = made("LSTM")
    names = [name for name, p in layer.named_parameters() if p.requires_grad]
    assert names == ["recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "recurrent.bias_ih_l0"]
    assert not layer.recurrent.bias_hh_l0.data.any()


def test_what_is_not_trainable_is_frozen():
    layer, _ = made("GRU", trainable=False)
    assert not any(p.requires_grad for p in layer.parameters())


def test_a_mask_goes_on_only_with_an_output_at_every_step():
    for sequences in (False, True):
        layer, _ = made("SimpleRNN", return_sequences=sequences)
        passed = layer.run(mr.Tensor(inputs()), MASKS["holes"])[1]
        assert (passed is MASKS["holes"]) == sequences


def test_masking_makes_the_mask_and_hands_it_on():
    weights = hand.recurrent_weights("GRU")
    model = hand.entry(
        "Sequential",
        layers=[hand.entry("Masking", mask_value=0.5), hand.recurrent_entry("GRU")],
    )
    x = inputs()
    x[~MASKS["holes"]] = 0.5
    x[0, 0, 1] = 0.5  # one feature alone does not mask a step
    alone = hand.converted(hand.entry("Masking", mask_value=0.5), {})(x).data
    np.testing.assert_array_equal(alone, np.where(MASKS["holes"][..., None], x, 0.0))
    converted = hand.converted(model, hand.stored("layers/gru/cell", weights))
    expected = hand.by_hand("GRU", x, weights, MASKS["holes"])[1]
    np.testing.assert_allclose(converted(x).data, expected, rtol=0, atol=1e-14)


def test_embedding_masks_zeros_and_looks_rows_up():
    weights, table = hand.recurrent_weights("LSTM"), inputs(3, (4, 2))
    model = hand.entry(
        "Sequential",
        layers=[
            hand.entry("Embedding", input_dim=4, output_dim=2, mask_zero=True),
            hand.recurrent_entry("LSTM"),
        ],
    )
    arrays = hand.stored("layers/embedding", [table]) | hand.stored("layers/lstm/cell", weights)
    x = np.array([[1, 2, 0, 3, 0], [0, 0, 1, 1, 2]])
    expected = hand.by_hand("LSTM", table[x], weights, x != 0)[1]
    converted = hand.converted(model, arrays)
    np.testing.assert_allclose(converted(x).data, expected, rtol=0, atol=1e-14)
    with pytest.raises(mr.DTypeError, match="integers"):
        converted(x.astype(float))


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "ave", "mul", None])
@pytest.mark.parametrize("mask", ["none", "holes"])
def test_two_directions_are_merged_in_the_time_of_the_input(merge_mode, mask):
    first, second = hand.recurrent_weights("LSTM"), hand.recurrent_weights("GRU", seed=1)
    described = hand.entry(
        "Bidirectional",
        merge_mode=merge_mode,
        layer=hand.recurrent_entry("LSTM", return_sequences=True),
        backward_layer=hand.recurrent_entry("GRU", return_sequences=True, go_backwards=True),
    )
    arrays = hand.stored("forward_layer/cell", first) | hand.stored("backward_layer/cell", second)
    x, steps = inputs(), MASKS[mask]
    # Keras has zeros at masked steps here, whatever the two layers say.
    there, _ = hand.by_hand("LSTM", x, first, steps, zero_output=True)
    back, _ = hand.by_hand("GRU", x, second, steps, go_backwards=True, zero_output=True)
    back = back[:, ::-1]
    expected = {
        "concat": np.concatenate([there, back], -1),
        "sum": there + back,
        "ave": (there + back) / 2,
        "mul": there * back,
        None: np.stack([there, back]),
    }[merge_mode]
    result = hand.converted(described, arrays)(x, mask=steps)
    ours = result.data if merge_mode else np.stack([each.data for each in result])
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-14)


def test_states_go_in_and_come_out():
    layer, _ = made("LSTM", return_state=True)
    x = inputs()
    whole = layer(x)
    _, h, c = layer(x[:, :2])
    for a, b in zip(whole, layer(x[:, 2:], state=[h, c]), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=1e-14)
    with pytest.raises(mr.ArgumentError, match="state: got 1 arrays; wanted 2"):
        layer(x, state=h)


def test_a_sequence_without_a_step_gives_zero_and_keeps_its_state():
    layer, _ = made("SimpleRNN", return_state=True)
    start = inputs(2, (3, 3))
    output, h = layer(inputs(), lengths=np.array([5, 0, 2]), state=start)
    assert not output.data[1].any()
    np.testing.assert_array_equal(h.data[1], start[1])
    np.testing.assert_array_equal(output.data[[0, 2]], h.data[[0, 2]])


def test_dropout_takes_features_for_all_steps_in_training():
    layer, _ = made("SimpleRNN", dropout=0.5, return_sequences=True)
    layer.recurrent.weight_hh_l0.data[...] = 0
    x = np.ones((4, 5, 2))
    assert np.array_equal(layer(x).data[:, 0], layer(x).data[:, 4])
    layer.train()
    y = layer(x).data
    assert np.array_equal(y[:, 0], y[:, 4])  # the same features at every step
    assert len(np.unique(y[:, 0], axis=0)) > 1  # others in other sequences


def test_recurrent_dropout_runs_in_evaluation_alone():
    layer, weights = made("LSTM", recurrent_dropout=0.2)
    np.testing.assert_allclose(
        layer(inputs()).data, hand.by_hand("LSTM", inputs(), weights)[1], rtol=0, atol=1e-14
    )
    with pytest.raises(mr.ArgumentError, match=r"recurrent_dropout=0.2 in training"):
        layer.train()(inputs())


def normalization(**config):
    described = hand.entry(
        "BatchNormalization", axis=-1, momentum=0.9, epsilon=0.01, center=True, scale=True, **config
    )
    weights = [np.array(w) for w in ([1.5, 0.5], [0.1, -0.2], [0.3, 0.4], [2.0, 3.0])]
    return hand.converted(described, hand.stored("", weights)), weights


def test_batch_normalization_evaluates_with_its_averages_and_trains_with_the_batch():
    layer, (gamma, beta, mean, variance) = normalization()
    x, mask = inputs(), MASKS["holes"]
    expected = (x - mean) / np.sqrt(variance + 0.01) * gamma + beta
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-13)
    layer.train()
    counted = x[mask]  # (steps that count, I)
    batch_mean, batch_variance = counted.mean(0), counted.var(0)
    expected = (x - batch_mean) / np.sqrt(batch_variance + 0.01) * gamma + beta
    np.testing.assert_allclose(layer(x, mask=mask).data, expected, atol=1e-6)
    moved = keras_weights(layer)
    np.testing.assert_allclose(moved[2], 0.9 * mean + 0.1 * batch_mean, atol=1e-6)
    np.testing.assert_allclose(moved[3], 0.9 * variance + 0.1 * batch_variance, atol=1e-6)
    assert [name for name, _ in layer.named_parameters()] == ["gamma", "beta"]
    assert list(layer.state_dict()) == ["gamma", "beta", "moving_mean", "moving_variance"]


def test_frozen_batch_normalization_always_evaluates():
    layer, _ = normalization(trainable=False)
    before = layer(inputs()).data
    np.testing.assert_array_equal(layer.train()(inputs()).data, before)


@pytest.mark.parametrize("name", sorted(_IN_CELLS))
def test_an_activation_is_the_same_inside_a_cell(name):
    x = np.array([-7.0, -2.5, -0.6, 0.4, 1.6, 2.9, 8.0])
    z = leaf("z", "x")
    inside = write(activation(_IN_CELLS[name]), z)
    expected = Activation(name)(mr.Tensor(x)).data
    np.testing.assert_allclose(evaluate([inside], {z: x})[inside], expected, rtol=1e-13)


def test_average_pooling_counts_steps():
    x, mask = inputs(), MASKS["holes"]
    pool = hand.converted(hand.entry("GlobalAveragePooling1D", keepdims=False), {})
    expected = [x[b, mask[b]].mean(0) for b in range(3)]
    np.testing.assert_allclose(pool(x, mask=mask).data, expected, rtol=1e-14)


@pytest.mark.parametrize("name", sorted(_FUNCTIONS))
def test_the_derivative_of_every_activation_is_right(name):
    x = np.array([[-4.2, -1.3, -0.4, 0.6, 1.7, 3.3, 6.5]])  # away from corners
    factors = inputs(5, (1, 7))
    mr.testing.gradcheck(lambda t: (Activation(name)(t) * factors).sum(), [x])


def test_activations_stay_finite_far_out():
    x = mr.Tensor(np.array([[-800.0, 800.0]]), requires_grad=True)
    for name in sorted(set(_FUNCTIONS) - {"exponential"}):
        x.grad = None
        y = Activation(name)(x)
        y.sum().backward()
        assert np.isfinite(y.data).all(), name
        assert np.isfinite(x.grad).all(), name
