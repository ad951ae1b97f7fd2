"""Converted layers on the GPU, real or emulated, beside the CPU."""

import keras_by_hand as hand
import numpy as np

import minirnn as mr
from minirnn.device import to_device
from minirnn.interop.keras import keras_weights

RNN, BACK = hand.recurrent_weights("SimpleRNN"), hand.recurrent_weights("SimpleRNN", seed=1)
AVERAGES = [np.full(6, 1.5), np.ones(6), np.zeros(6), np.full(6, 2.0)]


def model(device):
    """Every kind of layer that looks at a mask or holds arrays of its own."""
    both = hand.entry(
        "Bidirectional",
        merge_mode="concat",
        layer=hand.recurrent_entry("SimpleRNN", return_sequences=True),
        backward_layer=hand.recurrent_entry("SimpleRNN", return_sequences=True, go_backwards=True),
    )
    layers = [
        hand.entry("Masking", mask_value=0.0),
        both,
        hand.entry("BatchNormalization", epsilon=0.01),
        hand.entry("GlobalAveragePooling1D", data_format="channels_last", keepdims=False),
    ]
    arrays = hand.stored("layers/bidirectional/forward_layer/cell", RNN)
    arrays |= hand.stored("layers/bidirectional/backward_layer/cell", BACK)
    arrays |= hand.stored("layers/batch_normalization", AVERAGES)
    described = hand.entry("Sequential", layers=layers)
    return hand.converted(described, arrays, dtype="float32", device=device)


def run(device, *, training):
    x = np.random.default_rng(0).standard_normal((3, 5, 2)).astype("float32")
    x[0, 3:] = x[1, 1] = 0.0
    made = model("cpu").to(device) if training else model(device)
    made.train(training)
    given = mr.functional.to_device(mr.Tensor(x), device)
    output = made(given)
    (output * output).sum().backward()
    arrays = [output.data, *keras_weights(made, gradients=True), *keras_weights(made)]
    return [to_device(a, "cpu") for a in arrays]


def test_masks_and_averages_work_on_the_gpu(cuda):
    for training in (False, True):
        pairs = zip(run(cuda, training=training), run("cpu", training=training), strict=True)
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())
