"""PyTorch's own models, written by their state dicts, answer the same when they are read."""

from __future__ import annotations

import numpy as np
import pytest

import minirnn as mr
from minirnn.interop.safetensors import load_model, load_weights

torch = pytest.importorskip("torch")

KINDS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}


class Network(torch.nn.Module):
    """What people write: a recurrent layer, and a Linear after its last step or all of them."""

    def __init__(self, kind, readout, **options):
        super().__init__()
        self.readout = readout
        self.encoder = KINDS[kind](3, 6, **options)
        features = (2 if options.get("bidirectional") else 1) * (options.get("proj_size") or 6)
        self.fc = torch.nn.Linear(features, 2)

    def forward(self, x):
        output, state = self.encoder(x)
        if self.readout == "all":
            return self.fc(output)
        hidden = state[0] if isinstance(state, tuple) else state
        ends = hidden[-2:] if self.encoder.bidirectional else hidden[-1:]
        return self.fc(torch.cat(list(ends), dim=1))


CASES = [
    ("lstm", {}),
    ("lstm", {"num_layers": 2, "bidirectional": True, "proj_size": 2}),
    ("lstm", {"bias": False, "batch_first": True}),
    ("gru", {"num_layers": 2, "bidirectional": True}),
    ("rnn", {"nonlinearity": "relu"}),
    ("rnn", {"num_layers": 2}),
]


@pytest.mark.parametrize("readout", ["last", "all"])
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_state_dict_is_understood(kind, options, readout, tmp_path):
    from safetensors.torch import save_file

    torch.manual_seed(0)
    theirs = Network(kind, readout, **options).double()
    save_file(theirs.state_dict(), tmp_path / "m.safetensors")
    activation = options.get("nonlinearity", "tanh") if kind == "rnn" else None
    ours = load_model(
        tmp_path / "m.safetensors",
        cell=kind,
        activation=activation,
        readout=readout,
        batch_first=options.get("batch_first"),
    )
    x = np.random.default_rng(0).normal(size=(4, 5, 3))
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours(x).numpy(), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_become_float32(dtype, tmp_path):
    from safetensors.torch import save_file

    theirs = torch.nn.GRU(3, 4).to(dtype)
    save_file(theirs.state_dict(), tmp_path / "m")
    ours = load_model(tmp_path / "m").state_dict()
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_array_equal(ours[name], tensor.float().numpy())


def test_a_part_of_a_larger_network_is_loaded_into_ones_own(tmp_path):
    from safetensors.torch import save_file

    theirs = torch.nn.ModuleDict(
        {
            "words": torch.nn.Embedding(9, 3),
            "net": torch.nn.LSTM(3, 4),
            "norm": torch.nn.LayerNorm(4),
        }
    )
    save_file(theirs.state_dict(), tmp_path / "m")
    with pytest.raises(mr.CheckpointError, match=r"also 'norm.bias', 'norm.weight'"):
        load_model(tmp_path / "m")
    ours = mr.LSTM(3, 4)
    load_weights(ours, tmp_path / "m", prefix="net.")
    for name, tensor in theirs["net"].state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[name], tensor.numpy())


def test_pytorch_reads_what_we_write(tmp_path):
    from safetensors.torch import load_file

    ours = mr.GRU(3, 4, 2, bidirectional=True, rng=0)
    mr.interop.safetensors.save_model(ours, tmp_path / "m")
    theirs = torch.nn.GRU(3, 4, 2, bidirectional=True)
    theirs.load_state_dict(load_file(tmp_path / "m"))
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(ours(x)[0].numpy(), wanted, rtol=0, atol=1e-6)
