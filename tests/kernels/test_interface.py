"""The backends have one interface, are chosen by where the arrays live, and depend on nothing of ours."""

import ast
import importlib.util
import inspect
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tomograd import kernels

CPU_BACKENDS = ("reference", "cpu")
SOURCES = sorted(Path(kernels.__file__).parent.rglob("*.py"))


def parameters(function):
    """Name, kind and default of each parameter: a signature without its annotations."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("backend_name", CPU_BACKENDS)
@pytest.mark.parametrize("name", kernels.INTERFACE)
def test_every_backend_has_every_kernel_with_one_signature_and_docstring(name, backend_name):
    function = getattr(kernels.backend(backend_name), name, None)
    assert function is not None, f"kernels.{backend_name} has no {name}"
    twin = getattr(kernels.reference, name)
    assert parameters(function) == parameters(twin)
    assert function.__doc__ == twin.__doc__


def test_the_interface_names_each_kernel_once_and_the_reference_has_no_other():
    assert len(set(kernels.INTERFACE)) == len(kernels.INTERFACE)
    assert set(kernels.reference.__all__) == set(kernels.INTERFACE)


@pytest.mark.parametrize("name", kernels.INTERFACE)
def test_docstrings_give_the_shapes(name):
    doc = getattr(kernels.reference, name).__doc__
    assert "shape" in doc or "→" in doc, f"{name}: no shapes in its docstring"


def test_twin_of_copies_the_docstring_and_nothing_else():
    def slow(x):
        """What it does."""

    @kernels.twin_of(slow)
    def fast(x, y):
        return x + y

    assert fast.__doc__ == "What it does."
    assert fast.__name__ == "fast"
    assert list(inspect.signature(fast).parameters) == ["x", "y"]
    assert fast(1, 2) == 3


def test_numpy_arrays_go_to_the_cpu():
    assert kernels.of(np.zeros(3)) is kernels.cpu
    assert kernels.of(np.zeros(3), None) is kernels.cpu
    assert kernels.of() is kernels.cpu


def test_using_overrides_nests_and_ends():
    x = np.zeros(3)
    with kernels.using("reference") as outer:
        assert kernels.of(x) is outer is kernels.reference
        with kernels.using("cpu") as inner:
            assert kernels.of(x) is inner is kernels.cpu
        assert kernels.of(x) is kernels.reference
    assert kernels.of(x) is kernels.cpu


def test_using_ends_when_the_block_fails():
    with pytest.raises(ZeroDivisionError), kernels.using("reference"):
        raise ZeroDivisionError
    assert kernels.of(np.zeros(3)) is kernels.cpu


def test_using_holds_for_its_own_thread():
    seen = []
    with kernels.using("reference"):
        thread = threading.Thread(target=lambda: seen.append(kernels.of(np.zeros(3))))
        thread.start()
        thread.join()
    assert seen == [kernels.cpu]


@pytest.mark.parametrize("name", ["gpu", "", "CPU", "interface"])
def test_an_unknown_backend_is_refused(name):
    with pytest.raises(ValueError, match=f"'{name}': expected one of 'reference', 'cpu', 'cuda'"), kernels.using(name):
        pass
    assert not hasattr(kernels, "gpu")


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_without_cupy_the_cuda_backend_says_what_to_install():
    with pytest.raises(ImportError, match=r"tomograd\[cuda\]"), kernels.using("cuda"):
        pass


class OnDevice:
    """Looks like an array on a GPU."""

    __cuda_array_interface__ = {}  # noqa: RUF012


def test_arrays_in_two_places_are_refused():
    with pytest.raises(TypeError, match="different places"):
        kernels.of(np.zeros(3), OnDevice())


def test_importing_the_package_compiles_nothing():
    script = "import tomograd.kernels, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert {"numba", "tomograd.kernels.cpu", "tomograd.kernels.reference"}.isdisjoint(run.stdout.split())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(SOURCES[0].parent).as_posix())
def test_kernels_import_nothing_of_ours_but_kernels(path):
    depth = len(path.relative_to(Path(kernels.__file__).parent).parts)  # leading dots that still stay inside kernels
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level <= depth, f"{path.name}:{node.lineno} imports from outside kernels"
            assert (node.module or "").split(".")[0] != "tomograd" or node.level, f"{path.name}:{node.lineno}"
        elif isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] != "tomograd" for alias in node.names), f"{path.name}:{node.lineno}"
