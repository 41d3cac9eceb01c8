"""The random layers: what is drawn, for each image, in training alone; images and masks by one draw; errors."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tomograd as tg
from tomograd import callbacks, layers
from tomograd.engine.layers.augmentation import RandomLayer

RNG = np.random.default_rng(7)
IMAGES = RNG.uniform(0, 255, (4, 6, 5, 2)).astype(np.float32)

MADE = {
    "RandomFlip": lambda **more: layers.RandomFlip(**more),
    "RandomRotation": lambda **more: layers.RandomRotation(0.3, **more),
    "RandomZoom": lambda **more: layers.RandomZoom(0.4, **more),
    "RandomTranslation": lambda **more: layers.RandomTranslation(0.3, (0.1, 0.4), **more),
    "RandomCrop": lambda **more: layers.RandomCrop(4, 3, **more),
    "RandomContrast": lambda **more: layers.RandomContrast(0.5, **more),
    "RandomBrightness": lambda **more: layers.RandomBrightness(0.3, **more),
}
EACH = pytest.mark.parametrize("name", MADE)
SAME_SIZE = pytest.mark.parametrize("name", [name for name in MADE if name != "RandomCrop"])


@EACH
def test_a_seed_repeats_the_draws_and_each_call_draws_anew(name):
    one, other = MADE[name](seed=3), MADE[name](seed=3)
    calls = [[layer(IMAGES, training=True).numpy() for _ in range(4)] for layer in (one, other)]
    np.testing.assert_array_equal(*calls)
    assert any((calls[0][0] != later).any() for later in calls[0][1:])
    assert one.generators() == [one.generator]


@EACH
def test_without_a_seed_the_engine_draws(name):
    layer = MADE[name]()
    assert layer.generators() == []
    results = []
    for _ in range(2):
        tg.random.seed(5)
        results.append(layer(IMAGES, training=True).numpy())
    np.testing.assert_array_equal(*results)


@SAME_SIZE
def test_each_image_has_a_draw_of_its_own(name):
    same = np.broadcast_to(IMAGES[:1], (32, *IMAGES.shape[1:]))
    y = MADE[name](seed=0)(same, training=True).numpy()
    different = {image.tobytes() for image in y}
    assert len(different) > (3 if name == "RandomFlip" else 30)


@SAME_SIZE
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_outside_of_training_images_stay(name, kind):
    layer = MADE[name]()
    images = IMAGES.astype(kind)
    np.testing.assert_array_equal(layer(images, training=False).numpy(), images)
    data = layer({"images": images, "labels": np.arange(4)}, training=False)
    np.testing.assert_array_equal(data["images"].numpy(), images)
    assert data["images"].dtype == np.float32


def test_who_says_whether_it_is_training():
    layer = layers.RandomBrightness((0.5, 0.5))
    alone, model = tg.Sequential([layer]), tg.Sequential([layers.Input((6, 5, 2)), layer, layers.Flatten()])
    darker = np.zeros((2, 6, 5, 2), np.float32)
    assert (layer(darker).numpy() == 127.5).all()  # as in Keras
    assert (alone(darker).numpy() == 127.5).all()
    assert (alone(darker, training=False).numpy() == 0).all()
    for _ in range(5):  # as often as it takes for the call to be recorded
        assert (model.predict(darker, verbose=0) == 0).all()
        with tg.no_grad():
            assert (model(darker).numpy() == 127.5).all()
    model.compile("sgd", "mse")
    assert model.evaluate(darker, np.zeros((2, 60)), verbose=0) == 0
    assert model.train_on_batch(darker, np.zeros((2, 60))) > 16000 if model.trainable_weights else True
    assert not layers.Dropout(0.5)(np.ones((3, 4))).numpy().max() > 1  # others are not in training unless told


def test_a_model_of_ones_own_that_says_so_by_its_default():
    """Each as in Keras."""
    layer, dark = layers.RandomBrightness((0.5, 0.5)), np.zeros((1, 2, 2, 1), np.float32)

    class Net(tg.Model):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def call(self, inputs):
            return self.layer(inputs)

    class Told(Net):
        def call(self, inputs, training=False):
            return self.layer(inputs)

    class Open(Net):
        def call(self, inputs, training=None):
            assert training is not None
            return self.layer(inputs)

    assert [net(dark).numpy().max() for net in (Net(), Told(), Open())] == [127.5, 0.0, 127.5]
    assert [net(dark, training=True).numpy().max() for net in (Net(), Told(), Open())] == [127.5] * 3
    assert [net(dark, training=False).numpy().max() for net in (Net(), Told(), Open())] == [0.0] * 3


@EACH
def test_one_image_is_a_batch_of_one(name):
    one, batch = MADE[name](seed=9), MADE[name](seed=9)
    for image in IMAGES:
        y = one(image, training=True)
        assert y.ndim == 3
        np.testing.assert_array_equal(y.numpy(), batch(image[None], training=True).numpy()[0])


@EACH
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, np.bool_])
@pytest.mark.parametrize("lacks_channels", [False, True])
def test_masks_go_where_their_images_go(name, kind, lacks_channels):
    """A mask that is an image of whole numbers comes out as the image does to the nearest pixel."""
    classes = RNG.integers(0, 2 if kind is np.bool_ else 4, (4, 6, 5, 1))
    given = classes[..., 0] if lacks_channels else classes
    follows = name not in ("RandomContrast", "RandomBrightness")
    more = {"interpolation": "nearest"} if name in ("RandomRotation", "RandomZoom", "RandomTranslation") else {}
    layer = MADE[name](seed=2, **more)
    images = classes.astype(np.float32)
    inputs = {"images": images, "segmentation_masks": given.astype(kind), "labels": np.arange(4)}
    data = layer(inputs, training=True)
    masks = data["segmentation_masks"].numpy()
    assert masks.dtype == kind
    assert masks.ndim == given.ndim
    expected = data["images"].numpy() if follows else classes
    np.testing.assert_array_equal(masks.reshape(expected.shape), expected)
    np.testing.assert_array_equal(data["labels"].numpy(), np.arange(4))


@EACH
def test_a_dict_that_is_given_is_not_changed(name):
    given = {"images": IMAGES, "labels": np.arange(4)}
    MADE[name]()(given, training=True)
    assert given["images"] is IMAGES


@EACH
def test_gradients_flow_to_the_images(name):
    layer = MADE[name](seed=4)
    x = tg.Tensor(IMAGES / 255, requires_grad=True)
    y = layer(x, training=True)
    cotangent = tg.Tensor(RNG.standard_normal(y.shape).astype(np.float32))
    (gradient,) = tg.grad(y, [x], cotangent)
    assert gradient.shape == x.shape
    layer.generator.seed(4)
    if name not in ("RandomContrast", "RandomBrightness"):  # the others are linear: ⟨A x, c⟩ = ⟨x, Aᵀ c⟩
        inner = float((y.numpy() * cotangent.numpy()).sum())
        np.testing.assert_allclose(float((x.numpy() * gradient.numpy()).sum()), inner, rtol=1e-3, atol=1e-3)


@EACH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_types_empty_batches_and_the_reference(name, dtype):
    layer = MADE[name](seed=4, dtype=dtype)
    y = layer(IMAGES.astype(np.uint8), training=True)
    assert y.dtype == dtype
    assert layer(IMAGES[:0], training=True).shape == (0, *y.shape[1:])
    layer.generator.seed(4)
    with tg.kernels.using("reference"):
        again = layer(IMAGES.astype(np.uint8), training=True)
    np.testing.assert_allclose(again.numpy(), y.numpy(), rtol=1e-5, atol=1e-3)


@EACH
def test_symbols_and_saved_models(name, tmp_path):
    images, masks, labels = (
        layers.Input((6, 5, 2)),
        layers.Input((6, 5), dtype="int64"),
        layers.Input((), dtype="int32"),
    )
    layer = MADE[name](seed=1)
    outputs = layer({"images": images, "segmentation_masks": masks, "labels": labels})
    model = tg.Model({"images": images, "segmentation_masks": masks, "labels": labels}, outputs)
    given = {
        "images": IMAGES,
        "segmentation_masks": np.ones((4, 6, 5), np.int64),
        "labels": np.arange(4, dtype=np.int32),
    }
    model.save(tmp_path / "m.safetensors")
    again = tg.models.load_model(tmp_path / "m.safetensors")
    found, loaded = model(given, training=True), again(given, training=True)
    for key, symbol in outputs.items():
        assert symbol.shape == (None, *found[key].shape[1:])
        assert symbol.dtype == found[key].dtype
        np.testing.assert_array_equal(loaded[key].numpy(), found[key].numpy())


@EACH
def test_configurations(name):
    layer = MADE[name](seed=1)
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert again.get_config() == config
    np.testing.assert_array_equal(again(IMAGES, training=True).numpy(), layer(IMAGES, training=True).numpy())


def test_a_run_that_broke_off_resumes_with_its_draws(tmp_path):
    class BreakOff(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.training_run.steps == 5:
                raise KeyboardInterrupt

    def run(*further):
        tg.random.seed(3)
        drawing = [layers.RandomFlip(), layers.RandomRotation(0.2, seed=4), layers.RandomCrop(4, 4, seed=5)]
        model = tg.Sequential([layers.Input((6, 5, 2)), *drawing, layers.Flatten(), layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(IMAGES / 255, np.arange(4.0)[:, None], batch_size=2, epochs=4, verbose=0, callbacks=list(further))
        return model.get_weights()

    unbroken = run()
    with pytest.raises(KeyboardInterrupt):
        run(callbacks.BackupAndRestore(tmp_path / "backup", save_freq=3), BreakOff())
    resumed = run(callbacks.BackupAndRestore(tmp_path / "backup", save_freq=3))
    for one, other in zip(unbroken, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


# ---------------------------------------------------------------------------------------------------- distributions


def draws_of(layer, number=4000):
    return layer.get_random_transformation(tg.Tensor(np.zeros((number, 4, 6, 1), np.float32)))


def is_even(values, low, high):
    """Whether values may be drawn evenly from low … high: bounds, mean and variance."""
    values = np.asarray(values)
    assert values.min() >= low
    assert values.max() < high
    width = high - low
    assert abs(values.mean() - (low + high) / 2) < 5 * width / np.sqrt(12 * values.size)
    assert values.var() == pytest.approx(width**2 / 12, rel=0.1)
    return True


def test_flips_are_independent_coins():
    flips = draws_of(layers.RandomFlip(seed=0))["flips"]
    assert set(flips) == {-2, -3}
    for drawn in (flips[-2], flips[-3], flips[-2] ^ flips[-3]):
        assert drawn.mean() == pytest.approx(0.5, abs=0.04)
    assert set(draws_of(layers.RandomFlip("horizontal"))["flips"]) == {-2}
    assert set(draws_of(layers.RandomFlip("vertical"))["flips"]) == {-3}


def test_angles():
    maps = draws_of(layers.RandomRotation((-0.05, 0.2), seed=0))["maps"]
    assert is_even(np.arctan2(maps[:, 3], maps[:, 0]) / (2 * np.pi), -0.05, 0.2)
    maps = draws_of(layers.RandomRotation(0.25, seed=0))["maps"]
    assert is_even(np.arctan2(maps[:, 3], maps[:, 0]) / (2 * np.pi), -0.25, 0.25)


def test_zooms():
    maps = draws_of(layers.RandomZoom((-0.3, 0.1), 0.2, seed=0))["maps"]
    assert is_even(maps[:, 4], 0.7, 1.1)
    assert is_even(maps[:, 0], 0.8, 1.2)
    assert abs(np.corrcoef(maps[:, 0], maps[:, 4])[0, 1]) < 0.1
    maps = draws_of(layers.RandomZoom(0.5, seed=0))["maps"]
    np.testing.assert_array_equal(maps[:, 0], maps[:, 4])  # the ratio of the sides stays


def test_shifts():
    maps = draws_of(layers.RandomTranslation((0.1, 0.2), 0.5, seed=0))["maps"]
    assert is_even(-maps[:, 5], 0.4, 0.8)  # of a height of 4
    assert is_even(-maps[:, 2], -3.0, 3.0)  # of a width of 6


def test_contrast_and_brightness():
    assert is_even(draws_of(layers.RandomContrast(0.3, seed=0))["contrast_factor"], 0.7, 1.3)
    assert is_even(draws_of(layers.RandomContrast((0.5, 0.1), seed=0))["contrast_factor"], 0.5, 1.1)
    assert is_even(draws_of(layers.RandomBrightness(0.2, seed=0))["rgb_delta"], -51, 51)
    layer = layers.RandomBrightness((0.0, 0.5), value_range=(1, -1), seed=0)
    assert is_even(draws_of(layer)["rgb_delta"], 0.0, 1.0)


def test_places_of_crops():
    layer = layers.RandomCrop(3, 2, seed=0)
    image = np.arange(5 * 3.0).reshape(1, 5, 3, 1)
    found = [int(layer(image, training=True).numpy()[0, 0, 0, 0]) for _ in range(600)]
    places, counts = np.unique(found, return_counts=True)
    assert places.tolist() == [0, 1, 3, 4, 6, 7]
    assert counts.min() > 60
    wide = [int(layers.RandomCrop(5, 2, seed=s)(image, training=True).numpy()[0, 0, 0, 0]) for s in range(30)]
    assert set(wide) == {0, 1}  # one side as long as is wanted


# ------------------------------------------------------------------------------------------------------- by hand


def test_by_hand():
    image = np.arange(12.0).reshape(1, 3, 4, 1)
    turned = layers.RandomRotation((0.5, 0.5))(image, training=True).numpy()
    np.testing.assert_allclose(turned, image[:, ::-1, ::-1], atol=1e-5)
    square = image[:, :, :3]
    quarter = layers.RandomRotation((0.25, 0.25), interpolation="nearest")(square, training=True).numpy()
    np.testing.assert_array_equal(quarter[0, ..., 0], np.rot90(square[0, ..., 0]))  # counterclockwise
    shifted = layers.RandomTranslation((1 / 3, 1 / 3), (0.5, 0.5), "constant", fill_value=-1.0)(image, training=True)
    expected = np.full((3, 4), -1.0)
    expected[1:, 2:] = image[0, :2, :2, 0]
    np.testing.assert_allclose(shifted.numpy()[0, ..., 0], expected, atol=1e-5)
    out = layers.RandomZoom((1.0, 1.0), fill_mode="constant", fill_value=9.0)(np.ones((1, 4, 4, 1)), training=True)
    assert out.numpy()[0, 1:3, 1:3].min() == 1.0
    assert out.numpy()[0, 0, 0] == 9.0


def test_the_part_in_the_middle_where_nothing_is_drawn():
    image = np.arange(60.0).reshape(1, 6, 10, 1)
    layer = layers.RandomCrop(3, 3)
    expected = tg.functional.resize(image[:, :, 2:8].astype(np.float32), (3, 3)).numpy()
    np.testing.assert_allclose(layer(image, training=False).numpy(), expected)
    small = layers.RandomCrop(12, 12)(image, training=True).numpy()  # square, from the six by six in the middle
    np.testing.assert_allclose(small, tg.functional.resize(image[:, :, 2:8].astype(np.float32), (12, 12)).numpy())


@given(
    name=st.sampled_from(["RandomRotation", "RandomZoom", "RandomTranslation"]),
    fill_mode=st.sampled_from(["nearest", "reflect", "wrap"]),
    seed=st.integers(0, 1000),
)
def test_a_constant_image_stays(name, fill_mode, seed):
    image = np.full((2, 5, 4, 1), 3.5, np.float32)
    y = MADE[name](seed=seed, fill_mode=fill_mode)(image, training=True).numpy()
    np.testing.assert_allclose(y, image, rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.RandomFlip("diagonal"), "mode = 'diagonal'"),
        (lambda: layers.RandomRotation(1.5), r"factor = 1\.5: expected from -1 to 1"),
        (lambda: layers.RandomRotation((0.1, 0.2, 0.3)), "expected a number or two"),
        (lambda: layers.RandomRotation("much"), "expected a number or two"),
        (lambda: layers.RandomRotation(float("nan")), "expected a number or two"),
        (lambda: layers.RandomRotation(0.1, fill_mode="mirror"), "fill_mode = 'mirror'"),
        (lambda: layers.RandomRotation(0.1, interpolation="bicubic"), "interpolation = 'bicubic'"),
        (lambda: layers.RandomZoom(-1.0), r"height_factor = -1\.0"),
        (lambda: layers.RandomZoom(0.1, (-2, 0)), "width_factor"),
        (lambda: layers.RandomTranslation(0.1, 2), "width_factor = 2"),
        (lambda: layers.RandomCrop(0, 3), "height = 0"),
        (lambda: layers.RandomContrast(-0.1), r"factor = -0\.1: expected from 0 to 1"),
        (lambda: layers.RandomBrightness(0.1, value_range=(1,)), "value_range"),
        (lambda: layers.RandomFlip(data_format="channels_first"), "channels_last"),
        (lambda: layers.RandomFlip(bounding_box_format="xyxy"), "bounding_box_format is not supported"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_inputs():
    layer = layers.RandomFlip()
    with pytest.raises(ValueError, match=r"expected images \(N, H, W, C\) or one"):
        layer(np.ones((3, 4)))
    with pytest.raises(ValueError, match="a dict with"):
        layer({"labels": np.ones(3)})
    with pytest.raises(ValueError, match="bounding_boxes are not supported"):
        layer({"images": IMAGES, "bounding_boxes": np.ones((4, 1, 4))})
    with pytest.raises(ValueError, match="do not fit images of shape"):
        layer({"images": IMAGES, "segmentation_masks": np.ones((4, 6, 6, 1))}, training=True)
    with pytest.raises(NotImplementedError, match="get_random_transformation"):
        RandomLayer()(IMAGES, training=True)
