"""The reference's recurrent cells against the formulas, number by number in Python, and their gradients against
differences."""

import math

import numpy as np
import pytest

from tomograd.kernels import RECURRENT_ACTIVATIONS
from tomograd.kernels.reference import (
    gru,
    gru_gradient,
    lstm,
    lstm_gradient,
    recurrence,
    simple_rnn,
    simple_rnn_gradient,
)

N, STEPS, UNITS = 2, 3, 2
MASK = np.array([[True, False, True], [False, True, True]])
masks = pytest.mark.parametrize("mask", [None, MASK], ids=["all steps", "masked"])
PLAIN = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, 0.0),
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "hard_sigmoid": lambda x: min(max(x + 3, 0.0), 6.0) / 6,
}


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def product(state, weight, column):
    """(state · weight)[column]"""
    return sum(state[k] * weight[k, column] for k in range(UNITS))


def step_by_step(step, sequences, states, mask):
    """`step` (t, n, states of sequence n) → its new states; all states after each step."""
    after = []
    for n in range(sequences):
        own = [state[n] for state in states]
        for t in range(STEPS):
            own = step(t, n, own) if mask is None or mask[n, t] else own
            after.append(own)
    return [np.array([state[i] for state in after]).reshape(N, STEPS, UNITS) for i in range(len(states))]


@masks
def test_the_simple_cell(mask):
    z, weight, h0 = numbers(N, STEPS, UNITS), numbers(UNITS, UNITS), numbers(N, UNITS)

    def step(t, n, states):
        return [[math.tanh(z[n, t, u] + product(states[0], weight, u)) for u in range(UNITS)]]

    (expected,) = step_by_step(step, N, [h0], mask)
    np.testing.assert_allclose(simple_rnn(z, weight, h0, mask, "tanh"), expected, rtol=1e-13)


@masks
def test_lstm(mask):
    z, weight, h0, c0 = numbers(N, STEPS, 8), numbers(UNITS, 8), numbers(N, UNITS), numbers(N, UNITS) / 2
    g = PLAIN["sigmoid"]

    def step(t, n, states):
        h, c, new_h, new_c = *states, [], []
        for u in range(UNITS):
            i, forget, candidate, o = (z[n, t, k * UNITS + u] + product(h, weight, k * UNITS + u) for k in range(4))
            new_c.append(g(forget) * c[u] + g(i) * math.tanh(candidate))
            new_h.append(g(o) * math.tanh(new_c[-1]))
        return [new_h, new_c]

    expected = step_by_step(step, N, [h0, c0], mask)
    for result, other in zip(lstm(z.copy(), weight, h0, c0, mask, "tanh", "sigmoid"), expected, strict=True):
        np.testing.assert_allclose(result, other, rtol=1e-13)


@masks
@pytest.mark.parametrize("after", [True, False])
def test_gru(mask, after):
    z, weight, h0 = numbers(N, STEPS, 6), numbers(UNITS, 6), numbers(N, UNITS)
    bias, g = numbers(6) if after else np.zeros(6), PLAIN["sigmoid"]

    def step(t, n, states):
        (h,) = states
        m = [product(h, weight, k) + bias[k] for k in range(6)]
        update = [g(z[n, t, u] + m[u]) for u in range(UNITS)]
        reset = [g(z[n, t, UNITS + u] + m[UNITS + u]) for u in range(UNITS)]
        kept = [r * state for r, state in zip(reset, h, strict=True)]
        new = []
        for u in range(UNITS):
            k = 2 * UNITS + u
            candidate = math.tanh(z[n, t, k] + (reset[u] * m[k] if after else product(kept, weight, k)))
            new.append(update[u] * h[u] + (1 - update[u]) * candidate)
        return [new]

    (expected,) = step_by_step(step, N, [h0], mask)
    h, inner = gru(z.copy(), weight, bias if after else None, h0, mask, "tanh", "sigmoid", after)
    np.testing.assert_allclose(h, expected, rtol=1e-13)
    assert (inner is not None) == after


@pytest.mark.parametrize("name", RECURRENT_ACTIVATIONS)
def test_activations_and_their_slopes(name):
    f, slope = recurrence.ACTIVATIONS[name]
    x = np.array([-7.0, -2.9, -0.4, 0.3, 1.1, 2.8, 3.4])
    np.testing.assert_allclose(f(x), [PLAIN[name](each) for each in x], rtol=1e-14)
    np.testing.assert_allclose(slope(f(x)), (f(x + 1e-6) - f(x - 1e-6)) / 2e-6, rtol=1e-7, atol=1e-9)


def differences(function, array, step=1e-6):
    """The derivative of a number in each element of an array."""
    found = np.empty_like(array)
    for place in np.ndindex(array.shape):
        values = []
        for side in (step, -step):
            moved = array.copy()
            moved[place] += side
            values.append(function(moved))
        found[place] = (values[0] - values[1]) / (2 * step)
    return found


def assert_derivative(gradient, function, array):
    np.testing.assert_allclose(gradient, differences(function, array), rtol=1e-6, atol=1e-8)


@masks
def test_gradients_of_the_simple_cell(mask):
    z, weight, h0, dh = numbers(N, STEPS, UNITS), numbers(UNITS, UNITS), numbers(N, UNITS), numbers(N, STEPS, 2) - 1
    h = simple_rnn(z, weight, h0, mask, "tanh")
    dz, dh0 = simple_rnn_gradient(dh, h, weight, mask, "tanh")
    assert_derivative(dz, lambda z: (dh * simple_rnn(z, weight, h0, mask, "tanh")).sum(), z)
    assert_derivative(dh0, lambda h0: (dh * simple_rnn(z, weight, h0, mask, "tanh")).sum(), h0)


@masks
def test_gradients_of_lstm(mask):
    z, weight, h0, c0 = numbers(N, STEPS, 8), numbers(UNITS, 8), numbers(N, UNITS), numbers(N, UNITS) / 2
    dh, dc, names = numbers(N, STEPS, UNITS) - 1, numbers(N, UNITS) + 1, ("tanh", "sigmoid")

    def total(z, h0, c0):
        h, c = lstm(z.copy(), weight, h0, c0, mask, *names)
        return (dh * h).sum() + (dc * c[:, -1]).sum()

    gates = z.copy()
    _, c = lstm(gates, weight, h0, c0, mask, *names)
    dz, dh0, dc0 = lstm_gradient(dh, dc, gates, c, weight, c0, mask, *names)
    assert_derivative(dz, lambda z: total(z, h0, c0), z)
    assert_derivative(dh0, lambda h0: total(z, h0, c0), h0)
    assert_derivative(dc0, lambda c0: total(z, h0, c0), c0)


@masks
@pytest.mark.parametrize("after", [True, False])
def test_gradients_of_gru(mask, after):
    z, weight, h0, dh = numbers(N, STEPS, 6), numbers(UNITS, 6), numbers(N, UNITS), numbers(N, STEPS, UNITS) - 1
    bias, names = numbers(6) if after else None, ("tanh", "sigmoid")

    def total(z, h0, bias):
        return (dh * gru(z.copy(), weight, bias, h0, mask, *names, after)[0]).sum()

    gates = z.copy()
    h, inner = gru(gates, weight, bias, h0, mask, *names, after)
    dz, dm, dh0 = gru_gradient(dh, h, gates, inner, weight, h0, mask, *names)
    assert_derivative(dz, lambda z: total(z, h0, bias), z)
    assert_derivative(dh0, lambda h0: total(z, h0, bias), h0)
    assert (dm is not None) == after
    if after:
        assert_derivative(dm.sum((0, 1)), lambda bias: total(z, h0, bias), bias)
