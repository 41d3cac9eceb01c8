"""What is remembered for the same arguments, and what only looks the same."""

import numpy as np
import pytest

from tomograd.engine.functions.arguments import remembered


@pytest.fixture
def asked():
    """A function that is remembered, and the arguments with which its body ran."""
    calls = []

    @remembered
    def pair(*arguments):
        calls.append(arguments)
        return [arguments]

    return pair, calls


@pytest.mark.parametrize("arguments", [(), (1,), ("same",), (None,), ((1, 2), 3, "valid", None), (((1, 0), (2, 3)),)])
def test_plain_arguments_are_remembered(asked, arguments):
    pair, calls = asked
    assert pair(*arguments) is pair(*arguments)
    assert calls == [arguments]


@pytest.mark.parametrize("other", [True, 1.0, np.int64(1), (True,), (1, 1.0), [1], (1, [1])])
def test_what_only_equals_plain_arguments_is_not(asked, other):
    pair, calls = asked
    pair(1), pair((1,)), pair((1, 1))
    for _ in range(2):
        assert pair(other)[0][0] is other
    assert len(calls) == 5
