"""Every bug in the functions and the reference kernels is found: by the check, and with the words, of its table."""

import pytest
from checking import FOUND
from checks import CHECKS
from function_bugs import FUNCTION_BUGS
from reference_bugs import REFERENCE_BUGS
from seeded import injected


@pytest.mark.parametrize("name", CHECKS)
def test_what_has_no_bug_passes(name):
    CHECKS.run(name)


@pytest.mark.parametrize("bug", [*FUNCTION_BUGS, *REFERENCE_BUGS], ids=str)
def test_a_bug_is_found(bug):
    with injected(bug), pytest.raises(FOUND) as found:
        CHECKS.run(bug.check)
    assert bug.words in str(found.value)
