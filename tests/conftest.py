"""What all tests share: the helper modules of tests/helpers on the import path, Hypothesis's settings, the fixtures of
the backends and of real data."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent / "helpers"))

# The default run draws the same examples every time; `--hypothesis-profile=explore` looks for new ones.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "default", deadline=None, max_examples=40, derandomize=True, database=None, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "explore", deadline=None, max_examples=1000, print_blob=True, suppress_health_check=_SLOW_IS_FINE
)
settings.load_profile("default")


def pytest_addoption(parser):
    parser.addoption("--gpu", action="store_true", help="run the cases of the CUDA kernels on the GPU, not emulated")
    parser.addoption(
        "--no-pool",
        action="store_true",
        help="with --gpu: every array in memory of its own, so that compute-sanitizer sees what lies beyond its end",
    )


DATA = Path(os.environ.get("TOMOGRAD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data_folder():
    """The folder of real data sets (TOMOGRAD_DATA, or shared/data beside the checkout)."""
    if not DATA.is_dir():
        pytest.skip(f"no real data sets at {DATA} (set TOMOGRAD_DATA)")
    return DATA


@pytest.fixture(scope="session", params=["reference", "cpu"])
def backend(request):
    """Each backend for NumPy arrays, as a module."""
    from tomograd import kernels

    return kernels.backend(request.param)
