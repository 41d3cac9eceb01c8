"""The benchmarks' cases on a GPU: larger batches, arrays that lie there, and options that say what is wrong."""

from dataclasses import replace

import numpy as np
import pytest
from pretended_device import reference_device

import tomograd as tg
from tomograd.benchmarks import catalogue, engine_tomograd, gpu, suite
from tomograd.benchmarks.convolutions import PASSES, Convolution
from tomograd.benchmarks.networks import Classifier
from tomograd.benchmarks.operations import OPERATIONS, Dense
from tomograd.benchmarks.recurrences import Recurrence
from tomograd.failures import UserError


@pytest.fixture
def cupy():
    with reference_device() as module:
        yield module


def test_batches_that_fill_a_gpu_are_the_same_cases_otherwise():
    small, large = catalogue.entries("kernels"), catalogue.entries("kernels", on_gpu=True)
    assert [(entry.number, entry.which) for entry in small] == [(entry.number, entry.which) for entry in large]
    for one, other in zip(small, large, strict=True):
        assert one.case.bytes(one.which) <= other.case.bytes(one.which)
        if isinstance(one.case, Convolution):
            assert replace(other.case, batch=one.case.batch) == one.case
            assert other.case.batch <= gpu.MOST * one.case.batch


def test_the_steps_with_targets_come_first_and_fill_a_gpu():
    steps = catalogue.entries("steps", on_gpu=True)
    assert [(step.case.name, step.case.batch) for step in steps[:6]] == [
        ("S1 CNN", 32), ("S2 CNN", 32), ("S3 CNN", 512), ("U-Net base 32", 16), ("U-Net base 16", 16),
        ("3-D U-Net base 8", 4),
    ]  # fmt: skip
    assert {step.which for step in steps[:6]} == {"training step"}
    assert sorted(step.number for step in steps) == list(range(len(steps)))
    assert {(step.case.name, step.which) for step in steps} == {
        (step.case.name, step.which) for step in catalogue.entries("steps")
    }


CASES = [Convolution.of("2,3,6,5→4,3,p1"), Convolution.of("1,4,5,5→2,2,s2,T"), Dense(5, 7, 3)]
CASES += [replace(case, shape=(2, *(4,) * (len(case.shape) - 2), 8)) for case in OPERATIONS if len(case.shape) > 1]
CASES += [replace(case, shape=(64,)) for case in OPERATIONS if len(case.shape) == 1]
CASES += [Recurrence(cell, 2, 3, 4, 5) for cell in ("lstm", "gru", "simple_rnn")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_a_case_gives_there_what_it_gives_here(cupy, case):
    for which in case.passes:
        there = engine_tomograd.build(case, which, ["cuda", "tf32"])
        here = engine_tomograd.build(case, which, [])
        found = there.run()
        found_first = found[0] if isinstance(found, tuple | list) else found
        assert isinstance(getattr(found_first, "array", found_first), cupy.ndarray)
        np.testing.assert_allclose(there.output(found), here.output(here.run()), rtol=1e-4, atol=1e-5)


def test_a_case_is_drawn_once_for_its_passes():
    small, other = Dense(5, 7, 3), Dense(5, 7, 3)
    assert gpu.drawn(small) is gpu.drawn(small)
    first = gpu.drawn(small)
    assert gpu.drawn(other) is not first  # the same sizes, but another row of the suite
    assert gpu.drawn(small) is not first


def test_networks_train_and_answer_there(cupy):
    network = Classifier("small", 4, (8, 8, 1), 3, (2,), 3, pool_last=True)
    for which in ("training step", "inference", "inference, batch 1"):
        built = engine_tomograd.build(network, which, ["cuda"])
        built.run()
        assert built.parameters == network.parameters


def test_steps_are_measured_as_graphs_beside_steps_that_are_not(cupy):
    options = suite.Options("steps", peer="captured", device="cuda")
    assert [suite.process_of(engine, options) for engine in suite.peer_engines(options)] == ["tomograd:captured:cuda"]
    network = Classifier("small", 4, (8, 8, 1), 3, (2,), 3, pool_last=True)
    built = engine_tomograd.build(network, "training step", ["captured", "cuda"])
    plain = engine_tomograd.build(network, "training step", ["cuda"])
    losses = []
    for _ in range(3):
        tg.random.seed(0)
        losses.append(built.run())
        tg.random.seed(0)
        assert plain.run() == losses[-1]
    assert len(set(losses)) == 3


def test_every_pass_is_run():
    assert CASES[0].passes == PASSES


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "gpu"}, "--device gpu: expected cpu or cuda"),
        ({"precision": "tf32"}, "--precision tf32: the CPU's products are exact"),
        ({"device": "cuda", "precision": "half"}, "--precision half: expected float32, tf32, bfloat16 or float16"),
        ({"device": "cuda", "precision": "float16", "section": "steps"}, "--precision float16: there are kernels"),
        ({"device": "cuda", "section": "startup"}, "--device cuda: startup are measured on the CPU"),
    ],
)
def test_options_that_cannot_be(cupy, options, words):
    with pytest.raises(UserError, match=words):
        suite.begin(suite.Options(**{"section": "kernels"} | options))


def test_without_a_gpu_the_reason_is_named(cupy, monkeypatch):
    def complain():
        raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", complain)
    with pytest.raises(UserError, match=r"--device cuda: .* no CUDA-capable device is detected"):
        suite.begin(suite.Options("kernels", device="cuda"))


def test_engines_on_a_gpu(cupy):
    options = suite.Options("steps", device="cuda", precision="tf32")
    assert suite.begin(options).engines == ["tomograd"]
    assert suite.process_of("torch:compile", options) == "torch:compile:cuda:tf32"
    assert suite.process_of("tomograd", suite.Options("steps", device="cuda")) == "tomograd:cuda"
    assert suite.process_of("torch:nchw", suite.Options("steps")) == "torch:nchw"
