"""`kernels.precision`: what is in force, where it ends, and which names there are."""

import threading

import pytest

from tomograd import kernels
from tomograd.kernels.precision import chosen_precision


def test_float32_is_the_default():
    assert chosen_precision() == "float32"


@pytest.mark.parametrize("name", kernels.PRECISIONS)
def test_it_holds_within_the_block(name):
    with kernels.precision(name) as yielded:
        assert yielded == chosen_precision() == name
    assert chosen_precision() == "float32"


def test_blocks_nest_and_end_when_they_fail():
    with kernels.precision("tf32"):
        with pytest.raises(ZeroDivisionError), kernels.precision("bfloat16"):
            assert chosen_precision() == "bfloat16"
            raise ZeroDivisionError
        assert chosen_precision() == "tf32"
        with kernels.precision("float32"):
            assert chosen_precision() == "float32"


@pytest.mark.parametrize("name", ["float16", "TF32", "", "float64", None])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="expected one of 'float32', 'tf32', 'bfloat16'"), kernels.precision(name):
        pass


def test_another_thread_has_its_own():
    seen = []

    def look():
        seen.append(chosen_precision())
        with kernels.precision("bfloat16"):
            seen.append(chosen_precision())

    with kernels.precision("tf32"):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert chosen_precision() == "tf32"
    assert seen == ["float32", "bfloat16"]
