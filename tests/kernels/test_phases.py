"""Phases of a transposed convolution: together they cover its output once, and sum what its definition sums."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels.phases import phases_of_transpose

SIZES = st.integers(1, 7)


def by_definition(x, w, outputs, stride, dilation, before):
    """y[o·stride + t·dilation − before] += x[o]·w[t]"""
    y = np.zeros(outputs, int)
    for o, value in enumerate(x):
        for t, weight in enumerate(w):
            if 0 <= (place := o * stride + t * dilation - before) < outputs:
                y[place] += value * weight
    return y


@given(SIZES, st.integers(1, 12), SIZES, SIZES, SIZES, st.integers(0, 6), st.data())
def test_phases_cover_the_output_and_sum_its_taps(inputs, outputs, kernel, stride, dilation, before, data):
    begin = data.draw(st.integers(0, outputs))
    x, w = np.arange(1, inputs + 1), 10 ** np.arange(kernel)
    y = np.full(outputs, -1)
    for phase in phases_of_transpose(outputs, kernel, stride, dilation, before, begin):
        places = np.arange(phase.first, outputs, stride)
        assert len(places) == phase.count and (y[places] == -1).all()
        y[places] = 0
        for n in range(phase.taps):
            source = np.arange(phase.count) + n * phase.dilation - phase.before
            inside = (source >= 0) & (source < inputs)
            y[places[inside]] += x[source[inside]] * w[phase.tap + n * phase.tap_step]
    np.testing.assert_array_equal(y[begin:], by_definition(x, w, outputs, stride, dilation, before)[begin:])
    assert (y[:begin] == -1).all()
