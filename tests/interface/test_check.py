"""`tomograd check`: every function on this machine, as a table or as JSON, and exit code 1 where one is wrong."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tomograd.testing import registry
from tomograd.testing.registry import checks


def test_all_that_is_checked_of_a_function_on_all_backends(tomograd):
    done = tomograd("check", "--function", "max_pool", "--function", "floor", "--output", "json")
    assert done.code in (0, None)
    found = json.loads(done.out)
    entry = registry.entry("max_pool")
    assert [(one["function"], one["backend"]) for one in found["functions"]] == [
        (name, backend) for name in ("floor_divide", "floor", "max_pool") for backend in checks.present_backends()
    ]
    for one in found["functions"]:
        assert one["passed"] and one["failures"] == [] and 0 <= one["worst"] < 1
    assert found["functions"][-1]["checks"] == 2 * len(entry.samples) + len(entry.kinks) + len(entry.errors)


def test_the_machine_is_described(tomograd):
    from tomograd.kernels.cpu import launch, simd

    done = tomograd("check", "--quick", "--function", "relu", "--backend", "reference", "--output", "json")
    found = json.loads(done.out)
    assert found["simd"] == simd.level().name and found["threads"] == launch.threads()
    assert found["machine"]["processor"] and found["versions"]["numpy"] == np.__version__
    assert found["quick"] and {one["backend"] for one in found["functions"]} == {"reference"}
    assert {one["function"] for one in found["functions"]} == {"relu", "leaky_relu", "prelu", "relu6"}
    assert {one["checks"] for one in found["functions"]} == {1}


def test_the_table_has_a_row_for_each_function(tomograd):
    done = tomograd("check", "--quick", "--function", "softmax")
    lines = done.out.splitlines()
    assert lines[2] == "| function | checks | reference | ms | cpu | ms |"
    assert [line.split("|")[1].strip() for line in lines[4:7]] == ["softmax", "log_softmax", "masked_softmax"]
    assert lines[-1].startswith("6 of 6 passed in ")
    assert done.err == ""  # no line of progress but on a terminal


def test_a_function_that_is_wrong_is_said_and_gives_exit_code_1(tomograd, monkeypatch):
    entry = registry.entry("abs")
    (kink,) = entry.kinks
    wrong = replace(entry, kinks=(replace(kink, gradients=(np.ones(2),)),))
    monkeypatch.setitem(registry.ENTRIES, "abs", wrong)
    done = tomograd("check", "--function", "abs")
    assert done.code == 1
    assert "| abs | 4 | **failed** |" in done.out
    assert "- **failed**: abs (cpu): gradient at a kink, abs(x): AssertionError: abs(x) in float64" in done.out
    assert "0 of 2 passed" in done.out


def test_a_function_that_raises_stops_no_other_and_its_message_stays_one_item(tomograd, monkeypatch):
    def broken(self, *arguments):
        raise RuntimeError("broken\nin two")

    monkeypatch.setattr("tomograd.engine.functions.elementwise.Sin.forward", broken)
    done = tomograd("check", "--function", "sin", "--function", "exp", "--backend", "reference", "--quick")
    assert done.code == 1
    assert "- **failed**: sin (reference): first derivatives, sin(x): RuntimeError: broken\n  in two\n" in done.out
    assert "5 of 6 passed" in done.out  # others with these in their names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "tpu"), "--backend 'tpu': the backends on this machine are reference, cpu"),
        (("--function", "reluu"), "--function 'reluu': no function of tomograd.functional has this in its name"),
        (("--function", ""), "--function '': no function"),
        (("--output", "html"), "'html'"),
    ],
)
def test_wrong_options_are_refused(tomograd, arguments, message):
    done = tomograd("check", *arguments)
    assert done.code == 2
    assert message in " ".join(done.err.split())


def test_the_command_line_alone_loads_no_registry():
    script = "import sys, tomograd.cli; print([name for name in sys.modules if name.startswith('tomograd.testing')])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
