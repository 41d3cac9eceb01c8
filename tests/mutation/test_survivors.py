"""The tool that looks for surviving mutants says nothing of them where tests fail without any."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import survivors
survivors.tests_of = lambda module: [sys.argv[2]]
survivors.report("kernels.geometry", "", 1, slice(None))
"""
PASSING = "from tomograd.kernels import geometry\n\ndef test_that_passes():\n    pass\n"


def reported(tests, folder):
    """What `report` comes to with tests of this text: (exit status, all it printed)."""
    path = folder / "test_given.py"
    path.write_text(tests)
    command = [sys.executable, "-c", RUN, str(Path(__file__).parent), str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return ended.returncode, ended.stdout + ended.stderr


def test_tests_that_fail_without_a_mutant_are_named(tmp_path):
    failing = "def test_that_fails():\n    assert False\n\ndef test_that_raises():\n    raise OSError\n"
    code, text = reported(PASSING + failing, tmp_path)
    assert code and "kernels.geometry: without any mutant there fail:" in text and "survive" not in text
    assert "::test_that_fails" in text and "::test_that_raises" in text and "::test_that_passes" not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ("import os\n\ndef test_that_dies():\n    os._exit(3)\n", "::test_that_dies (which ended the process)"),
        ("import nothing_of_this_name\n", "its tests cannot be collected (INTERRUPTED)"),
        ("x = (", "its tests cannot be collected (INTERRUPTED)"),
    ],
)
def test_tests_that_end_the_process_or_cannot_be_collected(tests, said, tmp_path):
    code, text = reported(PASSING + tests, tmp_path)
    assert code and said in text and "survive" not in text


@pytest.mark.slow
def test_mutants_of_a_module_without_tests_of_its_own_survive(tmp_path):
    code, text = reported(PASSING, tmp_path)
    assert code == 0 and "kernels.geometry: of 1 mutants 1 survive" in text
