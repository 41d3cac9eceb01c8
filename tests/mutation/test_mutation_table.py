"""The table of bugs: long enough, for all that there is, and the same as in the documentation."""

import pytest
from cpu_bugs import CPU_BUGS
from cpu_checks import CPU_CHECKS
from mutation_table import ALL_BUGS, PAGE, page
from seeded import source_file, with_bug

AT_LEAST, OF_THE_CPU = 60, 15
NO_MATHEMATICS = {"__init__", "arguments"}
CPU_FAMILIES = {"tile_walk", "weight_tiles", "depthwise", "winograd", "winograd_gradient", "channel_sum", "max_pooling",
                "windows", "covering", "average_pooling", "elementwise", "mathematics", "normalization",
                "layer_normalization", "losses", "optimizers"}  # fmt: skip


def test_there_are_enough_and_no_two_of_one_name_in_one_place():
    assert len(ALL_BUGS) >= AT_LEAST
    assert len(CPU_BUGS) >= OF_THE_CPU
    names = [(bug.name, bug.where) for bug in ALL_BUGS]
    assert len(set(names)) == len(names)
    assert all(bug.words for bug in ALL_BUGS)


@pytest.mark.parametrize("family", ["engine.functions", "kernels.reference"])
def test_every_module_has_one(family):
    modules = {path.stem for path in source_file(family).parent.glob("*.py")} - NO_MATHEMATICS
    assert modules == {bug.module.removeprefix(family + ".") for bug in ALL_BUGS if bug.module.startswith(family)}


def test_every_family_of_the_cpus_kernels_has_one():
    assert {bug.module.rpartition(".")[2] for bug in CPU_BUGS} >= CPU_FAMILIES


@pytest.mark.parametrize("bug", CPU_BUGS, ids=str)
def test_what_a_bug_replaces_is_still_there(bug):
    """Those of the CPU are put in by slow tests only."""
    assert with_bug(bug) != source_file(bug.module).read_text(encoding="utf-8")
    assert bug.check in CPU_CHECKS


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python tests/mutation/mutation_table.py`"
