"""Commands on a GPU: all kernels compiled ahead (every one is asked for, what fails is said), and `tomograd check`."""

from types import SimpleNamespace

import pytest
from pretended_device import reference_device

from tomograd.cli import app
from tomograd.kernels.cuda import SOURCES, ahead


def one_fails(function):
    return "no such type" if function.expression == "matmul<BF16, 64, true, false>" else None


@pytest.fixture
def warmup(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            app(["warmup", "--device", "cuda", *arguments], prog_name="tomograd")
        shown = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code, out=shown.out, err=shown.err)

    return call


def test_every_instance_is_compiled_once():
    told = dict(ahead.compile_all(1, one_fails))
    assert set(told) == {function for source in SOURCES for function in source}
    assert list(told.values()).count("no such type") == 1


@pytest.mark.slow
def test_in_several_processes(monkeypatch):
    wanted = ahead.functions()[:3]
    monkeypatch.setattr(ahead, "functions", lambda: wanted)
    assert [function for function, _ in ahead.compile_all(2)] == wanted  # here, where there is no CuPy to compile with
    assert all("ModuleNotFoundError" in reason for _, reason in ahead.compile_all(1))


def test_the_command(warmup, monkeypatch):
    monkeypatch.setattr(ahead, "compile_all", lambda: ((each, None) for each in ahead.functions()))
    with reference_device():
        result = warmup()
        assert result.code == 0 and f"{len(ahead.functions())} CUDA kernels" in result.out
        monkeypatch.setattr(ahead, "compile_all", lambda: ((each, "no such type") for each in ahead.functions()[:2]))
        result = warmup()
        assert result.code == 2 and "2 of" in result.err and "no such type" in result.err
        assert "--device cuda compiles all kernels" in warmup("--size", "32").err


def test_without_a_gpu(warmup):
    result = warmup()
    assert result.code == 2 and "--device cuda:" in result.err


def test_tomograd_check_says_which_gpu_it_is(capsys):
    with reference_device(), pytest.raises(SystemExit) as ended:
        app(["check", "--backend", "cuda", "--quick", "--function", "softplus"], prog_name="tomograd")
    shown = capsys.readouterr().out
    assert ended.value.code == 0 and ", pretended; " in shown and "threads" not in shown
