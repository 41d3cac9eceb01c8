"""Tensors of random numbers, as keras.random draws them."""

import numpy as np
import pytest

import tomograd as tg
from tomograd import layers, ops


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: tg.random.normal((50, 40), 2.0, 0.5, seed=seed),
        lambda seed: tg.random.truncated_normal((50, 40), 2.0, 0.5, seed=seed),
        lambda seed: tg.random.uniform((50, 40), 1.0, 3.0, seed=seed),
        lambda seed: tg.random.uniform((50, 40), 1, 4, dtype="int32", seed=seed),
        lambda seed: tg.random.randint((50, 40), 1, 4, seed=seed),
    ],
    ids=["normal", "truncated_normal", "uniform", "uniform of integers", "randint"],
)
def test_seeds_decide_and_the_numbers_are_of_the_distribution(draw):
    values = draw(3).numpy()
    assert values.shape == (50, 40)
    assert values.dtype in (np.float32, np.int32)
    assert abs(values.mean() - 2.0) < 0.1
    assert values.min() >= 1 or values.dtype == np.float32
    np.testing.assert_array_equal(values, draw(3).numpy())
    assert not np.array_equal(values, draw(4).numpy())
    stream = tg.random.SeedGenerator(3)
    np.testing.assert_array_equal(values, draw(stream).numpy())
    assert not np.array_equal(values, draw(stream).numpy())
    tg.random.seed(7)
    first = draw(None).numpy()
    assert not np.array_equal(first, draw(None).numpy())
    tg.random.seed(7)
    np.testing.assert_array_equal(first, draw(None).numpy())


def test_truncated_draws_stay_within_two_deviations():
    values = tg.random.truncated_normal((2000,), 1.0, 0.5, dtype="float64", seed=1).numpy()
    assert 0.0 <= values.min() < 0.1
    assert 1.9 < values.max() <= 2.0
    assert 0.4 < values.std() < 0.48  # 0.88 of 0.5


def test_parts_in_another_order_and_dropped_elements():
    x = np.arange(12.0).reshape(3, 4)
    shuffled = tg.random.shuffle(x, axis=1, seed=2).numpy()
    assert not np.array_equal(shuffled, x)
    np.testing.assert_array_equal(np.sort(shuffled, axis=1), x)
    dropped = tg.random.dropout(np.ones((100, 10)), 0.5, seed=2).numpy()
    assert set(np.unique(dropped)) == {0.0, 2.0}


def test_wrong_types_are_errors():
    with pytest.raises(ValueError, match="dtype = 'int32'"):
        tg.random.normal((2,), dtype="int32")
    with pytest.raises(ValueError, match="a seed is"):
        tg.random.normal((2,), seed=-1)


class Sampling(layers.Layer):
    """As Keras's guide to variational autoencoders writes it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = tg.random.SeedGenerator(1337)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        epsilon = tg.random.normal(shape=ops.shape(z_mean), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


def test_a_layer_that_samples_goes_on_where_a_backup_was(tmp_path):
    def run(epochs):
        tg.random.seed(1)
        inputs = tg.Input((3,))
        z = Sampling()([layers.Dense(2)(inputs), layers.Dense(2)(inputs)])
        model = tg.Model(inputs, layers.Dense(1)(z))
        model.compile("adam", "mse")
        x = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
        stop = tg.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: (_ for _ in ()).throw(KeyboardInterrupt) if epoch == epochs - 1 else None
        )
        backup = tg.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)
        try:
            model.fit(x, x[:, :1], batch_size=4, epochs=4, verbose=0, callbacks=[backup, stop])
        except KeyboardInterrupt:
            return None
        return model.get_weights()

    whole = run(9)
    assert run(2) is None
    for one, other in zip(whole, run(9), strict=True):
        np.testing.assert_array_equal(one, other)
