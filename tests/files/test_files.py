"""Files that are whole or not there: what a killed writer leaves, what is kept, and what a full disk means."""

import os
import re
import subprocess
import sys

import pytest

from tomograd import files

UNFINISHED = re.compile(r"\.x\.[0-9a-f]{8}\.tomograd\.tmp")


def test_a_file_appears_whole_at_the_end(tmp_path):
    with files.written(tmp_path / "x") as file:
        file.write(b"one ")
        assert [entry for entry in os.listdir(tmp_path) if not UNFINISHED.fullmatch(entry)] == []
        file.write(memoryview(b"two"))
        file.write(b"")
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"one two"
    mask = os.umask(0o022)
    os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~mask


def test_an_error_within_leaves_what_was_there(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="mine"), files.written(tmp_path / "x") as file:
        file.write(b"new")
        raise RuntimeError("mine")
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_the_old_file_goes_on_under_another_name(tmp_path, monkeypatch):
    for content in (b"1", b"2", b"3"):
        with files.written(tmp_path / "x", keep=tmp_path / "before") as file:
            file.write(content)
    assert sorted(os.listdir(tmp_path)) == ["before", "x"]
    assert ((tmp_path / "before").read_bytes(), (tmp_path / "x").read_bytes()) == (b"2", b"3")
    (tmp_path / "before").unlink()
    os.link(tmp_path / "x", tmp_path / "before")  # as a process leaves it that is killed before it renames the new one
    with files.written(tmp_path / "x", keep=tmp_path / "before") as file:
        file.write(b"3b")
    assert sorted(os.listdir(tmp_path)) == ["before", "x"]
    assert ((tmp_path / "before").read_bytes(), (tmp_path / "x").read_bytes()) == (b"3", b"3b")

    def without_links(*arguments):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", without_links)
    with files.written(tmp_path / "x", keep=tmp_path / "before") as file:
        file.write(b"4")
    assert ((tmp_path / "before").read_bytes(), (tmp_path / "x").read_bytes()) == (b"3b", b"4")


LEFT = """
import os, sys
from tomograd import files
with files.written(sys.argv[1]) as file:
    file.write(b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(files.fcntl is None, reason="unfinished files are not removed where files cannot be locked")
def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "x"
    ours = ".x.12345678.tomograd.tmp"
    others = [".x.tmp", ".x.12345678.tmp", f"{ours}~", ours[1:], f".x{ours[1:]}", ours.replace("8", "")]
    others.append(ours.replace("x", "y"))
    for name in others:
        (tmp_path / name).write_text("a user's")
    (tmp_path / ours).mkdir()
    writer = subprocess.Popen(
        [sys.executable, "-c", LEFT, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "writing\n"
    with files.written(path) as file:  # the other one still writes: its file is left alone
        file.write(b"mine")
    (unfinished,) = (name for name in os.listdir(tmp_path) if UNFINISHED.fullmatch(name) and "12345678" not in name)
    assert (tmp_path / unfinished).read_bytes() == b"half"
    writer.kill()
    writer.communicate()
    with files.written(path) as file:
        file.write(b"mine again")
    assert sorted(os.listdir(tmp_path)) == sorted(["x", ours, *others])


FULL = """
import resource, sys
from tomograd import files
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with files.written(sys.argv[1]) as file:
        file.write(bytes(900))
        file.write(bytes(900))
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of resources")
def test_a_file_that_becomes_too_large_is_a_clear_error(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "x")], capture_output=True, text=True, check=True)
    assert re.search(r"File too large.*left as it was.*/x'", done.stdout), done.stdout + done.stderr
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"
