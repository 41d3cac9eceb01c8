"""Kernels from many threads, in forked children, and from a cache that is damaged, foreign, read-only or out of
date."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numba
import numpy as np
import pytest

from tomograd.kernels.cpu import bodies, cache, compiling
from tomograd.kernels.cpu.bodies import (
    Constant,
    compiled,
    either,
    kernel,
    scratch,
    unpack,
    value,
)
from tomograd.kernels.cpu.launch import run, threads, using_threads

AXPY = """
import numpy as np
from tomograd.kernels.cpu.bodies import kernel, unpack
from tomograd.kernels.cpu.launch import run

@kernel
def axpy(begin, end, arguments):
    a, x, y = unpack(arguments)
    for i in range(begin, end):
        y[i] = a * x[i] + y[i]

def check():
    x, y = np.arange(100_000, dtype=np.float32), np.ones(100_000, np.float32)
    run(axpy, x.size, 1000, np.float32(2), x, y)
    assert (y == 2 * x + 1).all()
"""


@kernel
def scale(begin, end, arguments):
    x, y, factor = unpack(arguments)
    for i in range(begin, end):
        y[i] = factor * x[i]


@kernel
def mark(begin, end, arguments):
    (counts,) = unpack(arguments)
    for i in range(begin, end):
        counts[i] += 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
@pytest.mark.parametrize("count", [0, 1, 7, 1000, 100_003])
def test_a_kernel_computes_each_item_once(dtype, count):
    x, y = np.arange(count).astype(dtype), np.zeros(count, dtype)
    run(scale, count, 100, x, y, 3 if dtype in (np.int64, np.int32) else dtype(3))
    np.testing.assert_array_equal(y, 3 * x)
    counts = np.zeros(count, np.int64)
    run(mark, count, 1, counts)
    assert (counts == 1).all()


def test_constants_are_compiled_in():
    @kernel
    def fill(begin, end, arguments):
        number, x = unpack(arguments)
        for i in range(begin, end):
            x[i] = value(number)

    x = np.zeros(5)
    for number in (4, -7):
        run(fill, 5, 100, Constant(number), x)
        assert (x == number).all()
    run(fill, 5, 100, 11, x)  # a number that is not constant does as well
    assert (x == 11).all()
    assert compiled(fill, Constant(4), x) is not compiled(fill, Constant(-7), x)


def test_of_two_functions_only_the_chosen_one_is_compiled():
    def double(flag, number):
        return 2 * number

    def cannot_be_compiled(flag, number):
        return number.no_such_attribute

    chosen = either(double, cannot_be_compiled)

    @kernel
    def fill(begin, end, arguments):
        flag, x = unpack(arguments)
        for i in range(begin, end):
            x[i] = chosen(flag, i)

    x = np.zeros(5)
    run(fill, 5, 100, Constant(True), x)
    np.testing.assert_array_equal(x, 2 * np.arange(5))
    with pytest.raises(numba.errors.TypingError, match="no_such_attribute"):
        run(fill, 5, 100, Constant(False), x)
    with pytest.raises(NotImplementedError, match="bodies of kernels"):
        chosen(True, 1)


def test_scratch_is_private_to_a_thread():
    @kernel
    def reverse_in_blocks(begin, end, arguments):
        x, y = unpack(arguments)
        room = scratch(x, 16)
        for block in range(begin, end):
            for i in range(16):
                room[i] = x[16 * block + i]
            for i in range(16):
                y[16 * block + i] = room[15 - i]

    x, y = np.arange(16.0 * 5000), np.zeros(16 * 5000)
    run(reverse_in_blocks, 5000, 1, x, y)
    np.testing.assert_array_equal(y.reshape(-1, 16), x.reshape(-1, 16)[:, ::-1])


def test_arrays_must_be_contiguous():
    x = np.zeros((4, 4))
    with pytest.raises(TypeError, match=r"argument 0 must be C-contiguous"):
        run(scale, 4, 1, x[:, 1], x[0], 2.0)


def test_eight_python_threads_at_once():
    wrong = []

    def work(number):
        x = np.arange(200_000, dtype=np.float32)
        y = np.empty_like(x)
        for repeat in range(30):
            run(scale, x.size, 1000, x, y, np.float32(number + repeat))
            if not (y == np.float32(number + repeat) * x).all():
                wrong.append((number, repeat))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert not any(worker.is_alive() for worker in workers), "a kernel never returned"
    assert not wrong


def test_two_threads_may_compile_one_kernel():
    @kernel
    def add_one(begin, end, arguments):
        (x,) = unpack(arguments)
        for i in range(begin, end):
            x[i] += 1

    arrays = [np.zeros(10) for _ in range(4)]
    workers = [threading.Thread(target=run, args=(add_one, 10, 1, array)) for array in arrays]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert all((array == 1).all() for array in arrays)


def test_the_number_of_threads_can_be_bounded():
    before = threads()
    with using_threads(1):
        assert threads() == 1
        x, y = np.arange(1000.0), np.zeros(1000)
        run(scale, 1000, 1, x, y, 2.0)
        np.testing.assert_array_equal(y, 2 * x)
    assert threads() == before
    with pytest.raises(ValueError, match="0 given"), using_threads(0):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_computes_on_threads_of_its_own():
    x, y, before = np.arange(300_000, dtype=np.float32), np.empty(300_000, np.float32), threads()
    run(scale, x.size, 1000, x, y, np.float32(2))  # the threads exist before the fork
    child = os.fork()
    if child == 0:
        try:
            run(scale, x.size, 1000, x, y, np.float32(5))  # compiled in the parent
            run(mark, 1000, 1, np.zeros(1000, np.int32))  # perhaps not
            os._exit(0 if (y == 5 * x).all() and threads() == before else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    run(scale, x.size, 1000, x, y, np.float32(3))
    assert (y == 3 * x).all()


# ---- the cache -------------------------------------------------------------------------------------------------------


def beside_the_package(folder):
    """PYTHONPATH for a process that finds modules in a folder, and the same package as this one."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.fixture
