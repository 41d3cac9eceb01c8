"""Optimizers: steps by hand and by independent formulas, clipping, schedules, state, missing gradients, errors."""

import copy
import json
import math

import numpy as np
import pytest

from tomograd.engine import Tensor, Variable, config, optimizers, schedules

SHAPES = [(3, 2), (4,), ()]


def variables(dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [Variable(rng.standard_normal(s).astype(dtype), name=f"w{i}") for i, s in enumerate(SHAPES)]


def gradients(steps, dtype=np.float32, seed=1):
    rng = np.random.default_rng(seed)
    return [[rng.standard_normal(shape).astype(dtype) for shape in SHAPES] for _ in range(steps)]


class Formula:
    """One weight under Keras's formulas, written independently in float64."""

    def __init__(self, optimizer, weight):
        self.o, self.w, self.t = optimizer, weight.astype(float), 0
        self.a, self.b, self.c = (np.zeros_like(self.w) for _ in range(3))

    def step(self, g):
        o, self.t = self.o, self.t + 1
        self.w = self.w - o.learning_rate * (o.weight_decay or 0) * self.w
        name = "amsgrad" if getattr(o, "amsgrad", False) else type(o).__name__.lower()
        getattr(self, name)(g.astype(float))

    def sgd(self, g):
        o, eta = self.o, self.o.learning_rate
        self.a = o.momentum * self.a - eta * g
        self.w = self.w + (o.momentum * self.a - eta * g if o.nesterov else self.a)

    def adam(self, g):
        o = self.o
        self.a = o.beta_1 * self.a + (1 - o.beta_1) * g
        self.b = o.beta_2 * self.b + (1 - o.beta_2) * g**2
        alpha = o.learning_rate * math.sqrt(1 - o.beta_2**self.t) / (1 - o.beta_1**self.t)
        self.w = self.w - alpha * self.a / (np.sqrt(self.b) + o.epsilon)

    adamw = adam

    def rmsprop(self, g):
        o = self.o
        self.a = o.rho * self.a + (1 - o.rho) * g**2
        self.b = o.rho * self.b + (1 - o.rho) * g
        u = o.learning_rate * g / np.sqrt(self.a - (self.b**2 if o.centered else 0) + o.epsilon)
        self.c = o.momentum * self.c + u
        self.w = self.w - self.c

    def amsgrad(self, g):
        o = self.o
        self.a = o.beta_1 * self.a + (1 - o.beta_1) * g
        self.b = o.beta_2 * self.b + (1 - o.beta_2) * g**2
        self.c = np.maximum(self.c, self.b)
        alpha = o.learning_rate * math.sqrt(1 - o.beta_2**self.t) / (1 - o.beta_1**self.t)
        self.w = self.w - alpha * self.a / (np.sqrt(self.c) + o.epsilon)

    def adamax(self, g):
        o = self.o
        self.a = o.beta_1 * self.a + (1 - o.beta_1) * g
        self.b = np.maximum(o.beta_2 * self.b, abs(g))
        self.w = self.w - o.learning_rate / (1 - o.beta_1**self.t) * self.a / (self.b + o.epsilon)

    def nadam(self, g):
        o = self.o
        mu = [o.beta_1 * (1 - 0.5 * 0.96**t) for t in range(1, self.t + 2)]
        self.a = o.beta_1 * self.a + (1 - o.beta_1) * g
        self.b = o.beta_2 * self.b + (1 - o.beta_2) * g**2
        ahead = mu[-1] * self.a / (1 - math.prod(mu)) + (1 - mu[-2]) * g / (1 - math.prod(mu[:-1]))
        self.w = self.w - o.learning_rate * ahead / (np.sqrt(self.b / (1 - o.beta_2**self.t)) + o.epsilon)

    def lamb(self, g):
        o = self.o
        self.a = o.beta_1 * self.a + (1 - o.beta_1) * g
        self.b = o.beta_2 * self.b + (1 - o.beta_2) * g**2
        u = self.a / (1 - o.beta_1**self.t) / (np.sqrt(self.b / (1 - o.beta_2**self.t)) + o.epsilon)
        self.w = self.w - o.learning_rate * np.sqrt(np.sum(self.w**2) / np.sum(u**2)) * u

    def schedulefreeadamw(self, g):
        o = self.o
        z = self.w / (1 - o.learning_rate * (o.weight_decay or 0)) if self.t == 1 else self.a
        self.b = o.beta_2 * self.b + (1 - o.beta_2) * g**2
        average = (self.w - (1 - o.beta_1) * z) / o.beta_1
        rate = o.learning_rate * min(1, self.t / o.warmup_steps)
        self.a = z - rate * g / (np.sqrt(self.b / (1 - o.beta_2**self.t)) + o.epsilon)
        average = average + (self.a - average) / self.t
        self.w = (1 - o.beta_1) * self.a + o.beta_1 * average

    def adagrad(self, g):
        self.a = (self.a if self.t > 1 else self.o.initial_accumulator_value) + g**2
        self.w = self.w - self.o.learning_rate * g / np.sqrt(self.a + self.o.epsilon)

    def adadelta(self, g):
        o = self.o
        self.a = o.rho * self.a + (1 - o.rho) * g**2
        step = np.sqrt(self.b + o.epsilon) / np.sqrt(self.a + o.epsilon) * g
        self.b = o.rho * self.b + (1 - o.rho) * step**2
        self.w = self.w - o.learning_rate * step

    def lion(self, g):
        o = self.o
        self.w = self.w - o.learning_rate * np.sign(o.beta_1 * self.a + (1 - o.beta_1) * g)
        self.a = o.beta_2 * self.a + (1 - o.beta_2) * g

    def ftrl(self, g):
        o = self.o
        before = self.a if self.t > 1 else np.full_like(self.a, o.initial_accumulator_value)
        self.a, power = before + g**2, -o.learning_rate_power
        sigma = (self.a**power - before**power) / o.learning_rate
        self.b = self.b + g + 2 * o.l2_shrinkage_regularization_strength * self.w - sigma * self.w
        l1 = o.l1_regularization_strength
        below = self.a**power / o.learning_rate + 2 * o.l2_regularization_strength + o.beta / o.learning_rate
        self.w = np.where(abs(self.b) > l1, (np.sign(self.b) * l1 - self.b) / below, 0)


MAKERS = {
    "sgd": lambda: optimizers.SGD(0.1),
    "sgd-momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "sgd-nesterov": lambda: optimizers.SGD(0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
    "adam": lambda: optimizers.Adam(),
    "adam-decay": lambda: optimizers.Adam(0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-3, weight_decay=0.1),
    "adamw": lambda: optimizers.AdamW(0.01),
    "rmsprop": lambda: optimizers.RMSprop(0.01, weight_decay=0.05),
    "rmsprop-centered": lambda: optimizers.RMSprop(0.01, rho=0.8, momentum=0.9, centered=True),
    "amsgrad": lambda: optimizers.Adam(0.01, beta_2=0.8, amsgrad=True),
    "adamax": lambda: optimizers.Adamax(0.01, weight_decay=0.1),
    "nadam": lambda: optimizers.Nadam(0.01),
    "lamb": lambda: optimizers.Lamb(0.01, weight_decay=0.1),
    "schedule-free": lambda: optimizers.ScheduleFreeAdamW(0.01, beta_1=0.8, warmup_steps=3, weight_decay=0.1),
    "adagrad": lambda: optimizers.Adagrad(0.1, initial_accumulator_value=0.3),
    "adadelta": lambda: optimizers.Adadelta(1.0, rho=0.9, epsilon=1e-3),
    "lion": lambda: optimizers.Lion(0.01, weight_decay=0.1),
    "ftrl": lambda: optimizers.Ftrl(0.1, l1_regularization_strength=0.05, l2_regularization_strength=0.1, beta=0.2),
    "ftrl-power": lambda: optimizers.Ftrl(0.1, -0.7, l2_shrinkage_regularization_strength=0.1),
}
ROUNDABOUT = {
    "averaged": lambda: optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
    "gathering": lambda: optimizers.Nadam(0.1, gradient_accumulation_steps=2, clipnorm=1.0, loss_scale_factor=2.0),
}


# ---------------------------------------------------------------------------------------------------------- formulas


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MAKERS)
def test_seven_steps_follow_the_formula(name, dtype):
    optimizer, weights = MAKERS[name](), variables(dtype)
    formulas = [Formula(optimizer, weight.numpy()) for weight in weights]
    for step in gradients(7, dtype):
        optimizer.apply([Tensor(gradient) for gradient in step], weights)
        for formula, gradient in zip(formulas, step, strict=True):
            formula.step(gradient)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for formula, weight in zip(formulas, weights, strict=True):
        assert weight.dtype == dtype
        np.testing.assert_allclose(weight.numpy(), formula.w, rtol=tolerance, atol=tolerance)
    assert optimizer.iterations == 7


