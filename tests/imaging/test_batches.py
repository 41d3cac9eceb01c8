"""Batches: what is in them is fixed by seed and epoch, never by the thread that loads them."""

import gc
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.imaging import (
    Batches,
    Channels,
    DataSet,
    ImagingError,
    RandomCrop,
    RandomFlip,
    RandomNoise,
    Resize,
    Sample,
    UnitRange,
)


class Numbers(DataSet):
    """Sample n is an image of n's with a mask; reading some of them may take a while or fail."""

    path, kind = "numbers", "made up"

    def __init__(self, count, task="segmentation", classes=2, size=(4, 5), slow=0.0, bad=None, shapes=None):
        self.count, self.task, self.size, self.slow, self.bad, self.shapes = count, task, size, slow, bad, shapes
        self.class_names = tuple(map(str, range(classes)))

    def __len__(self):
        return self.count

    def sample(self, index):
        if self.slow:
            time.sleep(self.slow * ((index * 7) % 3))
        if index == self.bad:
            raise ImagingError(f"file {index}", "is damaged")
        size = self.size if self.shapes is None else self.shapes[index % len(self.shapes)]
        target = index % self.classes
        if self.task == "segmentation":
            target = np.full((*size, 1), target, np.int32)
        return Sample(np.full((*size, 1), index, np.float32), target, str(index))

    def name(self, index):
        return str(index)

    def patient(self, index):
        return None

    def part_of(self, index):
        return None

    def label(self, index):
        return index % self.classes


def indices(batches):
    return [image[0, 0, 0] for x, _ in batches for image in x]


def loading_threads():
    return [thread for thread in threading.enumerate() if thread.name == "tomograd-batches"]


