"""The explanations of surviving mutants: each is of a mutant that there is."""

from functools import cache
from pathlib import Path

import pytest
from explained import EXPLAINED
from mutants import mutants_of

from tomograd import engine, kernels, testing

PACKAGES = {"kernels": kernels, "engine": engine, "testing": testing}


@cache
def changes_of(module):
    folder, _, rest = module.partition(".")
    path = (Path(PACKAGES[folder].__file__).parent / rest.replace(".", "/")).with_suffix(".py")
    return {(mutant.before, mutant.after) for mutant in mutants_of(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("entry", EXPLAINED, ids=lambda entry: f"{entry.module}: {entry.before}"[:80])
def test_what_is_explained_exists(entry):
    assert entry.why
    assert {(entry.before, after) for after in entry.after} <= changes_of(entry.module)