def test_a_step_of_each_by_hand():
    w = Variable(np.array([1.0]))
    optimizers.SGD(0.5).apply([np.array([2.0])], [w])
    assert w.item() == 0.0
    # Adam's first step is almost exactly the learning rate, whatever the gradient.
    for gradient in (1e-3, 1e3):
        w = Variable(np.array([1.0]))
        optimizers.Adam(0.25, epsilon=0.0).apply([np.array([gradient])], [w])
        assert w.item() == pytest.approx(0.75)
    w = Variable(np.array([2.0]))
    optimizers.AdamW(0.1, weight_decay=0.5, epsilon=0.0).apply([np.array([-1.0])], [w])
    assert w.item() == pytest.approx(2.0 - 0.1 * 0.5 * 2.0 + 0.1)


def test_keras_defaults():
    defaults = {name: optimizers.get(name).get_config() for name in ("sgd", "adam", "adamw", "rmsprop")}
    assert [defaults[name]["learning_rate"] for name in defaults] == [0.01, 0.001, 0.001, 0.001]
    assert (defaults["adam"]["epsilon"], defaults["adam"]["weight_decay"]) == (1e-7, None)
    assert (defaults["adamw"]["weight_decay"], defaults["rmsprop"]["rho"]) == (0.004, 0.9)


