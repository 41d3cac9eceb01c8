"""The table of all seeded bugs, for the documentation. `python tests/mutation/mutation_table.py` writes it anew."""

from __future__ import annotations

from pathlib import Path

from cpu_bugs import CPU_BUGS
from explained import EXPLAINED, SAMPLED, SAMPLED_LAUNCHERS, Explained
from function_bugs import FUNCTION_BUGS
from reference_bugs import REFERENCE_BUGS
from seeded import Bug

PAGE = Path(__file__).parents[2] / "docs" / "mutations.md"
PARTS = {
    "Differentiable functions and the tape": FUNCTION_BUGS,
    "Reference kernels": REFERENCE_BUGS,
    "CPU kernels": CPU_BUGS,
}
ALL_BUGS: list[Bug] = [bug for bugs in PARTS.values() for bug in bugs]

INTRODUCTION = """# Bugs on purpose, and who finds them

Made by `tests/mutation/mutation_table.py` from the bugs that the tests in that folder put into the sources, one at a
time: {count} in all. Each is found by `tomograd.testing`, by the check and with the words that stand beside it; without
the bug the same check finds nothing. Bugs in functions and in reference kernels are part of the usual tests; those in
the CPU's kernels, which have to be compiled, of the slow ones (`pytest -m slow tests/mutation`).

A bug is a piece of a function's source that is replaced by another. It must stand there exactly once: when the function
is rewritten, its bug has to be as well, so that this table tells of the sources as they are.

`python tests/mutation/survivors.py engine.functions.pooling` asks the same of all tests of a module: it changes the
module's syntax tree in one place after the other (operators, comparisons, numbers, conditions, arguments, statements),
runs the tests on each mutant, and prints the changes that they let live: those that change nothing, and those for which
a test is missing.
"""


LIVING = """## Mutants that live

All mutants of `engine/functions`, `kernels/reference`, `kernels/geometry.py` and `kernels/memory.py` were tried. Of
`kernels/cpu`, whose twenty thousand mutants have to be compiled one by one, eight were drawn at random from each of
{sampled}.

Of the launchers of `kernels/cuda`, on kernels that are emulated on the CPU, six were drawn from each of {launchers}.
Of the checker itself, `testing`, all mutants of `compare` and `reports` were tried, and forty from each of
`differences`, `differentiable`, `gradcheck` and `rules`.

Those below are the ones that no test finds, because they do the same, or differ in time or memory alone. A test holds
that the statements are as they stand here; whether each still lives is for `survivors.py` to say.

| module | statement | becomes | why it may live |
| --- | --- | --- | --- |"""


def page() -> str:
    """The whole page."""
    lines = [INTRODUCTION.format(count=len(ALL_BUGS))]
    for title, bugs in PARTS.items():
        lines += [f"## {title}", "", "| bug | where | found by | which says |", "| --- | --- | --- | --- |"]
        lines += [f"| {_cell(b.name)} | `{b.where}` | {_cell(b.check)} | {_cell(b.words)}… |" for b in bugs]
        lines.append("")
    return "\n".join([*lines, _living_introduction(), *map(_living, EXPLAINED), ""])


def _living_introduction() -> str:
    return LIVING.format(sampled=", ".join(SAMPLED), launchers=", ".join(SAMPLED_LAUNCHERS))


def _living(entry: Explained) -> str:
    after = "<br>".join(f"`{_cell(each)}`" for each in entry.after)
    return f"| `{entry.module}` | `{_cell(entry.before)}` | {after} | {_cell(entry.why)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
