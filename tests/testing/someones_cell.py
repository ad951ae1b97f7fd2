"""A plain RNN, GRU and LSTM in NumPy, forward and backward, as someone might have written it, and
what may have gone wrong in it: `Someones("lstm", "bias doubled")` has that one bug.

Gates in PyTorch's order, weights in rows, x (T, B, I), two biases.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def sigmoid(z):
    return np.exp(-np.logaddexp(np.zeros((), z.dtype), -z))


class Someones:
    def __init__(self, kind: str, bug: str | None = None) -> None:
        self.kind = kind
        self.bug = bug
        self.blocks = {"rnn": 1, "gru": 3, "lstm": 4}[kind]
        self.states = 2 if kind == "lstm" else 1
        self.left_over: dict[Any, Any] = {}  # what some bugs keep from call to call
        self.rng = np.random.default_rng(0)

    def has(self, *bugs: str) -> bool:
        return self.bug in bugs

    # forward

    def forward(self, x, state, weights, *, lengths=None, reverse=False):
        w_ih, w_hh, b_ih, b_hh = weights
        if self.has("strides ignored"):
            x = np.lib.stride_tricks.as_strided(x, x.shape, contiguous_strides(x))
        if self.has("read past the end"):
            # One number more than there are, from where the array ends.
            T, B, I = x.shape  # noqa: E741
            longer = np.lib.stride_tricks.as_strided(x, (T, B, I + 1), x.strides)
            x = np.where(np.arange(I) == I - 1, longer[..., 1:], longer[..., :I]) if I > 4 else x
        if self.has("x scaled in place"):
            x *= np.float32(0.5)
            x *= np.float32(2.0)  # not quite the same where the half is subnormal
            x[x == 0] = 0.0
        if self.has("x masked in place") and lengths is not None:
            x[np.arange(len(x))[:, None] >= lengths] = 0.0
        if self.has("state updated in place"):
            state[0][...] = state[0] * 0.5
        T, B, _ = x.shape
        H = w_hh.shape[1]
        if self.has("raises for a batch of one") and B == 1:
            x = x.squeeze()
        if self.has("gates swapped"):
            w_ih, w_hh, b_ih, b_hh = (self.swapped(a, 0, 1) for a in (w_ih, w_hh, b_ih, b_hh))
        if self.has("last gates swapped"):
            w_ih, w_hh, b_ih, b_hh = (self.swapped(a, -2, -1) for a in (w_ih, w_hh, b_ih, b_hh))
        if self.has("recurrent weights transposed"):
            w_hh = np.concatenate([b.T for b in np.split(w_hh, self.blocks)])
        if self.has("sixteen units at a time") and H > 16:
            w_hh = np.where(np.arange(len(w_hh))[:, None] % H < H - H % 16, w_hh, 0)
        if self.has("eight inputs at a time"):
            w_ih = np.where(np.arange(w_ih.shape[1]) < max(8, w_ih.shape[1] // 8 * 8), w_ih, 0)
        if self.has("thirty-two sequences at a time") and B > 32:
            x = np.concatenate([x[:, :32], np.zeros_like(x[:, 32:])], axis=1)
        if self.has("second bias dropped"):
            b_hh = np.zeros_like(b_hh)
        if self.has("first bias doubled"):
            b_ih = 2 * b_ih
        if self.has("forget bias of one added"):
            b_ih = b_ih + np.repeat(np.arange(4) == 1, H).astype(x.dtype)
        state = list(state)
        if self.has("initial state ignored"):
            state = [np.zeros_like(s) for s in state]
        if self.has("state not reset between calls"):
            state = [self.left_over.get((k, B, H), s) for k, s in enumerate(state)]

        valid = np.ones((T, B, 1), bool)
        if lengths is not None and not self.has("lengths ignored"):
            valid = (np.arange(T)[:, None] < lengths)[..., None]
        if self.has("length of zero taken for one") and T:
            valid[0] = True
        if self.has("length one too long") and lengths is not None:
            valid = (np.arange(T)[:, None] <= lengths)[..., None]
        if self.has("reverse starts in the padding") and reverse:
            valid = np.ones((T, B, 1), bool)
        order = range(T - 1, -1, -1) if reverse and not self.has("reverse ignored") else range(T)
        saved = {"x": x, "valid": valid, "order": list(order), "steps": {}, "weights": weights}
        saved["B H"] = B, H
        output = np.zeros((T, B, H), x.dtype)
        if self.has("padding left unwritten"):
            output = np.empty((T, B, H), x.dtype)
        if self.has("output in a buffer of its own"):
            output = self.left_over.setdefault((T, B, H, x.dtype), output)
        for t in order:
            x_t = x[t - 1] if self.has("step shifted") else x[t]
            if self.has("batch mixed up") and B > 1:
                state[0] = np.roll(state[0], 1, axis=0)
            a = self.product(x_t, w_ih, b_ih)
            b = self.product(state[0], w_hh, b_hh)
            step, new = getattr(self, f"{self.kind}_step")(a, b, state, w_hh, b_hh)
            on = valid[t]
            if self.has("a lost update") and self.rng.random() < 0.02:
                on = on & (self.rng.random((B, 1)) < 0.5)
            saved["steps"][t] = (step, list(state), new)
            state = [np.where(on, n, s) for n, s in zip(new, state, strict=True)]
            if self.has("padding left unwritten"):
                np.copyto(output[t], new[0], where=on)
            elif self.has("output not masked"):
                output[t] = state[0]
            else:
                output[t] = np.where(on, new[0], 0)
        saved["last"] = list(state)
        if self.has("last state from the last row") and T:
            state[0] = output[order[-1]].copy()
        if self.has("state not reset between calls"):
            self.left_over.update({(k, B, H): s.copy() for k, s in enumerate(state)})
        if self.has("outputs not flipped back") and reverse:
            output = output[::-1].copy()
        if self.has("sequences first"):
            output = np.ascontiguousarray(output.swapaxes(0, 1))
        if self.has("double precision out"):
            output = output.astype(np.float64)
        if self.has("no last cell state"):
            state = state[:1]
        return output, tuple(state), saved

    def swapped(self, array, i, j):
        blocks = np.split(array, self.blocks)
        blocks[i], blocks[j] = blocks[j], blocks[i]
        return np.concatenate(blocks)

    def product(self, a, w, bias):
        if self.has("sums in float16"):
            total = np.zeros((len(a), len(w)), np.float16)
            for k in range(w.shape[1]):
                total = (total + np.outer(a[:, k], w[:, k]).astype(np.float16)).astype(np.float16)
            return total.astype(a.dtype) + bias
        return a @ w.T + bias

    def sigmoid(self, z):
        if self.has("sigmoid that overflows"):
            e = np.exp(z)
            return e / (1 + e)
        if self.has("pre-activations clipped at five"):
            return sigmoid(np.clip(z, -5, 5))
        if self.has("hard sigmoid"):
            return np.clip(z / 6 + 0.5, 0, 1).astype(z.dtype)
        if self.has("NaN lost"):
            return sigmoid(np.fmax(np.fmin(z, 30), -30).astype(z.dtype))
        return sigmoid(z)

    def tanh(self, z):
        if self.has("NaN lost"):
            return np.tanh(np.fmax(np.fmin(z, 30), -30).astype(z.dtype))
        return np.tanh(z)

    def rnn_step(self, a, b, state, w_hh, b_hh):
        z = a + b
        h = sigmoid(z) if self.has("sigmoid for tanh") else self.tanh(z)
        return {"h": h}, [h]

    def lstm_step(self, a, b, state, w_hh, b_hh):
        z_i, z_f, z_g, z_o = np.split(a + b, 4, axis=1)
        i, f, o = self.sigmoid(z_i), self.sigmoid(z_f), self.sigmoid(z_o)
        g = sigmoid(z_g) if self.has("sigmoid for tanh") else self.tanh(z_g)
        c = i * g + (0 if self.has("cell state not carried") else f * state[1])
        h = o * (c if self.has("no tanh at the output") else self.tanh(c))
        return {"i": i, "f": f, "g": g, "o": o, "c": c}, [h, c]

    def gru_step(self, a, b, state, w_hh, b_hh):
        a_r, a_u, a_n = np.split(a, 3, axis=1)
        b_r, b_u, q = np.split(b, 3, axis=1)
        r, u = self.sigmoid(a_r + b_r), self.sigmoid(a_u + b_u)
        if self.has("reset before the product"):
            q = (r * state[0]) @ np.split(w_hh, 3)[2].T + np.split(b_hh, 3)[2]
            n = self.tanh(a_n + q)
        elif self.has("bias outside the reset"):
            bias = np.split(b_hh, 3)[2]
            n = self.tanh(a_n + r * (q - bias) + bias)
        elif self.has("sigmoid for tanh"):
            n = sigmoid(a_n + r * q)
        else:
            n = self.tanh(a_n + r * q)
        keep = 1 - u if self.has("update gate turned round") else u
        return {"r": r, "u": u, "n": n, "q": q}, [(1 - keep) * n + keep * state[0]]

    # backward

    def backward(self, doutput, dstate, saved):
        w_ih, w_hh, _, _ = saved["weights"]
        x, valid = saved["x"], saved["valid"]
        dtype = w_ih.dtype
        dw_ih, dw_hh = np.zeros_like(w_ih), np.zeros_like(w_hh)
        db_ih, db_hh = np.zeros(len(w_ih), dtype), np.zeros(len(w_ih), dtype)
        if self.has("gradients left from the last call"):
            dw_ih = self.left_over.setdefault(("dw", w_ih.shape, dtype), dw_ih)
        if self.has("gradient summed into memory as it came"):
            dw_ih = np.empty_like(w_ih)
        dx = np.zeros_like(x)
        later = [d.copy() for d in dstate]
        if self.has("gradient of the last state ignored"):
            later = [np.zeros_like(d) for d in later]
        if self.has("gradient of the last cell state ignored"):
            later[1] = np.zeros_like(later[1])
        order = saved["order"]
        for count, t in enumerate(reversed(order)):
            on = valid[t]
            step, before, after = saved["steps"][t]
            total = [later[0] + doutput[t], *later[1:]]
            if self.has("recurrent path cut"):
                total[0] = doutput[t] + (later[0] if count == 0 else 0)
            if self.has("truncated after two steps") and count and count % 2 == 0:
                total[0] = doutput[t]
            dz_x, dz_h, dbefore = getattr(self, f"{self.kind}_back")(step, before, total)
            if self.has("gradients of gates swapped"):
                dz_x, dz_h = (self.swapped(d.T, 0, 1).T for d in (dz_x, dz_h))
            if not self.has("gradient through the padding"):
                dz_x, dz_h = np.where(on, dz_x, 0), np.where(on, dz_h, 0)
            dbefore[0] = dbefore[0] + dz_h @ w_hh
            h_before = after[0] if self.has("h after for h before") else before[0]
            dx[t] = dz_x @ w_ih
            if self.has("gradient of x by transposed weights") and w_ih.shape[1] == w_hh.shape[1]:
                dx[t] = dz_x @ np.concatenate([b.T for b in np.split(w_ih, self.blocks)])
            dw_ih += dz_x.T @ np.where(on, x[t], 0)
            first = t == order[0]
            last = count == 0
            if not (self.has("first step left out of a weight") and first):
                dw_hh += dz_h.T @ h_before
            if self.has("last step alone in a weight") and last:
                first_of_all = dw_hh.copy()
            db_ih += dz_x.sum(axis=0)
            db_hh += dz_h.sum(axis=0)
            later = [np.where(on, b, d) for b, d in zip(dbefore, later, strict=True)]
        if self.has("last step alone in a weight") and order:
            dw_hh = first_of_all
        B = saved["B H"][0]
        if self.has("gradient averaged over the batch"):
            dw_ih, dw_hh, db_ih, db_hh = (d / B for d in (dw_ih, dw_hh, db_ih, db_hh))
        if self.has("bias gradient doubled"):
            db_ih = 2 * db_ih
        if self.has("no gradient of the initial state"):
            later = [np.zeros_like(d) for d in later]
        return dx, tuple(later), dw_ih, dw_hh, db_ih, db_hh

    def tanh_slope(self, y):
        return np.ones_like(y) if self.has("slope of tanh forgotten") else 1 - y * y

    def sigmoid_slope(self, y):
        return y if self.has("half a slope of sigmoid") else y * (1 - y)

    def rnn_back(self, step, before, total):
        dz = total[0] * self.tanh_slope(step["h"])
        return dz, dz, [np.zeros_like(total[0])]

    def lstm_back(self, step, before, total):
        i, f, g, o, c = (step[n] for n in "ifgoc")
        dh, dc = total
        y = np.tanh(c)
        dc = dc + dh * o * self.tanh_slope(y)
        if self.has("cell state's own gradient dropped"):
            dc = dh * o * self.tanh_slope(y)
        slope = 1 - g * g
        dz = [
            dc * g * self.sigmoid_slope(i),
            dc * before[1] * self.sigmoid_slope(f),
            dc * i * slope,
            dh * y * self.sigmoid_slope(o),
        ]
        z = np.concatenate(dz, axis=1)
        return z, z, [np.zeros_like(dh), dc * f]

    def gru_back(self, step, before, total):
        r, u, n, q = (step[k] for k in "runq")
        dh = total[0]
        dn = dh * (1 - u) * self.tanh_slope(n)
        du = dh * (before[0] - n) * self.sigmoid_slope(u)
        dr = dn * q * self.sigmoid_slope(r)
        dq = dn if self.has("reset forgotten in backward") else dn * r
        direct = np.zeros_like(dh) if self.has("direct path dropped") else u * dh
        z_x = np.concatenate([dr, du, dn], axis=1)
        return z_x, np.concatenate([dr, du, dq], axis=1), [direct]


def contiguous_strides(array):
    strides, size = [], array.itemsize
    for n in reversed(array.shape):
        strides.insert(0, size)
        size *= n
    return strides


# bug: (the kind of cell that shows it best, the causes that name it rightly)
BUGS: dict[str, tuple[str, tuple[str, ...]]] = {
    # equations
    "gates swapped": ("lstm", ("gates-permuted",)),
    "last gates swapped": ("lstm", ("gates-permuted",)),
    "second bias dropped": ("gru", ("bias-dropped",)),
    "first bias doubled": ("rnn", ("bias-doubled",)),
    "forget bias of one added": ("lstm", ("forget-bias",)),
    "recurrent weights transposed": ("rnn", ("weights-transposed",)),
    "reset before the product": ("gru", ("reset-before",)),
    "bias outside the reset": ("gru", ("bias-outside-reset",)),
    "update gate turned round": ("gru", ("update-complemented",)),
    "hard sigmoid": ("lstm", ("wrong-activation",)),
    "sigmoid for tanh": ("rnn", ("wrong-activation",)),
    "no tanh at the output": ("lstm", ("wrong-activation",)),
    "cell state not carried": ("lstm", ("state-not-carried",)),
    # time, lengths, directions
    "step shifted": ("gru", ("off-by-one-step",)),
    "initial state ignored": ("lstm", ("initial-state-ignored",)),
    "lengths ignored": ("lstm", ("padding-read",)),
    "length one too long": ("gru", ("padding-read", "off-by-one-step")),
    "length of zero taken for one": ("rnn", ("padding-read", "length-zero")),
    "reverse ignored": ("gru", ("direction-reversed",)),
    "outputs not flipped back": ("lstm", ("outputs-not-flipped",)),
    "reverse starts in the padding": ("rnn", ("padding-read",)),
    "output not masked": ("gru", ("padding-read",)),
    "last state from the last row": ("gru", ("padding-read",)),
    # sizes, numbers
    "sixteen units at a time": ("lstm", ("size-dependent",)),
    "eight inputs at a time": ("gru", ("size-dependent",)),
    "thirty-two sequences at a time": ("rnn", ("size-dependent",)),
    "batch mixed up": ("lstm", ("batch-mixed", "batch-permuted")),
    "sums in float16": ("lstm", ("narrow-precision",)),
    "sigmoid that overflows": ("lstm", ("overflow",)),
    "pre-activations clipped at five": ("lstm", ("saturation",)),
    "NaN lost": ("gru", ("nan-lost",)),
    # memory, calls
    "state not reset between calls": ("gru", ("state-carried-over",)),
    "output in a buffer of its own": ("rnn", ("buffer-reused",)),
    "x masked in place": ("lstm", ("input-written",)),
    "state updated in place": ("gru", ("input-written",)),
    "padding left unwritten": ("rnn", ("uninitialised-memory",)),
    "gradient summed into memory as it came": ("lstm", ("uninitialised-memory",)),
    "gradients left from the last call": ("rnn", ("carried-over",)),
    "a lost update": ("gru", ("not-repeatable",)),
    "strides ignored": ("lstm", ("strides-ignored",)),
    "read past the end": ("rnn", ("out-of-bounds-read",)),
    # what comes out
    "sequences first": ("gru", ("wrong-shape",)),
    "double precision out": ("lstm", ("wrong-dtype",)),
    "no last cell state": ("lstm", ("wrong-result",)),
    "raises for a batch of one": ("rnn", ("raised", "wrong-shape")),
    # backward
    "h after for h before": ("gru", ("h-after-for-h-before",)),
    "slope of tanh forgotten": ("lstm", ("wrong-derivative",)),
    "half a slope of sigmoid": ("gru", ("wrong-derivative",)),
    "first step left out of a weight": ("rnn", ("gradient-of-some-steps",)),
    "last step alone in a weight": ("lstm", ("gradient-of-some-steps",)),
    "gradient averaged over the batch": ("gru", ("gradient-averaged",)),
    "bias gradient doubled": ("lstm", ("gradient-doubled",)),
    "gradients of gates swapped": ("lstm", ("gates-permuted",)),
    "recurrent path cut": ("rnn", ("chain-cut", "backward-truncated")),
    "truncated after two steps": ("gru", ("backward-truncated",)),
    "cell state's own gradient dropped": ("lstm", ("chain-cut",)),
    "direct path dropped": ("gru", ("chain-cut",)),
    "reset forgotten in backward": ("gru", ("chain-cut", "wrong-derivative", "reset-ignored")),
    "gradient of the last state ignored": ("gru", ("gradient-ignored",)),
    "gradient of the last cell state ignored": ("lstm", ("gradient-ignored",)),
    "no gradient of the initial state": ("rnn", ("gradient-missing",)),
    "gradient of x by transposed weights": ("rnn", ("weights-transposed",)),
    "gradient through the padding": ("lstm", ("padding-read",)),
}