def test_a_quadratic_is_minimised():
    target = np.array([1.0, -2.0, 3.0])
    rates = {"adagrad": 1.0, "adadelta": 3.0, "ftrl": 1.0}
    makers = MAKERS | {"ftrl": optimizers.Ftrl}  # without the penalties, which are to move the minimum
    for name in makers.keys() - {"ftrl-power"}:
        optimizer, w = makers[name](), Variable(np.zeros(3))
        optimizer.weight_decay = None
        optimizer.learning_rate = rates.get(name, 0.05)
        for _ in range(400):
            loss = ((w - target) ** 2).sum()
            w.grad = None
            loss.backward()
            optimizer.apply([w.grad], [w])
        np.testing.assert_allclose(w.numpy(), target, atol=0.2, err_msg=name)


def test_steps_are_in_place_and_counted():
    w = Variable(np.ones(3, np.float32))
    array, version = w.array, w.version[0]
    optimizers.Adam().apply([np.ones(3, np.float32)], [w])
    assert w.array is array
    assert w.version[0] == version + 1


def test_a_gradient_of_another_layout_or_type():
    w = Variable(np.zeros((3, 2), np.float32))
    gradient = np.arange(6.0).reshape(2, 3).T
    optimizers.SGD(1.0).apply([gradient], [w])
    np.testing.assert_array_equal(w.numpy(), -gradient)


@pytest.mark.parametrize("name", MAKERS)
def test_nan_is_not_hidden(name):
    for clip in ({}, {"clipnorm": 1.0}, {"clipvalue": 1.0}, {"global_clipnorm": 1.0}):
        optimizer = type(MAKERS[name]())(0.1, **clip)
        w = Variable(np.ones(2))
        optimizer.apply([np.array([np.nan, 1.0])], [w])
        assert np.isnan(w.numpy()[0])


# ---------------------------------------------------------------------------------------------------------- clipping


def test_clipping():
    big, small = np.array([3.0, 4.0]), np.array([0.3, 0.4])

    def steps(**clip):
        a, b = Variable(np.zeros(2)), Variable(np.zeros(2))
        optimizers.SGD(1.0, **clip).apply([big, small], [a, b])
        return -a.numpy(), -b.numpy()

    np.testing.assert_allclose(steps(clipnorm=1.0), [[0.6, 0.8], [0.3, 0.4]])
    np.testing.assert_allclose(steps(clipvalue=0.35), [[0.35, 0.35], [0.3, 0.35]])
    norm = math.sqrt(25.25)
    np.testing.assert_allclose(steps(global_clipnorm=1.0), [big / norm, small / norm])
    np.testing.assert_allclose(steps(global_clipnorm=100.0), [big, small])


