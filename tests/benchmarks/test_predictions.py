"""What is predicted of the CUDA kernels: launches as the launchers make them, floors, the page."""

import math
from pathlib import Path

import numpy as np
import pytest

from tomograd.benchmarks import catalogue, engine_tomograd, predictions
from tomograd.benchmarks.convolutions import FORWARD, INPUT_GRADIENT, PASSES, WEIGHT_GRADIENT, Convolution
from tomograd.benchmarks.operations import GRADIENT, Dense, Operation
from tomograd.benchmarks.recording import launches_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cuda-predictions.md"


@pytest.fixture(autouse=True)
def registers(monkeypatch):
    """The page of the checkout, also where tomograd is installed elsewhere."""
    monkeypatch.setattr(predictions, "REGISTERS_PAGE", PAGE.with_name("cuda-registers.md"))


def entry(case, which):
    return catalogue.Entry("kernels", 0, case, which)


def recorded(case, which, precision="float32"):
    arrays = {name: np.empty(shape, "f4") for name, shape in predictions._shapes(case).items()}
    return launches_of(lambda: engine_tomograd.run_of(case, which, arrays), precision)


def test_the_page_is_that_of_the_sources():
    written = "python -m tomograd.benchmarks.predictions > docs/cuda-predictions.md writes it anew"
    assert PAGE.read_text(encoding="utf-8") == predictions.page(), written


def test_launches_are_noted_with_their_tiles():
    case = Convolution.of("32,64,40,59→256,3,p1")
    (launch,), allocated = recorded(case, FORWARD, "tf32")
    pixels = 32 * 40 * 59
    assert launch.function.expression == "correlate<TF32, 128, 128, false>"
    assert (launch.kernel, launch.arguments) == ("correlate", ["TF32", "128", "128", "false"])
    assert (launch.blocks, launch.threads) == (math.ceil(pixels / 128) * 2, 128)
    assert (launch.fields["splits"], launch.fields["phases"], allocated) == (1, 1, pixels * 256 * 4)
    (launch,), _ = recorded(case, INPUT_GRADIENT)
    assert launch.arguments == ["float", "128", "64", "8", "4", "true"]
    first, second = recorded(case, WEIGHT_GRADIENT, "tf32")[0]
    assert first.fields["splits"] > 1 and second.kernel == "add_parts"


@pytest.mark.parametrize("precision", ["float32", "tf32", "float16"])
def test_nothing_is_faster_than_its_floors(precision):
    for each in catalogue.entries("kernels", True):
        if precision != "float32" and not isinstance(each.case, Convolution | Dense):
            continue
        one = predictions.predict(each, precision)
        if one is None:
            assert each.group == "recurrent cells"
            continue
        assert one.memory >= one.memory_floor and one.arithmetic >= one.arithmetic_floor, each.label
        assert all(0 < share <= 1 for share in (one.tile, one.rounds, one.fed)), (each.label, one)
        assert one.seconds >= one.floor > 0


def test_the_floors_are_bytes_and_operations_over_the_ceilings():
    case = Convolution.of("32,512,40,59→512,3,p1")
    one = predictions.predict(entry(case, FORWARD), "tf32")
    assert one.memory_floor == case.bytes(FORWARD) / 3.35e12
    assert one.arithmetic_floor == case.operations() / 494.7e12
    half = predictions.predict(entry(case, FORWARD), "float16")
    assert half.memory_floor == one.memory_floor / 2 and half.arithmetic_floor == case.operations() / 989.4e12


def test_the_shares_of_a_product():
    """By hand: 128 × 128 numbers need 256 of a and b for each k, from a cache of 22.8 bytes a cycle."""
    case = Convolution.of("32,512,40,59→512,3,p1")
    one = predictions.predict(entry(case, FORWARD), "tf32")
    bytes_in_a_cycle = 5.5e12 / 132 / 1.83e9
    products = 128 * 128 / (256 * 4 / bytes_in_a_cycle)
    assert one.fed == pytest.approx(products / (494.7e12 / 2 / 132 / 1.83e9)) and one.by == "second-level cache"
    assert one.blocks == 2  # 242 registers, 128 threads: 2.1; 101 KB of shared memory: 2.3
    assert one.rounds == pytest.approx(32 * 40 * 59 / 128 * 4 / (132 * 2) / 9)
    narrow = predictions.predict(entry(Convolution.of("8,16,570,570→16,3"), FORWARD), "tf32")
    assert narrow.tile == pytest.approx(0.5, rel=1e-3)  # 16 of 32 columns


def test_tiles_that_are_half_empty_in_phases_groups_and_parts():
    """Transposed, grouped, and cut in parts: what tiles compute beyond what is asked for."""
    assert predictions.predict(entry(Convolution.of("64,32,128,128→16,2,s2,T"), FORWARD), "tf32").tile == 0.5
    assert predictions.predict(entry(Convolution.of("64,32,128,128→16,2,s2,T"), FORWARD)).tile == 1.0
    grouped = Convolution.of("128,128,56,56→128,3,p1,g4")
    assert [predictions.predict(entry(grouped, which)).tile for which in PASSES] == [1.0, 1.0, 1.0]
    assert predictions.predict(entry(Convolution.of("4,12,30,30→12,3,p1"), WEIGHT_GRADIENT)).tile == pytest.approx(
        108 * 12 / (128 * 32)
    )


def test_what_is_read_again():
    case = Operation("batch_norm", (32, 256, 256, 16))
    size = math.prod(case.shape) * 4
    for which, moved in ((FORWARD, 3 * size), (GRADIENT, 5 * size)):
        one = predictions.predict(entry(case, which))
        assert one.memory == pytest.approx(moved / 3.35e12 / predictions.STREAMING, rel=1e-4)
    assert predictions.predict(entry(case, FORWARD), chip=predictions.H200).memory_floor == pytest.approx(
        2 * size / 4.8e12, rel=1e-4
    )
