"""What each function says when its arguments do not fit: the function, the argument, what was given and expected."""

import pytest

from tomograd.engine import functional as F
from tomograd.testing.registry import ENTRIES, checks
from tomograd.testing.registry.values import IMAGE, KERNEL

ERRORS = [pytest.param(e, id=f"{entry.name}-{i}") for entry in ENTRIES.values() for i, e in enumerate(entry.errors)]


@pytest.mark.parametrize("error", ERRORS)
def test_errors(error):
    checks.fails(error)


@pytest.mark.parametrize("wrong", [{"strides": (1.0, 1)}, {"dilation_rate": (True, 1)}, {"groups": True}])
def test_what_only_equals_an_int_is_an_error_after_a_right_call_as_well(wrong):
    F.conv(IMAGE, KERNEL, strides=(1, 1), dilation_rate=(1, 1), groups=1)
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(wrong))} = .*expected"):
        F.conv(IMAGE, KERNEL, **({"strides": (1, 1), "dilation_rate": (1, 1)} | wrong))


def test_windows_may_be_lists_that_change():
    padding = [[1, 1], [1, 1]]
    assert F.conv(IMAGE, KERNEL, padding=padding).shape == (1, 4, 4, 5)
    padding[0][0] = 2
    assert F.conv(IMAGE, KERNEL, padding=padding).shape == (1, 5, 4, 5)