def test_an_infinite_gradient_is_seen_after_clipping():
    w = Variable(np.zeros(2))
    optimizers.SGD(1.0, global_clipnorm=1.0).apply([np.array([np.inf, 1.0])], [w])
    assert np.isnan(w.numpy()).all()


def test_loss_scaling():
    optimizer, w = optimizers.SGD(1.0, loss_scale_factor=8.0, clipvalue=2.0), Variable(np.array([1.0, 2.0]))
    loss = optimizer.scale_loss((w**2).sum())
    assert loss.item() == 40.0
    loss.backward()
    optimizer.apply([w.grad], [w])
    np.testing.assert_array_equal(w.numpy(), [-1.0, 0.0])  # the gradients 2 and 4, clipped at 2
    assert optimizers.SGD().scale_loss(3.0) == 3.0


# ------------------------------------------------------------------------- weight decay, several calls, and averages


@pytest.mark.parametrize("name", sorted(MAKERS.keys() - {"lamb"}))
def test_weight_decay_spares_what_is_excluded(name):
    """Excluded weights go on as without decay, the others as with it."""
    kinds = {"both": "w0", "none": "nothing", "all": "w"}
    results = {}
    for kind, part in kinds.items():
        optimizer, weights = MAKERS[name](), variables(np.float64)
        optimizer.weight_decay = 0.3
        optimizer.exclude_from_weight_decay(var_list=[weights[2]] if kind == "both" else None, var_names=[part])
        for step in gradients(3, np.float64):
            optimizer.apply(step, weights)
        results[kind] = [weight.numpy() for weight in weights]
    for index, as_in in enumerate(("all", "none", "all")):
        np.testing.assert_array_equal(results["both"][index], results[as_in][index])
        assert not np.allclose(results["all"][index], results["none"][index])
    with pytest.raises(ValueError, match="before the first step"):
        optimizer.exclude_from_weight_decay(var_names=["bias"])


def test_exclusions_are_configured_by_name_and_saved_with_the_state():
    optimizer = optimizers.AdamW()
    optimizer.exclude_from_weight_decay(var_names=["w1"])
    again = optimizers.get(json.loads(json.dumps(config.serialize(optimizer))))
    weights = variables()
    again.build(weights)
    assert [again.decay_of(weight) for weight in weights] == [0.004, 0.0, 0.004]
    plain = optimizers.AdamW()
    plain.load_state(again.state())
    plain.build(weights)
    assert [plain.decay_of(weight) for weight in weights] == [0.004, 0.0, 0.004]
    layered = [Variable(np.zeros(1), name=name) for name in ("bias_head/kernel", "dense/bias", "beta")]
    other = optimizers.AdamW()
    other.exclude_from_weight_decay(var_names=["bias", "et"])
    other.build(layered)
    assert [other.decay_of(variable) for variable in layered] == [0.004, 0.0, 0.0]
    optimizer.exclude_from_weight_decay(var_list=weights)
    with pytest.raises(NotImplementedError, match="by their names"):
        optimizer.get_config()


