"""A mutant's code in the place of a loaded module's: functions that live get another body, so nothing is imported anew.

What a mutant changes outside functions (tables, default arguments), or in a function that ran while the module was
imported, cannot be exchanged afterwards: such a mutant has to be imported.
"""

from __future__ import annotations

import ast
import gc
import inspect
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from types import CodeType, FunctionType

Changes = list[tuple[CodeType, CodeType]]  # the code of each changed function: as it is, as the mutant has it


def changes(original: CodeType, mutant: CodeType) -> Changes:
    """The parts of a module's code that differ, without those they hold: of two functions, one in the other, the one
    with the change."""
    own = [] if _own(original) == _own(mutant) else [(original, mutant)]
    for before, after in zip(_parts(original), _parts(mutant), strict=False):
        own += changes(before, after)
    return own


def can_be_exchanged(changed: Changes, ran_at_import: set[tuple[str, int]]) -> bool:
    """Whether all changes are in functions that have not yet run."""
    return all(before.co_flags & inspect.CO_OPTIMIZED and key(before) not in ran_at_import for before, _ in changed)


def key(code: CodeType) -> tuple[str, int]:
    """What names a function in its module: its name and its first line."""
    return code.co_qualname, code.co_firstlineno


Living = dict[tuple[str, int], list[FunctionType]]


def living_functions(path: str) -> Living:
    """The functions of a source file that live, by name and first line."""
    living = defaultdict(list)
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename == path:
            living[key(each.__code__)].append(each)
    return living


def exchange(original: CodeType, mutant: CodeType, living: Living) -> None:
    """Give the living functions of a module their code in the mutant."""
    for before, after in _functions(original, mutant):
        for function in living[key(before)]:
            function.__code__ = after


def functions_run(path: str, action) -> set[tuple[str, int]]:
    """Which functions of a source file run during `action()`, in this thread and those that it starts, by name and
    first line."""
    seen = set()

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_filename == path:
            seen.add(key(frame.f_code))

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return seen


def compiled(tree: ast.Module, path: str) -> CodeType:
    """A module's code."""
    return compile(tree, path, "exec", dont_inherit=True)


def _parts(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _own(code: CodeType) -> tuple:
    """All that a code object does, but for the code objects it holds."""
    constants = [(type(each), repr(each)) for each in code.co_consts if not isinstance(each, CodeType)]
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants, len(_parts(code))


def _functions(original: CodeType, mutant: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """All pairs of functions that differ themselves or in a function they hold, and that have the same variables around
    them."""
    for before, after in zip(_parts(original), _parts(mutant), strict=False):
        if changes(before, after):
            if before.co_flags & inspect.CO_OPTIMIZED and before.co_freevars == after.co_freevars:
                yield before, after
            yield from _functions(before, after)