def program(tmp_path):
    """Runs a small kernel in a fresh process with its cache in tmp_path/cache: returns what it wrote to stderr."""
    (tmp_path / "axpy.py").write_text(AXPY)

    def run_program(more="", environment=(), **options):
        done = subprocess.run(
            [sys.executable, "-c", f"import axpy; axpy.check()\n{more}"],
            env={
                **os.environ,
                "PYTHONPATH": beside_the_package(tmp_path),
                "TOMOGRAD_CACHE": str(tmp_path / "cache"),
                **dict(environment),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run_program


def entries(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.o"))


def fresh_compilations():
    return (
        "from tomograd.kernels.cpu import bodies\n"
        "stats = [code.from_cache for code in bodies._compiled.values()]\n"
        "import sys; sys.stderr.write(f'hits {sum(stats)}')\n"
    )


def test_kernels_are_kept_and_found_again(program, tmp_path):
    assert program(fresh_compilations()).endswith("hits 0")
    kept = {path: path.stat().st_mtime_ns for path in entries(tmp_path)}
    assert kept
    assert program(fresh_compilations()).endswith("hits 1")
    assert {path: path.stat().st_mtime_ns for path in entries(tmp_path)} == kept


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_damaged_entries_count_as_none(program, tmp_path, damage):
    program()
    for path in entries(tmp_path):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if damage is None else damage)
    program()
    assert program(fresh_compilations()).endswith("hits 1"), "the damaged entry was not replaced"


def test_an_entry_without_the_function_is_compiled_anew(program, tmp_path):
    program()
    for path in entries(tmp_path):
        content = path.read_bytes()[hashlib.sha256().digest_size :]
        renamed = content.replace(compiling.ENTRY.encode(), b"x" * len(compiling.ENTRY))
        assert renamed != content
        path.write_bytes(hashlib.sha256(renamed).digest() + renamed)
    assert program(fresh_compilations()).endswith("hits 0")
    assert program(fresh_compilations()).endswith("hits 1"), "it was not replaced"


def test_what_goes_wrong_while_loading_is_not_hidden(monkeypatch):
    def fail(content):
        raise MemoryError("while loading")

    @kernel
    def fill(begin, end, arguments):
        (x,) = unpack(arguments)
        for i in range(begin, end):
            x[i] = 3

    monkeypatch.setattr(cache, "load", lambda name: b"content")
    monkeypatch.setattr(compiling, "Loaded", fail)
    with pytest.raises(MemoryError, match="while loading"):
        run(fill, 3, 1, np.zeros(3))


def test_a_folder_that_others_may_write_to_is_refused(program, tmp_path):
    program()
    (folder,) = (tmp_path / "cache" / "kernels").iterdir()
    folder.chmod(0o770)
    message = program(fresh_compilations())
    assert "others may write" in message and "TOMOGRAD_CACHE" in message
    assert message.endswith("hits 0")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_a_folder_of_another_user_is_refused(program, tmp_path):
    program()
    (folder,) = (tmp_path / "cache" / "kernels").iterdir()
    os.chown(folder, 12345, -1)
    message = program(fresh_compilations())
    assert "belongs to another user" in message
    assert message.endswith("hits 0")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_compiled_anew(program, tmp_path):
    program()
    for path in entries(tmp_path):
        os.chown(path, 12345, -1)
    assert program(fresh_compilations()).endswith("hits 0")
    assert program(fresh_compilations()).endswith("hits 1"), "our own was not put in its place"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs the rights of Unix")
def test_a_file_that_others_may_write_to_is_compiled_anew(program, tmp_path):
    program()
    for path in entries(tmp_path):
        path.chmod(0o666)
    assert program(fresh_compilations()).endswith("hits 0")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_links_are_not_followed(program, tmp_path):
    program()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in entries(tmp_path):
        path.rename(elsewhere / path.name)
        path.symlink_to(elsewhere / path.name)
    assert program(fresh_compilations()).endswith("hits 0")
    (folder,) = (tmp_path / "cache" / "kernels").iterdir()
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved", target_is_directory=True)
    message = program(fresh_compilations())
    assert "it is a link" in message
    assert message.endswith("hits 0")


def test_two_processes_may_fill_the_cache_at_once(tmp_path):
    (tmp_path / "axpy.py").write_text(AXPY)
    environment = {**os.environ, "PYTHONPATH": beside_the_package(tmp_path), "TOMOGRAD_CACHE": str(tmp_path / "cache")}
    script = f"import axpy; axpy.check()\n{fresh_compilations()}"
    started = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in started:
        _, message = process.communicate(timeout=120)
        assert process.returncode == 0, message
    assert entries(tmp_path)
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stderr.endswith("hits 1")


def test_a_long_compilation_is_announced_once(monkeypatch, capsys):
    monkeypatch.delenv("TOMOGRAD_QUIET", raising=False)
    compilations = bodies._Compilations()
    with compilations.one():
        pass
    assert capsys.readouterr().err == ""
    compilations.seconds = 7.2
    for _ in range(3):
        with compilations.one():
            pass
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tomograd: compiling CPU kernels for this machine")
    assert "1 done in 7 s" in line
    monkeypatch.setenv("TOMOGRAD_QUIET", "1")
    quiet = bodies._Compilations()
    quiet.seconds = 7.2
    with quiet.one():
        pass
    assert capsys.readouterr().err == ""


def test_what_needs_python_is_refused():
    @kernel
    def allocate(begin, end, arguments):
        (x,) = unpack(arguments)
        for i in range(begin, end):
            x[i] = np.zeros(i + 1)[i]

    with pytest.raises(TypeError, match="allocate needs NRT_"):
        run(allocate, 3, 1, np.zeros(3))


def test_arguments_of_other_kinds():
    x, y = np.arange(3.0), np.zeros(3)
    run(scale, 3, 1, x, y, np.int32(2))
    np.testing.assert_array_equal(y, 2 * x)
    with pytest.raises(TypeError, match="expected an array, a number"):
        run(scale, 3, 1, x, y, "2")
    with pytest.raises(TypeError, match="cannot take an array of complex128"):
        run(scale, 3, 1, x.astype(complex), y, 2)


def test_a_read_only_folder_is_read(program, tmp_path, monkeypatch):
    program()
    # Root may write anywhere, so a refused write is played: the folder's rights are those of a read-only one.
    for path in sorted((tmp_path / "cache").rglob("*"), reverse=True):
        path.chmod(stat.S_IRUSR | (stat.S_IXUSR if path.is_dir() else 0))
    refuse = (
        "import os, tempfile\n"
        "def refuse(*_, **__): raise PermissionError(13, 'Permission denied')\n"
        "tempfile.mkstemp = refuse\n"
        "really = os.access\n"
        "os.access = lambda path, mode: mode != os.W_OK and really(path, mode)\n"
    )
    extra = (
        "import numpy as np\n"
        "from tomograd.kernels import cpu\n"
        "assert np.allclose(cpu.softmax(np.zeros((2, 3))), 1 / 3)\n"
    )
    message = program(fresh_compilations() + refuse + extra)
    assert message.endswith("hits 1"), message


def test_a_full_disk_is_a_warning_once(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(cache.tempfile, "mkstemp", refuse)
    with pytest.warns(RuntimeWarning, match="cannot be kept in .*: No space left on device") as found:
        cache.keep("one", b"kernel")
        cache.keep("another", b"kernel")
    assert len(found) == 1


def test_no_place_for_a_cache_is_a_warning(program, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    message = program(environment={"TOMOGRAD_CACHE": str(tmp_path / "file")})
    assert "compiles its kernels anew at every start" in message


def test_a_changed_source_leads_to_another_folder(tmp_path, monkeypatch):
    copy = tmp_path / "kernels"
    shutil.copytree(Path(cache.__file__).parents[1], copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "__file__", str(copy / "cpu" / "cache.py"))
    before = cache.source_hash.__wrapped__()
    assert before == cache.source_hash.__wrapped__()
    for name in ("cpu/mathematics.py", "reference/activations.py"):  # a helper, and constants that are compiled in
        with open(copy / name, "a") as file:
            file.write("# changed\n")
        after = cache.source_hash.__wrapped__()
        assert after != before
        before = after