@pytest.mark.parametrize("name", MAKERS)
def test_gathered_gradients_make_the_steps_of_their_means(name):
    options = {"gradient_accumulation_steps": 3}
    made = MAKERS[name]()
    gathering = type(made)(**{**made.get_config(), **options})
    weights, others = variables(np.float64), variables(np.float64)
    steps = gradients(9, np.float64)
    for number, step in enumerate(steps, start=1):
        before = [weight.numpy().copy() for weight in weights]
        gathering.apply(step, weights)
        assert gathering.iterations == number // 3
        if number % 3:
            for weight, old in zip(weights, before, strict=True):
                np.testing.assert_array_equal(weight.numpy(), old)
            continue
        made.apply([np.mean(each, axis=0) for each in zip(*steps[number - 3 : number], strict=True)], others)
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(weight.numpy(), other.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:sgd. no gradient")
def test_no_gathered_gradient_is_forgotten():
    optimizer, (a, b) = optimizers.SGD(1.0, gradient_accumulation_steps=2), (Variable(np.zeros(1)) for _ in range(2))
    optimizer.apply([np.array([4.0]), np.array([np.nan])], [a, b])
    optimizer.apply([None, np.array([2.0])], [a, b])
    assert a.item() == -2.0
    assert np.isnan(b.item())
    b.assign([0.0])
    optimizer.apply([None, np.array([2.0])], [a, b])  # the NaN of the last step is in no sum any more
    optimizer.apply([None, np.array([4.0])], [a, b])
    assert (a.item(), b.item()) == (-2.0, -3.0)


def test_a_schedule_counts_calls_and_clipping_sees_means():
    rates = schedules.PiecewiseConstantDecay([1], [1.0, 0.5])
    optimizer, w = optimizers.SGD(rates, gradient_accumulation_steps=2, clipvalue=1.0), Variable(np.zeros(1))
    for gradient in (3.0, -2.0, 3.0, 3.0):
        assert optimizer.apply_gradients([(np.array([gradient]), w)])
    assert w.item() == -0.5 * 1.0 - 0.5 * 1.0


def test_averages_of_weights():
    optimizer, w = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.75), Variable(np.zeros(1))
    averages, average = [], None
    optimizer.finalize_variable_values([w])  # nothing to take yet
    for gradient in (-1.0, -3.0, 2.0):
        optimizer.apply([np.array([gradient])], [w])
        average = w.item() if average is None else 0.75 * average + 0.25 * w.item()
        averages.append(average)
    assert w.item() == 2.0
    optimizer.finalize_variable_values([w])
    assert w.item() == averages[-1] == 0.75 * (0.75 * 1.0 + 0.25 * 4.0) + 0.25 * 2.0
    with pytest.raises(ValueError, match="is not one that it was built with"):
        optimizer.finalize_variable_values([Variable(np.zeros(1))])


def test_weights_are_overwritten_with_their_averages_now_and_then():
    optimizer = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)
    w, other = Variable(np.zeros(1, np.float32)), Variable(np.zeros((2, 1)))
    seen = []
    for _ in range(4):
        optimizer.apply([np.full(1, -1.0), np.full((2, 1), -2.0)], [w, other])
        seen.append(w.item())
        np.testing.assert_array_equal(other.numpy(), np.full((2, 1), 2 * w.item()))
    assert seen == [1.0, 1.5, 2.5, 2.75]


def test_averages_move_with_steps_not_with_calls():
    plain = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)
    gathering = optimizers.SGD(
        1.0, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2, gradient_accumulation_steps=2
    )
    w, v = Variable(np.zeros(1)), Variable(np.zeros(1))
    for step in range(5):
        plain.apply([np.array([step])], [w])
        for part in (step - 1.0, step + 1.0):
            gathering.apply([np.array([part])], [v])
        assert w.item() == v.item()


# ----------------------------------------------------------------------------------------------------- learning rates


def test_the_learning_rate_can_be_set():
    optimizer, w = optimizers.SGD(1.0), Variable(np.zeros(1))
    optimizer.learning_rate = 0.25
    optimizer.apply([np.ones(1)], [w])
    assert w.item() == -0.25
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer.learning_rate = -1.0


def test_schedules_are_called_with_the_steps_so_far():
    seen = []

    class Record(schedules.LearningRateSchedule):
        def __call__(self, step):
            seen.append(step)
            return 0.5**step

    optimizer, w = optimizers.SGD(Record()), Variable(np.zeros(1))
    for _ in range(3):
        optimizer.apply([np.ones(1)], [w])
    assert w.item() == -1.75
    assert seen == [0, 1, 2]
    with pytest.raises(TypeError, match="follows a schedule"):
        optimizer.learning_rate = 0.1


def test_schedules():
    exponential = schedules.ExponentialDecay(0.8, 4, 0.25)
    assert [exponential(step) for step in (0, 2, 4)] == [0.8, pytest.approx(0.4), pytest.approx(0.2)]
    staircase = schedules.ExponentialDecay(0.8, 4, 0.5, staircase=True)
    assert [staircase(step) for step in (0, 3, 4, 8)] == [0.8, 0.8, 0.4, 0.2]
    cosine = schedules.CosineDecay(1.0, 10, alpha=0.1)
    assert [cosine(step) for step in (0, 5, 10, 99)] == [1.0, pytest.approx(0.55), pytest.approx(0.1), cosine(10)]
    warm = schedules.CosineDecay(0.0, 10, warmup_target=2.0, warmup_steps=4)
    assert [warm(step) for step in (0, 1, 4, 9, 14)] == [0.0, 0.5, 2.0, pytest.approx(1.0), pytest.approx(0.0)]
    pieces = schedules.PiecewiseConstantDecay([2, 5], [1.0, 0.5, 0.1])
    assert [pieces(step) for step in range(7)] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.1]


