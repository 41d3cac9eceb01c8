"""The reference optimizers against the papers' formulas, written for one number in exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels.reference import adam_step, limit_norm, rmsprop_step, sgd_step, squared_norm

halves = st.integers(-16, 16).map(lambda n: Fraction(n, 2))
GRADIENTS = [1.0, -2.0, 0.5, 4.0]


@given(halves, st.lists(halves, min_size=1, max_size=4), st.sampled_from([0, Fraction(1, 4)]), st.booleans())
def test_sgd_with_and_without_momentum_exactly(start, gradients, decay, nesterov):
    rate, mu = Fraction(1, 4), Fraction(1, 2)
    plain, moving = np.array([float(start)]), np.array([float(start)])
    velocity = np.zeros(1)
    p = q = start
    v = Fraction(0)
    for g in gradients:
        assert sgd_step([plain], [np.array([float(g)])], None, 0.25, 0.0, False, float(decay)) is None
        sgd_step([moving], [np.array([float(g)])], [velocity], 0.25, 0.5, nesterov, float(decay))
        p = p - rate * decay * p - rate * g
        v = mu * v - rate * g
        q = q - rate * decay * q + (mu * v - rate * g if nesterov else v)
    # halves, quarters and halvings: every number on the way is exact in float64
    assert (plain[0], moving[0], velocity[0]) == (p, q, v)


@pytest.mark.parametrize("decay", [0.0, 0.004])
def test_adam_is_the_papers(decay):
    rate, b1, b2, eps = 0.01, 0.9, 0.999, 1e-7
    parameter, first, second = np.array([0.3, -2.0]), np.zeros(2), np.zeros(2)
    p, m, v = [0.3, -2.0], [0.0, 0.0], [0.0, 0.0]
    for t, g in enumerate(GRADIENTS, start=1):
        assert adam_step([parameter], [np.array([g, -g / 8])], [first], [second], t, rate, b1, b2, eps, decay) is None
        for i, gradient in enumerate((g, -g / 8)):
            m[i] = b1 * m[i] + (1 - b1) * gradient
            v[i] = b2 * v[i] + (1 - b2) * gradient**2
            m_hat, root_v_hat = m[i] / (1 - b1**t), math.sqrt(v[i] / (1 - b2**t))
            eps_hat = eps / math.sqrt(1 - b2**t)  # added before the correction
            p[i] = p[i] - rate * decay * p[i] - rate * m_hat / (root_v_hat + eps_hat)
    np.testing.assert_allclose(parameter, p, rtol=1e-12)
    np.testing.assert_allclose(first, m, rtol=1e-12)
    np.testing.assert_allclose(second, v, rtol=1e-12)


def test_adams_first_step_is_the_learning_rate_towards_lower_loss():
    parameter = np.zeros(4)
    gradient = np.array([1e-3, -5.0, 1e6, 0.0])
    adam_step([parameter], [gradient], [np.zeros(4)], [np.zeros(4)], 1, 0.1, 0.9, 0.999, 1e-12, 0.0)
    np.testing.assert_allclose(parameter, [-0.1, 0.1, -0.1, 0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_steps_are_in_place_in_any_float_type_and_leave_the_gradient(dtype):
    shape = (2, 3)
    parameter, (velocity, first, second) = np.ones(shape, dtype), np.zeros((3, *shape), dtype)
    gradient = np.full(shape, 0.5, dtype)
    gradient.flags.writeable = False
    sgd_step([parameter], [gradient], [velocity], 0.1, 0.9, True, 0.01)
    adam_step([parameter], [gradient], [first], [second], 1, 0.1, 0.9, 0.999, 1e-3, 0.01)
    assert np.all(parameter < 1)
    assert np.all(velocity < 0)
    assert np.all(first > 0)
    assert np.all(second > 0)


def test_empty_parameters():
    empty = np.zeros((0, 3))
    sgd_step([empty], [empty], [empty.copy()], 0.1, 0.9, False, 0.0)
    adam_step([empty], [empty], [empty.copy()], [empty.copy()], 1, 0.1, 0.9, 0.999, 1e-7, 0.0)
    assert empty.shape == (0, 3)


@given(st.lists(halves, min_size=1, max_size=4), st.booleans(), st.booleans(), st.sampled_from([0.0, 0.25]))
def test_rmsprop_in_exact_fractions_but_for_the_root(gradients, with_momentum, centered, decay):
    rate, rho, mu, eps = Fraction(1, 4), Fraction(1, 2), Fraction(1, 2), Fraction(1, 8)
    parameter, velocity, moved, average = (np.array([start]) for start in (3.0, 0.0, 0.0, 0.0))
    p, v, m, a = 3.0, Fraction(0), 0.0, Fraction(0)
    for g in gradients:
        slots = ([velocity], [moved] if with_momentum else None, [average] if centered else None)
        rmsprop_step([parameter], [np.array([float(g)])], *slots, 0.25, 0.5, 0.5, 0.125, decay)
        v, a = rho * v + (1 - rho) * g * g, rho * a + (1 - rho) * g
        u = float(rate * g) / math.sqrt(v - (a * a if centered else 0) + eps)
        m = float(mu) * m + u
        p -= float(rate) * decay * p + (m if with_momentum else u)
    assert velocity[0] == v
    assert average[0] == (a if centered else 0)
    assert parameter[0] == pytest.approx(p, rel=1e-12)


def test_squared_norm_of_a_right_triangle():
    assert squared_norm([np.array([[3.0]], np.float32), np.array([4.0], np.float32)]) == 25
    assert squared_norm([]) == 0


def test_limit_norm_of_a_right_triangle():
    a, b = limit_norm([np.array([[3.0]], np.float32), np.array([4.0], np.float32)], np.array(25.0), 2.5)
    assert (a.tolist(), b.tolist()) == ([[1.5]], [2.0])
    assert limit_norm([a], np.array(25.0), 5.0)[0] is a
    assert limit_norm([], np.array(0.0), 1.0) == []


@pytest.mark.parametrize("shorter", range(4))
def test_every_parameter_has_a_gradient_and_slots(shorter):
    """The steps take no more than what all have."""
    ones = [[np.ones(2) for _ in range(2)] for _ in range(4)]
    ones[shorter].pop()
    parameters, gradients, first, second = ones
    with pytest.raises(ValueError, match="zip"):
        adam_step(parameters, gradients, first, second, 1, 0.1, 0.9, 0.999, 1e-7, 0.0)
    if shorter < 3:
        with pytest.raises(ValueError, match="zip"):
            rmsprop_step(parameters, gradients, first, None, None, 0.1, 0.9, 0.0, 1e-7, 0.0)
    if shorter < 2:
        with pytest.raises(ValueError, match="zip"):
            sgd_step(parameters, gradients, None, 0.1, 0.0, False, 0.0)
