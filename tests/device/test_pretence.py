"""What the pretended CuPy has, the real one has too, under the same names and with the same arguments. CuPy can be
imported without a GPU."""

import inspect
import re

import numpy as np
import pretended_cupy
import pytest
from compiling import CUPYS_OPTIONS

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")


def parameters(function):
    """The names of a function's parameters; of one that is compiled they are read off its docstring."""
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        signature = re.match(r"(?:[\w.]+)\((.*?)\)(?: ->.*)?$", function.__doc__.strip(), re.MULTILINE)
        return set(re.findall(r"(\w+)\s*(?:=[^,]*)?(?:,|$)", signature[1]))


def public(thing):
    return {name for name in vars(thing) if not name.startswith("_")}


def missing(pretended, real, *own):
    """The public names that only the pretence has, but for its own."""
    return {name for name in public(pretended) - set(own) if not hasattr(real, name)}


def test_every_function_is_there():
    assert {name for name in pretended_cupy.HAS if not hasattr(cupy, name)} == set()


def test_every_attribute_of_an_array_is_there():
    assert missing(pretended_cupy.ndarray, cupy.ndarray) == set()
    operators = {f"__{kind}{name}__" for name in pretended_cupy._ARITHMETIC.split() for kind in ("", "r", "i")}
    operators |= {f"__{name}__" for name in pretended_cupy._OTHERS.split()}
    assert {name for name in operators if hasattr(pretended_cupy.ndarray, name) > hasattr(cupy.ndarray, name)} == set()
    assert cupy.ndarray.__module__ == "cupy", "by which arrays are known without importing CuPy"


@pytest.mark.parametrize("name", sorted(pretended_cupy.KEYWORDS["functions"]))
def test_keywords_of_functions(name):
    function = getattr(cupy, name)
    taken = parameters(function)
    assert "kwargs" in taken or set(pretended_cupy.KEYWORDS["functions"][name].split()) <= taken


@pytest.mark.parametrize("name", sorted(pretended_cupy.KEYWORDS["methods"]))
def test_keywords_of_methods(name):
    assert set(pretended_cupy.KEYWORDS["methods"][name].split()) <= parameters(getattr(cupy.ndarray, name))


def test_keywords_of_ufuncs():
    for name in pretended_cupy.HAS:
        if isinstance(getattr(np, name), np.ufunc) and isinstance(getattr(cupy, name), cupy.ufunc):
            assert set(pretended_cupy._UFUNC.split()) <= parameters(getattr(cupy, name)), name


def test_streams_events_and_graphs():
    # A stream's `ptr` is an attribute of the instance; `copy`, `place` and `run_to` are what the pretence is made of.
    assert missing(pretended_cupy.Stream, cupy.cuda.Stream, "ptr", "copy", "place", "run_to") == set()
    assert missing(pretended_cupy.Event, cupy.cuda.Event) == set()
    assert missing(pretended_cupy.Graph, cupy.cuda.Graph) == set()
    assert parameters(cupy.cuda.Event) >= {"block", "disable_timing"}
    assert parameters(cupy.cuda.Stream) >= {"null", "non_blocking"}


def test_devices_and_what_belongs_to_them():
    assert missing(pretended_cupy._Device, cupy.cuda.Device) == set()
    with pretended_cupy.installed() as pretended:
        for name, value in vars(pretended.cuda).items():
            assert hasattr(cupy.cuda, name)
            if name in ("memory", "runtime"):
                assert {each for each in vars(value) if not hasattr(getattr(cupy.cuda, name), each)} == set()
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)
    assert hasattr(cupy.get_default_memory_pool(), "used_bytes")
    assert hasattr(cupy.get_default_pinned_memory_pool(), "malloc")


def test_what_launches_kernels():
    assert parameters(cupy.RawModule) >= {"code", "options", "name_expressions"}
    assert {"get_function"} <= public(cupy.RawModule)
    assert {"kernel", "max_dynamic_shared_size_bytes"} <= public(cupy.RawKernel)
    assert hasattr(cupy.cuda.function.Function, "ptr")
    assert hasattr(cupy.cuda.MemoryPointer, "device_id") and hasattr(cupy.cuda.runtime, "getDevice")
    grid_and_block = [f"{what}_dim_{axis}" for what in ("grid", "block") for axis in "xyz"]
    expected = ["f", *grid_and_block, "shared_mem_bytes", "stream", "kernel_params", "extra"]
    assert re.findall(r"(\w+)(?:,|\))", cupy.cuda.driver.launchKernel.__doc__) == expected
    assert "func, int blockSize, size_t dynamic" in cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor.__doc__


def test_options_that_are_added_to_ours():
    source = inspect.getsource(cupy.cuda.compiler)
    for option in CUPYS_OPTIONS:
        assert f"options += ('{option}',)" in source