def test_further_schedules():
    inverse = schedules.InverseTimeDecay(1.0, 2, 0.5)
    assert [inverse(step) for step in (0, 2, 3, 4)] == [1.0, 1 / 1.5, 1 / 1.75, 0.5]
    staircase = schedules.InverseTimeDecay(1.0, 2, 0.5, staircase=True)
    assert [staircase(step) for step in (0, 1, 3, 4)] == [1.0, 1.0, 1 / 1.5, 0.5]
    polynomial = schedules.PolynomialDecay(1.0, 4, 0.2, power=2.0)
    assert [polynomial(step) for step in (0, 2, 4, 9)] == [1.0, pytest.approx(0.4), 0.2, 0.2]
    cycle = schedules.PolynomialDecay(1.0, 4, 0.0, cycle=True)
    assert [cycle(step) for step in (0, 2, 4, 5, 6, 8, 9)] == [1.0, 0.5, 0.0, 0.375, 0.25, 0.0, 0.25]
    once = schedules.OneCycle(1.0, 11, 2 / 11, "linear", div_factor=4.0, final_div_factor=25.0)
    assert [once(step) for step in (0, 1, 10, 99)] == [0.25, pytest.approx(1.0), pytest.approx(0.01), once(10)]


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0, 3.0, 10.0])
def test_every_restart_begins_at_the_top(factor):
    """Also where a quotient of logarithms is not a whole number: of 3⁵ and 3 it is 4.999…"""
    restarts = schedules.CosineDecayRestarts(0.5, 2, t_mul=factor, m_mul=0.5, alpha=0.25)
    begin, length = 0.0, 2.0
    for number in range(8):
        step = math.ceil(begin)
        top = 0.75 * 0.5**number * 0.5 * (1 + math.cos(math.pi * (step - begin) / length)) + 0.25
        assert restarts(step) == pytest.approx(0.5 * top, rel=1e-12)
        begin, length = begin + length, length * factor
        last = math.ceil(begin) - 1
        low = 0.75 * 0.5**number * 0.5 * (1 + math.cos(math.pi * (1 - (begin - last) / (length / factor)))) + 0.25
        assert restarts(last) == pytest.approx(0.5 * low, rel=1e-12)


SCHEDULES = [
    schedules.CosineDecay(0.1, 10, 0.1, warmup_target=0.2, warmup_steps=3),
    schedules.CosineDecayRestarts(0.1, 10, 1.5, 0.9, 0.1),
    schedules.ExponentialDecay(0.1, 10, 0.9, True),
    schedules.InverseTimeDecay(0.1, 10, 0.9, True),
    schedules.OneCycle(0.1, 10, 0.25, "linear", 5.0, 10.0, True),
    schedules.PiecewiseConstantDecay([3, 5], [0.1, 0.2, 0.3]),
    schedules.PolynomialDecay(0.1, 10, 0.01, 2.0, True),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_schedules_are_written_down(schedule):
    again = schedules.deserialize(json.loads(json.dumps(schedules.serialize(schedule))))
    assert again.get_config() == schedule.get_config()
    assert [again(step) for step in range(40)] == [schedule(step) for step in range(40)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps"),
        (lambda: schedules.ExponentialDecay(-0.1, 1, 0.5), "initial_learning_rate"),
        (lambda: schedules.CosineDecay(0.1, -1), "decay_steps"),
        (lambda: schedules.CosineDecay(0.1, 5, warmup_steps=2), "warmup_target"),
        (lambda: schedules.CosineDecayRestarts(0.1, 0), "first_decay_steps"),
        (lambda: schedules.CosineDecayRestarts(0.1, 5, t_mul=0.5), "t_mul"),
        (lambda: schedules.InverseTimeDecay(0.1, 0, 0.5), "decay_steps"),
        (lambda: schedules.PolynomialDecay(0.1, float("nan")), "decay_steps"),
        (lambda: schedules.PolynomialDecay(0.1, 5, -1.0), "end_learning_rate"),
        (lambda: schedules.OneCycle(0.1, 0), "total_steps"),
        (lambda: schedules.OneCycle(0.1, 9, 1.5), "pct_start"),
        (lambda: schedules.OneCycle(0.1, 9, 0.75, three_phase=True), "pct_start"),
        (lambda: schedules.OneCycle(0.1, 9, anneal_strategy="step"), "anneal_strategy"),
        (lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2]), "boundaries"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), "boundaries"),
    ],
)
def test_schedules_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_callable_without_arguments():
    rates = iter([0.5, 0.25])
    optimizer, w = optimizers.SGD(lambda: next(rates)), Variable(np.zeros(1))
    for _ in range(2):
        optimizer.apply([np.ones(1)], [w])
    assert w.item() == -0.75


