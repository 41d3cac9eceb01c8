"""Every bug in the CPU's kernels is found. Slow: each is compiled, in a process of its own."""

import os

import pytest
from altered_package import run_checks
from cpu_bugs import CPU_BUGS
from cpu_checks import BUG_FOUND


@pytest.mark.slow
def test_what_has_no_bug_passes(tmp_path):
    code, said = run_checks("all", tmp_path)
    assert code == 0, said


@pytest.mark.slow
@pytest.mark.parametrize("bug", CPU_BUGS, ids=str)
def test_a_bug_is_found(bug, tmp_path):
    if bug.is_race and os.cpu_count() == 1:
        pytest.skip("one processor has no races")
    code, said = run_checks(bug.check, tmp_path, bug)
    assert code == BUG_FOUND, said
    assert bug.words in said