@given(
    count=st.integers(1, 13),
    batch_size=st.integers(1, 6),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    prefetch=st.integers(0, 3),
)
def test_an_epoch_holds_every_sample_once(count, batch_size, shuffle, drop_last, prefetch):
    if drop_last and count < batch_size:
        with pytest.raises(ImagingError, match="do not fill one batch"):
            Batches(Numbers(count), batch_size, drop_last=True)
        return
    batches = Batches(Numbers(count), batch_size, shuffle=shuffle, drop_last=drop_last, prefetch=prefetch)
    loaded = list(batches)
    assert len(loaded) == len(batches) == (count // batch_size if drop_last else -(-count // batch_size))
    seen = [x[i, 0, 0, 0] for x, _ in loaded for i in range(len(x))]
    assert len(set(seen)) == len(seen)
    assert len(seen) == (count // batch_size * batch_size if drop_last else count)
    if not shuffle:
        assert seen == sorted(seen)
    for x, y in loaded:
        assert x.dtype == y.dtype == np.float32
        assert np.array_equal(y, x % 2)


def test_targets_take_the_type_that_their_loss_wants():
    binary = next(iter(Batches(Numbers(4), 2)))[1]
    assert (binary.dtype, binary.shape) == (np.float32, (2, 4, 5, 1))
    many = next(iter(Batches(Numbers(4, classes=3), 2)))[1]
    assert (many.dtype, many.shape) == (np.int64, (2, 4, 5, 1))
    labels = next(iter(Batches(Numbers(4, "classification", 3), 2, shuffle=False)))[1]
    assert (labels.dtype, labels.tolist()) == (np.int64, [0, 1])


def test_epochs_differ_and_can_be_repeated():
    batches = Batches(Numbers(20), 3, seed=5)
    epochs = [indices(batches) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    batches.set_epoch(1)
    assert indices(batches) == epochs[1]
    assert indices(batches) == epochs[2]  # and goes on from there
    assert indices(Batches(Numbers(20), 3, seed=5)) == epochs[0]
    assert indices(Batches(Numbers(20), 3, seed=6)) != epochs[0]


@pytest.mark.parametrize("length", [None, 9])
def test_what_is_loaded_does_not_depend_on_the_thread(length):
    steps = [RandomFlip(), RandomCrop((3, 3)), RandomNoise(0.5)]
    settings = {"transforms": steps, "seed": 3, "length": length}
    here = [list(Batches(Numbers(11), 4, prefetch=0, **settings)) for _ in range(1)]
    ahead = [list(Batches(Numbers(11, slow=0.002), 4, prefetch=depth, **settings)) for depth in (1, 5)]
    for other in ahead:
        for (x, y), (other_x, other_y) in zip(here[0], other, strict=True):
            assert np.array_equal(x, other_x)
            assert np.array_equal(y, other_y)


def test_one_batch_by_its_number():
    batches = Batches(Numbers(10), 4, [RandomNoise(1.0)], seed=1)
    expected = list(batches)
    assert np.array_equal(batches.batch(0, 2)[0], expected[2][0])


def test_samples_drawn_with_replacement():
    batches = Batches(Numbers(3), 4, length=50)
    assert len(batches) == 50
    drawn = indices(batches)
    assert len(drawn) == 200
    assert set(drawn) == {0, 1, 2}
    assert min(drawn.count(n) for n in range(3)) > 40


def test_random_transforms_differ_between_samples_and_epochs():
    batches = Batches(Numbers(1), 2, [RandomNoise(1.0)], length=2)
    first, second = (x for x, _ in batches)
    third = next(iter(batches))[0]
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_an_error_while_loading_reaches_the_caller():
    loop = iter(Batches(Numbers(10, bad=5), 2, shuffle=False))
    assert next(loop)[0].shape == (2, 4, 5, 1)
    next(loop)
    with pytest.raises(ImagingError, match="file 5: is damaged"):
        next(loop)
    assert not loading_threads()


def test_an_error_in_a_transform_names_the_sample():
    with pytest.raises(ImagingError, match=r"^7: a piece of"):
        list(Batches(Numbers(8, shapes=[(9, 9)] * 7 + [(4, 4)]), 1, [RandomCrop((5, 5))], shuffle=False))


def test_a_loop_left_early_leaves_no_thread():
    for _ in Batches(Numbers(100, slow=0.001), 2):
        break
    gc.collect()
    assert not loading_threads()
    loop = iter(Batches(Numbers(100), 2))
    next(loop)
    assert loading_threads()
    del loop
    gc.collect()
    assert not loading_threads()


def test_a_finished_loop_leaves_no_thread():
    list(Batches(Numbers(5), 2))
    assert not loading_threads()


def test_two_loops_at_once():
    batches = Batches(Numbers(12), 3, seed=2)
    pairs = list(zip(batches, batches, strict=True))
    assert sorted(x[0, 0, 0] for (batch, _), _ in pairs for x in batch) == list(range(12))
    assert any(not np.array_equal(one[0], other[0]) for one, other in pairs)  # two epochs


def test_images_of_different_sizes():
    data = Numbers(4, shapes=[(4, 5), (6, 5)])
    with pytest.raises(ImagingError, match=r"differ in shape: 0 has \(4, 5, 1\), 1 has \(6, 5, 1\); add Resize"):
        list(Batches(data, 2, shuffle=False))
    x, y = next(iter(Batches(data, 4, [Resize((8, 8)), Channels(3), UnitRange(0, 3)])))
    assert x.shape == (4, 8, 8, 3)
    assert y.shape == (4, 8, 8, 1)


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"prefetch": -1}, {"length": 0}])
def test_settings_that_are_none(settings):
    with pytest.raises(ImagingError, match="expected at least"):
        Batches(Numbers(3), **settings)


def test_loading_goes_on_while_the_caller_works():
    """While the first batch is being used, the next ones are read; but not more than were asked for."""

    class Watched(Numbers):
        def sample(self, index):
            read.append(index)
            return super().sample(index)

    read = []
    loop = iter(Batches(Watched(60), 3, shuffle=False, prefetch=2))
    next(loop)
    deadline = time.monotonic() + 10
    while len(read) < 12 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert read == list(range(12))  # the batch in hand, two in the queue, and one that waits to go in
    loop.close()