# ------------------------------------------------------------------------------------------------------ missing things


def test_a_missing_gradient_warns_by_name_and_leaves_the_weight():
    weights = variables()
    before = weights[1].numpy().copy()
    step = gradients(1)[0]
    with pytest.warns(UserWarning, match="sgd: no gradient for w1: left"):
        optimizers.SGD(0.1, weight_decay=0.1).apply([step[0], None, step[2]], weights)
    np.testing.assert_array_equal(weights[1].numpy(), before)


def test_no_gradient_at_all_is_an_error():
    with pytest.raises(ValueError, match="no variable has a gradient: w0, w1, w2"):
        optimizers.SGD().apply([None] * 3, variables())


def test_nothing_to_do():
    optimizer = optimizers.SGD()
    optimizer.apply([], [])
    assert optimizer.iterations == 0


def test_wrong_lists():
    optimizer, weights = optimizers.Adam(), variables()
    with pytest.raises(ValueError, match="give the variables"):
        optimizer.apply(gradients(1)[0])
    with pytest.raises(ValueError, match="2 gradients for 3 variables"):
        optimizer.apply(gradients(1)[0][:2], weights)
    with pytest.raises(ValueError, match=r"'w1' has shape \(4,\), its gradient \(3, 2\)"):
        optimizer.apply([gradients(1)[0][0]] * 3, weights)
    optimizer.apply(gradients(1)[0], weights)
    with pytest.raises(ValueError, match="'w0' is not one that this optimizer was built with"):
        optimizer.apply(gradients(1)[0], variables())
    optimizer.apply(gradients(1)[0])
    assert optimizer.apply_gradients(zip(gradients(1)[0], weights, strict=True)) == 3
    with pytest.raises(ValueError, match="built already"):
        optimizer.build(weights)


# ------------------------------------------------------------------------------------------------------------- state


@pytest.mark.parametrize("name", MAKERS | ROUNDABOUT)
@pytest.mark.parametrize("built", [False, True])
def test_a_restored_run_goes_on_as_the_unbroken_one(name, built):
    maker = (MAKERS | ROUNDABOUT)[name]
    steps = gradients(6)
    optimizer, weights = maker(), variables()
    for step in steps[:3]:
        optimizer.apply(step, weights)
    state, values = optimizer.state(), [weight.numpy().copy() for weight in weights]
    kept, done = copy.deepcopy(state), optimizer.iterations
    for step in steps[3:]:
        optimizer.apply(step, weights)

    again, others = maker(), variables(seed=9)
    if built:
        again.apply(gradients(1, seed=5)[0], others)
    for weight, value in zip(others, values, strict=True):
        weight.assign(value)
    again.load_state(state)
    assert again.iterations == done
    for step in steps[3:]:
        again.apply(step, others)
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    for key, array in kept.items():
        np.testing.assert_array_equal(state[key], array, err_msg="the state is a copy")


def test_the_state_of_an_optimizer_that_made_no_step():
    used, fresh, ours, theirs = optimizers.Adam(), optimizers.Adam(), variables(), variables()
    used.apply(gradients(1, seed=3)[0], ours)
    used.load_state(optimizers.Adam().state())
    for step in gradients(2):
        used.apply(step, ours)
        fresh.apply(step, theirs)
    assert used.iterations == fresh.iterations == 2
    for key, array in fresh.state().items():
        np.testing.assert_array_equal(used.state()[key], array, err_msg=key)


def test_a_state_that_was_loaded_and_not_used_is_given_again():
    optimizer, weights = optimizers.Adam(), variables()
    optimizer.apply(gradients(1)[0], weights)
    state = optimizer.state()
    again = optimizers.Adam()
    again.load_state(state)
    assert again.state().keys() == state.keys()


