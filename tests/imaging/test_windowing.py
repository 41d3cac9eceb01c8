"""Windows and scalings by their formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomograd.imaging import ImagingError, normalise, percentile, standardise, unit_range, window

PIXELS = hnp.arrays(np.float32, (3, 4), elements=st.floats(-3000, 3000, width=32))


def linear(x, center, width):
    """DICOM PS3.3 C.11.2.1.2.1, word for word."""
    if x <= center - 0.5 - (width - 1) / 2:
        return 0.0
    if x > center - 0.5 + (width - 1) / 2:
        return 1.0
    return (x - (center - 0.5)) / (width - 1) + 0.5


@given(pixels=PIXELS, center=st.floats(-1000, 1000), width=st.floats(1, 2000))
def test_the_linear_window_is_the_standards(pixels, center, width):
    expected = np.vectorize(linear)(pixels.astype(np.float64), center, width)
    np.testing.assert_allclose(window(pixels, center, width), expected, atol=1e-6)


def test_the_standards_own_example():
    """PS3.3 C.11.2.1.2.1, note: center 2048, width 4096 takes 0 … 4095 to the whole range."""
    assert window(np.array([0, 4095, 2047.5]), 2048, 4096).tolist() == [0, 1, 0.5]


def test_a_window_of_width_one_is_a_threshold():
    assert window(np.array([39.4, 39.5, 39.6]), 40, 1).tolist() == [0, 0, 1]


@given(pixels=PIXELS, center=st.floats(-1000, 1000), width=st.floats(0.5, 2000))
def test_the_other_functions(pixels, center, width):
    x = pixels.astype(np.float64)
    exact = np.clip((x - center) / width + 0.5, 0, 1)
    np.testing.assert_allclose(window(pixels, center, width, "LINEAR_EXACT"), exact, atol=1e-6)
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-4 * (x - center) / width))
    np.testing.assert_allclose(window(pixels, center, width, "SIGMOID"), sigmoid, atol=1e-6)


@pytest.mark.parametrize(
    "arguments", [(0, 0), (0, -5), (0, 0.5), (np.nan, 5), (0, np.inf), (0, 5, "CUBIC"), (0, 0, "SIGMOID")]
)
def test_impossible_windows(arguments):
    with pytest.raises(ImagingError):
        window(np.zeros(3), *arguments)


@given(pixels=PIXELS, low=st.floats(-1000, 0), span=st.floats(1, 2000))
def test_unit_range(pixels, low, span):
    result = unit_range(pixels, low, low + span)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.clip((pixels.astype(np.float64) - low) / span, 0, 1), atol=1e-6)


@given(pixels=PIXELS)
def test_normalise_spreads_over_the_unit_range(pixels):
    result = normalise(pixels)
    if pixels.max() > pixels.min():
        assert result.min() == 0
        assert result.max() == 1
        assert np.array_equal(result.argmax(), pixels.argmax())
    else:
        assert (result == 0).all()


def test_percentiles_cut_the_few_that_are_bright():
    pixels = np.concatenate([np.linspace(0, 100, 1000), [1e6]])
    result = percentile(pixels, 1, 99)
    assert result[-1] == 1
    assert result[500] == pytest.approx(0.5, abs=0.02)
    mostly_empty = np.zeros(1000)
    mostly_empty[0] = 7
    assert percentile(mostly_empty).max() == 1  # both percentiles are 0: the range there is gets used
    with pytest.raises(ImagingError):
        percentile(pixels, 50, 50)


@given(pixels=PIXELS)
def test_standardise(pixels):
    result = standardise(pixels).astype(np.float64)
    assert result.mean() == pytest.approx(0, abs=1e-3)
    assert result.std() == pytest.approx(1 if pixels.astype(np.float64).std() > 0 else 0, rel=1e-3)
    given_ones = standardise(pixels, 10, 4)
    np.testing.assert_allclose(given_ones, (pixels.astype(np.float64) - 10) / 4, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "function",
    [normalise, percentile, standardise, lambda x: window(x, 0, 9), lambda x: unit_range(x, 0, 1)],
    ids=["normalise", "percentile", "standardise", "window", "unit_range"],
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nan_pixels_are_refused(function, wrong):
    with pytest.raises(ImagingError, match="1 of 4 pixels are NaN or infinite"):
        function(np.array([[0, wrong], [1, 2]]))