def test_a_state_that_does_not_fit_changes_nothing():
    optimizer, weights = optimizers.Adam(), variables()
    optimizer.apply(gradients(1)[0], weights)
    before = optimizer.state()
    wrong = [
        ({**before, "0.first_moment": np.zeros(5)}, r"first_moment of variable 'w0' has shape \(3, 2\)"),
        ({k: v for k, v in before.items() if k != "2.second_moment"}, "2.second_moment"),
        ({**before, "3.first_moment": np.zeros(5)}, "3.first_moment"),
        ({k: v for k, v in before.items() if k != "iterations"}, "no 'iterations'"),
        ({k: v for k, v in before.items() if k != "learning_rate"}, "has no learning rate"),
    ]
    for state, error in wrong:
        with pytest.raises(ValueError, match=error):
            optimizer.load_state(state)
    after = optimizer.state()
    assert after.keys() == before.keys()
    for key in before:
        np.testing.assert_array_equal(after[key], before[key])


# -------------------------------------------------------------------------------------------- names and configurations


@pytest.mark.parametrize("name", MAKERS)
def test_configurations(name):
    made = MAKERS[name]()
    written = json.loads(json.dumps(config.serialize(made)))
    again = optimizers.get(written)
    assert type(again) is type(made)
    assert again.get_config() == made.get_config()


def test_a_schedule_in_a_configuration():
    made = optimizers.Adam(schedules.PiecewiseConstantDecay([3], [0.1, 0.2]))
    again = optimizers.get(json.loads(json.dumps(config.serialize(made))))
    again.iterations = 4
    assert again.learning_rate == 0.2
    with pytest.raises(NotImplementedError, match="function"):
        optimizers.SGD(lambda: 0.1).get_config()


def test_identifiers():
    made = optimizers.SGD()
    assert optimizers.get(made) is made
    assert type(optimizers.get("Adam")) is optimizers.Adam
    assert type(optimizers.get("adamw")) is optimizers.AdamW
    assert type(optimizers.get(optimizers.RMSprop)) is optimizers.RMSprop
    assert type(optimizers.get("NADAM")) is optimizers.Nadam
    assert type(optimizers.deserialize(optimizers.serialize(optimizers.Lion()))) is optimizers.Lion
    with pytest.raises(ValueError, match="optimizer 'sgdm' is not known"):
        optimizers.get("sgdm")
    with pytest.raises(TypeError, match="optimizer = None"):
        optimizers.get(None)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optimizers.SGD(lr=0.1), TypeError, "unknown argument 'lr'"),
        (lambda: optimizers.Adam(use_ema=True, ema_momentum=1.5), ValueError, "ema_momentum = 1.5"),
        (lambda: optimizers.Adam(ema_overwrite_frequency=0), ValueError, "ema_overwrite_frequency = 0: .* at least 1"),
        (lambda: optimizers.Adam(gradient_accumulation_steps=1), ValueError, "at least 2"),
        (lambda: optimizers.Adam(gradient_accumulation_steps=2.0), TypeError, "whole number"),
        (lambda: optimizers.Adam(loss_scale_factor=0), ValueError, "loss_scale_factor"),
        (lambda: optimizers.Adagrad(initial_accumulator_value=-1), ValueError, "initial_accumulator_value"),
        (lambda: optimizers.Ftrl(learning_rate_power=0.5), ValueError, "learning_rate_power"),
        (lambda: optimizers.Ftrl(l1_regularization_strength=-1), ValueError, "l1_regularization_strength"),
        (lambda: optimizers.Lion(beta_1=0), ValueError, "beta_1"),
        (lambda: optimizers.SGD(clipnorm=1.0, clipvalue=1.0), ValueError, "at most one of"),
        (lambda: optimizers.SGD(clipnorm=0.0), ValueError, "clipnorm"),
        (lambda: optimizers.SGD(-0.1), ValueError, "learning_rate = -0.1"),
        (lambda: optimizers.SGD(float("nan")), ValueError, "learning_rate"),
        (lambda: optimizers.SGD("0.1"), TypeError, "learning_rate"),
        (lambda: optimizers.SGD(momentum=1.5), ValueError, "momentum"),
        (lambda: optimizers.Adam(beta_2=1.0), ValueError, "beta_2 = 1.0: .* less than 1.0"),
        (lambda: optimizers.Adam(weight_decay=-1.0), ValueError, "weight_decay"),
        (lambda: optimizers.AdamW(weight_decay=None), ValueError, "Adam goes without"),
    ],
)
def test_arguments_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()
